"""What must happen to the open rows now, and which of them does this process begin to send?"""

from collections.abc import Sequence

from attrs import evolve, frozen

from turnkeel.delivery.outcomes import renew
from turnkeel.delivery.ports import DeliveryPolicies, DeliveryPorts
from turnkeel.delivery.reports import row_event, turn_event
from turnkeel.delivery.sending import Job
from turnkeel.events import HostEvent
from turnkeel_adapters.lifecycle.work import LifecycleWork
from turnkeel_adapters.system.clock import Instant
from turnkeel_core import (
    AskChannel,
    ChannelFacts,
    ClaimRow,
    DeferRow,
    DeliverRow,
    DeliverySnapshot,
    ExpireRow,
    ExpirySnapshot,
    FailRow,
    HoldForPerson,
    LocalFault,
    MarkUnknown,
    OutboxRow,
    RecordReceipts,
    RetryRow,
    SettleAction,
    after_row,
    explain_deliveries,
    finalize_turn_from_outbox,
    next_delivery_at_ms,
    plan_deliveries,
    plan_expiry,
    settle_delivery,
)
from turnkeel_core.outbox_candidates import is_fresh


@frozen(kw_only=True)
class Standing:
    """What this process knows beside the store. `ours` are its sends under way, as row and token."""

    now: Instant
    channels: tuple[ChannelFacts, ...]
    ours: tuple[tuple[str, int], ...] = ()


@frozen(kw_only=True)
class Pass:
    """What one look at the open rows came to.

    `held` are rows whose outcome only a person can tell, `ended` those that nobody will send any more. `again`: more
    may be begun at once. `next_at_ms` is the next instant at which time alone changes something. `notices`: failed
    turns wait to be told.
    """

    jobs: tuple[Job, ...] = ()
    held: tuple[tuple[OutboxRow, int], ...] = ()
    ended: tuple[OutboxRow, ...] = ()
    events: tuple[HostEvent, ...] = ()
    again: bool = False
    next_at_ms: int | None = None
    notices: bool = False


def look(standing: Standing, ports: DeliveryPorts, policies: DeliveryPolicies, *, claims: bool = True) -> Pass:
    """One pass over what is open, in one transaction: what it claims is stored before anything is called.

    Without `claims` only the leases of running sends are renewed. AdapterError: nothing was stored.
    """
    with ports.lifecycle.transaction() as work:
        standing = _at_last(standing, ports)
        renew_at_ms = _renewed(work, standing, ports, policies)
        if not claims:
            return Pass(next_at_ms=renew_at_ms)
        found = _Looking(work, standing, ports, policies)
        ends = found.expiry()
        if not ends.rows:
            return Pass(notices=found.notices())
        found.end(ends)
        sends = found.deliveries()
        rows = found.deliver(sends)
        if not found.again:
            at_ms = next_delivery_at_ms(evolve(sends, rows=rows), evolve(ends, rows=rows), policies.settle)
            instants = [instant for instant in (at_ms, renew_at_ms) if instant is not None]
            found.next_at_ms = min(instants, default=None)
        return found.result()


def may_advance(standing: Standing, ports: DeliveryPorts, policies: DeliveryPolicies, within_ms: int) -> bool:
    """Whether anything would happen without a person, at once or, but for expiry, in that time; nothing is changed."""
    with ports.lifecycle.transaction() as work:
        standing = _at_last(standing, ports)
        found = _Looking(work, standing, ports, policies)
        ends, sends = found.expiry(), found.deliveries()
        if found.notices() or plan_expiry(ends, policies.settle):
            return True
        planned = plan_deliveries(sends, policies.settle.outbox)
        if any(row.status == "sending" for row in sends.rows) or not all(isinstance(a, HoldForPerson) for a in planned):
            return True
        # What was put off waits for whoever mends the configuration.
        waiting = evolve(sends, rows=tuple(row for row in sends.rows if row.deferred_since_at_ms is None))
        next_ms = explain_deliveries(waiting, policies.settle.outbox).flip_at_ms
        return next_ms is not None and next_ms - standing.now.wall_ms <= within_ms


def _at_last(standing: Standing, ports: DeliveryPorts) -> Standing:
    """The same at the instant at which the store is this process's alone: it may have waited for that.

    Before it another sender's newest lease would seem to have more time left than any lease gets.
    """
    return evolve(standing, now=ports.clock.read())


