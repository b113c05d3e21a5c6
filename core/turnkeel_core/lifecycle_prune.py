"""What may be forgotten?"""

from typing import TypeAlias

from attrs import frozen

from turnkeel_core.explain import Explanation, Fact
from turnkeel_core.lifecycle_policy import SettlePolicy
from turnkeel_core.lifecycle_rules import Verdict, actions_of, explained, fires, waits
from turnkeel_core.lifecycle_states import ROW_FAILED, ROW_TERMINAL, TURN_TERMINAL
from turnkeel_core.outbox_records import OutboxRow
from turnkeel_core.turn_records import Turn


@frozen(kw_only=True)
class KeptIdentity:
    """An identity that still refuses duplicates; `settled_at_ms` is the end of its turn, None while that is open."""

    identity: str
    turn_id: str
    settled_at_ms: int | None


@frozen(kw_only=True)
class PruneSnapshot:
    """Settled turns with all of their rows, rows of nobody, and identities: candidates, read in one transaction."""

    now_ms: int
    turns: tuple[Turn, ...] = ()
    rows: tuple[OutboxRow, ...] = ()
    identities: tuple[KeptIdentity, ...] = ()


@frozen
class PruneRow:
    """Delete the row and its receipts: it ended `age_ms` ago, over `limit_ms`."""

    row_id: str
    age_ms: int
    limit_ms: int


@frozen
class PruneTurn:
    """Delete the turn, after its rows; its identity stays."""

    turn_id: str
    age_ms: int
    limit_ms: int


@frozen
class ForgetIdentity:
    """From now on the same message would be a new turn."""

    identity: str
    age_ms: int
    limit_ms: int


PruneAction: TypeAlias = PruneRow | PruneTurn | ForgetIdentity


def plan_prune(seen: PruneSnapshot, policy: SettlePolicy = SettlePolicy()) -> tuple[PruneAction, ...]:
    """Rows first, then turns without rows, then identities; what failed is kept longer; nothing open is touched.

    A row of a turn that is not settled stays: it is the evidence that the turn must not run again.
    """
    return actions_of(_evaluate(seen, policy))


def explain_prune(seen: PruneSnapshot, policy: SettlePolicy = SettlePolicy()) -> Explanation:
    """One rule per record."""
    return explained("plan_prune", seen.now_ms, _evaluate(seen, policy))


def _evaluate(seen: PruneSnapshot, policy: SettlePolicy) -> tuple[Verdict[PruneAction], ...]:
    settled = {turn.turn_id for turn in seen.turns if turn.status in TURN_TERMINAL}
    rows = [_row(row, row.turn_id is None or row.turn_id in settled, seen.now_ms, policy) for row in seen.rows]
    pruned = {action.row_id for verdict in rows for action in verdict.actions if isinstance(action, PruneRow)}
    left = {row.turn_id for row in seen.rows if row.row_id not in pruned}
    turns = [_turn(turn, turn.turn_id in left, seen.now_ms, policy) for turn in seen.turns]
    kept = {turn.turn_id for turn, verdict in zip(seen.turns, turns, strict=True) if not verdict.actions}
    names = [_identity(one, one.turn_id in kept, seen.now_ms, policy) for one in seen.identities]
    return (*rows, *turns, *names)


def _row(row: OutboxRow, free: bool, now_ms: int, policy: SettlePolicy) -> Verdict[PruneAction]:
    if row.status not in ROW_TERMINAL or row.completed_at_ms is None or not free:
        return waits("row", "it or its turn is open", row.row_id)
    outbox = policy.outbox
    limit_ms = outbox.dead_retention_ms if row.status in ROW_FAILED else outbox.retention_ms
    age_ms = now_ms - row.completed_at_ms
    return _aged("row", row.row_id, age_ms, limit_ms, PruneRow(row.row_id, age_ms, limit_ms), now_ms)


def _turn(turn: Turn, has_rows: bool, now_ms: int, policy: SettlePolicy) -> Verdict[PruneAction]:
    if turn.status not in TURN_TERMINAL or turn.completed_at_ms is None or has_rows:
        return waits("turn", "it is open or has rows", turn.turn_id)
    failed = turn.status == "failed_terminal"
    limit_ms = policy.turn.dead_retention_ms if failed else policy.turn.retention_ms
    age_ms = now_ms - turn.completed_at_ms
    return _aged("turn", turn.turn_id, age_ms, limit_ms, PruneTurn(turn.turn_id, age_ms, limit_ms), now_ms)


def _identity(one: KeptIdentity, kept: bool, now_ms: int, policy: SettlePolicy) -> Verdict[PruneAction]:
    if one.settled_at_ms is None or kept:
        return waits("identity", "its turn is still there", one.identity)
    limit_ms, age_ms = policy.turn.identity_retention_ms, now_ms - one.settled_at_ms
    return _aged("identity", one.identity, age_ms, limit_ms, ForgetIdentity(one.identity, age_ms, limit_ms), now_ms)


def _aged(
    rule: str, subject: str, age_ms: int, limit_ms: int, action: PruneAction, now_ms: int
) -> Verdict[PruneAction]:
    facts = (Fact("age_ms", age_ms), Fact("limit_ms", limit_ms))
    if age_ms <= limit_ms:
        return waits(rule, "young enough", subject, *facts, until_ms=now_ms - age_ms + limit_ms + 1)
    return fires(rule, "old enough", subject, action, facts=facts)
