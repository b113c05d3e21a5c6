"""Which interrupted messages were never answered, and how do they get to an agent again, once?"""

from functools import partial
from typing import Final, Protocol

import apsw

from turnkeel_adapters.sessions.connect import transaction
from turnkeel_adapters.sessions.rows import text_of
from turnkeel_adapters.v1_messages.connect import BUSY_TIMEOUT_MS, MARKER, reading_v1
from turnkeel_adapters.v1_messages.dispatch import dispatch
from turnkeel_adapters.v1_messages.polling import POLL, get_new_messages
from turnkeel_adapters.v1_messages.records import Polled
from turnkeel_adapters.v1_messages.scan import read_dispatched
from turnkeel_adapters.v1_messages.store import V1Messages
from turnkeel_core import (
    LeaveAnswered,
    MessageKey,
    RequeueAction,
    RequeueBatch,
    RequeuePolicy,
    RequeueSnapshot,
    plan_requeue,
)

# A response counts as one to every message of its chat that is not later than it, as in the clearing of markers.
_ANSWERED: Final = f"""
SELECT chat_jid, id FROM messages AS asked
WHERE {MARKER} IS NOT NULL AND EXISTS (
  SELECT 1 FROM messages AS said
  WHERE said.chat_jid = asked.chat_jid AND (said.is_bot_message = 1 OR said.content LIKE ?)
    AND said.timestamp >= asked.timestamp AND said.id != asked.id
)
"""
_UNMARKED: Final = POLL.replace("WHERE timestamp > ?", f"WHERE timestamp > ? AND {MARKER} IS NULL")
_FINISH: Final = f"UPDATE messages SET {MARKER} = NULL WHERE chat_jid = ? AND id = ?"


class HandOn(Protocol):
    """Gives a chat's batch to the host's queue."""

    def __call__(self, chat: str, message_ids: tuple[str, ...], /) -> object: ...


def recover(
    messages: V1Messages, now_ms: int, hand_on: HandOn, *, assistant: str, policy: RequeuePolicy = RequeuePolicy()
) -> tuple[RequeueAction, ...]:
    """Once, at a start: what was planned, every batch marked anew immediately before it is handed on.

    With the default policy nothing is read or done. Marked anew, a batch that kills its host is tried again only
    after the threshold. V1Fault; what was handed on before stays so.
    """
    if not policy.enabled:
        return ()
    with reading_v1(messages.path, BUSY_TIMEOUT_MS) as db:
        seen = RequeueSnapshot(
            now_ms=now_ms, dispatched=read_dispatched(db).dispatched, answered=_answered(db, assistant)
        )
    actions = plan_requeue(seen, policy)
    for action in actions:
        match action:
            case LeaveAnswered():
                pass
            case RequeueBatch(chat, message_ids):
                batch = tuple(MessageKey(chat, message_id) for message_id in message_ids)
                dispatch(messages, batch, now_ms, partial(hand_on, chat, message_ids))
    return actions


def get_unmarked_messages(
    db: apsw.Connection, chats: tuple[str, ...], cursor: str, *, assistant: str, limit: int = 200
) -> Polled:
    """The host's poll without what has left the polling path; a marker of any age keeps a message out of it."""
    return get_new_messages(db, chats, cursor, assistant, limit, _UNMARKED)


def finish_without_reply(db: apsw.Connection, batch: tuple[MessageKey, ...]) -> None:
    """The run ended well and said nothing: without its markers this batch will not be run again at the next start."""
    with transaction(db):
        for key in batch:
            db.execute(_FINISH, (key.chat, key.message_id)).fetchall()


def _answered(db: apsw.Connection, assistant: str) -> tuple[MessageKey, ...]:
    rows = db.execute(_ANSWERED, (f"{assistant}:%",)).fetchall()
    return tuple(MessageKey(text_of(chat), text_of(message_id)) for chat, message_id in rows)
