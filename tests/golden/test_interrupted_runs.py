"""Is a batch marked, cleared and found as the B-01 document says, on a real `messages` table?"""

from contextlib import closing

import apsw
import pytest

from turnkeel_adapters.sessions.rows import columns_of
from turnkeel_adapters.timestamps import iso_utc, parse_sqlite_utc
from turnkeel_adapters.v1_messages import (
    UnknownMessage,
    V1Fault,
    V1Message,
    V1Messages,
    add_marker,
    read_dispatched,
    reading_v1,
)
from turnkeel_core import (
    DispatchSnapshot,
    InterruptedPolicy,
    InterruptedSnapshot,
    MessageKey,
    find_interrupted,
    plan_dispatch_mark,
)

KIND = "interrupted_runs"
LEGACY = """
CREATE TABLE chats (jid TEXT PRIMARY KEY, name TEXT);
CREATE TABLE messages (
  id TEXT, chat_jid TEXT, sender TEXT, sender_name TEXT, content TEXT, timestamp TEXT,
  is_from_me INTEGER, is_bot_message INTEGER DEFAULT 0,
  PRIMARY KEY (id, chat_jid), FOREIGN KEY (chat_jid) REFERENCES chats(jid));
CREATE INDEX idx_timestamp ON messages(timestamp);
"""


def test_the_rows_and_what_is_told(vector, tmp_path):
    given, expected = vector["input"], vector["expected"]
    host = Host(tmp_path / "messages.db", migrated=given["start"] == "migrated")
    results = [getattr(host, step["op"])(step) for step in given["ops"]]
    host.restart(None)
    assert results == expected["results"]
    assert host.rows() == expected["rows"]


class Host:
    """The harness: a v1 database, and the operations of the vectors by name."""

    def __init__(self, path, migrated):
        self.path, self.open = path, None
        with closing(apsw.Connection(str(path))) as db:
            db.execute(LEGACY).fetchall()
            if migrated:
                add_marker(db)

    @property
    def messages(self):
        self.open = self.open or V1Messages(self.path, assistant="Andy")
        return self.open

    def restart(self, _):
        if self.open is not None:
            self.open.close()
        self.open = None
        return {}

    def rows(self):
        with closing(apsw.Connection(str(self.path))) as db:
            rows = db.execute("SELECT chat_jid, id, processing_started_at FROM messages").fetchall()
        return {f"{chat}/{message}": marker for chat, message, marker in rows}

    def columns(self, _):
        with closing(apsw.Connection(str(self.path))) as db:
            return {"columns": [row[1] for row in db.execute("PRAGMA table_info(messages)").fetchall()]}

    def migrate(self, _):
        with closing(apsw.Connection(str(self.path))) as db:
            added = add_marker(db)
            assert "processing_started_at" in columns_of(db, "messages")
        return {"added": added}

    def store(self, step):
        cleared = self.messages.store(
            V1Message(
                message_id=step["id"],
                chat=step["chat"],
                sender="bot" if step.get("bot") else "someone",
                content=step.get("content", "hello"),
                timestamp=step["ts"],
                from_me=step.get("from_me", False),
                bot=step.get("bot", False),
            )
        )
        return {"cleared": cleared}

    def dispatch(self, step):
        batch = tuple(MessageKey(*key) for key in step["batch"])
        mark = plan_dispatch_mark(DispatchSnapshot(now_ms=parse_sqlite_utc(step["at"]), batch=batch))
        try:
            if "fail_after" not in step:
                return {"marked": self.messages.mark_dispatched(mark)}
            with breaking_at(self.path, batch[step["fail_after"]]), pytest.raises(V1Fault, match="the disk is gone"):
                self.messages.mark_dispatched(mark)
            return {"error": "rolled_back"}
        except UnknownMessage:
            return {"error": "unknown_message"}

    def scan(self, step):
        with reading_v1(self.path) as db:
            seen = InterruptedSnapshot(now_ms=parse_sqlite_utc(step["now"]), dispatched=read_dispatched(db).dispatched)
        found = find_interrupted(seen, InterruptedPolicy(stale_ms=step["threshold_ms"]))
        return {
            "stale": [
                {
                    "chat": one.key.chat,
                    "id": one.key.message_id,
                    "processing_started_at": iso_utc(one.started_at_ms),
                    "age_ms": one.age_ms,
                }
                for one in found
            ]
        }

    def poll(self, step):
        more = {"limit": step["limit"]} if "limit" in step else {}
        polled = self.messages.get_new_messages(tuple(step["jids"]), step["since"], **more)
        return {"ids": [message.message_id for message in polled.messages], "new_timestamp": polled.cursor}


class breaking_at:  # noqa: N801  # reads as a phrase
    """While this holds, the store fails at one message's marker."""

    def __init__(self, path, key):
        self.path, self.key = path, key

    def __enter__(self):
        with closing(apsw.Connection(str(self.path))) as db:
            quoted = self.key.message_id.replace("'", "''")
            db.execute(
                "CREATE TRIGGER breaks BEFORE UPDATE OF processing_started_at ON messages"
                f" WHEN NEW.id = '{quoted}' BEGIN SELECT RAISE(ABORT, 'the disk is gone'); END"
            ).fetchall()

    def __exit__(self, *_):
        with closing(apsw.Connection(str(self.path))) as db:
            db.execute("DROP TRIGGER breaks").fetchall()
