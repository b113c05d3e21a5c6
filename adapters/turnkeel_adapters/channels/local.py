"""Where does a reply go that nobody waits for elsewhere?"""

from collections.abc import Callable
from typing import Final

from turnkeel_adapters.channels.records import AskOutcome, Capabilities, DeliverOutcome, Dispatch, Part
from turnkeel_core import Receipt, Sent, Uncertain

LOCAL: Final = "local"
"""The channel's name; messages that a person gives on the command line come by it."""


class LocalChannel:
    """The reply stays in the session's files, for whoever looks it up. It is there already: every send succeeds."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms

    @property
    def capabilities(self) -> Capabilities:
        """A reply is kept once, however often it is sent."""
        return Capabilities(idempotent=True)

    def deliver(self, dispatch: Dispatch, part: Part, idempotency_key: str) -> DeliverOutcome:
        """A receipt without platform id, at once."""
        return Sent((Receipt(part.index, None, self._now_ms()),))

    def ask(self, part: Part, idempotency_key: str) -> AskOutcome:
        """Nobody to ask; sending again does no harm."""
        return Uncertain("a local reply is kept, not sent: there is nobody to ask")
