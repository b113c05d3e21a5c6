"""`why SESSION` and `why MESSAGE`: what happens, what happened, and on what evidence?"""

from pathlib import Path

from turnkeel.cli.errors import CommandFailed
from turnkeel.cli.reading import Reading, open_reading, patiently
from turnkeel_adapters.errors import BadSessionName
from turnkeel_adapters.sessions.names import SessionName

DEFAULT_LIMIT = 10


def why(
    id: str,  # noqa: A002  # the name that --help shows
    data: Path | None = None,
    *,
    session: str | None = None,
    config: Path | None = None,
    limit: int = DEFAULT_LIMIT,
    json: bool = False,
) -> int:
    """Explain a session (its present and its last `limit` containers and decisions) or one message.

    With `session` the id is a message of that session. CommandFailed if nothing has this id.
    """
    with open_reading(data) as reading:
        name = None if session is not None else _session_named(id, reading)
        if name is not None:
            from turnkeel.cli.why_session import why_session

            return why_session(reading, name, config, limit, json)
        from turnkeel.cli.why_message import why_message

        return why_message(reading, id, None if session is None else str(SessionName.parse(session)), json)


def _session_named(text: str, reading: Reading) -> str | None:
    """The session of this name: one with a folder, or one that the host remembers."""
    try:
        name = str(SessionName.parse(text))
    except BadSessionName:
        return None  # then it can only be a message
    if name in reading.names or name in patiently(reading.state.registry.known):
        return name
    if "/" in text and not any(text in known for known in reading.names):
        raise CommandFailed(f"nothing is known of {text}: no such session in {reading.data_dir}")
    return None
