"""Did a container end because its login is refused, and with which words?"""

from collections.abc import Callable

from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.runners.records import Ended
from turnkeel_adapters.sessions.error_notes import read_error_note
from turnkeel_adapters.sessions.records import SessionReading
from turnkeel_adapters.state.incarnations import Incarnation
from turnkeel_core.login import LOGIN_REFUSED_EXIT

_MOST_CHARS = 200


def is_refused(incarnation: Incarnation | None, ended: Ended | None) -> bool:
    """It ended by itself with the code for it; `ended` is how, where the record does not say so yet."""
    if incarnation is None or incarnation.intent is not None:
        return False
    code = incarnation.exit_code if ended is None else ended.exit_code
    return code == LOGIN_REFUSED_EXIT


def refusal(reading: SessionReading, error_note: Callable[[str], str | None]) -> str:
    """Why its session is paused: the last line of what it noted with a message in hand, if it had one and said so."""
    try:
        details = (read_error_note(error_note(claim.message_id)).detail for claim in reading.claims)
        said = next((lines[-1].strip() for detail in details if (lines := (detail or "").strip().splitlines())), "")
    except AdapterError:
        said = ""  # the pause must not fail for want of words
    return f"its login is refused{f': {said:.{_MOST_CHARS}}' if said else ''}"
