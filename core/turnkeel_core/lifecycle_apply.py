"""What are a row and a turn after an action?

The meaning of every action as a function: a store does the same, and a stale or repeated action changes nothing.
"""

from typing import TypeAlias

from attrs import evolve

from turnkeel_core.leases import Lease
from turnkeel_core.lifecycle_states import ROW_TERMINAL, TURN_TERMINAL
from turnkeel_core.outbox_records import (
    AskChannel,
    ClaimRow,
    DeferRow,
    DeliverRow,
    EnqueueRow,
    ExpireRow,
    FailRow,
    HoldForPerson,
    MarkUnknown,
    OutboxRow,
    RecordReceipts,
    RetryRow,
    RowAction,
)
from turnkeel_core.turn_abort import AbortTurn, StopRun, TooLate
from turnkeel_core.turn_records import (
    AwaitDelivery,
    ClaimTurn,
    MirrorRun,
    NoteAck,
    RetryTurn,
    SettleDelivered,
    SettleFailed,
    Turn,
    WithdrawInbound,
    WriteInbound,
)

TurnChange: TypeAlias = (
    AwaitDelivery
    | SettleDelivered
    | SettleFailed
    | RetryTurn
    | MirrorRun
    | NoteAck
    | ClaimTurn
    | AbortTurn
    | StopRun
    | TooLate
    | WriteInbound
    | WithdrawInbound
)


def after_row(row: OutboxRow, action: RowAction) -> OutboxRow:
    """The row once the action is stored; an action for another row, or on a terminal one, leaves it as it is."""
    if not isinstance(action, EnqueueRow) and action.row_id != row.row_id:
        return row
    if isinstance(action, RecordReceipts):
        return evolve(row, parts_proven=proven(row, action))
    return row if row.status in ROW_TERMINAL else _open_row_after(row, action)


def proven(row: OutboxRow, action: RecordReceipts) -> int:
    """How many parts from the first on have a receipt, with these."""
    have, count = {receipt.part for receipt in action.receipts}, row.parts_proven
    while count in have and count < row.parts:
        count += 1
    return count


def _open_row_after(row: OutboxRow, action: RowAction) -> OutboxRow:
    match action:
        case ClaimRow():
            lease = Lease(owner=action.owner, token=action.token, until_at_ms=action.until_at_ms)
            if action.expected_token != row.token or row.status == "sending":
                return row
            began_ms = action.started_at_ms
            return evolve(row, status="sending", token=action.token, lease=lease, send_started_at_ms=began_ms)
        case DeliverRow(at_ms=at_ms):
            return evolve(row, status="delivered", lease=None, completed_at_ms=at_ms, parts_proven=row.parts)
        case RetryRow():
            tried = evolve(row, status="failed_retryable", lease=None, attempts=action.attempts)
            again = evolve(tried, due_at_ms=action.retry_at_ms, last_attempt_at_ms=action.at_ms)
            return evolve(again, last_error=action.error, deferred_since_at_ms=None)
        case DeferRow():
            held = evolve(row, status="failed_retryable", lease=None, due_at_ms=action.retry_at_ms)
            return evolve(held, deferred_since_at_ms=action.since_at_ms, last_error=action.error)
        case MarkUnknown():
            lost = evolve(row, status="unknown", lease=None, attempts=action.attempts, due_at_ms=action.retry_at_ms)
            return evolve(lost, last_attempt_at_ms=action.at_ms, last_error=action.because)
        case FailRow():
            dead = evolve(row, status="failed_terminal", lease=None, attempts=action.attempts, reason=action.detail)
            charged = action.at_ms if action.attempts > row.attempts else row.last_attempt_at_ms
            error = row.last_error if action.error is None else action.error
            return evolve(dead, completed_at_ms=action.at_ms, last_error=error, last_attempt_at_ms=charged)
        case ExpireRow():
            late = evolve(row, status="expired", lease=None, completed_at_ms=action.at_ms, reason="expired")
            return evolve(late, last_error=action.error)
        case EnqueueRow() | AskChannel() | HoldForPerson() | RecordReceipts():
            return row


def after_turn(turn: Turn, action: TurnChange) -> Turn:
    """The turn once the action is stored; an action for another turn, or on a terminal one, leaves it as it is."""
    if action.turn_id != turn.turn_id or turn.status in TURN_TERMINAL:
        return turn
    match action:
        case AwaitDelivery():
            return evolve(turn, status="delivery_pending", lease=None)
        case SettleDelivered():
            return evolve(turn, status="delivered", lease=None, completed_at_ms=action.at_ms, reason=action.reason)
        case SettleFailed():
            dead = evolve(turn, status="failed_terminal", lease=None, completed_at_ms=action.at_ms)
            return evolve(dead, reason=action.reason, attempts_started=action.attempts_started)
        case RetryTurn():
            again = evolve(turn, status="failed_retryable", lease=None, due_at_ms=action.retry_at_ms)
            return evolve(again, attempts_started=action.attempts_started, reason=action.error)
        case MirrorRun():
            return evolve(turn, status="running", attempts_started=action.attempts_started)
        case NoteAck():
            return evolve(turn, ack=action.outcome, acked_at_ms=action.at_ms)
        case ClaimTurn():
            lease = Lease(owner=action.owner, token=action.token, until_at_ms=action.until_at_ms)
            if action.expected_token != turn.token:
                return turn
            started = action.attempts_started
            return evolve(turn, status="running", token=action.token, lease=lease, attempts_started=started)
        case AbortTurn():
            stopped = evolve(turn, status="aborted", lease=None, token=action.token)
            return evolve(stopped, completed_at_ms=action.at_ms, reason=action.reason)
        case StopRun() | TooLate() | WriteInbound() | WithdrawInbound():
            return turn
