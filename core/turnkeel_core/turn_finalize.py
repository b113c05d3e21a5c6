"""What do its final rows say about a turn?

The single authority: asked at the end of a run, at every settled row, at expiry, at abort and by recovery. Rules in
order, the first match ends it; only final rows decide.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias

from turnkeel_core.explain import Explanation, Fact
from turnkeel_core.leases import is_live
from turnkeel_core.lifecycle_policy import TurnPolicy
from turnkeel_core.lifecycle_rules import Verdict, actions_of, explained, fires, passed, waits
from turnkeel_core.lifecycle_states import ROW_FAILED, ROW_OPEN, TURN_TERMINAL
from turnkeel_core.outbox_records import OutboxRow
from turnkeel_core.turn_fail import failed, retried
from turnkeel_core.turn_records import AwaitDelivery, RunFacts, SettleDelivered, TurnAction, TurnSnapshot
from turnkeel_core.turn_session import acked, gone, held_by_container, noted, released

Rule: TypeAlias = Callable[[TurnSnapshot, TurnPolicy], Verdict[TurnAction]]


def finalize_turn_from_outbox(seen: TurnSnapshot, policy: TurnPolicy = TurnPolicy()) -> tuple[TurnAction, ...]:
    """Settle a turn on the evidence of its final rows; unreadable facts and stale writers settle nothing.

    Facts and settlement share one transaction. Without run facts and final rows nothing changes. Source: the table of
    DESIGN §6; for a session's turn also what its container said.
    """
    return actions_of(_evaluate(seen, policy))


def explain_finalize_turn(seen: TurnSnapshot, policy: TurnPolicy = TurnPolicy()) -> Explanation:
    """The rules tried in order, up to the one that ended the search."""
    return explained("finalize_turn_from_outbox", seen.now_ms, _evaluate(seen, policy))


def _evaluate(seen: TurnSnapshot, policy: TurnPolicy) -> tuple[Verdict[TurnAction], ...]:
    tried: list[Verdict[TurnAction]] = []
    for rule in _RULES:
        tried.append(rule(seen, policy))
        if tried[-1].stops:
            break
    return tuple(tried)


def _terminal(seen: TurnSnapshot, policy: TurnPolicy) -> Verdict[TurnAction]:
    if seen.turn.status in TURN_TERMINAL:
        return fires("terminal", "nothing leaves a terminal state", seen.turn.turn_id)
    return passed("terminal", "the turn is open", seen.turn.turn_id, Fact("status", seen.turn.status))


def _readable(seen: TurnSnapshot, policy: TurnPolicy) -> Verdict[TurnAction]:
    if seen.rows is None:
        return fires("unreadable", "the rows could not be read", seen.turn.turn_id)
    return passed("unreadable", "the rows were read", seen.turn.turn_id, Fact("rows", len(seen.rows)))


def _owned(seen: TurnSnapshot, policy: TurnPolicy) -> Verdict[TurnAction]:
    turn, run = seen.turn, seen.run
    if run is not None and run.token is not None and run.token != turn.token:
        facts = (Fact("run_token", run.token), Fact("token", turn.token))
        return fires("fence", "the run's token is not the latest", turn.turn_id, facts=facts)
    if run is None and turn.lease is not None and is_live(turn.lease, seen.now_ms, policy.lease, seen.gone_owners):
        owner, until_ms = Fact("owner", turn.lease.owner), turn.lease.until_at_ms
        return waits("owned", "its run decides", turn.turn_id, owner, until_ms=until_ms)
    return passed("owned", "no live run is in between", turn.turn_id)


def _open_finals(seen: TurnSnapshot, policy: TurnPolicy) -> Verdict[TurnAction]:
    count = _count(seen, ROW_OPEN)
    if count and seen.turn.status == "delivery_pending":
        return waits("open_finals", "final rows are under way", seen.turn.turn_id, Fact("open", count))
    if count:
        action = AwaitDelivery(seen.turn.turn_id, count)
        return fires("open_finals", "final rows are under way", seen.turn.turn_id, action)
    return passed("open_finals", "no final row is open", seen.turn.turn_id)


def _failed_finals(seen: TurnSnapshot, policy: TurnPolicy) -> Verdict[TurnAction]:
    lost, sent = [row for row in _finals(seen) if row.status in ROW_FAILED], _count(seen, {"delivered"})
    if not lost:
        return passed("failed_finals", "no final row failed", seen.turn.turn_id)
    error = "; ".join(dict.fromkeys(row.reason or row.status for row in lost))
    return failed(seen, "final_partially_delivered" if sent else "final_failed", error, sent)


def _failed_ack(seen: TurnSnapshot, policy: TurnPolicy) -> Verdict[TurnAction]:
    said = None if seen.session is None else seen.session.ack
    if (seen.turn.ack or said) == "failed":
        return failed(seen, "failed_ack", "the container said that it failed", _count(seen, {"delivered"}))
    return passed("failed_ack", "its container did not say that it failed", seen.turn.turn_id)


def _delivered_finals(seen: TurnSnapshot, policy: TurnPolicy) -> Verdict[TurnAction]:
    count = _count(seen, {"delivered"})
    if count:
        action = SettleDelivered(seen.turn.turn_id, seen.now_ms, "sent", count)
        return fires("delivered_finals", "every final row is delivered", seen.turn.turn_id, action)
    return passed("delivered_finals", "there is no final row", seen.turn.turn_id)


def _after_run(seen: TurnSnapshot, policy: TurnPolicy) -> Verdict[TurnAction]:
    run = seen.run
    if run is None:
        return fires("after_run", "no run has just ended", seen.turn.turn_id)
    if run.error is not None:
        return retried(seen, policy, run.error)
    if run.finals_attempted == 0:
        return _done(seen, "no_reply", run)
    if run.finals_suppressed >= run.finals_attempted:
        return _done(seen, "suppressed", run)
    if not run.finals_queued:
        return retried(seen, policy, "final delivery did not queue successfully")
    if run.finals_sent > 0:
        return _done(seen, "sent", run)
    return retried(seen, policy, "final send queued but no successful sends")


def _done(seen: TurnSnapshot, reason: Literal["sent", "no_reply", "suppressed"], run: RunFacts) -> Verdict[TurnAction]:
    action = SettleDelivered(seen.turn.turn_id, seen.now_ms, reason, run.finals_sent)
    facts = (Fact("attempted", run.finals_attempted), Fact("suppressed", run.finals_suppressed))
    return fires("after_run", f"the run ended: {reason}", seen.turn.turn_id, action, facts=facts)


def _finals(seen: TurnSnapshot) -> list[OutboxRow]:
    return [row for row in seen.rows or () if row.kind == "final"]


def _count(seen: TurnSnapshot, statuses: frozenset[str] | set[str]) -> int:
    return sum(row.status in statuses for row in _finals(seen))


_RULES: tuple[Rule, ...] = (
    _terminal,
    _readable,
    _owned,
    noted,
    held_by_container,
    released,
    _open_finals,
    _failed_finals,
    _failed_ack,
    _delivered_finals,
    gone,
    acked,
    _after_run,
)
