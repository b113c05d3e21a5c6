"""How does the message of a turn get into its session's inbox once, and out of it when it was stopped?"""

from turnkeel.delivery.ports import Mailboxes
from turnkeel_adapters.errors import RefusedMessage
from turnkeel_adapters.lifecycle.payloads import Incoming
from turnkeel_adapters.lifecycle.port import LifecycleStore
from turnkeel_adapters.sessions.records import InboundChanges
from turnkeel_adapters.wire import WireFault, loads


def join(sessions: Mailboxes, session: str, turn_id: str, payload: str, now_ms: int) -> None:
    """Write the inbound row, with the turn id as its id, making the session if it is new; nothing if it is there.

    Raises SessionFault; the turn is durable already, and whoever follows the session tries again.
    """
    incoming = loads(payload, Incoming)
    sessions.create(session)
    mail = sessions.mail(session)
    try:
        mail.insert(incoming.message, now_ms)
    except RefusedMessage:
        if mail.stored(turn_id) is None:
            raise


def join_stored(store: LifecycleStore, sessions: Mailboxes, session: str, turn_id: str, now_ms: int) -> None:
    """The same for a turn whose payload is only in the store; one that cannot be read has its session, and no row."""
    with store.reading() as work:
        payload = work.tables.turns.payload(turn_id)
    if payload is None:
        return
    try:
        join(sessions, session, turn_id, payload, now_ms)
    except WireFault:
        sessions.create(session)  # whoever follows it ends the turn


def withdraw(store: LifecycleStore, sessions: Mailboxes, session: str, turn_id: str) -> None:
    """Complete the row of a stopped message, so that no container takes it; then ask no more about it."""
    if sessions.exists(session):
        sessions.mail(session).write_inbound(InboundChanges(settled=(turn_id,)))
    with store.transaction() as work:
        work.withdrawn(turn_id)
