"""Which open rows have no future, and what does that mean for their turns?"""

from typing import TypeAlias

from attrs import evolve, frozen

from turnkeel_core.explain import Explanation, Fact
from turnkeel_core.leases import is_live
from turnkeel_core.lifecycle_apply import after_row
from turnkeel_core.lifecycle_policy import OutboxPolicy, SettlePolicy
from turnkeel_core.lifecycle_rules import Verdict, actions_of, explained, fires, passed, waits
from turnkeel_core.lifecycle_states import ROW_TERMINAL
from turnkeel_core.outbox_records import ExpireRow, FailRow, OutboxRow
from turnkeel_core.outbox_settle import NEVER_RETRIED
from turnkeel_core.turn_abort import ABORTED
from turnkeel_core.turn_finalize import finalize_turn_from_outbox
from turnkeel_core.turn_records import TurnAction, TurnSnapshot


@frozen(kw_only=True)
class ExpirySnapshot:
    """Open rows, and the turns that they belong to, each with all of its rows; read in one transaction."""

    now_ms: int
    rows: tuple[OutboxRow, ...] = ()
    turns: tuple[TurnSnapshot, ...] = ()
    gone_owners: tuple[str, ...] = ()


RowEnd: TypeAlias = ExpireRow | FailRow
ExpiryAction: TypeAlias = ExpireRow | TurnAction


def plan_expiry(seen: ExpirySnapshot, policy: SettlePolicy = SettlePolicy()) -> tuple[ExpiryAction, ...]:
    """End rows that are too old, of an aborted turn, or tool and block rows whose run is over; decide their turns.

    Asked in every pass and when a run ends. Row and turn end in one transaction: no turn waits for a dead row.
    """
    return actions_of(_evaluate(seen, policy))


def explain_expiry(seen: ExpirySnapshot, policy: SettlePolicy = SettlePolicy()) -> Explanation:
    """One rule per row, then one per turn that they decide."""
    return explained("plan_expiry", seen.now_ms, _evaluate(seen, policy))


def _evaluate(seen: ExpirySnapshot, policy: SettlePolicy) -> tuple[Verdict[ExpiryAction], ...]:
    ordered = sorted(seen.rows, key=lambda row: (row.queued_at_ms, row.ordinal, row.row_id))
    aborted = {one.turn.turn_id for one in seen.turns if one.turn.status == "aborted"}
    ends = [_row(row, row.turn_id in aborted, seen, policy.outbox) for row in ordered]
    ended = {action.row_id: action for end in ends for action in end.actions}
    verdicts: list[Verdict[ExpiryAction]] = [*ends]
    for one in sorted(seen.turns, key=lambda one: (one.turn.accepted_at_ms, one.turn.turn_id)):
        rows = one.rows or ()
        if one.rows is None or not any(row.row_id in ended for row in rows):
            continue
        after = tuple(after_row(row, ended[row.row_id]) if row.row_id in ended else row for row in rows)
        at = evolve(one, now_ms=seen.now_ms, rows=after, run=None, gone_owners=seen.gone_owners)
        decided = finalize_turn_from_outbox(at, policy.turn)
        verdicts.append(fires("turn", "rows of it ended", one.turn.turn_id, *decided))
    return tuple(verdicts)


def _row(row: OutboxRow, aborted: bool, seen: ExpirySnapshot, policy: OutboxPolicy) -> Verdict[RowEnd]:
    now_ms = seen.now_ms
    if row.status in ROW_TERMINAL:
        return passed("terminal", "nothing leaves a terminal state", row.row_id)
    if aborted:
        action = FailRow(row.row_id, now_ms, "turn_aborted", ABORTED, row.attempts)
        return fires("aborted", "its turn is aborted", row.row_id, action)
    if row.status == "sending":
        return passed("sending", "its lease is its deadline", row.row_id)
    late = _late(row, now_ms, policy)
    if late.stops or row.kind == "final":
        return late
    live = is_live(row.lease, now_ms, policy.lease, seen.gone_owners)
    if live and row.status == "queued" and row.lease is not None:
        return waits("live", "its run may still send it", row.row_id, until_ms=row.lease.until_at_ms)
    ended = FailRow(row.row_id, now_ms, "run_ended", NEVER_RETRIED, row.attempts)
    return fires("run_ended", NEVER_RETRIED, row.row_id, ended)


def _late(row: OutboxRow, now_ms: int, policy: OutboxPolicy) -> Verdict[RowEnd]:
    unknown = row.status == "unknown"
    since_ms = (row.last_attempt_at_ms or row.queued_at_ms) if unknown else row.queued_at_ms
    limit_ms = policy.unknown_limit_ms if unknown else policy.expiry_ms
    facts = (Fact("age_ms", now_ms - since_ms), Fact("limit_ms", limit_ms))
    if not unknown and policy.expire_action == "deliver":
        return passed("expiry", "late rows are delivered", row.row_id, *facts)
    if now_ms - since_ms <= limit_ms:
        # It waits, and the next rule is asked all the same.
        return Verdict("expiry", "not_yet", "young enough", row.row_id, facts, fires_after_ms=since_ms + limit_ms)
    error = "expired: nobody learned its outcome" if unknown else "expired: queued_at too old"
    action = ExpireRow(row.row_id, now_ms, now_ms - since_ms, limit_ms, error)
    return fires("expiry", error, row.row_id, action, facts=facts)
