"""Which messages have a marker?"""

from typing import Final

import apsw

from turnkeel_adapters.sessions.rows import columns_of, text_of
from turnkeel_adapters.timestamps import parse_sqlite_utc
from turnkeel_adapters.v1_messages.connect import MARKER
from turnkeel_adapters.v1_messages.records import V1Scan
from turnkeel_core import Dispatched, MessageKey

_MARKED: Final = f"SELECT chat_jid, id, timestamp, {MARKER} FROM messages WHERE {MARKER} IS NOT NULL"


def read_dispatched(db: apsw.Connection) -> V1Scan:
    """Every marked message, on a connection that may be read only; how old is too old is not asked here."""
    if MARKER not in columns_of(db, "messages"):
        return V1Scan(migrated=False)
    rows = db.execute(_MARKED).fetchall()
    return V1Scan(
        dispatched=tuple(
            Dispatched(
                key=MessageKey(text_of(chat), text_of(message_id)),
                sent_at_ms=parse_sqlite_utc(text_of(sent)),
                started_at_ms=parse_sqlite_utc(text_of(marker)),
            )
            for chat, message_id, sent, marker in rows
        )
    )
