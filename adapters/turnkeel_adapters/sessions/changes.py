"""Which rows of inbound.db does a plan change?"""

from turnkeel_adapters.sessions.records import InboundChanges, RowCharge, RowDelay
from turnkeel_core import ChargeAttempt, DelayRetry, FailMessage, SettleAck, SweepAction


def inbound_changes(actions: tuple[SweepAction, ...]) -> InboundChanges:
    """All of them in one transaction; actions about anything else change no row."""
    return InboundChanges(
        settled=tuple(action.message_id for action in actions if isinstance(action, SettleAck)),
        charges=tuple(
            RowCharge(message_id=action.message_id, tries=action.tries, retry_at_ms=action.retry_at_ms)
            for action in actions
            if isinstance(action, ChargeAttempt)
        ),
        delays=tuple(
            RowDelay(message_id=action.message_id, retry_at_ms=action.retry_at_ms)
            for action in actions
            if isinstance(action, DelayRetry)
        ),
        failed=tuple(action.message_id for action in actions if isinstance(action, FailMessage)),
    )
