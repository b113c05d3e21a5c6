"""How are the rows of outbound.db written? One function per fact; the caller holds the transaction."""

import json
import uuid
from collections.abc import Sequence
from pathlib import Path

import apsw
from attrs import field, frozen

from turnkeel_adapters.errors import AdapterError, SessionFault
from turnkeel_adapters.sessions.connect import open_for_writing, transaction
from turnkeel_adapters.sessions.container_inbound import Routing
from turnkeel_adapters.sessions.faults import faults_named
from turnkeel_adapters.sessions.schema import CONTAINER_STATE_SCHEMA, SESSION_STATE_SCHEMA
from turnkeel_adapters.timestamps import iso_utc, sqlite_utc

WAITING_KEY = "turnkeel:waiting"
ERROR_KEY = "turnkeel:error:"
_DETAIL_BYTES = 8_192
_IDS_PER_QUERY = 500


class ClaimLost(AdapterError):
    """The host took the claim back: it holds this container for dead and may run another; end this process."""


def new_reply_id() -> str:
    """Return an id that no other reply has."""
    return f"out-{uuid.uuid4().hex}"


@frozen(kw_only=True)
class Reply:
    """A text for the chat that `routing` names; `files` are the names of those in `outbox/<reply_id>/`."""

    text: str
    in_reply_to: str | None = None
    routing: Routing = field(factory=Routing)
    files: tuple[str, ...] = ()
    reply_id: str = field(factory=new_reply_id)


@frozen(kw_only=True)
class ErrorNote:
    """Why an attempt failed: a short reason in the agent's words, and a detail whose last 8 KiB are kept."""

    reason: str
    detail: str = ""


def open_outbound(path: Path) -> apsw.Connection:
    """Open an existing outbound.db to write, with the state tables made if missing; raises SessionFault.

    A hot journal of an earlier container is rolled back by this open.
    """
    db = open_for_writing(path)
    try:
        with faults_named(path), transaction(db):
            _complete_schema(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _complete_schema(db: apsw.Connection, path: Path) -> None:
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()}
    if missing := {"messages_out", "processing_ack"} - tables:
        raise SessionFault(path, "wrong_schema", f"no table {', '.join(sorted(missing))}")
    db.execute(SESSION_STATE_SCHEMA + CONTAINER_STATE_SCHEMA).fetchall()
    columns = {name for (name,) in db.execute("SELECT name FROM pragma_table_info('session_state')").fetchall()}
    if "updated_at" not in columns:
        db.execute("ALTER TABLE session_state ADD COLUMN updated_at TEXT NOT NULL DEFAULT ''").fetchall()


def acked_of(db: apsw.Connection, message_ids: Sequence[str]) -> frozenset[str]:
    """Return those of the ids that have an ack of any kind."""
    found: set[str] = set()
    for start in range(0, len(message_ids), _IDS_PER_QUERY):
        asked = tuple(message_ids[start : start + _IDS_PER_QUERY])
        marks = ",".join("?" * len(asked))
        rows = db.execute(f"SELECT message_id FROM processing_ack WHERE message_id IN ({marks})", asked).fetchall()
        found.update(key for (key,) in rows if isinstance(key, str))
    return frozenset(found)


def reply_ids(db: apsw.Connection) -> frozenset[str]:
    """Return the ids of all replies written so far."""
    return frozenset(key for (key,) in db.execute("SELECT id FROM messages_out").fetchall() if isinstance(key, str))


def put_acks(db: apsw.Connection, message_ids: Sequence[str], status: str, stamp: str) -> None:
    """Set the acks of the messages."""
    db.executemany(
        "INSERT OR REPLACE INTO processing_ack (message_id, status, status_changed) VALUES (?, ?, ?)",
        [(message_id, status, stamp) for message_id in message_ids],
    )


