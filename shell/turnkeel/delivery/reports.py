"""What is told of a row or turn when something became of it?"""

from turnkeel.events import (
    HostEvent,
    ReplyExpired,
    ReplySent,
    SendDeferred,
    SendFailed,
    SendRetry,
    SendUnknown,
    TurnFailed,
)
from turnkeel_core import DeferRow, DeliverRow, ExpireRow, FailRow, MarkUnknown, OutboxRow, RetryRow, SettleFailed, Turn


def row_event(row: OutboxRow, action: object) -> HostEvent | None:
    """The event of an action on the row as it was before; None if nothing new is to be told of this row."""
    if isinstance(action, FailRow) and action.row_id != row.row_id:
        return None
    name = (row.session, row.row_id, row.channel)
    match action:
        case DeliverRow(parts=parts):
            return ReplySent(*name, parts)
        case RetryRow(retry_at_ms=at_ms, attempts=attempts, error=error):
            return SendRetry(*name, attempts, at_ms, error)
        case DeferRow(error=error) if row.deferred_since_at_ms is None:
            return SendDeferred(*name, error)
        case MarkUnknown(because=because) if row.status != "unknown":
            return SendUnknown(*name, because)
        case FailRow(reason=reason, detail=detail):
            return SendFailed(*name, reason, detail)
        case ExpireRow(age_ms=age_ms):
            return ReplyExpired(*name, age_ms)
        case _:
            return None


def turn_event(turn: Turn | None, action: object) -> HostEvent | None:
    """The event of a turn that its rows ended badly."""
    if turn is not None and isinstance(action, SettleFailed):
        return TurnFailed(turn.session, turn.turn_id, action.reason, action.error)
    return None
