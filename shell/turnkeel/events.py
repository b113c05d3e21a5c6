"""What does the host tell whoever watches? Records; how they look is the watcher's business."""

from typing import TypeAlias

from attrs import frozen

from turnkeel_core import ChargeAttempt, FailMessage, HoldWake, StuckAction


@frozen
class HostStarted:
    """The host holds its data directory; `adopted` containers of an earlier host go on."""

    sessions: int
    adopted: int


@frozen
class Adopted:
    """A container that an earlier host started is watched from now on."""

    session: str
    incarnation: int


@frozen
class StrayStopped:
    """A container that no record names, or no longer, is gone."""

    session: str
    incarnation: int
    reason: str


@frozen
class Woke:
    """A container was started for these messages."""

    session: str
    incarnation: int
    due: tuple[str, ...]


@frozen
class WakeFailed:
    """No container could be started; nothing was charged for it."""

    session: str
    incarnation: int
    reason: str


@frozen
class Died:
    """A container is gone. `intent` is why the host stopped it, None if it ended by itself; `oom`: out of memory."""

    session: str
    incarnation: int
    exit_code: int | None
    signal: int | None
    intent: str | None
    oom: bool = False


@frozen
class Stopping:
    """The host is stopping a container, for this reason."""

    session: str
    incarnation: int
    because: StuckAction


@frozen
class NotStopped:
    """A container could not be stopped: the session is fenced, no second writer may start."""

    session: str
    incarnation: int
    reason: str


@frozen
class Charged:
    """An attempt was charged."""

    session: str
    charge: ChargeAttempt


@frozen
class Settled:
    """The container's final word on a message was taken over."""

    session: str
    message_id: str
    outcome: str


@frozen
class MessageFailed:
    """A message failed for good; a dead record keeps payload and reason."""

    session: str
    failure: FailMessage


@frozen
class Held:
    """Messages are due, but no start is allowed now."""

    session: str
    hold: HoldWake


@frozen
class Recurred:
    """The next occurrence of a recurring message was written."""

    session: str
    message_id: str
    next_at_ms: int


@frozen
class FaultSeen:
    """Something keeps a session, or a part of it, from working; the others go on."""

    session: str
    subject: str
    kind: str
    detail: str


@frozen
class FaultCleared:
    """The cause of a fault is gone."""

    session: str
    subject: str


@frozen
class Resumed:
    """The machine slept, or its clock was set forward: one grace window before anything is judged."""

    gap_ms: int


@frozen
class HostStopped:
    """The host ends; `running` containers were stopped."""

    running: int


HostEvent: TypeAlias = (
    HostStarted
    | Adopted
    | StrayStopped
    | Woke
    | WakeFailed
    | Died
    | Stopping
    | NotStopped
    | Charged
    | Settled
    | MessageFailed
    | Held
    | Recurred
    | FaultSeen
    | FaultCleared
    | Resumed
    | HostStopped
)
