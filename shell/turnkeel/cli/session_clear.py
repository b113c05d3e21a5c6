"""`session clear`: how does an operator say that the cause of a fault is mended?"""

import time
from pathlib import Path

from turnkeel.cli.output import flat
from turnkeel.cli.pause import chosen, open_state, require_known
from turnkeel.cli.place import existing_data_dir
from turnkeel.cli.render import render_when
from turnkeel_adapters.state.store import HostState
from turnkeel_adapters.system.doorbell import ring
from turnkeel_adapters.system.lock import probe


def clear(session: str | None, data: Path | None, *, every: bool) -> int:
    """Drop the faults, the fence and the wait of one session, or of all that have some. CommandFailed if it is unknown.

    Nothing is tried here: a host at work looks at it again at once, with its delays begun anew.
    """
    data_dir, name = existing_data_dir(data), chosen(session, every)
    with open_state(data_dir) as state:
        if name is not None:
            require_known(data_dir, state, name)
        found = [line for one in _meant(state, name) for line in _cleared(state, one)]
    ring(data_dir)
    for line in found:
        print(flat(line))
    if not found:
        print(f"{name or 'all sessions'}: no fault and no wait was noted")
    elif probe(data_dir) is not None:
        print("the host at work looks again now; what is still wrong, it notes anew: turnkeel status")
    else:
        print("no host is at work: the next one looks")
    return 0


def _meant(state: HostState, name: str | None) -> tuple[str, ...]:
    if name is not None:
        return (name,)
    return tuple(sorted(state.notes.noted() - {""}))  # what is wrong with the host itself is no session's


def _cleared(state: HostState, name: str) -> list[str]:
    now_ms = time.time_ns() // 1_000_000
    with state.database.transaction():
        faults, holds = state.notes.clear_session(name)
        # A crash loop is a fault too, and the wait between its starts ends with it.
        state.incarnations.forgive(name)
    lines = [
        f"{name}: cleared {fault.subject}: {fault.kind}, since {render_when(fault.first_at_ms, now_ms)}: {fault.detail}"
        for fault in faults
    ]
    return lines + [
        f"{name}: waits no longer for {hold.reason}, as since {render_when(hold.since_at_ms, now_ms)}, "
        "unless that still holds"
        for hold in holds
    ]
