"""Which messages are answered through the failing chat, what does it do to each call, and what must become of each?"""

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from attrs import frozen

from turnkeel.lab.chat import Call, Trouble
from turnkeel.lab.chat_host import KEYED, KEYLESS

End: TypeAlias = Literal["delivered", "unknown", "failed"]


@frozen(kw_only=True)
class Letter:
    """One message, `number` of its session. The chat treats the calls with its answer as `troubles` says, then well.

    `kills`: the host is killed while its first call is in the chat's hands.
    """

    session: str
    number: int
    troubles: tuple[Trouble, ...] = ()
    end: End = "delivered"
    channel: str = KEYED
    kills: bool = False

    @property
    def name(self) -> str:
        """Its name, which is also its text."""
        return f"{self.session}-{self.number}"

    @property
    def may_be_unknown(self) -> bool:
        """The host may be killed at any moment of its send, and this chat has no means to tell what became of it."""
        return self.channel == KEYLESS


LETTERS: Final = (
    Letter(session="ada", number=1, troubles=("loses",)),
    Letter(session="ada", number=2, troubles=("fails", "fails")),
    Letter(session="ada", number=3, troubles=("hangs_after",), kills=True),
    Letter(session="ben", number=1, troubles=("drops",)),
    Letter(session="ben", number=2, troubles=("hangs", "loses")),
    Letter(session="ben", number=3, troubles=("busy",)),
    Letter(session="eve", number=1, troubles=("refuses",) * 9, end="failed"),
    Letter(session="eve", number=2, troubles=("hangs",), kills=True),
    Letter(session="eve", number=3, troubles=("late",)),
    Letter(session="old", number=1, channel=KEYLESS),
    Letter(session="old", number=2, channel=KEYLESS, troubles=("loses",), end="unknown"),
)

SLAMMED: Final = frozenset({2, 5})
"""The connections to the chat that takes keys on which it hangs up unread."""

GROUP: Final = "chat"


class Plot:
    """How a chat behaves, as the letters tell it.

    It hangs up unread on the connections `slammed`, counted from 1, and `told` hears of it.
    """

    def __init__(self, slammed: frozenset[int], told: Callable[[], None]) -> None:
        self._slammed = slammed
        self._told = told

    def trouble(self, call: Call) -> Trouble:
        """What it does with this call."""
        letter = letter_of(call)
        troubles = () if letter is None else letter.troubles
        return troubles[call.tries - 1] if call.tries <= len(troubles) else "none"

    def slams(self, connection: int) -> bool:
        """Whether it hangs up at once."""
        if connection in self._slammed:
            self._told()
        return connection in self._slammed


def letter_of(call: Call) -> Letter | None:
    """The letter that is answered by this call; None if it is the host's own notice of a failure."""
    name = call.text.removeprefix("heard: ")
    return next((letter for letter in LETTERS if letter.name == name), None)
