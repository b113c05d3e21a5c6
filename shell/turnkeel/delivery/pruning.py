"""What was kept long enough?"""

from turnkeel.delivery.ports import DeliveryPolicies, DeliveryPorts
from turnkeel_core import plan_prune


def prune(ports: DeliveryPorts, policies: DeliveryPolicies) -> bool:
    """Forget one batch of what is older than the policies keep it; True if there may be more. AdapterError."""
    now_ms, limit = ports.clock.read().wall_ms, policies.delivery.prune_limit
    with ports.lifecycle.transaction() as work:
        actions = plan_prune(work.prune(now_ms, policies.settle, limit=limit), policies.settle)
        work.apply(actions, now_ms)
        forgotten = work.forget_sources(now_ms, policies.settle, limit=limit)
        return len(actions) >= limit or forgotten >= limit
