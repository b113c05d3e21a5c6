"""A database as NanoClaw v1 leaves it, and a host's view of it."""

from contextlib import closing

import apsw
import pytest

from turnkeel_adapters.v1_messages import V1Message, V1Messages

SCHEMA = """
CREATE TABLE chats (jid TEXT PRIMARY KEY, name TEXT, last_message_time TEXT);
CREATE TABLE messages (
  id TEXT, chat_jid TEXT, sender TEXT, sender_name TEXT, content TEXT, timestamp TEXT,
  is_from_me INTEGER, is_bot_message INTEGER DEFAULT 0, reply_to_message_id TEXT,
  PRIMARY KEY (id, chat_jid), FOREIGN KEY (chat_jid) REFERENCES chats(jid));
CREATE INDEX idx_timestamp ON messages(timestamp);
CREATE TABLE router_state (key TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO router_state VALUES ('last_timestamp', '2026-05-01T10:00:00.000Z');
INSERT INTO messages VALUES
  ('old', 'A', 'ann', 'Ann', 'before', '2026-04-30T10:00:00.000Z', 0, 0, NULL);
"""
ASSISTANT = "Andy"


class V1Database:
    """The file of a v1 host: `store` writes through the adapter, `rows` and `dump` look without it."""

    def __init__(self, path):
        self.path = path

    def open(self):
        return V1Messages(self.path, assistant=ASSISTANT)

    def run(self, sql, bindings=()):
        with closing(apsw.Connection(str(self.path))) as db:
            return db.execute(sql, bindings).fetchall()

    def store(self, message_id, at, *, chat="A", bot=False, content="hello", **more):
        with self.open() as messages:
            said = V1Message(
                message_id=message_id,
                chat=chat,
                sender="andy" if bot else "ann",
                content=content,
                timestamp=f"2026-05-01T{at}Z",
                bot=bot,
                **more,
            )
            return messages.store(said)

    def markers(self, chat="A"):
        sql = "SELECT id, processing_started_at FROM messages WHERE chat_jid = ? AND id != 'old'"
        return dict(self.run(sql, (chat,)))

    def dump(self):
        """Every table but for the marker."""
        columns = [row[1] for row in self.run("PRAGMA table_info(messages)") if row[1] != "processing_started_at"]
        tables = {"messages": self.run(f"SELECT {', '.join(columns)} FROM messages ORDER BY chat_jid, id")}
        return tables | {name: self.run(f"SELECT * FROM {name} ORDER BY 1") for name in ("chats", "router_state")}


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "messages.db"
    with closing(apsw.Connection(str(path))) as db:
        db.execute(SCHEMA).fetchall()
    return V1Database(path)
