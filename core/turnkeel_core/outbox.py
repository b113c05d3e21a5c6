"""Enqueue, send, settle, expire, retry, import: where do the decisions about outgoing rows stand?"""

from turnkeel_core.outbox_backoff import is_permanent_error
from turnkeel_core.outbox_deliver import explain_deliveries, plan_deliveries
from turnkeel_core.outbox_enqueue import explain_enqueue, plan_enqueue
from turnkeel_core.outbox_expiry import explain_expiry, plan_expiry
from turnkeel_core.outbox_legacy import explain_legacy_import, plan_legacy_import
from turnkeel_core.outbox_retry import explain_row_retry, plan_row_retry
from turnkeel_core.outbox_settle import explain_settle_delivery, settle_delivery

__all__ = [
    "explain_deliveries",
    "explain_enqueue",
    "explain_expiry",
    "explain_legacy_import",
    "explain_row_retry",
    "explain_settle_delivery",
    "is_permanent_error",
    "plan_deliveries",
    "plan_enqueue",
    "plan_expiry",
    "plan_legacy_import",
    "plan_row_retry",
    "settle_delivery",
]
