"""May a row that has failed for good be sent again, and as what?"""

from typing import Literal, TypeAlias

from attrs import evolve, frozen

from turnkeel_core.explain import Explanation, Fact
from turnkeel_core.lifecycle_policy import OutboxPolicy
from turnkeel_core.lifecycle_rules import Verdict, actions_of, explained, fires
from turnkeel_core.lifecycle_states import ROW_OPEN
from turnkeel_core.outbox_candidates import ChannelFacts
from turnkeel_core.outbox_records import EnqueueRow, OutboxRow, Receipt, RecordReceipts


@frozen(kw_only=True)
class RowRetrySnapshot:
    """A person wants a dead row to be sent again; all of it read in the transaction that stores the answer.

    `row` is the dead one with its `receipts`, `row_id` the new one's id. `ever_unknown`: one of its sends ended without
    anybody learning whether it arrived. `key_holder` is the row that has its idempotency key now, `settled_as` what a
    person did with the dead row before; None: nothing. `even_if_sent`: that it may arrive twice is accepted.
    """

    now_ms: int
    row_id: str
    row: OutboxRow
    channel: ChannelFacts
    receipts: tuple[Receipt, ...] = ()
    ever_unknown: bool = False
    key_holder: str | None = None
    settled_as: Literal["retried", "dropped"] | None = None
    even_if_sent: bool = False


@frozen
class RefuseRetry:
    """Nothing is sent: `fault` says what stands against it."""

    row_id: str
    reason: Literal["settled", "open", "delivered", "key_in_use", "non_final", "payload", "may_have_arrived"]
    fault: str


RowRetryAction: TypeAlias = EnqueueRow | RecordReceipts | RefuseRetry


def plan_row_retry(seen: RowRetrySnapshot, policy: OutboxPolicy = OutboxPolicy()) -> tuple[RowRetryAction, ...]:
    """A new row of nobody's turn under the same key, with the parts that are proven; it begins at the first other one.

    Nothing is retried twice, and a send that may have arrived only where its key keeps it from being shown again, or a
    person says so. Source: DESIGN §6, promises 3 and 4.
    """
    return actions_of(_evaluate(seen))


def explain_row_retry(seen: RowRetrySnapshot, policy: OutboxPolicy = OutboxPolicy()) -> Explanation:
    """The one rule that answered; time does not change it."""
    return explained("plan_row_retry", seen.now_ms, _evaluate(seen))


def _evaluate(seen: RowRetrySnapshot) -> tuple[Verdict[RowRetryAction], ...]:
    row = seen.row
    facts = (Fact("status", row.status), Fact("parts_proven", row.parts_proven), Fact("parts", row.parts))
    refused = _refusal(seen)
    if refused is not None:
        return (fires(refused.reason, refused.fault, row.row_id, refused, facts=facts),)
    again: list[RowRetryAction] = [EnqueueRow(_again(seen))]
    if seen.receipts:
        again.append(RecordReceipts(seen.row_id, seen.receipts))
    return (fires("retry", "it is dead, and a person wants it sent", row.row_id, *again, facts=facts),)


def _refusal(seen: RowRetrySnapshot) -> RefuseRetry | None:
    row = seen.row
    if seen.settled_as is not None:
        return RefuseRetry(row.row_id, "settled", f"it is {seen.settled_as} already")
    if row.status in ROW_OPEN:
        return RefuseRetry(row.row_id, "open", "it is still tried by itself")
    if row.status == "delivered":
        return RefuseRetry(row.row_id, "delivered", "every part of it has arrived")
    if seen.key_holder is not None:
        return RefuseRetry(row.row_id, "key_in_use", f"row {seen.key_holder} sends the same already")
    if row.kind != "final":
        return RefuseRetry(row.row_id, "non_final", "tool and block output is sent once, at the time of its run")
    if not row.payload_ok:
        return RefuseRetry(row.row_id, "payload", "what it says cannot be read")
    if seen.ever_unknown and not seen.channel.idempotent and not seen.even_if_sent:
        lost = "one of its sends may have arrived, and its channel shows the same message twice"
        return RefuseRetry(row.row_id, "may_have_arrived", lost)
    return None


def _again(seen: RowRetrySnapshot) -> OutboxRow:
    fresh = evolve(seen.row, row_id=seen.row_id, turn_id=None, status="queued", queued_at_ms=seen.now_ms, attempts=0)
    free = evolve(fresh, token=0, lease=None, due_at_ms=None, deferred_since_at_ms=None, completed_at_ms=None)
    return evolve(free, last_attempt_at_ms=None, send_started_at_ms=None, reason=None, last_error=None)
