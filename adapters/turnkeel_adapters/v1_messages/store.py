"""How are v1 messages stored, polled and marked, so that a marker stands until an answer is stored?"""

from pathlib import Path
from types import TracebackType
from typing import Final, Self, cast

from turnkeel_adapters.errors import RefusedMessage
from turnkeel_adapters.sessions.connect import transaction
from turnkeel_adapters.sessions.rows import columns_of
from turnkeel_adapters.timestamps import iso_utc, parse_sqlite_utc
from turnkeel_adapters.v1_messages.connect import BUSY_TIMEOUT_MS, MARKER, V1Fault, faults_of, open_v1
from turnkeel_adapters.v1_messages.migrate import add_marker
from turnkeel_adapters.v1_messages.polling import get_new_messages
from turnkeel_adapters.v1_messages.records import Polled, V1Message
from turnkeel_core import MarkDispatched, MessageKey

_KEYS: Final = ("id", "chat_jid")
_MARK: Final = f"UPDATE messages SET {MARKER} = ? WHERE chat_jid = ? AND id = ?"
_CLEAR: Final = f"UPDATE messages SET {MARKER} = NULL WHERE chat_jid = ? AND {MARKER} IS NOT NULL AND timestamp <= ?"


class UnknownMessage(V1Fault):
    """A batch names a message that is not stored: nothing of it was marked."""

    def __init__(self, path: Path, key: MessageKey) -> None:
        super().__init__(path, f"no message {key.message_id} in chat {key.chat}; nothing was marked")
        self.key = key


class V1Messages:
    """The `messages` table of a v1 host that stores, polls and dispatches through it; one thread at a time.

    `assistant` is the name before a colon by which older rows of the agent are known, as in the host's own poll.
    """

    def __init__(self, path: Path, *, assistant: str, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> None:
        """Open an existing database and migrate it; V1Fault if it cannot be used."""
        self.path = path
        self._assistant = assistant
        self._db = open_v1(path, busy_timeout_ms)
        with faults_of(path):
            add_marker(self._db)
            self._columns = columns_of(self._db, "messages")

    def store(self, message: V1Message) -> int:
        """Store a message, or store it anew under its key; a response of the agent clears markers: how many.

        A message that comes again keeps its marker. The answer and the clearing are one transaction: of the answer's
        chat, with a marker, and not later than the answer (B-01). RefusedMessage for a timestamp that is no instant
        or a column that the table has not; V1Fault if it could not be stored.
        """
        values = self._values(message)
        others = ", ".join(f"{name} = excluded.{name}" for name in values if name not in _KEYS)
        marks = ", ".join("?" for _ in values)
        upsert = (
            f"INSERT INTO messages ({', '.join(values)}) VALUES ({marks})"
            f" ON CONFLICT (id, chat_jid) DO UPDATE SET {others}"
        )
        with faults_of(self.path), transaction(self._db):
            self._db.execute(upsert, tuple(values.values())).fetchall()
            if not message.bot and not self._has_prefix(message.content):
                return 0
            self._db.execute(_CLEAR, (message.chat, values["timestamp"])).fetchall()
            return self._db.changes()

    def mark_dispatched(self, mark: MarkDispatched) -> int:
        """Give the whole batch its marker, over any that is there, or nothing of it; how many messages that were.

        UnknownMessage if one is not stored, V1Fault if it could not be written.
        """
        with faults_of(self.path), transaction(self._db):
            for key in mark.batch:
                self._db.execute(_MARK, (iso_utc(mark.at_ms), key.chat, key.message_id)).fetchall()
                if self._db.changes() != 1:
                    raise UnknownMessage(self.path, key)
        return len(mark.batch)

    def get_new_messages(self, chats: tuple[str, ...], cursor: str, limit: int = 200) -> Polled:
        """The host's own poll, which knows of no marker; V1Fault."""
        with faults_of(self.path):
            return get_new_messages(self._db, chats, cursor, self._assistant, limit)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _values(self, message: V1Message) -> dict[str, str | int | None]:
        at_ms = parse_sqlite_utc(message.timestamp)
        if at_ms is None:
            raise RefusedMessage(f"{message.message_id}: the timestamp {message.timestamp[:40]!r} is no instant")
        values: dict[str, str | int | None] = {
            "id": message.message_id,
            "chat_jid": message.chat,
            "sender": message.sender,
            "sender_name": message.sender_name,
            "content": message.content,
            "timestamp": iso_utc(at_ms),
            "is_from_me": int(message.from_me),
            "is_bot_message": int(message.bot),
        }
        for name, value in message.more:
            # The names stand in the statement itself: only those of the table, and never the marker.
            if name not in self._columns or name in values or name == MARKER:
                raise RefusedMessage(f"{message.message_id}: {name[:40]!r} is no further column of this table")
            values[name] = value
        return values

    def _has_prefix(self, content: str) -> bool:
        found = self._db.execute("SELECT ? LIKE ?", (content, f"{self._assistant}:%")).fetchall()
        return bool(cast("list[tuple[int]]", found)[0][0])
