"""Which states does a turn or an outbox row have, what may move it, and which deadline covers it?

The tables are the whole truth about transitions: from, to, by what. None as the source is the beginning. No line
starts in a terminal state.
"""

from typing import Literal, TypeAlias

TurnStatus: TypeAlias = Literal[
    "accepted", "running", "failed_retryable", "delivery_pending", "delivered", "failed_terminal", "aborted"
]
RowStatus: TypeAlias = Literal[
    "queued", "sending", "failed_retryable", "unknown", "delivered", "failed_terminal", "expired"
]
DispatchKind: TypeAlias = Literal["tool", "block", "final"]
Replay: TypeAlias = Literal["allowed", "notify_only", "never"]

TURN_TERMINAL = frozenset({"delivered", "failed_terminal", "aborted"})
ROW_TERMINAL = frozenset({"delivered", "failed_terminal", "expired"})
ROW_OPEN = frozenset({"queued", "sending", "failed_retryable", "unknown"})
ROW_FAILED = frozenset({"failed_terminal", "expired"})

TURN_TABLE: tuple[tuple[TurnStatus | None, TurnStatus, str], ...] = (
    (None, "accepted", "AcceptTurn"),
    ("accepted", "running", "ClaimTurn, MirrorRun"),
    ("accepted", "failed_retryable", "RetryTurn: its payload could not be read"),
    ("accepted", "delivery_pending", "AwaitDelivery: the reply was seen before the claim"),
    ("accepted", "delivered", "SettleDelivered: done between two looks"),
    ("accepted", "failed_terminal", "SettleFailed"),
    ("accepted", "aborted", "AbortTurn"),
    ("running", "running", "ClaimTurn: the lease ran out"),
    ("running", "failed_retryable", "RetryTurn"),
    ("running", "delivery_pending", "AwaitDelivery"),
    ("running", "delivered", "SettleDelivered"),
    ("running", "failed_terminal", "SettleFailed"),
    ("running", "aborted", "AbortTurn"),
    ("failed_retryable", "running", "ClaimTurn, MirrorRun"),
    ("failed_retryable", "failed_retryable", "RetryTurn: its payload could not be read"),
    ("failed_retryable", "delivery_pending", "AwaitDelivery"),
    ("failed_retryable", "delivered", "SettleDelivered"),
    ("failed_retryable", "failed_terminal", "SettleFailed"),
    ("failed_retryable", "aborted", "AbortTurn"),
    ("delivery_pending", "running", "ClaimTurn: no final row is left of it"),
    ("delivery_pending", "failed_retryable", "RetryTurn: no final row is left of it"),
    ("delivery_pending", "delivered", "SettleDelivered"),
    ("delivery_pending", "failed_terminal", "SettleFailed"),
    ("delivery_pending", "aborted", "AbortTurn"),
)

ROW_TABLE: tuple[tuple[RowStatus | None, RowStatus, str], ...] = (
    (None, "queued", "EnqueueRow, ImportRow"),
    ("queued", "sending", "ClaimRow"),
    ("queued", "failed_terminal", "FailRow"),
    ("queued", "expired", "ExpireRow"),
    ("sending", "delivered", "DeliverRow"),
    ("sending", "failed_retryable", "RetryRow, DeferRow"),
    ("sending", "unknown", "MarkUnknown"),
    ("sending", "failed_terminal", "FailRow"),
    ("failed_retryable", "sending", "ClaimRow"),
    ("failed_retryable", "failed_terminal", "FailRow"),
    ("failed_retryable", "expired", "ExpireRow"),
    ("unknown", "sending", "ClaimRow: the same key and the same bytes"),
    ("unknown", "unknown", "MarkUnknown: the channel could not tell"),
    ("unknown", "delivered", "DeliverRow: the channel or a late receipt proved it"),
    ("unknown", "failed_retryable", "RetryRow: the channel proved that nothing was sent"),
    ("unknown", "failed_terminal", "FailRow"),
    ("unknown", "expired", "ExpireRow: nobody learned the outcome in time"),
)

TURN_DEADLINES: tuple[tuple[TurnStatus, str, str], ...] = (
    ("accepted", "plan_turn_recovery claims it when due, and ends it at", "TurnPolicy.stale_ms"),
    ("running", "plan_turn_recovery claims it once its lease has run out", "TurnPolicy.lease.lease_ms"),
    ("failed_retryable", "plan_turn_recovery claims it after", "TurnPolicy.backoff_ms"),
    ("delivery_pending", "its rows' deadlines, then plan_turn_recovery", "TurnPolicy.stale_ms"),
)
"""For a session's turn the session's own limits stand in for the lease; the sweep holds them."""

ROW_DEADLINES: tuple[tuple[RowStatus, str, str], ...] = (
    ("queued", "plan_expiry; with expire_action=deliver plan_deliveries sends it when due", "OutboxPolicy.expiry_ms"),
    ("sending", "plan_deliveries marks it unknown once its lease has run out", "OutboxPolicy.lease.lease_ms"),
    ("failed_retryable", "as queued, and its tries", "OutboxPolicy.max_attempts"),
    ("unknown", "plan_expiry", "OutboxPolicy.unknown_limit_ms"),
)
