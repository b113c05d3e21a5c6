"""What does the outcome of a send mean for its row and its turn?"""

from typing import TypeAlias

from attrs import evolve, frozen

from turnkeel_core.explain import Explanation, Fact
from turnkeel_core.lifecycle_apply import after_row, proven
from turnkeel_core.lifecycle_policy import OutboxPolicy, SettlePolicy
from turnkeel_core.lifecycle_rules import Verdict, actions_of, explained, fires, passed
from turnkeel_core.lifecycle_states import ROW_TERMINAL
from turnkeel_core.outbox_backoff import backoff_ms, is_permanent_error
from turnkeel_core.outbox_outcomes import (
    Cancelled,
    Dropped,
    LocalFault,
    NotSent,
    Permanent,
    RateLimited,
    SendOutcome,
    Sent,
    Transient,
    Uncertain,
    Unclassified,
)
from turnkeel_core.outbox_records import (
    DeferRow,
    DeliverRow,
    FailReason,
    FailRow,
    MarkUnknown,
    OutboxRow,
    RecordReceipts,
    RetryRow,
)
from turnkeel_core.turn_finalize import finalize_turn_from_outbox
from turnkeel_core.turn_records import TurnAction, TurnSnapshot

RowSettlement: TypeAlias = RecordReceipts | DeliverRow | RetryRow | DeferRow | MarkUnknown | FailRow
SettleAction: TypeAlias = RowSettlement | TurnAction

NEVER_RETRIED = "non-final dispatch is never retried"


@frozen(kw_only=True)
class SettleSnapshot:
    """A row as stored, what became of its send, and the turn with all of its rows, in one transaction.

    `token` is that of the `ClaimRow` or `AskChannel` that the outcome belongs to; an operator's `Dropped` has none.
    """

    now_ms: int
    row: OutboxRow
    outcome: SendOutcome
    token: int | None = None
    turn: TurnSnapshot | None = None


def settle_delivery(seen: SettleSnapshot, policy: SettlePolicy = SettlePolicy()) -> tuple[SettleAction, ...]:
    """Receipts first, whatever else holds: they are evidence. Then the row, then its turn.

    A stale token and a terminal row change nothing. Several parts resume at the first one without a receipt. Source:
    spec/openclaw-lifecycle.md §2.2, §10.3.
    """
    return actions_of(_evaluate(seen, policy))


def explain_settle_delivery(seen: SettleSnapshot, policy: SettlePolicy = SettlePolicy()) -> Explanation:
    """The rules for the receipts, the row and the turn."""
    return explained("settle_delivery", seen.now_ms, _evaluate(seen, policy))


def _evaluate(seen: SettleSnapshot, policy: SettlePolicy) -> tuple[Verdict[SettleAction], ...]:
    row, receipts = seen.row, seen.outcome.receipts
    kept: Verdict[SettleAction] = passed("receipts", "the channel proved nothing", row.row_id)
    if receipts:
        kept = fires("receipts", "the channel proved parts", row.row_id, RecordReceipts(row.row_id, receipts))
    settled = _row(seen, policy.outbox)
    if not settled.actions or seen.turn is None or seen.turn.rows is None:
        return (kept, settled)
    after = row
    for action in settled.actions:
        after = after_row(after, action)
    rows = tuple(after if one.row_id == row.row_id else one for one in seen.turn.rows)
    decided = finalize_turn_from_outbox(evolve(seen.turn, now_ms=seen.now_ms, rows=rows, run=None), policy.turn)
    turn: Verdict[SettleAction] = fires("turn", "its rows changed", seen.turn.turn.turn_id, *decided)
    return (kept, settled, turn)


