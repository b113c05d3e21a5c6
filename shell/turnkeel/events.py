"""What does the host tell whoever watches? Records; how they look is the watcher's business."""

from typing import Literal, TypeAlias

from attrs import frozen

from turnkeel_core import ChargeAttempt, FailMessage, HoldWake, StopAborted, StuckAction


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
    because: StuckAction | StopAborted


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


@frozen
class ReplySent:
    """A channel has taken every part of a reply."""

    session: str
    row_id: str
    channel: str
    parts: int


@frozen
class SendRetry:
    """A send did not arrive; `attempts` have failed, the next one comes at `retry_at_ms`."""

    session: str
    row_id: str
    channel: str
    attempts: int
    retry_at_ms: int
    error: str


@frozen
class SendDeferred:
    """A reply waits, uncharged, for something here to be put right; told once."""

    session: str
    row_id: str
    channel: str
    error: str


@frozen
class SendUnknown:
    """Nobody knows whether a send arrived."""

    session: str
    row_id: str
    channel: str
    because: str


@frozen
class ReplyHeld:
    """Nobody can tell whether a reply arrived and it is not sent again: a person must, until then."""

    session: str
    row_id: str
    channel: str
    until_at_ms: int


@frozen
class SendFailed:
    """A reply was given up; the dead letter keeps payload and reason."""

    session: str
    row_id: str
    channel: str
    reason: str
    detail: str


@frozen
class ReplyExpired:
    """A reply became too old to be sent, or to learn of; the dead letter keeps it."""

    session: str
    row_id: str
    channel: str
    age_ms: int


@frozen
class TurnFailed:
    """A message that was accepted is not answered, or not in full."""

    session: str
    turn_id: str
    reason: str
    error: str


@frozen
class FailureTold:
    """Whoever waits for the answer of a failed turn is told: the chat, if `chat`, and the agent at its next run."""

    session: str
    turn_id: str
    chat: bool


@frozen
class RunInterrupted:
    """At the start: a turn counts as running for `age_ms`, longer than a run lasts. It is told, and nothing is done."""

    session: str
    turn_id: str
    age_ms: int


@frozen
class ContextLost:
    """The agent's conversation, or its place in it, was gone: `message_id` was answered without what went before."""

    session: str
    message_id: str
    detail: str


@frozen
class SenderDenied:
    """A message of somebody who may not start an agent was kept as context, dropped, or stopped before its run."""

    session: str
    chat: str
    sender: str | None
    outcome: Literal["kept", "dropped", "stopped"]


ReplyEvent: TypeAlias = ReplySent | SendRetry | SendDeferred | SendUnknown | ReplyHeld | SendFailed | ReplyExpired
DeliveryEvent: TypeAlias = ReplyEvent | TurnFailed | FailureTold | RunInterrupted | ContextLost | SenderDenied
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
    | DeliveryEvent
)
