"""How does a turn end badly, or get another run?"""

from turnkeel_core.explain import Fact
from turnkeel_core.lifecycle_policy import TurnPolicy
from turnkeel_core.lifecycle_rules import Verdict, fires
from turnkeel_core.lifecycle_states import ROW_OPEN
from turnkeel_core.outbox_records import FailRow
from turnkeel_core.turn_records import RetryTurn, SettleFailed, TurnAction, TurnFailure, TurnSnapshot


def failed(
    seen: TurnSnapshot, reason: TurnFailure, error: str, delivered: int = 0, attempts: int | None = None
) -> Verdict[TurnAction]:
    """The turn fails, and every row of it that is still open ends with it; who has an answer needs no notice."""
    turn = seen.turn
    started = turn.attempts_started if attempts is None else attempts
    notify = turn.replay != "never" and not (reason == "failed_ack" and delivered)
    settled = SettleFailed(turn.turn_id, seen.now_ms, reason, error, started, delivered, notify)
    rows = [row for row in seen.rows or () if row.status in ROW_OPEN]
    ended = (FailRow(row.row_id, seen.now_ms, "run_ended", error, row.attempts) for row in rows)
    facts = (Fact("attempts_started", started), Fact("open_rows", len(rows)))
    return fires(reason, error, turn.turn_id, settled, *ended, facts=facts)


def retried(seen: TurnSnapshot, policy: TurnPolicy, error: str, attempts: int | None = None) -> Verdict[TurnAction]:
    """Another run after the backoff, while attempts are left and a replay can do no harm."""
    turn = seen.turn
    started = turn.attempts_started if attempts is None else attempts
    if started >= policy.max_attempts:
        return failed(seen, "attempts_exhausted", error, attempts=started)
    if turn.replay != "allowed":
        return failed(seen, "replay_unsafe", error, attempts=started)
    retry = RetryTurn(turn.turn_id, seen.now_ms + policy.backoff_ms, started, policy.max_attempts, error)
    return fires("retry", error, turn.turn_id, retry, facts=(Fact("attempts_started", started),))
