"""How does each session of the demo stand, as told by the host's events?"""

import threading
from typing import TypeAlias

from attrs import evolve, frozen

from turnkeel.cli.report import describe
from turnkeel.events import (
    Adopted,
    Charged,
    DeliveryEvent,
    Died,
    FaultCleared,
    FaultSeen,
    Held,
    HostEvent,
    HostStarted,
    HostStopped,
    MessageFailed,
    NotStopped,
    Recurred,
    Resumed,
    Settled,
    Stopping,
    StrayStopped,
    WakeFailed,
    Woke,
)
from turnkeel.lab.cast import Role

_SessionEvent: TypeAlias = (
    Adopted | StrayStopped | Woke | WakeFailed | Died | Stopping | NotStopped | Charged | Settled | MessageFailed
    | Held | Recurred | FaultSeen | FaultCleared
)  # fmt: skip


@frozen(kw_only=True)
class Standing:
    """One line of the board; `last` is the latest event in words."""

    role: Role
    state: str = "-"
    incarnation: int = 0
    answered: int = 0
    failed: int = 0
    last: str = ""

    @property
    def shown(self) -> str:
        """The state in a word or two; done once every message is settled and nothing runs."""
        is_settled = self.answered + self.failed >= self.role.messages
        return "done" if self.state == "ended" and is_settled else self.state

    def after(self, event: _SessionEvent) -> "Standing":
        """The standing once this event of the session has happened."""
        seen = evolve(self, last=describe(event).removeprefix(f"{self.role.session}: "))
        match event:
            case Woke(incarnation=incarnation) | Adopted(incarnation=incarnation):
                return evolve(seen, state="running", incarnation=incarnation)
            case WakeFailed():
                return evolve(seen, state="not started")
            case Stopping():
                return evolve(seen, state="stopping")
            case NotStopped():
                return evolve(seen, state="fenced")
            case Died():
                return evolve(seen, state="ended")
            case Held(hold=hold):
                return evolve(seen, state=f"waits: {hold.reason}")
            case FaultSeen():
                return evolve(seen, state="faulty")
            case Settled(outcome=outcome):
                is_answer = outcome == "completed"
                return evolve(seen, answered=self.answered + is_answer, failed=self.failed + (not is_answer))
            case MessageFailed():
                return evolve(seen, failed=self.failed + 1)
            case FaultCleared() | Charged() | Recurred() | StrayStopped():
                return seen


class Board:
    """Takes the host's events, from any thread, and knows every session's standing."""

    def __init__(self, cast: tuple[Role, ...]) -> None:
        self._lock = threading.Lock()
        self._standings = {role.session: Standing(role=role) for role in cast}

    def __call__(self, event: HostEvent) -> None:
        """Note the event."""
        if isinstance(event, HostStarted | HostStopped | Resumed | DeliveryEvent):
            return
        with self._lock:
            if (standing := self._standings.get(event.session)) is not None:
                self._standings[event.session] = standing.after(event)

    def standings(self) -> tuple[Standing, ...]:
        """All sessions now, in the order of the cast."""
        with self._lock:
            return tuple(self._standings.values())
