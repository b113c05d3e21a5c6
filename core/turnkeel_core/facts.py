"""What can be known of a session at one instant?

Records only: every decision's snapshot is built from these. Times are milliseconds since the epoch (UTC), ids are
the store's own texts, and "no value" is None.
"""

from typing import Literal

from attrs import frozen


@frozen(kw_only=True)
class Claim:
    """A container's mark `processing` on an inbound message.

    `claimed_at_ms` is None when the stamp could not be read: such a claim is never judged. A stamp stands for
    [claimed_at_ms, claimed_at_ms + resolution_ms): 1 for ISO texts with milliseconds, 1000 for whole-second texts.
    """

    message_id: str
    claimed_at_ms: int | None
    resolution_ms: int = 1


@frozen(kw_only=True)
class DeclaredTool:
    """The tool a container says it is running (`container_state`), with the timeout it declared for it."""

    name: str
    timeout_ms: int | None = None
    started_at_ms: int | None = None
    resolution_ms: int = 1


@frozen(kw_only=True)
class Waiting:
    """A wait the container declared (rate limit, approval): not silence, up to its own limit."""

    reason: str
    since_at_ms: int
    until_at_ms: int | None = None


@frozen(kw_only=True)
class Sleep:
    """The machine slept for `gap_ms` until `resumed_at_ms`, or its clock was set forward by that much."""

    resumed_at_ms: int
    gap_ms: int


@frozen(kw_only=True)
class OpenMessage:
    """An inbound row that is not `completed`.

    `due_at_ms` None means "as soon as possible"; `never_due` marks a due time that the container's own query cannot
    read, so that it would never take the row. `since_at_ms` is when the row became work (its due time or its
    timestamp). `tries` counts charged attempts; None is a NULL or unreadable column and counts as 0. `task`: a schedule
    wrote it, no sender.
    """

    message_id: str
    status: Literal["pending", "paused", "failed"] = "pending"
    tries: int | None = 0
    due_at_ms: int | None = None
    never_due: bool = False
    triggers: bool = True
    first_poll_only: bool = False
    since_at_ms: int | None = None
    task: bool = False


@frozen(kw_only=True)
class Ack:
    """A container's final word on a message that the host's row does not show yet."""

    message_id: str
    outcome: Literal["completed", "failed"]


@frozen(kw_only=True)
class ChargeMark:
    """The host's durable note that an attempt of `incarnation` was charged; the row may not show it yet."""

    message_id: str
    incarnation: int
    tries: int


@frozen(kw_only=True)
class Backoff:
    """A due time that the host itself gave a message: the wait after its attempt number `tries`."""

    message_id: str
    tries: int
    retry_at_ms: int


@frozen(kw_only=True)
class Recurring:
    """A row with a cron text whose occurrence has ended, with its next run already computed.

    `next_at_ms` is None when the cron text is refused; `refusal` then says why.
    """

    message_id: str
    cron: str
    next_at_ms: int | None
    refusal: str | None = None


@frozen(kw_only=True)
class Death:
    """The end of one incarnation: did it settle or send anything while it lived?"""

    spawned_at_ms: int
    died_at_ms: int
    progressed: bool


@frozen(kw_only=True)
class Run:
    """One started attempt at a message, at the latest instant known of it.

    `incarnation` is the one it was charged to; None for a run that the container settled itself.
    """

    message_id: str
    at_ms: int
    incarnation: int | None = None
