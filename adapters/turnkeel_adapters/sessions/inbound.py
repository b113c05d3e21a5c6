"""What is done to messages_in, the host's own table? (spec/nanoclaw.md §4)"""

from typing import Final

import apsw
from attrs import asdict, frozen

from turnkeel_adapters.errors import RefusedMessage
from turnkeel_adapters.sessions.connect import transaction
from turnkeel_adapters.sessions.records import InboundChanges
from turnkeel_adapters.sessions.rows import text_of, text_or_none
from turnkeel_adapters.timestamps import iso_utc, sqlite_utc

# SQLite reads these words as its own clock's time; a row that holds one is due whatever the clock says.
NOW_WORDS: Final = ("now", "subsec", "subsecond")

_INSERT = """
INSERT INTO messages_in (id, seq, kind, timestamp, status, process_after, recurrence, series_id, trigger, platform_id,
                         channel_type, thread_id, content, source_session_id, on_wake)
VALUES (:id, :seq, :kind, :timestamp, 'pending', :process_after, :recurrence, :id, :trigger, :platform_id,
        :channel_type, :thread_id, :content, :source_session_id, :on_wake)
"""


@frozen(kw_only=True)
class InboundRow:
    """A row of messages_in to insert; its fields are the columns, as they will stand in the file."""

    id: str
    kind: str
    timestamp: str
    content: str
    process_after: str | None = None
    recurrence: str | None = None
    trigger: int = 1
    platform_id: str | None = None
    channel_type: str | None = None
    thread_id: str | None = None
    source_session_id: str | None = None
    on_wake: int = 0


@frozen(kw_only=True)
class RetryRow:
    """The facts of `get_message_for_retry`, as they stand in the file."""

    message_id: str
    tries: int | None
    process_after: str | None


def next_even_seq(db: apsw.Connection) -> int:
    """Return the even number above every seq of messages_in, at least 2 (spec §3.4)."""
    ((highest,),) = db.execute("SELECT MAX(seq) FROM messages_in").fetchall()
    if highest is not None and not isinstance(highest, int):
        # A text in the column sorts above every number.
        ((highest,),) = db.execute("SELECT MAX(seq) FROM messages_in WHERE typeof(seq) = 'integer'").fetchall()
    top = highest if isinstance(highest, int) else 0
    return 2 if top < 2 else top + 2 - top % 2


def insert_message(db: apsw.Connection, row: InboundRow) -> int:
    """Store a pending row, the first of its series, and return its seq; raise RefusedMessage if that cannot be."""
    _check_texts(row)
    with transaction(db):
        seq = next_even_seq(db)
        try:
            db.execute(_INSERT, {**asdict(row), "seq": seq}).fetchall()
        except apsw.ConstraintError as error:
            if error.extendedresult == apsw.SQLITE_CONSTRAINT_PRIMARYKEY:
                raise RefusedMessage(f"duplicate: a message {row.id!r:.80} is already stored") from error
            raise
        except apsw.TooBigError as error:
            raise RefusedMessage(f"message {row.id!r:.80} is larger than SQLite can store") from error
    return seq


def count_due_messages(db: apsw.Connection, now_ms: int) -> int:
    """Count the rows that call for a container: pending, trigger 1, due by SQLite's whole-second rule."""
    sql = f"""
        SELECT count(*) FROM messages_in WHERE status = 'pending' AND trigger = 1
        AND (process_after IS NULL OR lower(process_after) IN {NOW_WORDS!r} OR datetime(process_after) <= ?)
    """
    ((count,),) = db.execute(sql, (sqlite_utc(now_ms),)).fetchall()
    return count if isinstance(count, int) else 0


def mark_message_failed(db: apsw.Connection, message_id: str) -> None:
    """Set the status `failed`, whatever it was."""
    db.execute("UPDATE messages_in SET status = 'failed' WHERE id = ?", (message_id,)).fetchall()


def retry_with_backoff(db: apsw.Connection, message_id: str, backoff_s: float, now_ms: int) -> None:
    """Add one to tries (NULL stays NULL) and make the row due in `backoff_s`, cut to the second.

    A number of seconds that SQLite refuses (negative, beyond its calendar) leaves no due time, as in the existing host.
    """
    db.execute(
        "UPDATE messages_in SET tries = tries + 1, process_after = datetime(?, ?) WHERE id = ?",
        (iso_utc(now_ms), f"+{backoff_s} seconds", message_id),
    ).fetchall()


def get_message_for_retry(db: apsw.Connection, message_id: str, status: str) -> RetryRow | None:
    """Return the row if it exists with this status."""
    sql = "SELECT id, tries, process_after FROM messages_in WHERE id = ? AND status = ?"
    for found, tries, process_after in db.execute(sql, (message_id, status)).fetchall():
        return RetryRow(
            message_id=text_of(found),
            tries=tries if isinstance(tries, int) else None,
            process_after=text_or_none(process_after),
        )
    return None


def sync_processing_acks(inbound: apsw.Connection, outbound: apsw.Connection) -> None:
    """Complete every row that has a terminal ack; a `failed` ack completes its row too (the contract)."""
    sql = "SELECT message_id FROM processing_ack WHERE status IN ('completed', 'failed')"
    settled = tuple(text_of(message_id) for (message_id,) in outbound.execute(sql).fetchall())
    if settled:
        apply_changes(inbound, InboundChanges(settled=settled))


def apply_changes(db: apsw.Connection, changes: InboundChanges) -> None:
    """Make one pass's changes in one transaction; see InboundChanges for what each may touch."""
    with transaction(db):
        db.executemany(
            "UPDATE messages_in SET status = 'completed' WHERE id = ? AND status != 'completed'",
            [(message_id,) for message_id in changes.settled],
        ).fetchall()
        db.executemany(
            "UPDATE messages_in SET tries = :tries WHERE id = :id AND status = 'pending'"
            " AND (typeof(tries) != 'integer' OR tries < :tries)",
            [{"id": charge.message_id, "tries": charge.tries} for charge in changes.charges],
        ).fetchall()
        due = [(charge.message_id, charge.retry_at_ms) for charge in changes.charges]
        due += [(delay.message_id, delay.retry_at_ms) for delay in changes.delays]
        db.executemany(
            "UPDATE messages_in SET process_after = ? WHERE id = ? AND status = 'pending'",
            [(sqlite_utc(at_ms), message_id) for message_id, at_ms in due if at_ms is not None],
        ).fetchall()
        db.executemany(
            "UPDATE messages_in SET status = 'failed' WHERE id = ? AND status = 'pending'",
            [(message_id,) for message_id in changes.failed],
        ).fetchall()


def _check_texts(row: InboundRow) -> None:
    if not row.id:
        raise RefusedMessage("a message needs an id that is not empty")
    for column, value in asdict(row).items():
        try:
            str(value).encode()
        except UnicodeEncodeError as error:
            raise RefusedMessage(f"the message's {column} is no valid UTF-8 text (character {error.start})") from error
