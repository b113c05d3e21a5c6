"""Which failed turns and rows become dead letters, and what do those say?"""

from typing import Final

from turnkeel_adapters.state.dead import DeadRecord
from turnkeel_core import ExpireRow, FailRow, OutboxRow, SettleFailed, Turn

_NOT_SENT: Final = frozenset(("permanent", "exhausted"))
_ANSWERED: Final = frozenset(("final_failed", "final_partially_delivered"))
# The host's own pass keeps these of a session's messages, with the agent's words.
_OF_THE_SESSION: Final = frozenset(("failed_ack", "attempts_exhausted"))


def dead_reply(row: OutboxRow, action: FailRow | ExpireRow, payload: str | None) -> DeadRecord | None:
    """A final reply that could not be sent, or not in time; None for what a stop, a run's end or a person closed."""
    reason = "expired" if isinstance(action, ExpireRow) else action.reason
    if row.kind != "final" or (isinstance(action, FailRow) and action.reason not in _NOT_SENT):
        return None
    return DeadRecord(
        session=row.session,
        message_id=row.row_id,
        direction="outbound",
        payload=payload,
        reason=reason,
        detail=row.last_error or row.reason,
        tries=row.attempts,
        made_at_ms=action.at_ms,
    )


def dead_turn(turn: Turn, action: SettleFailed, payload: str | None) -> DeadRecord | None:
    """A message without an answer; None if it was answered, or if its session's own record says more."""
    if action.reason in _ANSWERED or (turn.in_session and action.reason in _OF_THE_SESSION):
        return None
    return DeadRecord(
        session=turn.session,
        message_id=turn.turn_id,
        payload=payload,
        reason=action.reason,
        detail=action.error,
        tries=action.attempts_started,
        made_at_ms=action.at_ms,
    )
