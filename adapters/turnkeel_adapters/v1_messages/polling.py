"""Which messages are new? The poll of NanoClaw v1 as it is (spec/tars-and-b01.md §1.2)."""

from typing import Final, cast

import apsw

from turnkeel_adapters.sessions.rows import text_of
from turnkeel_adapters.v1_messages.records import Polled, V1Message

POLL: Final = """
SELECT * FROM (
  SELECT id, chat_jid, sender, sender_name, content, timestamp, is_from_me
  FROM messages
  WHERE timestamp > ? AND chat_jid IN ({chats})
    AND is_bot_message = 0 AND content NOT LIKE ?
    AND content != '' AND content IS NOT NULL
  ORDER BY timestamp DESC
  LIMIT ?
) ORDER BY timestamp
"""


def get_new_messages(
    db: apsw.Connection, chats: tuple[str, ...], cursor: str, assistant: str, limit: int, sql: str = POLL
) -> Polled:
    """The newest `limit` messages after the cursor, oldest first, and the cursor behind them.

    Messages of the agent, by flag or by its name before a colon, and empty ones are none. What is older than the
    newest `limit` is passed over, as in the host.
    """
    if not chats:
        return Polled(messages=(), cursor=cursor)
    query = sql.format(chats=", ".join("?" for _ in chats))
    rows = db.execute(query, (cursor, *chats, f"{assistant}:%", limit)).fetchall()
    found = tuple(_message(cast("tuple[str, ...]", row)) for row in rows)
    return Polled(messages=found, cursor=max((cursor, *(message.timestamp for message in found))))


def _message(row: tuple[str | int | None, ...]) -> V1Message:
    message_id, chat, sender, sender_name, content, timestamp, from_me = row
    return V1Message(
        message_id=text_of(message_id),
        chat=text_of(chat),
        sender=text_of(sender),
        sender_name=text_of(sender_name),
        content=text_of(content),
        timestamp=text_of(timestamp),
        from_me=bool(from_me),
    )
