"""How do new replies get into the outbox: in order, once, each with the turn that it answers?"""

from itertools import groupby

from attrs import frozen

from turnkeel.delivery.address import address_of, lane_of
from turnkeel.delivery.evidence import Seen, facts_of
from turnkeel.delivery.ports import DeliveryPorts
from turnkeel.delivery.replies import Composed, compose
from turnkeel_adapters.lifecycle.payloads import Incoming
from turnkeel_adapters.lifecycle.work import LifecycleWork
from turnkeel_adapters.sessions.routing import SessionRouting
from turnkeel_adapters.sessions.taking import WrittenRow
from turnkeel_adapters.wire import dumps, loads
from turnkeel_core import EnqueueRow, EnqueueSnapshot, FailRow, Reply, SettlePolicy, TurnSnapshot, plan_enqueue
from turnkeel_core.turn_identity import encode_parts


@frozen(kw_only=True)
class Taken:
    """How many rows are new in the outbox, and how many replies were refused for good."""

    queued: int = 0
    refused: int = 0


def source_of(session: str, message_out_id: str) -> str:
    """The name of a container's reply for ever."""
    return encode_parts(session, message_out_id)


def take(
    work: LifecycleWork, ports: DeliveryPorts, seen: Seen, rows: tuple[WrittenRow, ...], policy: SettlePolicy
) -> Taken:
    """Enqueue the replies that are new; neighbours that answer one turn together. SessionFault."""
    known = set(work.tables.sources.taken(tuple(source_of(seen.session, row.reply.message_id) for row in rows)))
    fresh = tuple(row for row in rows if source_of(seen.session, row.reply.message_id) not in known)
    if not fresh:
        return Taken()
    routing = ports.sessions.mail(seen.session).routing()
    queued = 0
    for turn_id, group in groupby(fresh, key=lambda row: _turn_of(work, seen.session, row.reply.in_reply_to)):
        queued += _enqueue(work, ports, seen, turn_id, tuple(group), routing, policy)
    return Taken(queued=queued, refused=len(fresh) - queued)


def _turn_of(work: LifecycleWork, session: str, message_id: str | None) -> str | None:
    turn = None if message_id is None else work.tables.turns.get(message_id)
    return None if turn is None or turn.session != session else turn.turn_id


def _enqueue(
    work: LifecycleWork,
    ports: DeliveryPorts,
    seen: Seen,
    turn_id: str | None,
    rows: tuple[WrittenRow, ...],
    routing: SessionRouting | None,
    policy: SettlePolicy,
) -> int:
    incoming = _incoming(work, turn_id)
    replies: list[Reply] = []
    composed: dict[str, Composed] = {}
    places: dict[str, int] = {}
    for row in rows:
        address = address_of(row.reply, incoming, routing)
        lane, row_id = lane_of(seen.session, address), ports.new_id("row")
        places[lane] = places[lane] + 1 if lane in places else work.next_ordinal(lane, seen.now_ms)
        composed[row_id] = compose(ports, seen.session, row.reply, address)
        replies.append(
            Reply(
                row_id=row_id,
                kind="final",
                channel=address.channel,
                lane=lane,
                ordinal=places[lane],
                parts=len(composed[row_id].outgoing.parts),
                source=source_of(seen.session, row.reply.message_id),
                session=seen.session,
            )
        )
    turn = None if turn_id is None else work.tables.turns.get(turn_id)
    facts = None if turn is None else TurnSnapshot(now_ms=seen.now_ms, turn=turn, rows=(), session=facts_of(seen, turn))
    asked = EnqueueSnapshot(now_ms=seen.now_ms, owner=ports.owner, replies=tuple(replies), turn=facts)
    actions = plan_enqueue(work.enqueue(asked, turn_id), policy)
    payloads = {row_id: dumps(one.outgoing) for row_id, one in composed.items()}
    refused = work.apply(actions, seen.now_ms, payloads)
    queued = [action.row for action in actions if isinstance(action, EnqueueRow)]
    for new in queued:
        fault = composed[new.row_id].fault
        if fault is not None:
            dead = FailRow(new.row_id, seen.now_ms, "permanent", ports.redact(fault), 0, ports.redact(fault))
            work.apply((dead,), seen.now_ms)
    return len(queued) - sum(isinstance(one.action, EnqueueRow) for one in refused)


def _incoming(work: LifecycleWork, turn_id: str | None) -> Incoming | None:
    payload = None if turn_id is None else work.tables.turns.payload(turn_id)
    return None if payload is None else loads(payload, Incoming)
