"""What must be read of a session's files before its turns are decided?

All of it comes before the transaction of turnkeel.db: a file that is locked or slow holds up its own session alone.
"""

from typing import Final

from attrs import evolve, frozen

from turnkeel.delivery.address import Address, address_of
from turnkeel.delivery.evidence import Seen
from turnkeel.delivery.ports import DeliveryPorts
from turnkeel.delivery.replies import Composed, compose
from turnkeel_adapters.lifecycle.payloads import Incoming
from turnkeel_adapters.lifecycle.work import LifecycleWork
from turnkeel_adapters.sessions.routing import SessionRouting
from turnkeel_adapters.sessions.taking import StoredMessage, WrittenRow
from turnkeel_adapters.wire import WireFault, loads
from turnkeel_core.turn_identity import encode_parts

_NOWHERE: Final = "the message that it answers cannot be read, so that nobody knows where it goes"


@frozen(kw_only=True)
class Draft:
    """A reply that is to be taken: its name for ever, the turn it answers, where it goes, what every try will send."""

    source: str
    turn_id: str | None
    address: Address
    composed: Composed


@frozen(kw_only=True)
class Gathered:
    """`stored` holds each row that was asked for, None where there is none; a turn that is not in it was not seen."""

    drafts: tuple[Draft, ...] = ()
    stored: dict[str, StoredMessage | None] = {}
    routing: SessionRouting | None = None


def source_of(session: str, message_out_id: str) -> str:
    """The name of a container's reply for ever."""
    return encode_parts(session, message_out_id)


def gather(ports: DeliveryPorts, seen: Seen, rows: tuple[WrittenRow, ...], fresh: tuple[str, ...]) -> Gathered:
    """Read what the `rows` bring, and the inbound rows of open turns and of `fresh` messages. AdapterError."""
    mail = ports.sessions.mail(seen.session)
    with ports.lifecycle.reading() as work:
        new = _untaken(work, seen.session, rows)
        turns = {row.rowid: _turn_of(work, seen.session, row.reply.in_reply_to) for row in new}
        payloads = {key: work.tables.turns.payload(key) for key in set(turns.values()) if key is not None}
        owed = (*work.tables.turns.open_of(seen.session), *work.tables.turns.withdrawals_due())
        asked = {turn.turn_id for turn in owed if turn.session == seen.session}
    still_open = {message.message_id for message in seen.reading.messages}
    stored = {key: mail.stored(key) for key in sorted(asked - still_open | set(fresh))}
    routing = mail.routing() if new or fresh else None
    incoming = {key: _read(payload) for key, payload in payloads.items() if payload is not None}
    drafts: list[Draft] = []
    for row in new:
        turn_id = turns[row.rowid]
        asked_by = None if turn_id is None else incoming.get(turn_id)
        address = address_of(row.reply, asked_by, routing)
        composed = compose(ports, seen.session, row.reply, address)
        if asked_by is None and turn_id in incoming and not row.reply.channel_type:
            composed = evolve(composed, fault=_NOWHERE)
        source = source_of(seen.session, row.reply.message_id)
        drafts.append(Draft(source=source, turn_id=turn_id, address=address, composed=composed))
    return Gathered(drafts=tuple(drafts), stored=stored, routing=routing)


def _read(payload: str) -> Incoming | None:
    try:
        return loads(payload, Incoming)
    except WireFault:
        return None


def _untaken(work: LifecycleWork, session: str, rows: tuple[WrittenRow, ...]) -> tuple[WrittenRow, ...]:
    names = {row.rowid: source_of(session, row.reply.message_id) for row in rows}
    taken = set(work.tables.sources.taken(tuple(names.values())))
    return tuple(row for row in rows if names[row.rowid] not in taken)


def _turn_of(work: LifecycleWork, session: str, message_id: str | None) -> str | None:
    turn = None if message_id is None else work.tables.turns.get(message_id)
    return None if turn is None or turn.session != session else turn.turn_id
