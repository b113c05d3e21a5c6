"""Who is told that a message could not be answered, once, and in which words?

The chat gets one sentence without content or internals; the agent finds a line of context before its next message. A
notice belongs to no turn: one that cannot be sent is a dead letter, and nothing more.
"""

import json
from typing import Final

from turnkeel.delivery.address import LOCAL, Address, lane_of
from turnkeel.delivery.ports import DeliveryPolicies, DeliveryPorts
from turnkeel.events import FailureTold
from turnkeel_adapters.errors import AdapterError, RefusedMessage, SessionFault
from turnkeel_adapters.lifecycle.payloads import Incoming, Outgoing
from turnkeel_adapters.lifecycle.work import LifecycleWork
from turnkeel_adapters.sessions.records import NewMessage
from turnkeel_adapters.wire import WireFault, dumps, loads
from turnkeel_core import EnqueueRow, EnqueueSnapshot, Reply, Turn, plan_enqueue

_PASSING: Final = frozenset({"busy", "hot_journal"})


def notice_id(turn_id: str) -> str:
    """The id of the agent's line of context, and what tells the chat's notice from every other row."""
    return f"notice-{turn_id}"


def tell_failures(ports: DeliveryPorts, policies: DeliveryPolicies) -> bool:
    """Tell of the failed turns that nobody was told of; True if some may be left for soon. AdapterError.

    The agent's line is written first and only once, then the chat's row with the mark `told` in one transaction: a
    crash in between repeats nothing that anybody sees.
    """
    limit = policies.delivery.notice_limit
    with ports.lifecycle.transaction() as work:
        due = [(turn, work.tables.turns.payload(turn.turn_id)) for turn in work.tables.turns.notices_due(limit)]
    told = [_tell(turn, payload, ports, policies) for turn, payload in due]
    return len(due) == limit or not all(told)


def _tell(turn: Turn, payload: str | None, ports: DeliveryPorts, policies: DeliveryPolicies) -> bool:
    if not _told_agent(turn, ports):
        return False
    now_ms, address = ports.clock.read().wall_ms, _chat(payload) if policies.delivery.notify else None
    with ports.lifecycle.transaction() as work:
        if not work.told(turn.turn_id):
            return False
        if address is not None:
            _enqueue(work, turn, address, now_ms, ports, policies)
    ports.report(FailureTold(turn.session, turn.turn_id, address is not None))
    return True


def _chat(payload: str | None) -> Address | None:
    """Where somebody waits; None if nobody does, or nobody knows where."""
    try:
        address = Address.of(loads(payload or "", Incoming))
    except WireFault:
        return None
    # What comes from the command line is answered in the session's own files, and so is this.
    return None if address.channel == LOCAL else address


def _enqueue(
    work: LifecycleWork, turn: Turn, address: Address, now_ms: int, ports: DeliveryPorts, policies: DeliveryPolicies
) -> None:
    lane, row_id = lane_of(turn.session, address), ports.new_id("row")
    reply = Reply(
        row_id=row_id,
        kind="final",
        channel=address.channel,
        lane=lane,
        ordinal=work.next_ordinal(lane, now_ms),
        source=notice_id(turn.turn_id),
        session=turn.session,
    )
    said = Outgoing(
        parts=(f"Sorry, your message could not be answered (reference {turn.turn_id}).",),
        chat=address.chat,
        account=address.account,
        thread=address.thread,
        in_reply_to=turn.turn_id,
    )
    asked = work.enqueue(EnqueueSnapshot(now_ms=now_ms, owner=ports.owner, replies=(reply,)), None)
    actions = plan_enqueue(asked, policies.settle)
    payloads = {action.row.row_id: dumps(said) for action in actions if isinstance(action, EnqueueRow)}
    work.apply(actions, now_ms, payloads, because=f"turn {turn.turn_id} failed")


def _told_agent(turn: Turn, ports: DeliveryPorts) -> bool:
    """False if it must be tried again soon. A session that is gone or broken for long keeps no chat waiting."""
    text = f"The message {turn.turn_id} could not be answered."
    content = json.dumps({"text": text, "sender": "system"})
    line = NewMessage(message_id=notice_id(turn.turn_id), content=content, triggers=False)
    try:
        if turn.in_session and ports.sessions.exists(turn.session):
            ports.sessions.mail(turn.session).insert(line, ports.clock.read().wall_ms)
    except RefusedMessage:
        return True  # it is there already
    except SessionFault as error:
        return error.kind not in _PASSING
    except AdapterError:
        return True
    return True
