"""`pause` and `resume`: how does an operator keep containers from being started for a while?"""

import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from turnkeel.cli.errors import CommandFailed, WrongUsage
from turnkeel.cli.hiding import hidden
from turnkeel.cli.output import flat
from turnkeel.cli.place import existing_data_dir
from turnkeel.cli.reading import Reading, open_reading
from turnkeel.cli.render import render_when
from turnkeel_adapters.errors import SessionFault
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.state.pauses import Pause
from turnkeel_adapters.state.store import FILE_NAME, HostState
from turnkeel_adapters.system.doorbell import ring


def pause(session: str | None, data: Path | None, *, every: bool, reason: str | None) -> int:
    """Pause one session, or all; again changes nothing but the reason. CommandFailed if there is no such session."""
    data_dir, name = existing_data_dir(data), chosen(session, every)
    with open_state(data_dir) as state:
        if name is not None:
            require_known(data_dir, state, name)
        new = state.pauses.pause(name, reason, _now_ms())
        stands = next(one for one in state.pauses.paused() if one.session == name)
    ring(data_dir)
    print(flat(f"{_subject(name)}: {'paused' if new else 'paused already'}{_details(stands, new)}"))
    print(f"no new container is started; one that runs goes on. Undo: turnkeel resume {name or '--all'}")
    return 0


def resume(session: str | None, data: Path | None, *, every: bool) -> int:
    """End the pause of one session, or the one of all. CommandFailed if there is no such session."""
    data_dir, name = existing_data_dir(data), chosen(session, every)
    with open_state(data_dir) as state:
        ended = state.pauses.resume(name)
        if name is not None and not ended:
            require_known(data_dir, state, name)
        left = state.pauses.paused()
    ring(data_dir)
    print(f"{_subject(name)}: {'resumed' if ended else 'not paused, nothing to resume'}")
    if name is not None and any(one.session is None for one in left):
        print("all sessions are still paused, this one with them: turnkeel resume --all")
    elif name is None and left:
        print(f"still paused by name: {', '.join(one.session or '' for one in left)}")
    elif ended:
        print("due messages are served again")
    return 0


@contextmanager
def open_state(data_dir: Path) -> Generator[HostState, None, None]:
    """`turnkeel.db` for writing, made if there is none; a host that runs shares it.

    CommandFailed where there is none but messages are claimed: those may be another host's, and must stay its.
    """
    if not (data_dir / FILE_NAME).exists():
        with open_reading(data_dir) as reading:
            for name in reading.names:
                if _is_claimed(reading, name):
                    problem = f"{name} has claimed messages, and no {FILE_NAME} says whose"
                    raise CommandFailed(f"{problem}: stop the host they belong to, then start turnkeel here once")
    with HostState(data_dir, redact=hidden) as state:
        yield state


def require_known(data_dir: Path, state: HostState, name: str) -> None:
    """CommandFailed if no folder and no record knows the session."""
    with open_reading(data_dir) as reading:
        if name not in reading.names and name not in state.registry.known():
            raise CommandFailed(f"no session {name} in {data_dir}; `turnkeel status` lists them")


def _is_claimed(reading: Reading, name: str) -> bool:
    try:
        return bool(reading.sessions.store(name).read(_now_ms()).claims)
    except SessionFault:
        return True  # what cannot be read may be just being written


def chosen(session: str | None, every: bool) -> str | None:
    """The session that is meant, None for all; WrongUsage for neither or both."""
    if (session is None) != every:
        raise WrongUsage("name a session, or give --all for every one (not both)")
    return None if session is None else str(SessionName.parse(session))


def _subject(name: str | None) -> str:
    return "all sessions" if name is None else name


def _details(stands: Pause, new: bool) -> str:
    since = "" if new else f", since {render_when(stands.since_at_ms, _now_ms())}"
    return f"{since}{'' if stands.reason is None else f' ({stands.reason})'}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