class _Looking:
    """One transaction's look, and what it has come to so far."""

    def __init__(
        self, work: LifecycleWork, standing: Standing, ports: DeliveryPorts, policies: DeliveryPolicies
    ) -> None:
        self._work = work
        self._standing = standing
        self._ports = ports
        self._policies = policies
        self._now_ms = standing.now.wall_ms
        owners = work.lease_owners() if ports.alone else ()
        self._gone = tuple(owner for owner in owners if owner != ports.owner)
        self._jobs: list[Job] = []
        self._held: list[tuple[OutboxRow, int]] = []
        self._ended: list[OutboxRow] = []
        self._events: list[HostEvent] = []
        self.again = False
        self.next_at_ms: int | None = None

    def expiry(self) -> ExpirySnapshot:
        """The open rows and their turns as they stand."""
        return self._work.expiry(self._now_ms, gone=self._gone)

    def deliveries(self) -> DeliverySnapshot:
        """The open rows and the channels as they stand."""
        return self._work.deliveries(self._ports.owner, self._now_ms, self._standing.channels, gone=self._gone)

    def notices(self) -> bool:
        """Whether somebody must be told of a turn that failed."""
        return bool(self._work.tables.turns.notices_due(1))

    def end(self, ends: ExpirySnapshot) -> None:
        """End the rows that have no future, and what that means for their turns."""
        actions = plan_expiry(ends, self._policies.settle)
        self._apply(actions)

    def deliver(self, sends: DeliverySnapshot) -> tuple[OutboxRow, ...]:
        """Claim what is to be sent, mark what is lost, close what failed; note what is to be asked and shown.

        Returns the rows as they are then.
        """
        outbox, claims = self._policies.settle.outbox, 0
        rows = {row.row_id: row for row in sends.rows}
        for action in plan_deliveries(sends, outbox):
            row = rows[action.row_id]
            rows[action.row_id] = after_row(row, action)
            match action:
                case ClaimRow() as claim:
                    if not self._apply((claim,)):
                        continue
                    claims += 1
                    if row.channel not in self._ports.channels:
                        rows[row.row_id] = self._put_off(rows[row.row_id])
                    else:
                        fresh = is_fresh(row, self._now_ms, outbox)
                        self._add(rows[action.row_id], claim.token, claim.first_part, fresh=fresh)
                case AskChannel(token=token):
                    self._add(row, token, row.parts_proven, asks=True)
                case HoldForPerson(until_at_ms=until_ms):
                    self._held.append((row, until_ms))
                case MarkUnknown():
                    self._apply((action,))
                case FailRow():
                    self._apply((action,))
                    self._decide(row.turn_id)
        self.again = self.again or claims >= outbox.pass_limit
        return tuple(rows.values())

    def result(self) -> Pass:
        """All of it."""
        return Pass(
            jobs=tuple(self._jobs),
            held=tuple(self._held),
            ended=tuple(self._ended),
            events=tuple(self._events),
            again=self.again,
            next_at_ms=self.next_at_ms,
            notices=self.notices(),
        )

    def _add(self, row: OutboxRow, token: int, first_part: int, *, fresh: bool = True, asks: bool = False) -> None:
        payload = self._work.tables.outbox.payload(row.row_id)
        job = Job(row=row, token=token, first_part=first_part, payload=payload, fresh=fresh, asks=asks)
        self._jobs.append(job)

    def _put_off(self, row: OutboxRow) -> OutboxRow:
        """Nobody can send the claimed row: its claim ends in the transaction that made it, as if there were none."""
        fault = LocalFault(f"channel {row.channel!r} is not configured")
        seen = self._work.settle(row.row_id, row.token, fault, self._now_ms)
        if seen is not None:
            self._apply(settle_delivery(seen, self._policies.settle))
        return self._work.tables.outbox.get(row.row_id) or row

    def _decide(self, turn_id: str | None) -> None:
        """A row that failed may end its turn."""
        seen = None if turn_id is None else self._work.turn(turn_id, self._now_ms, gone=self._gone)
        if seen is not None:
            self._apply(finalize_turn_from_outbox(seen, self._policies.settle.turn))

    def _apply(self, actions: Sequence[ClaimRow | ExpireRow | SettleAction]) -> bool:
        """Store them; whether nothing was refused. What was stored is told."""
        tables, stored = self._work.tables, True
        for action in actions:
            row = tables.outbox.get(action.row_id) if isinstance(action, _ROW_ACTIONS) else None
            turn = None if isinstance(action, _ROW_ACTIONS) else tables.turns.get(action.turn_id)
            if self._work.apply((action,), self._now_ms):
                stored = False
                continue
            event = turn_event(turn, action) if row is None else row_event(row, action)
            self._events += [] if event is None else [event]
            if row is not None and isinstance(action, FailRow | ExpireRow):
                self._ended.append(after_row(row, action))
                self.again = True  # whatever waited behind it may go now
        return stored


_ROW_ACTIONS = (ClaimRow, RecordReceipts, DeliverRow, RetryRow, DeferRow, MarkUnknown, ExpireRow, FailRow)


def _renewed(work: LifecycleWork, standing: Standing, ports: DeliveryPorts, policies: DeliveryPolicies) -> int | None:
    """Renew what has a third of its time behind it; when the next one will have."""
    lease_ms, now_ms = policies.settle.outbox.lease.lease_ms, standing.now.wall_ms
    third_ms, instants = max(lease_ms // 3, 1), list[int]()
    for row_id, token in standing.ours:
        row = work.tables.outbox.get(row_id)
        if row is None or row.status != "sending" or row.lease is None:
            continue
        left_ms = row.lease.until_at_ms - now_ms
        if lease_ms - third_ms < left_ms <= lease_ms:
            instants.append(now_ms + left_ms - (lease_ms - third_ms))
        elif renew(work, row, token, ports, policies):
            instants.append(now_ms + third_ms)
    return min(instants, default=None)
