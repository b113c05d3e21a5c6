"""Which replies has a container written that the host has not taken yet, and what was the message that they answer?"""

from typing import cast

import apsw
from attrs import frozen

from turnkeel_adapters.sessions.outbound import due_instant, whole_message
from turnkeel_adapters.sessions.records import NewMessage, OutboundMessage, RowFault
from turnkeel_adapters.sessions.rows import columns_of, text_of, text_or_none
from turnkeel_adapters.timestamps import parse_sqlite_utc


@frozen(kw_only=True)
class WrittenRow:
    """One row of messages_out with its place in the file; `due_at_ms` None: at once."""

    rowid: int
    due_at_ms: int | None
    reply: OutboundMessage


@frozen(kw_only=True)
class Written:
    """The replies without a mark in `delivered` up to the row `upto`, oldest first; `more`: there are rows after it.

    `first` and `last` are the names of the first and the last row that were looked at, marked or not.
    """

    rows: tuple[WrittenRow, ...] = ()
    upto: int
    more: bool = False
    first: str | None = None
    last: str | None = None


@frozen(kw_only=True)
class Place:
    """Where a reply stands, under which name, and when it is due; `fault`: its `deliver_after` cannot be read."""

    rowid: int
    name: str
    due_at_ms: int | None
    fault: RowFault | None


@frozen(kw_only=True)
class StoredMessage:
    """An inbound row as it stands: its status and all that it says."""

    status: str
    message: NewMessage


def places_after(db: apsw.Connection, rowid: int, limit: int) -> tuple[Place, ...]:
    """Return the places of up to `limit` replies after a rowid, oldest first, without their contents.

    A `deliver_after` that nobody can read is due at once and carries a fault.
    """
    sql = """
        SELECT rowid, id, deliver_after, unixepoch(deliver_after) FROM messages_out WHERE rowid > ?
        ORDER BY rowid LIMIT ?
    """
    found: list[Place] = []
    for place, message_id, deliver_after, second in db.execute(sql, (rowid, limit)).fetchall():
        # A row without an id still needs a name of its own, so that it can be marked and is not sent for ever.
        name = text_or_none(message_id) or f"rowid:{place!r}"
        due_at_ms = due_instant(text_or_none(deliver_after), second)
        detail = f"{deliver_after!r:.80} is no timestamp: sent at once"
        fault = RowFault(message_id=name, table="messages_out", column="deliver_after", detail=detail)
        unreadable = due_at_ms is None and deliver_after is not None
        found.append(Place(rowid=cast(int, place), name=name, due_at_ms=due_at_ms, fault=fault if unreadable else None))
    return tuple(found)


def written_at(db: apsw.Connection, place: Place) -> WrittenRow:
    """Return all of the reply at its place."""
    reply = whole_message(db, place.rowid, place.name, place.fault)
    return WrittenRow(rowid=place.rowid, due_at_ms=place.due_at_ms, reply=reply)


def stored_message(db: apsw.Connection, message_id: str) -> StoredMessage | None:
    """Return an inbound row by its id; older files lack some columns."""
    columns = columns_of(db, "messages_in")
    optional = ", ".join(name if name in columns else f"NULL AS {name}" for name in _OPTIONAL)
    sql = f"""
        SELECT status, kind, timestamp, CAST(content AS BLOB), {optional} FROM messages_in WHERE id = ?
    """
    for status, kind, timestamp, content, recurrence, trigger, on_wake, *where in db.execute(sql, (message_id,)):
        platform_id, channel_type, thread_id, source = (text_or_none(value) for value in where)
        message = NewMessage(
            message_id=message_id,
            content=text_of(content),
            kind=text_of(kind),
            sent_at_ms=parse_sqlite_utc(text_of(timestamp)),
            recurrence=text_or_none(recurrence),
            triggers=trigger is None or trigger == 1,
            on_wake=on_wake not in (None, 0),
            platform_id=platform_id,
            channel_type=channel_type,
            thread_id=thread_id,
            source_session_id=source,
        )
        return StoredMessage(status=text_of(status), message=message)
    return None


_OPTIONAL = ("recurrence", "trigger", "on_wake", "platform_id", "channel_type", "thread_id", "source_session_id")
