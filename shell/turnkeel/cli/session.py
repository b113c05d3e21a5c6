"""`session close`, `open` and `delete`: how does a conversation end?"""

import sys
import time
from pathlib import Path

from turnkeel.cli.errors import CommandFailed
from turnkeel.cli.looking import SeenProcesses
from turnkeel.cli.output import flat
from turnkeel.cli.pause import open_state, require_known
from turnkeel.cli.place import existing_data_dir
from turnkeel.cli.reading import Reading, open_reading
from turnkeel.cli.session_files import Purge, gather, purge
from turnkeel_adapters.errors import SessionFault
from turnkeel_adapters.runners.records import Ended, Unknown
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.state.incarnations import Incarnation
from turnkeel_adapters.state.store import HostState
from turnkeel_adapters.system.doorbell import ring
from turnkeel_adapters.system.lock import probe

_PAGE = 1_000
_LAST_PASS_S = 1.0
_SETTLE = "a host at work settles that soon; without one, `turnkeel sweep` does"


def close(session: str, data: Path | None) -> int:
    """No container is started for it any more, and `send` refuses it. CommandFailed if there is no such session."""
    data_dir, name = existing_data_dir(data), str(SessionName.parse(session))
    with open_state(data_dir) as state:
        require_known(data_dir, state, name)
        was = name in state.registry.closed()
        state.registry.close(name, time.time_ns() // 1_000_000)
        running = _open_incarnation(state, name)
    ring(data_dir)
    print(f"{name}: {'closed already' if was else 'closed'}; no container is started for it, and send refuses it")
    if running is not None and probe(data_dir) is not None:
        print(f"container {running.number} goes on until it ends; an idle one is stopped after idle_stop_ms (15 min)")
        print("then the host keeps the session no longer")
    print(f"undo: turnkeel session open {name}; remove it for good: turnkeel session delete {name}")
    return 0


def reopen(session: str, data: Path | None) -> int:
    """Take a closed session up again. CommandFailed if there is none, or if another host's registry closed it."""
    data_dir, name = existing_data_dir(data), str(SessionName.parse(session))
    with open_state(data_dir) as state:
        require_known(data_dir, state, name)
        changed = state.registry.reopen(name)
    ring(data_dir)
    with open_reading(data_dir) as reading:
        if name in reading.closed:
            raise CommandFailed(f"{name} is closed in {data_dir / 'v2.db'} too: open it with the host of that file")
    print(f"{name}: {'open; due messages are served again' if changed else 'open already'}")
    return 0


def delete(session: str, data: Path | None, *, yes: bool) -> int:
    """Remove a closed session, its files, logs and records for good, and read back that it is gone.

    CommandFailed if it is open, a container of it may run, or nobody confirmed.
    """
    data_dir, name = existing_data_dir(data), SessionName.parse(session)
    with open_state(data_dir) as state:
        found = gather(data_dir, name)
        rows = state.registry.rows_about(str(name))
        if not rows and not found.exists:
            raise CommandFailed(f"no session {name} in {data_dir}; `turnkeel status` lists them")
        _require_closed(state, found, str(name))
        gone = _require_stopped(data_dir, state, str(name))
        print(f"{name}: {_messages(data_dir, str(name))}, {found.size:,} bytes in its folder and logs, {rows} records")
        _confirm(str(name), session, yes)
        purge(found, lambda: _require_stopped(data_dir, state, str(name)))
        left = _forget(data_dir, state, str(name), gone)
    if left or gather(data_dir, name).exists:
        raise CommandFailed(f"{name}: {left} records or some files are there again: repeat the command")
    print(f"{name}: deleted, and read back: no file and no record is left")
    return 0


def _forget(data_dir: Path, state: HostState, name: str, gone: int | None) -> int:
    """Remove the records; how many are left. A host inside a pass may note a last thing: it is given time to end it."""
    state.registry.forget(name, verified_gone=gone)
    ring(data_dir)
    if probe(data_dir) is not None:
        time.sleep(_LAST_PASS_S)
        if state.registry.rows_about(name):
            state.registry.close(name, time.time_ns() // 1_000_000)  # a scan under way may have listed it anew
            state.registry.forget(name)
    return state.registry.rows_about(name)


def _require_closed(state: HostState, found: Purge, name: str) -> None:
    """A delete that was cut short leaves records without a session: it may be finished."""
    if name not in state.registry.closed() and (found.has_folder or name in state.registry.known()):
        raise CommandFailed(f"{name} is not closed: turnkeel session close {name}, then delete it")


def _open_incarnation(state: HostState, name: str) -> Incarnation | None:
    latest = state.incarnations.latest(name)
    return None if latest is None or latest.state == "dead" else latest


def _require_stopped(data_dir: Path, state: HostState, name: str) -> int | None:
    """The number of a container that is recorded as running and verified gone; CommandFailed if one may run."""
    host, started = probe(data_dir), _open_incarnation(state, name)
    runner = SeenProcesses(data_dir, host)
    number = 0 if started is None else started.number
    if runner.runs(name):
        advice = "wait until it has ended (an idle one is stopped in time), or stop the host"
        raise CommandFailed(f"{name}: a container of it runs; {advice}")
    if started is None:
        return None
    if started.handle is None or host is not None:
        raise CommandFailed(f"{name}: container {number} is noted as {started.state}; {_SETTLE}")
    seen = runner.look(started.handle)
    if not isinstance(seen, Ended):
        why = seen.reason if isinstance(seen, Unknown) else "it was seen"
        raise CommandFailed(f"{name}: container {number} may still run ({why}); {_SETTLE}")
    return number


def _confirm(name: str, typed: str, yes: bool) -> None:
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise CommandFailed(f"{name}: nothing was deleted; without a terminal to ask at, give --yes")
    try:
        answer = input(f"This cannot be undone. Type {name} to delete it: ")
    except EOFError:
        answer = ""
    if answer.strip() not in (name, typed):
        raise CommandFailed(f"{name}: nothing was deleted; that was not its name")


def _messages(data_dir: Path, name: str) -> str:
    try:
        with open_reading(data_dir) as reading:
            return f"{_count(reading, name):,} messages"
    except SessionFault as fault:
        return flat(f"messages that cannot be counted ({fault})")


def _count(reading: Reading, name: str) -> int:
    if name not in reading.names:
        return 0
    store, total, after = reading.sessions.store(name), 0, None
    while True:
        page = store.history(_PAGE, after)
        total += len(page)
        if len(page) < _PAGE or page[-1].seq is None or page[-1].seq == after:
            return total
        after = page[-1].seq
