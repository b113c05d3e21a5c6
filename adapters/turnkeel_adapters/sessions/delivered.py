"""Which replies have been sent, and which never will be? (table `delivered`)"""

import apsw

from turnkeel_adapters.sessions.rows import text_of
from turnkeel_adapters.timestamps import sqlite_utc

_INSERT = """
INSERT OR IGNORE INTO delivered (message_out_id, platform_message_id, status, delivered_at) VALUES (?, ?, ?, ?)
"""


def get_delivered_ids(db: apsw.Connection) -> frozenset[str]:
    """Return the ids of all settled replies, the delivered and the failed ones."""
    rows = db.execute("SELECT message_out_id FROM delivered").fetchall()
    return frozenset(text_of(message_id) for (message_id,) in rows)


def marked(db: apsw.Connection, message_out_ids: tuple[str, ...]) -> frozenset[str]:
    """Return those of the replies that are settled."""
    sql = "SELECT 1 FROM delivered WHERE message_out_id = ?"
    return frozenset(key for key in message_out_ids if db.execute(sql, (key,)).fetchall())


def mark_sent(db: apsw.Connection, message_out_id: str, platform_message_id: str | None, now_ms: int) -> None:
    """Note that a reply was sent, also one that was given up before: what is true in the end stands there."""
    mark_delivered(db, message_out_id, platform_message_id, now_ms)
    db.execute(
        "UPDATE delivered SET status = 'delivered', platform_message_id = ?, delivered_at = ?"
        " WHERE message_out_id = ? AND status = 'failed'",
        (platform_message_id, sqlite_utc(now_ms), message_out_id),
    ).fetchall()


def mark_delivered(db: apsw.Connection, message_out_id: str, platform_message_id: str | None, now_ms: int) -> None:
    """Note that a reply was sent; the first mark of a reply wins."""
    db.execute(_INSERT, (message_out_id, platform_message_id, "delivered", sqlite_utc(now_ms))).fetchall()


def mark_delivery_failed(db: apsw.Connection, message_out_id: str, now_ms: int) -> None:
    """Note that a reply was given up; the first mark of a reply wins."""
    db.execute(_INSERT, (message_out_id, None, "failed", sqlite_utc(now_ms))).fetchall()
