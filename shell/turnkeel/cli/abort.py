"""`abort`: how does an operator stop what a session is doing?"""

import time
from pathlib import Path

from turnkeel.cli.errors import CommandFailed
from turnkeel.cli.output import flat, print_json
from turnkeel.cli.place import existing_data_dir
from turnkeel.delivery.stop import Stopped, stop_session
from turnkeel_adapters.lifecycle.store import StateLifecycle
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.state.store import FILE_NAME, HostState
from turnkeel_adapters.system.doorbell import ring
from turnkeel_adapters.system.lock import probe
from turnkeel_core.lifecycle_states import TURN_TERMINAL


def abort(sessions: tuple[str, ...], data: Path | None, *, json: bool) -> int:
    """End every open turn of the sessions; returns 1 if there was nothing left to stop.

    Durable when this returns: no call to a channel begins for them any more. CommandFailed for a session that is
    unknown; AdapterError if it cannot be stored: then nothing was stopped.
    """
    data_dir = existing_data_dir(data)
    names = tuple(dict.fromkeys(str(SessionName.parse(session)) for session in sessions))
    if not (data_dir / FILE_NAME).exists():
        raise CommandFailed(f"{data_dir} holds no {FILE_NAME}: no host has worked here yet")
    with HostState(data_dir) as state:
        store = StateLifecycle(state.database)
        _require_known(state, store, names)
        stopped = stop_session(store, names, time.time_ns() // 1_000_000)
        _read_back(store, stopped)
    ring(data_dir)
    if json:
        print_json(_as_data(names, stopped))
    else:
        _tell(data_dir, stopped)
    return 0 if stopped.turn_ids else 1


def _require_known(state: HostState, store: StateLifecycle, names: tuple[str, ...]) -> None:
    known = state.registry.known()
    with store.reading() as work:
        unknown = [
            name
            for name in names
            if name not in known
            and not work.tables.turns.open_of(name)
            and work.tables.turns.last_ended_of(name, None) is None
        ]
    if unknown:
        raise CommandFailed(f"no session {', '.join(unknown)}; `turnkeel status` lists them")


def _read_back(store: StateLifecycle, stopped: Stopped) -> None:
    with store.reading() as work:
        found = {turn_id: work.tables.turns.get(turn_id) for turn_id in stopped.turn_ids}
    left = [turn_id for turn_id, turn in found.items() if turn is not None and turn.status not in TURN_TERMINAL]
    if left:
        raise CommandFailed(f"not stopped: {', '.join(left)}")


def _as_data(names: tuple[str, ...], stopped: Stopped) -> dict[str, object]:
    late = stopped.too_late
    return {
        "sessions": list(names),
        "stopped": list(stopped.turn_ids),
        "sends_started": stopped.sends_started,
        "too_late": None if late is None else {"turn_id": late.turn_id, "status": late.status, "reason": late.reason},
    }


def _tell(data_dir: Path, stopped: Stopped) -> None:
    print(flat(stopped.text))
    for turn_id in stopped.turn_ids:
        print(f"  {flat(turn_id)}")
    if stopped.turn_ids:
        at_work = probe(data_dir) is not None
        who = "the host at work" if at_work else "no host is at work: the next one"
        print(f"{who} stops the container that holds one of them, and sends nothing more for them")
