"""What does the host read of outbound.db, the container's file, and what is the one thing it deletes there?"""

import apsw
from attrs import frozen

from turnkeel_adapters.sessions.connect import transaction
from turnkeel_adapters.sessions.inbound import NOW_WORDS
from turnkeel_adapters.sessions.records import OutboundMessage, RowFault
from turnkeel_adapters.sessions.rows import SqlValue, columns_of, text_of, text_or_none
from turnkeel_adapters.timestamps import parse_sqlite_utc


@frozen(kw_only=True)
class ProcessingClaim:
    """A `processing` ack as it stands in the file."""

    message_id: str
    status_changed: str


@frozen(kw_only=True)
class ContainerState:
    """The container's one row about its tool, as it stands in the file."""

    current_tool: str | None
    tool_declared_timeout_ms: int | float | None
    tool_started_at: str | None
    updated_at: str | None


def get_processing_claims(db: apsw.Connection) -> tuple[ProcessingClaim, ...]:
    """Return the `processing` acks in row order: a re-claimed id comes last."""
    sql = "SELECT message_id, status_changed FROM processing_ack WHERE status = 'processing' ORDER BY rowid"
    return tuple(
        ProcessingClaim(message_id=text_of(message_id), status_changed=text_of(changed))
        for message_id, changed in db.execute(sql).fetchall()
    )


def get_stuck_processing_ids(db: apsw.Connection) -> tuple[str, ...]:
    """Return the ids of the `processing` acks in row order."""
    return tuple(claim.message_id for claim in get_processing_claims(db))


def delete_orphan_processing_claims(db: apsw.Connection) -> tuple[str, ...]:
    """Delete the `processing` acks and return their ids in order.

    The only write of a host to outbound.db: only after the container is verified dead.
    """
    with transaction(db):
        orphans = get_stuck_processing_ids(db)
        db.execute("DELETE FROM processing_ack WHERE status = 'processing'").fetchall()
    return orphans


def get_container_state(db: apsw.Connection) -> ContainerState | None:
    """Return the container's row, or None if there is no row or (older files) no table."""
    if not columns_of(db, "container_state"):
        return None
    sql = "SELECT current_tool, tool_declared_timeout_ms, tool_started_at, updated_at FROM container_state WHERE id = 1"
    for tool, timeout_ms, started_at, updated_at in db.execute(sql).fetchall():
        return ContainerState(
            current_tool=text_or_none(tool),
            tool_declared_timeout_ms=timeout_ms if isinstance(timeout_ms, int | float) else None,
            tool_started_at=text_or_none(started_at),
            updated_at=text_or_none(updated_at),
        )
    return None


def get_due_outbound_messages(
    db: apsw.Connection, now_ms: int, settled: frozenset[str] = frozenset()
) -> tuple[OutboundMessage, ...]:
    """Return the replies whose time has come, oldest first, without those already `settled`.

    `deliver_after` is compared as an instant; one that nobody can read is due at once and carries a fault.
    """
    sql = "SELECT rowid, id, deliver_after, unixepoch(deliver_after) FROM messages_out ORDER BY timestamp, rowid"
    due: list[OutboundMessage] = []
    for rowid, message_id, deliver_after, second in db.execute(sql).fetchall():
        # A row without an id still needs a name of its own, so that it can be marked and is not sent for ever.
        found = text_or_none(message_id) or f"rowid:{rowid!r}"
        at_ms = due_instant(text_or_none(deliver_after), second)
        if found in settled or (at_ms is not None and at_ms > now_ms):
            continue
        unreadable = at_ms is None and deliver_after is not None
        detail = f"{deliver_after!r:.80} is no timestamp: sent at once"
        fault = RowFault(message_id=found, table="messages_out", column="deliver_after", detail=detail)
        due += [whole_message(db, rowid, found, fault if unreadable else None)]
    return tuple(due)


def due_instant(text: str | None, sqlite_second: SqlValue) -> int | None:
    """Return the instant a due text names, by our reading or else by SQLite's; None if there is none to wait for."""
    if text is None:
        return None
    if text.lower() in NOW_WORDS:
        return 0
    precise = parse_sqlite_utc(text)
    if precise is not None:
        return precise
    return sqlite_second * 1000 if isinstance(sqlite_second, int) else None


def whole_message(db: apsw.Connection, rowid: SqlValue, message_id: str, fault: RowFault | None) -> OutboundMessage:
    """Return all of one row of messages_out, under the name it is to have."""
    # The content is read as bytes so that one reply that is not UTF-8 does not hide the others.
    sql = """
        SELECT kind, in_reply_to, platform_id, channel_type, thread_id, CAST(content AS BLOB)
        FROM messages_out WHERE rowid = ?
    """
    ((kind, in_reply_to, platform_id, channel_type, thread_id, content),) = db.execute(sql, (rowid,)).fetchall()
    return OutboundMessage(
        message_id=message_id,
        kind=text_of(kind),
        content=text_of(content),
        in_reply_to=text_or_none(in_reply_to),
        platform_id=text_or_none(platform_id),
        channel_type=text_or_none(channel_type),
        thread_id=text_or_none(thread_id),
        fault=fault,
    )