def require_claim(db: apsw.Connection, message_id: str, stamp: str) -> None:
    """Raise ClaimLost unless the message is still claimed by the claim that wrote `stamp`."""
    asked = "SELECT status, status_changed FROM processing_ack WHERE message_id = ?"
    rows = db.execute(asked, (message_id,)).fetchall()
    if rows != [("processing", stamp)]:
        raise ClaimLost(
            f"message {message_id}: the claim of {stamp} is no longer there ({rows[0] if rows else 'no ack'}); "
            "the host took it back and may run another container, so nothing was written: end this process"
        )


def insert_reply(db: apsw.Connection, reply: Reply, inbound_top_seq: int, now_ms: int) -> None:
    """Insert the reply with the next odd number above everything in both files."""
    ((top,),) = db.execute("SELECT MAX(seq) FROM messages_out").fetchall()
    highest = max(inbound_top_seq, top if isinstance(top, int) else 0)
    # A lone surrogate cannot be stored as UTF-8; the reply goes out with a mark in its place.
    content: dict[str, str | tuple[str, ...]] = {"text": reply.text.encode(errors="replace").decode()}
    if reply.files:
        content["files"] = reply.files
    db.execute(
        """INSERT INTO messages_out
           (id, seq, in_reply_to, timestamp, kind, platform_id, channel_type, thread_id, content)
           VALUES (?, ?, ?, ?, 'chat', ?, ?, ?, ?)""",
        (
            reply.reply_id,
            highest + 1 + highest % 2,
            reply.in_reply_to,
            sqlite_utc(now_ms),
            reply.routing.platform_id,
            reply.routing.channel_type,
            reply.routing.thread_id,
            json.dumps(content, ensure_ascii=False),
        ),
    )


def stamp_progress(db: apsw.Connection, now_ms: int) -> None:
    """Record that the work moves."""
    db.execute(
        """INSERT INTO container_state (id, updated_at) VALUES (1, ?)
           ON CONFLICT (id) DO UPDATE SET updated_at = excluded.updated_at""",
        (iso_utc(now_ms),),
    )


def put_tool(db: apsw.Connection, name: str, timeout_ms: int | None, started_at_ms: int, now_ms: int) -> None:
    """Record the running tool."""
    db.execute(
        """INSERT OR REPLACE INTO container_state
           (id, current_tool, tool_declared_timeout_ms, tool_started_at, updated_at) VALUES (1, ?, ?, ?, ?)""",
        (name, timeout_ms, iso_utc(started_at_ms), iso_utc(now_ms)),
    )


def drop_tool(db: apsw.Connection, now_ms: int) -> None:
    """Record that no tool runs."""
    db.execute("INSERT OR REPLACE INTO container_state (id, updated_at) VALUES (1, ?)", (iso_utc(now_ms),))


def put_waiting(db: apsw.Connection, reason: str, until_at_ms: int | None, now_ms: int) -> None:
    """Record what the work waits for, and until when."""
    _put_state(db, WAITING_KEY, {"reason": reason, "until_at_ms": until_at_ms}, now_ms)


def put_note(db: apsw.Connection, message_id: str, note: ErrorNote, now_ms: int) -> None:
    """Record why an attempt at the message failed."""
    detail = note.detail.encode(errors="replace")[-_DETAIL_BYTES:].decode(errors="ignore")
    _put_state(db, ERROR_KEY + message_id, {"reason": note.reason, "detail": detail, "at_ms": now_ms}, now_ms)


def drop_state(db: apsw.Connection, key: str) -> None:
    """Remove a note of the session's state."""
    db.execute("DELETE FROM session_state WHERE key = ?", (key,))


def _put_state(db: apsw.Connection, key: str, value: dict[str, str | int | None], now_ms: int) -> None:
    db.execute(
        "INSERT OR REPLACE INTO session_state (key, value, updated_at) VALUES (?, ?, ?)",
        (key, json.dumps(value, ensure_ascii=False), iso_utc(now_ms)),
    )
