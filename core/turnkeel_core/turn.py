"""Accept, claim, settle, recover, abort: where do the decisions about turns stand?"""

from turnkeel_core.turn_abort import abort_session, explain_abort_session
from turnkeel_core.turn_accept import accept_turn, explain_accept_turn
from turnkeel_core.turn_claim import claim_turn, explain_claim_turn
from turnkeel_core.turn_finalize import explain_finalize_turn, finalize_turn_from_outbox
from turnkeel_core.turn_recovery import explain_turn_recovery, plan_turn_recovery

__all__ = [
    "abort_session",
    "accept_turn",
    "claim_turn",
    "explain_abort_session",
    "explain_accept_turn",
    "explain_claim_turn",
    "explain_finalize_turn",
    "explain_turn_recovery",
    "finalize_turn_from_outbox",
    "plan_turn_recovery",
]
