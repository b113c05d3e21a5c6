"""What does one pass over a session see, and what can it ask the host to do?"""

from typing import Literal, TypeAlias

from attrs import frozen

from turnkeel_core.facts import Ack, Backoff, ChargeMark, Claim, Death, OpenMessage, Recurring, Run
from turnkeel_core.stuck_records import StuckAction, StuckSnapshot

Blocked: TypeAlias = Literal["slot", "group", "claimed", "draining", "paused", "fenced", "runtime"]


@frozen(kw_only=True)
class NoContainer:
    """Nothing runs, and that is verified: the claims left behind belong to a dead incarnation.

    `deaths` are the latest deaths, oldest first (`decide_spawn`). `blocked` says why no start is allowed now.
    `login_refused`: the dead one ended because nobody was logged in; what it held costs no attempt.
    """

    orphans: tuple[Claim, ...] = ()
    deaths: tuple[Death, ...] = ()
    blocked: Blocked | None = None
    login_refused: bool = False


@frozen
class ContainerUnknown:
    """The runtime gave no answer: nothing about the container may be decided."""

    reason: str


@frozen(kw_only=True)
class SweepSnapshot:
    """One session at `now_ms`: its rows, what the container left or does, and what the host noted about both.

    `incarnation` is the number of the running or the latest container, 0 if there was none. A running container is a
    StuckSnapshot; its `now_ms` and `due_since_ms` are filled in from here. `marks` are the charges noted for this
    incarnation that the rows may not show yet. `runs` are those of the last hour, settled or charged; they are needed
    only where runs per hour are limited. `backoffs` are the due times that the host itself gave and that lie ahead.
    `aborted` are messages that a person stopped: they call for no container and cost no attempt.
    """

    now_ms: int
    incarnation: int = 0
    messages: tuple[OpenMessage, ...] = ()
    acks: tuple[Ack, ...] = ()
    container: StuckSnapshot | NoContainer | ContainerUnknown
    marks: tuple[ChargeMark, ...] = ()
    recurring: tuple[Recurring, ...] = ()
    random_permille: int = 0
    runs: tuple[Run, ...] = ()
    backoffs: tuple[Backoff, ...] = ()
    aborted: tuple[str, ...] = ()


@frozen
class StopAborted:
    """A person stopped these messages, which it holds: it is told to end. Not a kill, charges nothing."""

    message_ids: tuple[str, ...]


@frozen
class SettleAck:
    """Set the row to `completed`; for outcome `failed` keep payload and reason as a dead record first."""

    message_id: str
    outcome: Literal["completed", "failed"]


@frozen
class ChargeAttempt:
    """Note the charge durably, then set the row's tries to `tries` and, if given, its next due time."""

    message_id: str
    incarnation: int
    tries: int
    retry_at_ms: int | None
    reason: str


@frozen
class DelayRetry:
    """Set the row's next due time; the attempt is charged already."""

    message_id: str
    retry_at_ms: int


@frozen
class FailMessage:
    """Keep payload, reason and evidence as a dead record, then set the row to `failed`."""

    message_id: str
    incarnation: int
    tries: int
    max_tries: int
    reason: str


@frozen
class ReleaseClaims:
    """Delete the claims a dead container left in its store; after the charges, so that a crash repeats harmlessly."""

    incarnation: int
    message_ids: tuple[str, ...]


@frozen
class FenceSession:
    """The container could not be stopped: no second writer may start; tell the operator."""

    incarnation: int
    reason: str


AfterStop: TypeAlias = ChargeAttempt | DelayRetry | FailMessage | ReleaseClaims | FenceSession


@frozen
class Wake:
    """Start incarnation `incarnation` for the due messages; if it does not start, do `if_failed`."""

    incarnation: int
    due: tuple[str, ...]
    if_failed: tuple[AfterStop, ...]


@frozen
class HoldWake:
    """Messages are due, but no start is allowed until `until_ms` (None: until something else changes)."""

    reason: Blocked | Literal["backoff", "rate"]
    until_ms: int | None
    due: tuple[str, ...]


@frozen
class StopContainer:
    """Stop it and verify that it is gone; then `if_stopped`, and if it stays `if_alive`."""

    incarnation: int
    because: StuckAction | StopAborted
    if_stopped: tuple[AfterStop, ...]
    if_alive: tuple[AfterStop, ...]


@frozen
class CloneRecurrence:
    """In one transaction: add the next occurrence, due at `next_at_ms`, and clear the cron text of this row."""

    message_id: str
    next_at_ms: int


@frozen
class ParkRecurrence:
    """The cron text is refused: report once, remember that in the host's own store, leave the row untouched."""

    message_id: str
    cron: str
    reason: str


SweepAction: TypeAlias = (
    SettleAck
    | ChargeAttempt
    | DelayRetry
    | FailMessage
    | ReleaseClaims
    | FenceSession
    | Wake
    | HoldWake
    | StopContainer
    | CloneRecurrence
    | ParkRecurrence
)


@frozen
class SweepPlan:
    """What to do, in this order, and the instant at which the plan would change if nothing else happens."""

    actions: tuple[SweepAction, ...]
    next_change_at_ms: int | None
