"""How do new replies get into the outbox: in order, once, each with the turn that it answers?"""

from itertools import groupby

from turnkeel.delivery.address import lane_of
from turnkeel.delivery.evidence import Seen, facts_of
from turnkeel.delivery.gather import Draft, Gathered
from turnkeel.delivery.ports import DeliveryPorts
from turnkeel_adapters.lifecycle.work import LifecycleWork
from turnkeel_adapters.wire import dumps
from turnkeel_core import EnqueueRow, EnqueueSnapshot, FailRow, Reply, SettlePolicy, TurnSnapshot, plan_enqueue


def take(work: LifecycleWork, ports: DeliveryPorts, seen: Seen, gathered: Gathered, policy: SettlePolicy) -> int:
    """Enqueue the replies that are new, neighbours that answer one turn together; how many rows that made."""
    queued = 0
    for turn_id, group in groupby(gathered.drafts, key=lambda draft: draft.turn_id):
        queued += _enqueue(work, ports, seen, gathered, turn_id, tuple(group), policy)
    return queued


def _enqueue(
    work: LifecycleWork,
    ports: DeliveryPorts,
    seen: Seen,
    gathered: Gathered,
    turn_id: str | None,
    drafts: tuple[Draft, ...],
    policy: SettlePolicy,
) -> int:
    replies: dict[str, Reply] = {}
    places: dict[str, int] = {}
    for draft in drafts:
        lane, row_id = lane_of(seen.session, draft.address), ports.new_id("row")
        places[lane] = places[lane] + 1 if lane in places else work.next_ordinal(lane, seen.now_ms)
        replies[row_id] = Reply(
            row_id=row_id,
            kind="final",
            channel=draft.address.channel,
            lane=lane,
            ordinal=places[lane],
            parts=len(draft.composed.outgoing.parts),
            source=draft.source,
            session=seen.session,
        )
    turn = None if turn_id is None else work.tables.turns.get(turn_id)
    facts = None
    if turn is not None:
        row = gathered.stored.get(turn.turn_id)
        session = facts_of(seen, turn, None if row is None else row.status)
        facts = TurnSnapshot(now_ms=seen.now_ms, turn=turn, rows=(), session=session)
    asked = EnqueueSnapshot(now_ms=seen.now_ms, owner=ports.owner, replies=tuple(replies.values()), turn=facts)
    actions = plan_enqueue(work.enqueue(asked, turn_id), policy)
    composed = {row_id: draft.composed for row_id, draft in zip(replies, drafts, strict=True)}
    refused = work.apply(actions, seen.now_ms, {row_id: dumps(one.outgoing) for row_id, one in composed.items()})
    queued = [action.row.row_id for action in actions if isinstance(action, EnqueueRow)]
    for row_id in queued:
        fault = composed[row_id].fault
        if fault is not None:
            told = ports.redact(fault)
            work.apply((FailRow(row_id, seen.now_ms, "permanent", told, 0, told),), seen.now_ms)
    return len(queued) - sum(isinstance(one.action, EnqueueRow) for one in refused)
