"""Which messages in a session's inbox were not accepted here: due occurrences of a schedule, rows of another writer?

Each is a turn from the moment it is due, so that it can be stopped, traced, and its failure told.
"""

from attrs import evolve

from turnkeel.delivery.address import LOCAL
from turnkeel.delivery.evidence import Seen
from turnkeel.delivery.gather import Gathered
from turnkeel_adapters.lifecycle.payloads import Incoming
from turnkeel_adapters.lifecycle.work import LifecycleWork
from turnkeel_adapters.sessions.records import NewMessage
from turnkeel_adapters.sessions.routing import SessionRouting
from turnkeel_adapters.wire import dumps
from turnkeel_core import AcceptSnapshot, MessageIdentity, TurnPolicy, accept_turn


def adopt(work: LifecycleWork, seen: Seen, fresh: tuple[str, ...], gathered: Gathered, policy: TurnPolicy) -> None:
    """Accept the `fresh` ones.

    A message that no turn can be (over the limit, or under the id of another session's turn) stays the session's own
    business.
    """
    for message_id in fresh:
        stored = gathered.stored.get(message_id)
        if stored is not None and work.tables.turns.get(message_id) is None:
            _accept(work, seen, incoming_of(stored.message, gathered.routing), policy)


def known_ids(seen: Seen, known: set[str], fresh: tuple[str, ...]) -> set[str]:
    """The messages that need not be asked about again, of those that are still open."""
    return known & {message.message_id for message in seen.reading.messages} | set(fresh)


def new_ids(seen: Seen, known: set[str]) -> tuple[str, ...]:
    """The messages that call for an answer by now and that nobody asked about before."""
    return tuple(
        message.message_id
        for message in seen.reading.messages
        if message.status == "pending"
        and message.triggers
        and message.message_id not in known
        and (message.due_at_ms is None or message.due_at_ms <= seen.now_ms)
    )


def incoming_of(message: NewMessage, routing: SessionRouting | None = None) -> Incoming:
    """A message as it stands in an inbox, with the address that its row names, else the session's own."""
    if message.channel_type:
        chat = message.platform_id or ""
        return Incoming(message=message, channel=message.channel_type, chat=chat, thread=message.thread_id)
    if routing is not None and routing.channel_type:
        chat = routing.platform_id or ""
        return Incoming(message=message, channel=routing.channel_type, chat=chat, thread=routing.thread_id)
    return Incoming(message=message, channel=LOCAL)


def _accept(work: LifecycleWork, seen: Seen, incoming: Incoming, policy: TurnPolicy) -> None:
    # Who can write into an inbox has the owner's rights already: no allowlist is asked about it.
    payload, turn_id = dumps(evolve(incoming, from_me=True)), incoming.message.message_id
    asked = AcceptSnapshot(
        now_ms=seen.now_ms,
        turn_id=turn_id,
        session=seen.session,
        identity=MessageIdentity(),
        payload_bytes=len(payload.encode(errors="surrogatepass")),
        in_session=True,
    )
    work.apply(
        (accept_turn(work.accept(asked), policy),), seen.now_ms, {turn_id: payload}, because="found in the inbox"
    )
