"""What was said in a session, and what became of it?"""

import apsw

from turnkeel_adapters.sessions.output_checks import WrittenReply, most_bytes, text_bytes
from turnkeel_adapters.sessions.records import HistoryLine
from turnkeel_adapters.sessions.rows import columns_of, count_or_none, text_of, text_or_none
from turnkeel_adapters.timestamps import parse_sqlite_utc
from turnkeel_core import OutputPolicy

# A row without a seq sorts first and is shown on the first page only.
_PAGE = "coalesce(seq, -1) > ? ORDER BY coalesce(seq, -1), rowid LIMIT ?"
_BEFORE_ALL = -(2**63)
_EXCERPT = 1_024


def read_replies(
    db: apsw.Connection, limit: int, after_seq: int | None, policy: OutputPolicy
) -> tuple[tuple[HistoryLine, ...], tuple[WrittenReply, ...]]:
    """Return up to `limit` replies after a seq, as if none were delivered yet, and their sizes.

    Of a content far over the limit only the beginning is read.
    """
    sql = f"""
        SELECT id, seq, timestamp, kind, octet_length(content), octet_length(content) > ?,
               substr(CAST(content AS BLOB), 1, iif(octet_length(content) > ?, {_EXCERPT}, octet_length(content))),
               in_reply_to
        FROM messages_out WHERE {_PAGE}
    """
    lines: list[HistoryLine] = []
    sizes: list[WrittenReply] = []
    most = most_bytes(policy)
    for key, seq, stamp, kind, size, cut, content, in_reply_to in db.execute(
        sql, (most, most, *_page(limit, after_seq))
    ).fetchall():
        lines += [
            HistoryLine(
                direction="out",
                message_id=text_of(key),
                seq=count_or_none(seq),
                at_ms=parse_sqlite_utc(text_of(stamp)),
                kind=text_of(kind),
                status="waiting",
                text=text_of(content),
                in_reply_to=text_or_none(in_reply_to),
            )
        ]
        counted = text_bytes(size, None if cut else content)
        sizes += [WrittenReply(message_id=text_of(key), text_bytes=counted)]
    return tuple(lines), tuple(sizes)


def read_messages(db: apsw.Connection, limit: int, after_seq: int | None) -> tuple[HistoryLine, ...]:
    """Return up to `limit` inbound messages after a seq, without the container's acks."""
    sql = f"SELECT id, seq, timestamp, kind, status, tries, CAST(content AS BLOB) FROM messages_in WHERE {_PAGE}"
    return tuple(
        HistoryLine(
            direction="in",
            message_id=text_of(message_id),
            seq=count_or_none(seq),
            at_ms=parse_sqlite_utc(text_of(stamp)),
            kind=text_of(kind),
            status=text_of(status),
            text=text_of(content),
            tries=count_or_none(tries),
        )
        for message_id, seq, stamp, kind, status, tries, content in db.execute(sql, _page(limit, after_seq)).fetchall()
    )


def read_ack(db: apsw.Connection, message_id: str) -> str | None:
    """Return the status of the container's ack of a message."""
    rows = db.execute("SELECT status FROM processing_ack WHERE message_id = ?", (message_id,)).fetchall()
    return text_or_none(rows[0][0]) if rows else None


def read_delivery(db: apsw.Connection, message_out_id: str) -> str:
    """Return `delivered`, `failed`, or `waiting` where nothing was noted yet."""
    columns = columns_of(db, "delivered")
    if not columns:
        return "waiting"
    status = "status" if "status" in columns else "'delivered'"
    rows = db.execute(f"SELECT {status} FROM delivered WHERE message_out_id = ?", (message_out_id,)).fetchall()
    return text_of(rows[0][0]) if rows else "waiting"


def _page(limit: int, after_seq: int | None) -> tuple[int, int]:
    return (_BEFORE_ALL if after_seq is None else after_seq, limit)
