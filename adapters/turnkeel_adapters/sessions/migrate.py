"""What do older session files lack, and how do they get it? (spec/nanoclaw.md §4)"""

import apsw

from turnkeel_adapters.sessions.connect import transaction
from turnkeel_adapters.sessions.rows import columns_of
from turnkeel_adapters.sessions.schema import INBOUND_SCHEMA

_MESSAGES_IN = frozenset({"series_id", "trigger", "source_session_id", "on_wake"})
_DELIVERED = frozenset({"platform_message_id", "status"})
_OTHER_TABLES = ("destinations", "session_routing")


def needs_migration(db: apsw.Connection) -> bool:
    """Tell whether an inbound.db lacks a table or a column of the current contract; only reads."""
    if not _MESSAGES_IN <= columns_of(db, "messages_in") or not _DELIVERED <= columns_of(db, "delivered"):
        return True
    return not all(columns_of(db, table) for table in _OTHER_TABLES)


def migrate_inbound(db: apsw.Connection) -> None:
    """Bring an older inbound.db up to the current contract, all or nothing."""
    with transaction(db):
        migrate_messages_in_table(db)
        if columns_of(db, "delivered"):
            migrate_delivered_table(db)
        db.execute(INBOUND_SCHEMA).fetchall()


def migrate_messages_in_table(db: apsw.Connection) -> None:
    """Add the columns of messages_in that came later; older rows are their own series and wake the agent."""
    columns = columns_of(db, "messages_in")
    with transaction(db):
        if "series_id" not in columns:
            db.execute("ALTER TABLE messages_in ADD COLUMN series_id TEXT").fetchall()
            db.execute("UPDATE messages_in SET series_id = id WHERE series_id IS NULL").fetchall()
            db.execute("CREATE INDEX IF NOT EXISTS idx_messages_in_series ON messages_in(series_id)").fetchall()
        if "trigger" not in columns:
            db.execute("ALTER TABLE messages_in ADD COLUMN trigger INTEGER NOT NULL DEFAULT 1").fetchall()
        if "source_session_id" not in columns:
            db.execute("ALTER TABLE messages_in ADD COLUMN source_session_id TEXT").fetchall()
        if "on_wake" not in columns:
            db.execute("ALTER TABLE messages_in ADD COLUMN on_wake INTEGER NOT NULL DEFAULT 0").fetchall()


def migrate_delivered_table(db: apsw.Connection) -> None:
    """Add the columns of `delivered` that came later; older rows count as delivered."""
    columns = columns_of(db, "delivered")
    with transaction(db):
        if "platform_message_id" not in columns:
            db.execute("ALTER TABLE delivered ADD COLUMN platform_message_id TEXT").fetchall()
        if "status" not in columns:
            db.execute("ALTER TABLE delivered ADD COLUMN status TEXT NOT NULL DEFAULT 'delivered'").fetchall()
