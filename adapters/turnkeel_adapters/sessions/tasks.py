"""How are scheduled tasks kept in messages_in? (spec/nanoclaw.md §10)"""

import json
from enum import Enum
from typing import Final

import apsw
from attrs import frozen

from turnkeel_adapters.errors import RefusedMessage
from turnkeel_adapters.sessions.connect import transaction
from turnkeel_adapters.sessions.inbound import next_even_seq
from turnkeel_adapters.sessions.records import RecurringRow
from turnkeel_adapters.sessions.rows import text_of
from turnkeel_adapters.timestamps import sqlite_utc

_LIVE = "(id = :id OR series_id = :id) AND kind = 'task' AND status IN ('pending', 'paused')"


class Unchanged(Enum):
    """The mark of a field that an update leaves alone (None is a value there)."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED


@frozen(kw_only=True)
class NewTask:
    """A task to store; `process_after` and `recurrence` are stored as they are given."""

    task_id: str
    process_after: str | None
    recurrence: str | None
    content: str
    platform_id: str | None
    channel_type: str | None
    thread_id: str | None


@frozen(kw_only=True)
class TaskUpdate:
    """What changes in the live rows of a task; `script` and `recurrence` None clear the field."""

    prompt: str | Unchanged = UNCHANGED
    script: str | None | Unchanged = UNCHANGED
    recurrence: str | None | Unchanged = UNCHANGED
    process_after: str | None | Unchanged = UNCHANGED


def insert_task(db: apsw.Connection, task: NewTask, now_ms: int) -> None:
    """Store a pending task row, the first of its series."""
    with transaction(db):
        db.execute(
            """
            INSERT INTO messages_in (id, seq, kind, timestamp, status, tries, process_after, recurrence, series_id,
                                     platform_id, channel_type, thread_id, content)
            VALUES (?1, ?2, 'task', ?3, 'pending', 0, ?4, ?5, ?1, ?6, ?7, ?8, ?9)
            """,
            (
                task.task_id,
                next_even_seq(db),
                sqlite_utc(now_ms),
                task.process_after,
                task.recurrence,
                task.platform_id,
                task.channel_type,
                task.thread_id,
                task.content,
            ),
        ).fetchall()


def cancel_task(db: apsw.Connection, task_id: str) -> None:
    """End the live rows of a task (found by id or series): completed, and nothing recurs."""
    sql = f"UPDATE messages_in SET status = 'completed', recurrence = NULL WHERE {_LIVE}"
    db.execute(sql, {"id": task_id}).fetchall()


def pause_task(db: apsw.Connection, task_id: str) -> None:
    """Pause the pending rows of a task."""
    sql = f"UPDATE messages_in SET status = 'paused' WHERE {_LIVE} AND status = 'pending'"
    db.execute(sql, {"id": task_id}).fetchall()


def resume_task(db: apsw.Connection, task_id: str) -> None:
    """Make the paused rows of a task pending again."""
    sql = f"UPDATE messages_in SET status = 'pending' WHERE {_LIVE} AND status = 'paused'"
    db.execute(sql, {"id": task_id}).fetchall()


def update_task(db: apsw.Connection, task_id: str, update: TaskUpdate) -> int:
    """Change the live rows of a task, all or none, and return how many there are.

    Raises RefusedMessage where a prompt or script must be merged into a content that is no JSON object.
    """
    with transaction(db):
        rows = db.execute(f"SELECT id, content FROM messages_in WHERE {_LIVE}", {"id": task_id}).fetchall()
        for row_id, content in rows:
            values = _changed_columns(text_of(row_id), text_of(content), update)
            if values:
                columns = ", ".join(f"{column} = :{column}" for column in values)
                db.execute(f"UPDATE messages_in SET {columns} WHERE id = :id", {**values, "id": row_id}).fetchall()
    return len(rows)


def get_completed_recurring(db: apsw.Connection) -> tuple[RecurringRow, ...]:
    """Return the completed rows, of any kind, whose next occurrence is still to be made."""
    sql = "SELECT id, recurrence, kind FROM messages_in WHERE status = 'completed' AND recurrence IS NOT NULL"
    rows = db.execute(sql).fetchall()
    return tuple(
        RecurringRow(message_id=text_of(row_id), cron=text_of(cron), kind=text_of(kind)) for row_id, cron, kind in rows
    )


def insert_recurrence(db: apsw.Connection, source_id: str, new_id: str, process_after: str, now_ms: int) -> None:
    """Store the next occurrence of a row: its kind, cron, address, content and series, fresh in all else."""
    with transaction(db):
        db.execute(
            """
            INSERT INTO messages_in (id, seq, kind, timestamp, status, process_after, recurrence, series_id,
                                     platform_id, channel_type, thread_id, content)
            SELECT ?, ?, kind, ?, 'pending', ?, recurrence, series_id, platform_id, channel_type, thread_id, content
            FROM messages_in WHERE id = ?
            """,
            (new_id, next_even_seq(db), sqlite_utc(now_ms), process_after, source_id),
        ).fetchall()


def clear_recurrence(db: apsw.Connection, message_id: str) -> None:
    """Let a row recur no more."""
    db.execute("UPDATE messages_in SET recurrence = NULL WHERE id = ?", (message_id,)).fetchall()


def clone_recurrence(db: apsw.Connection, source_id: str, new_id: str, process_after: str, now_ms: int) -> bool:
    """Store the next occurrence and clear the old row's cron in one transaction; False if it was clear already."""
    with transaction(db):
        sql = "SELECT 1 FROM messages_in WHERE id = ? AND recurrence IS NOT NULL"
        if not db.execute(sql, (source_id,)).fetchall():
            return False
        insert_recurrence(db, source_id, new_id, process_after, now_ms)
        clear_recurrence(db, source_id)
    return True


def _changed_columns(row_id: str, content: str, update: TaskUpdate) -> dict[str, str | None]:
    values: dict[str, str | None] = {}
    if update.recurrence is not UNCHANGED:
        values["recurrence"] = update.recurrence
    if update.process_after is not UNCHANGED:
        values["process_after"] = update.process_after
    if update.prompt is not UNCHANGED or update.script is not UNCHANGED:
        values["content"] = _merged(row_id, content, update)
    return values


def _merged(row_id: str, content: str, update: TaskUpdate) -> str:
    try:
        merged: object = json.loads(content)
    except ValueError as error:
        raise RefusedMessage(f"task {row_id!r} holds a content that is not JSON: {error}") from error
    if not isinstance(merged, dict):
        raise RefusedMessage(f"task {row_id!r} holds a content that is no JSON object")
    parts = {"prompt": update.prompt, "script": update.script}
    changed = {name: part for name, part in parts.items() if part is not UNCHANGED}
    return json.dumps({**merged, **changed}, ensure_ascii=False, separators=(",", ":"))
