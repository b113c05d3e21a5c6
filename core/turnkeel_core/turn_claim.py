"""May a run of this turn start now?"""

from attrs import frozen

from turnkeel_core.explain import Explanation, Fact
from turnkeel_core.leases import is_live
from turnkeel_core.lifecycle_policy import TurnPolicy
from turnkeel_core.lifecycle_rules import Verdict, actions_of, explained, fires
from turnkeel_core.lifecycle_states import TURN_TERMINAL
from turnkeel_core.outbox_records import OutboxRow
from turnkeel_core.turn_records import ClaimAction, ClaimTurn, RefuseClaim, Turn


@frozen(kw_only=True)
class ClaimSnapshot:
    """A turn, its rows (None: unreadable) and who asks for it."""

    now_ms: int
    owner: str
    turn: Turn
    rows: tuple[OutboxRow, ...] | None
    gone_owners: tuple[str, ...] = ()


def claim_turn(seen: ClaimSnapshot, policy: TurnPolicy = TurnPolicy()) -> ClaimAction:
    """Token + 1, started attempts + 1, a lease: or the reason why not. Nothing else makes a turn `running`.

    The store's write compares the token again: of two askers one changes a row. A turn with a final row never runs
    again; a session's turn is claimed by its container alone (DESIGN §6).
    """
    return actions_of(_evaluate(seen, policy))[0]


def explain_claim_turn(seen: ClaimSnapshot, policy: TurnPolicy = TurnPolicy()) -> Explanation:
    """The rule of `claim_turn` that answered."""
    return explained("claim_turn", seen.now_ms, _evaluate(seen, policy))


def _evaluate(seen: ClaimSnapshot, policy: TurnPolicy) -> tuple[Verdict[ClaimAction], ...]:
    turn = seen.turn
    facts = (Fact("status", turn.status), Fact("attempts_started", turn.attempts_started), Fact("token", turn.token))
    refused = _refusal(seen, policy)
    if refused is not None:
        return (fires(refused.reason, "no run may start", turn.turn_id, refused, facts=facts),)
    claim = ClaimTurn(
        turn.turn_id,
        seen.owner,
        turn.token + 1,
        turn.token,
        turn.attempts_started + 1,
        seen.now_ms + policy.lease.lease_ms,
    )
    return (fires("free", "due, held by nobody, attempts left", turn.turn_id, claim, facts=facts),)


def _refusal(seen: ClaimSnapshot, policy: TurnPolicy) -> RefuseClaim | None:
    turn, turn_id = seen.turn, seen.turn.turn_id
    if turn.status in TURN_TERMINAL:
        return RefuseClaim(turn_id, "terminal")
    if turn.in_session:
        return RefuseClaim(turn_id, "in_session")
    if seen.rows is None or not turn.payload_ok:
        return RefuseClaim(turn_id, "unreadable")
    if any(row.kind == "final" for row in seen.rows):
        return RefuseClaim(turn_id, "final_exists")
    if is_live(turn.lease, seen.now_ms, policy.lease, seen.gone_owners):
        return RefuseClaim(turn_id, "leased")
    if turn.attempts_started >= policy.max_attempts:
        return RefuseClaim(turn_id, "exhausted")
    if turn.due_at_ms is not None and turn.due_at_ms > seen.now_ms:
        return RefuseClaim(turn_id, "not_due")
    return None
