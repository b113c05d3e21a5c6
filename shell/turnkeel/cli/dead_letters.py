"""Which dead letter is meant by an id, and what does it say?"""

from typing import Final, TypeVar

from turnkeel.cli.errors import CommandFailed
from turnkeel.cli.show import said
from turnkeel_adapters.lifecycle.listing import DeadLetter, Listing
from turnkeel_adapters.lifecycle.payloads import Incoming, Outgoing
from turnkeel_adapters.state.dead import DeadRecord
from turnkeel_adapters.wire import JsonValue, WireFault, loads, parse_json

T = TypeVar("T")

_MOST: Final = 1_000
_NAMED: Final = 10


def find(listing: Listing, message_id: str, session: str | None) -> DeadLetter:
    """The dead letter of this id, or the only one whose id begins so; an open one before one that is settled.

    CommandFailed if there is none, or several.
    """
    found = [one for one in listing.dead_named(message_id, _MOST) if session in (None, one.record.session)]
    exact = [one for one in found if one.record.message_id == message_id] or found
    letters = [one for one in exact if one.record.state == "dead"] or exact
    keys = dict.fromkeys((one.record.session, one.record.direction, one.record.message_id) for one in letters)
    if not letters:
        place = "" if session is None else f" of {session}"
        raise CommandFailed(f"no dead letter {message_id}{place}; `turnkeel dead list` has them all")
    if len(keys) > 1:
        names = ", ".join(f"{name} ({way}, {of or 'no session'})" for of, way, name in list(keys)[:_NAMED])
        raise CommandFailed(f"{message_id} may be {names}: write more of the id, or give --session")
    return letters[0]  # the newest of its kind


def incoming_of(record: DeadRecord) -> Incoming | None:
    """The whole message of an inbound record, where it was kept whole."""
    return None if record.payload is None else _read(record.payload, Incoming)


def text_of(record: DeadRecord) -> str | None:
    """What the message or the reply says; None if nothing was kept."""
    if record.payload is None:
        return None
    if record.direction == "outbound":
        outgoing = _read(record.payload, Outgoing)
        return record.payload if outgoing is None else "\n".join(outgoing.parts)
    incoming = incoming_of(record)
    return said(record.payload if incoming is None else incoming.message.content)


def payload_data(record: DeadRecord) -> JsonValue:
    """The payload as data where it is JSON, so that what is secret in it can be hidden without spoiling its form."""
    if record.payload is None:
        return None
    try:
        found = parse_json(record.payload)
    except WireFault:
        return record.payload
    # The content is JSON once more; a content alone is what was kept of a message that was not accepted here.
    message = found.get("message") if isinstance(found, dict) else None
    if isinstance(found, dict) and isinstance(message, dict) and isinstance(content := message.get("content"), str):
        return {**found, "message": {**message, "content": _parsed(content)}}
    return found


def _parsed(content: str) -> JsonValue:
    try:
        return parse_json(content)
    except WireFault:
        return content


def _read(text: str, cls: type[T]) -> T | None:
    try:
        return loads(text, cls)
    except WireFault:
        return None
