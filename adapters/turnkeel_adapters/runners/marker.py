"""By which mark does a host recognise the processes and files of a container, also those of an earlier host?"""

import hashlib

AGENT_VARIABLE = "TURNKEEL_CONTAINER"
GUARD_VARIABLE = "TURNKEEL_GUARD"


def write_marker(install_id: str, session: str, incarnation: int) -> str:
    """The value of the mark in the environment of a container's processes."""
    return f"{install_id}/{session}/{incarnation}"


def read_marker(text: str, install_id: str) -> tuple[str, int] | None:
    """(session, incarnation) of a mark of this install; None for any other text."""
    start = f"{install_id}/"
    session, slash, incarnation = text.removeprefix(start).rpartition("/")
    if not text.startswith(start) or not slash or not incarnation.isdecimal():
        return None
    return session, int(incarnation)


def file_name(install_id: str, session: str, incarnation: int) -> str:
    """The start of the names of a container's files in the run folder; it begins with `file_start`."""
    return f"{file_start(install_id, session)}{incarnation}"


def file_start(install_id: str, session: str) -> str:
    """What the names of a session's files in the run folder begin with, and no other session's."""
    return f"{hashlib.sha256(f'{install_id}/{session}'.encode()).hexdigest()[:24]}-"
