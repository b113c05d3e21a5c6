"""By which mark does a host recognise the processes of a container, also those an earlier host started?"""

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