def _row(seen: SettleSnapshot, policy: OutboxPolicy) -> Verdict[RowSettlement]:
    row, outcome = seen.row, seen.outcome
    if row.status in ROW_TERMINAL:
        return fires("terminal", "nothing leaves a terminal state", row.row_id)
    if isinstance(outcome, Dropped):
        if row.status == "sending":
            return fires("sending", "it is being sent", row.row_id)
        return _failed(seen, "dropped", outcome.error, row.attempts, None)
    if seen.token != row.token or row.status not in {"sending", "unknown"}:
        facts = (Fact("token", seen.token), Fact("latest_token", row.token))
        return fires("fence", "the outcome's token is not the latest", row.row_id, facts=facts)
    done = proven(row, RecordReceipts(row.row_id, outcome.receipts))
    if done >= row.parts:
        return fires("delivered", "every part is proven", row.row_id, DeliverRow(row.row_id, seen.now_ms, row.parts))
    if isinstance(outcome, Cancelled):
        return _failed(seen, "dropped", outcome.error, row.attempts, outcome.error)
    if row.kind != "final":
        return _failed(seen, "run_ended", NEVER_RETRIED, row.attempts + 1, outcome.error)
    return _final(seen, policy, outcome)


def _final(seen: SettleSnapshot, policy: OutboxPolicy, outcome: SendOutcome) -> Verdict[RowSettlement]:
    row, now_ms = seen.row, seen.now_ms
    charged = row.attempts + 1
    match outcome:
        case Permanent(error):
            return _failed(seen, "permanent", error, charged, error)
        case Unclassified(error) if is_permanent_error(error):
            return _failed(seen, "permanent", error, charged, error)
        case Transient(error) | Unclassified(error):
            return _again(seen, policy, charged, error)
        case Sent():
            return _again(seen, policy, charged, "the channel gave no receipt for some parts")
        case RateLimited(error, retry_after_ms):
            # The channel took nothing and said when it will: no failure of this row.
            return _retry(seen, policy, row.attempts, now_ms + retry_after_ms, error)
        case NotSent(error):
            return _retry(seen, policy, row.attempts, now_ms, error)
        case Uncertain(error):
            attempts = row.attempts if row.status == "unknown" else charged
            action = MarkUnknown(row.row_id, now_ms, now_ms + backoff_ms(attempts, policy), attempts, error)
            return fires("unknown", error, row.row_id, action)
        case LocalFault(error) if row.status == "unknown":
            # It was asked about, and the question was never put: what became of the send is as unknown as before.
            unasked = MarkUnknown(row.row_id, now_ms, now_ms + policy.defer_ms, row.attempts, error)
            return fires("unknown", error, row.row_id, unasked)
        case LocalFault(error):
            return _deferred(seen, policy, error)
        case Cancelled(error) | Dropped(error):
            return _failed(seen, "dropped", error, row.attempts, error)


def _again(seen: SettleSnapshot, policy: OutboxPolicy, attempts: int, error: str) -> Verdict[RowSettlement]:
    if attempts >= policy.max_attempts:
        return _failed(seen, "exhausted", error, attempts, error)
    return _retry(seen, policy, attempts, seen.now_ms + backoff_ms(attempts, policy), error)


def _retry(seen: SettleSnapshot, policy: OutboxPolicy, attempts: int, at_ms: int, error: str) -> Verdict[RowSettlement]:
    action = RetryRow(seen.row.row_id, seen.now_ms, at_ms, attempts, policy.max_attempts, error)
    return fires("retry", error, seen.row.row_id, action, facts=(Fact("attempts", seen.row.attempts),))


def _deferred(seen: SettleSnapshot, policy: OutboxPolicy, error: str) -> Verdict[RowSettlement]:
    row, now_ms = seen.row, seen.now_ms
    since_ms = now_ms if row.deferred_since_at_ms is None else row.deferred_since_at_ms
    if now_ms - since_ms > policy.defer_limit_ms:
        return _failed(seen, "exhausted", error, row.attempts, error)
    action = DeferRow(row.row_id, now_ms, now_ms + policy.defer_ms, since_ms, error)
    return fires("defer", error, row.row_id, action)


def _failed(
    seen: SettleSnapshot, reason: FailReason, detail: str, attempts: int, error: str | None
) -> Verdict[RowSettlement]:
    action = FailRow(seen.row.row_id, seen.now_ms, reason, detail, attempts, error)
    return fires(reason, detail, seen.row.row_id, action, facts=(Fact("attempts", attempts),))
