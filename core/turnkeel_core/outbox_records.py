"""What is known of an outgoing row, and what may be done with it?

Rows of one `lane` (a session and its target) are sent in the order of `ordinal`. Times are milliseconds since the
epoch; None means "no value".
"""

from typing import Literal, TypeAlias

from attrs import frozen

from turnkeel_core.leases import Lease
from turnkeel_core.lifecycle_states import DispatchKind, RowStatus

FailReason: TypeAlias = Literal["permanent", "exhausted", "turn_aborted", "run_ended", "dropped"]


@frozen(kw_only=True)
class OutboxRow:
    """One dispatch of `parts` parts; the first `parts_proven` have receipts.

    `attempts` are recorded failures. `turn_id` None: nobody's turn waits for it. While `queued`, a lease is its
    producer's first live try. `idempotency_key` is the same for every send of the row. `session` "": of no session.
    """

    row_id: str
    kind: DispatchKind
    channel: str
    lane: str
    ordinal: int
    queued_at_ms: int
    idempotency_key: str
    turn_id: str | None = None
    source: str | None = None
    status: RowStatus = "queued"
    attempts: int = 0
    due_at_ms: int | None = None
    last_attempt_at_ms: int | None = None
    send_started_at_ms: int | None = None
    deferred_since_at_ms: int | None = None
    completed_at_ms: int | None = None
    parts: int = 1
    parts_proven: int = 0
    payload_ok: bool = True
    token: int = 0
    lease: Lease | None = None
    reason: str | None = None
    last_error: str | None = None
    session: str = ""


@frozen
class Receipt:
    """The channel's proof for part `part` (from 0); `platform_id` None is its "no id" mark."""

    part: int
    platform_id: str | None
    at_ms: int


@frozen
class EnqueueRow:
    """Store the row; `row.source` and `row.idempotency_key` are unique among rows that have not failed."""

    row: OutboxRow


@frozen
class ClaimRow:
    """Store `sending` with the new token, in place of `expected_token`, before the platform call.

    The call sends the parts from `first_part` on, with `idempotency_key`; `again` marks a resend of an unknown row.
    """

    row_id: str
    owner: str
    token: int
    expected_token: int
    started_at_ms: int
    until_at_ms: int
    first_part: int
    idempotency_key: str
    again: bool = False


@frozen
class RecordReceipts:
    """Add the receipts to the row, whatever its state: they are evidence."""

    row_id: str
    receipts: tuple[Receipt, ...]


@frozen
class DeliverRow:
    """All `parts` parts of the row are proven."""

    row_id: str
    at_ms: int
    parts: int


@frozen
class RetryRow:
    """`attempts` of `max_attempts` have failed (as many as before: this one is not charged); again at `retry_at_ms`."""

    row_id: str
    at_ms: int
    retry_at_ms: int
    attempts: int
    max_attempts: int
    error: str


@frozen
class DeferRow:
    """The fault is local (since `since_at_ms`): look again at `retry_at_ms`; nothing is charged."""

    row_id: str
    at_ms: int
    retry_at_ms: int
    since_at_ms: int
    error: str


@frozen
class MarkUnknown:
    """Nobody knows whether the send arrived: `attempts` with this one; what comes next not before `retry_at_ms`."""

    row_id: str
    at_ms: int
    retry_at_ms: int
    attempts: int
    because: str


@frozen
class AskChannel:
    """Ask the channel what became of the send with this key; give the answer to `settle_delivery`."""

    row_id: str
    token: int
    idempotency_key: str


@frozen
class HoldForPerson:
    """The outcome is unknown and the channel can tell nothing: show the row until `until_at_ms`."""

    row_id: str
    until_at_ms: int


@frozen
class FailRow:
    """The row has failed for good; payload and reason are kept. `error` is the new error text, if there is one."""

    row_id: str
    at_ms: int
    reason: FailReason
    detail: str
    attempts: int
    error: str | None = None


@frozen
class ExpireRow:
    """The row is `age_ms` old, over its limit of `limit_ms`: too late to be sent, or to learn its outcome."""

    row_id: str
    at_ms: int
    age_ms: int
    limit_ms: int
    error: str


RowAction: TypeAlias = (
    EnqueueRow
    | ClaimRow
    | RecordReceipts
    | DeliverRow
    | RetryRow
    | DeferRow
    | MarkUnknown
    | AskChannel
    | HoldForPerson
    | FailRow
    | ExpireRow
)
