"""When must the outbox be looked at again if nothing but time happens?"""

from turnkeel_core.lifecycle_policy import SettlePolicy
from turnkeel_core.outbox_candidates import DeliverySnapshot
from turnkeel_core.outbox_deliver import explain_deliveries
from turnkeel_core.outbox_expiry import ExpirySnapshot, explain_expiry


def next_delivery_at_ms(
    sends: DeliverySnapshot, ends: ExpirySnapshot, policy: SettlePolicy = SettlePolicy()
) -> int | None:
    """The first later instant at which a row that waits is let go, or one that is open becomes too old; None: never.

    Of the facts after what `plan_deliveries` and `plan_expiry` asked for is stored; both snapshots of one instant.
    """
    flips = (explain_deliveries(sends, policy.outbox).flip_at_ms, explain_expiry(ends, policy).flip_at_ms)
    return min((at_ms for at_ms in flips if at_ms is not None), default=None)
