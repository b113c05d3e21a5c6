"""What became of a send: how does that get into the store?"""

from attrs import frozen

from turnkeel.delivery.mirror import mirror
from turnkeel.delivery.ports import DeliveryPolicies, DeliveryPorts
from turnkeel.delivery.reports import row_event, turn_event
from turnkeel.events import HostEvent
from turnkeel_adapters.lifecycle.work import LifecycleWork
from turnkeel_core import (
    OutboxRow,
    Receipt,
    RecordReceipts,
    RefuseLease,
    RenewLease,
    SendOutcome,
    TakeLease,
    decide_lease,
    settle_delivery,
)


@frozen(kw_only=True)
class Ended:
    """The row after its outcome is stored, with its receipts, and what is to be told."""

    row: OutboxRow
    receipts: tuple[Receipt, ...] = ()
    events: tuple[HostEvent, ...] = ()


def renew(work: LifecycleWork, row: OutboxRow, token: int, ports: DeliveryPorts, policies: DeliveryPolicies) -> bool:
    """Whether the send under this token is this process's still; then its lease begins anew."""
    asked = work.lease(row, ports.owner, token, ports.clock.read().wall_ms)
    match decide_lease(asked, policies.settle.outbox.lease):
        case RenewLease() as longer:
            return work.renew(row, longer)
        case RefuseLease() | TakeLease():
            return False


def keep_part(
    work: LifecycleWork,
    row_id: str,
    token: int,
    receipts: tuple[Receipt, ...],
    ports: DeliveryPorts,
    policies: DeliveryPolicies,
) -> bool:
    """Store a part's receipts at once; whether the row is this sender's still, so that another part may be sent.

    Lost is also a row whose turn was aborted.
    """
    if receipts:
        work.apply([RecordReceipts(row_id, receipts)], ports.clock.read().wall_ms)
    row = work.tables.outbox.get(row_id)
    return row is not None and row.status == "sending" and renew(work, row, token, ports, policies)


def settle(
    work: LifecycleWork, row_id: str, token: int, outcome: SendOutcome, now_ms: int, policies: DeliveryPolicies
) -> Ended | None:
    """Store the outcome, with what it means for row and turn; None if the row is gone.

    A stale token changes nothing but the receipts.
    """
    seen = work.settle(row_id, token, outcome, now_ms)
    if seen is None:
        return None
    actions = settle_delivery(seen, policies.settle)
    turn = None if seen.turn is None else seen.turn.turn
    refused = {one.action for one in work.apply(actions, now_ms, because=outcome.error)}
    after = work.tables.outbox.get(row_id) or seen.row
    done = [action for action in actions if action not in refused]
    told = [row_event(seen.row, action) or turn_event(turn, action) for action in done]
    events = tuple(event for event in told if event is not None)
    return Ended(row=after, receipts=work.tables.receipts.of_row(row_id), events=events)


def reflect(ended: Ended, ports: DeliveryPorts) -> None:
    """Say the same in the session's own files. SessionFault: it is done again when the session is followed."""
    mirror(ports, ended.row, ended.receipts, ports.clock.read().wall_ms)
