"""What does whoever answers for the messages of a session say to the host at each pass?"""

from collections.abc import Callable
from typing import TypeAlias

from attrs import frozen

from turnkeel_adapters.sessions.records import SessionReading


@frozen(kw_only=True)
class Followed:
    """`aborted` messages were stopped by a person; the session is to be looked at again by `next_look_at_ms`.

    `busy`: something is decided about it soon, by itself: a host that ends when idle must not end before.
    """

    aborted: tuple[str, ...] = ()
    next_look_at_ms: int | None = None
    busy: bool = False


Follow: TypeAlias = Callable[[str, SessionReading, int], Followed]
"""Asked with what was read at that instant, before anything is decided or settled on it; raises AdapterError."""


def follow_nothing(session: str, reading: SessionReading, now_ms: int) -> Followed:
    """For a host that answers for no delivery."""
    return Followed()


def earliest(*instants: int | None) -> int | None:
    """The first of the instants; None if there is none."""
    return min((instant for instant in instants if instant is not None), default=None)
