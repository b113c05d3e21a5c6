"""Which turns need a hand after a crash or a pause, and which?"""

from attrs import evolve, frozen

from turnkeel_core.explain import Explanation
from turnkeel_core.leases import is_live
from turnkeel_core.lifecycle_policy import TurnPolicy
from turnkeel_core.lifecycle_rules import Verdict, actions_of, explained, fires, passed, waits
from turnkeel_core.lifecycle_states import ROW_OPEN, TURN_TERMINAL
from turnkeel_core.turn_claim import ClaimSnapshot, claim_turn
from turnkeel_core.turn_fail import failed, retried
from turnkeel_core.turn_finalize import finalize_turn_from_outbox
from turnkeel_core.turn_records import (
    ClaimTurn,
    RecoveryAction,
    RefuseClaim,
    TurnSnapshot,
    WithdrawInbound,
    WriteInbound,
)
from turnkeel_core.turn_session import UNSAFE

STALE = "stale turn exceeded recovery age"
UNREADABLE = "its payload cannot be read, and its session has no row of it"


@frozen(kw_only=True)
class RecoverySnapshot:
    """Turns that are not settled, with their rows and, if a session works on them, its facts.

    Ended turns whose inbound row is to be withdrawn belong here too. `now_ms` and `gone_owners` hold for all of them.
    """

    now_ms: int
    owner: str
    turns: tuple[TurnSnapshot, ...] = ()
    gone_owners: tuple[str, ...] = ()


def plan_turn_recovery(seen: RecoverySnapshot, policy: TurnPolicy = TurnPolicy()) -> tuple[RecoveryAction, ...]:
    """Settle what its rows decide, end what is too old or unsafe to repeat, run the oldest of the rest.

    The limit counts runs to start, after everything else was filtered out: what cannot advance uses none of it. Every
    turn whose lease has run out counts; when this process began does not. Source: DESIGN §6, spec §10.3.
    """
    return actions_of(_evaluate(seen, policy))


def explain_turn_recovery(seen: RecoverySnapshot, policy: TurnPolicy = TurnPolicy()) -> Explanation:
    """One rule per turn, the oldest first."""
    return explained("plan_turn_recovery", seen.now_ms, _evaluate(seen, policy))


def _evaluate(seen: RecoverySnapshot, policy: TurnPolicy) -> tuple[Verdict[RecoveryAction], ...]:
    verdicts: list[Verdict[RecoveryAction]] = []
    left = policy.recovery_limit
    for one in sorted(seen.turns, key=lambda one: (one.turn.accepted_at_ms, one.turn.turn_id)):
        at = evolve(one, now_ms=seen.now_ms, gone_owners=seen.gone_owners, run=None)
        verdict: Verdict[RecoveryAction] = _own_turn(at, seen.owner, policy)
        if one.turn.in_session:
            verdict = _session_turn(at, policy)
        if any(isinstance(action, ClaimTurn) for action in verdict.actions):
            if left == 0:
                verdict = waits("limit", "enough runs start in this pass", one.turn.turn_id)
            else:
                left -= 1
        verdicts.append(verdict)
    return tuple(verdicts)


def _own_turn(seen: TurnSnapshot, owner: str, policy: TurnPolicy) -> Verdict[RecoveryAction]:
    turn, rows = seen.turn, seen.rows
    if turn.status in TURN_TERMINAL:
        return passed("terminal", "nothing leaves a terminal state", turn.turn_id)
    if rows is None:
        return passed("unreadable", "the rows could not be read", turn.turn_id)
    if turn.lease is not None and is_live(turn.lease, seen.now_ms, policy.lease, seen.gone_owners):
        return waits("leased", "its owner works on it", turn.turn_id, until_ms=turn.lease.until_at_ms)
    finals = [row for row in rows if row.kind == "final"]
    if finals and not any(row.status in ROW_OPEN for row in finals):
        return fires("decisive", "its final rows decide", turn.turn_id, *finalize_turn_from_outbox(seen, policy))
    if seen.now_ms - turn.accepted_at_ms > policy.stale_ms and not any(row.status == "sending" for row in finals):
        return failed(seen, "stale", STALE)
    if finals:
        return waits("open_finals", "its rows decide when they are settled", turn.turn_id)
    if turn.due_at_ms is not None and turn.due_at_ms > seen.now_ms:
        return waits("backoff", "not due yet", turn.turn_id, until_ms=turn.due_at_ms)
    if not turn.payload_ok:
        return retried(seen, policy, "invalid turn payload", turn.attempts_started + 1)
    if turn.replay != "allowed" and turn.attempts_started > 0:
        return failed(seen, "replay_unsafe", UNSAFE)
    asked = ClaimSnapshot(now_ms=seen.now_ms, owner=owner, turn=turn, rows=rows, gone_owners=seen.gone_owners)
    match claim_turn(asked, policy):
        case ClaimTurn() as claim:
            return fires("replay", "due and nobody's", turn.turn_id, claim)
        case RefuseClaim(reason="exhausted"):
            return failed(seen, "attempts_exhausted", "every started run ended without an answer")
        case RefuseClaim(reason=reason):
            return passed(reason, "no run may start", turn.turn_id)


def _session_turn(seen: TurnSnapshot, policy: TurnPolicy) -> Verdict[RecoveryAction]:
    turn, session = seen.turn, seen.session
    if session is None:
        return passed("session", "its session was not read", turn.turn_id)
    if turn.status in TURN_TERMINAL and session.row in {"pending", "paused"} and not session.claimed:
        return fires("withdraw", turn.status, turn.turn_id, WithdrawInbound(turn.turn_id, turn.session))
    if turn.status == "accepted" and session.row == "missing" and turn.ack is None:
        if seen.now_ms - turn.accepted_at_ms > policy.stale_ms:
            return failed(seen, "stale", STALE)
        if not turn.payload_ok:
            return failed(seen, "message_gone", UNREADABLE)
        return fires("join", "its row is missing", turn.turn_id, WriteInbound(turn.turn_id, turn.session))
    return fires("mirror", "its session and its rows decide", turn.turn_id, *finalize_turn_from_outbox(seen, policy))
