"""What does a container ask of the host about its session's tasks, and what is done about it, once? (spec §10)

`messages_out` rows of kind `system` whose content names one of five actions. The tasks and the mark in `delivered` lie
in one file, so action, answer and mark are one transaction: whoever is killed, it happens once.
"""

import json
from collections.abc import Callable
from datetime import UTC
from typing import Final, cast

import apsw

from turnkeel_adapters.errors import RefusedMessage
from turnkeel_adapters.sessions import delivered, inbound, tasks
from turnkeel_adapters.sessions.connect import transaction
from turnkeel_adapters.sessions.tasks import UNCHANGED, NewTask, TaskUpdate, Unchanged
from turnkeel_adapters.timestamps import iso_utc, parse_sqlite_utc
from turnkeel_core.schedule import CronRefused, next_cron_run

_ID_LIMIT: Final = 200
_ORDER: Final = {"pause_task": tasks.pause_task, "resume_task": tasks.resume_task, "cancel_task": tasks.cancel_task}
ACTIONS: Final = frozenset((*_ORDER, "schedule_task", "update_task"))


class _Bad(Exception):
    """The action cannot be carried out; the text is for the agent."""


def action_of(content: str) -> str | None:
    """Which of the five actions a system row's content names; None: another one, which is somebody else's."""
    name = _object(content).get("action")
    return name if isinstance(name, str) and name in ACTIONS else None


def carry_out(db: apsw.Connection, message_out_id: str, content: str, answer_id: str, now_ms: int) -> str | None:
    """Carry the action out and mark its row, or tell the agent in a message why not; why not, if so.

    Nothing happens to a row that has its mark already, nor for content that is none of the five actions.
    """
    name = action_of(content)
    with transaction(db):
        if name is None or delivered.marked(db, (message_out_id,)):
            return None
        fault = None
        try:
            _act(db, name, _object(content), now_ms)
        except (_Bad, RefusedMessage) as bad:
            fault = f"{name}: {bad}"
            _answer(db, answer_id, fault, now_ms)
        delivered.mark_delivered(db, message_out_id, None, now_ms)
    return fault


def _act(db: apsw.Connection, name: str, asked: dict[str, object], now_ms: int) -> None:
    task_id = _task_id(asked)
    if name == "schedule_task":
        _schedule(db, task_id, asked, now_ms)
    elif name == "update_task":
        if tasks.update_task(db, task_id, _update(asked, now_ms)) == 0:
            raise _Bad(f'no live task matched id "{task_id}".')
    else:
        # The update without a field touches nothing, and counts.
        if tasks.update_task(db, task_id, TaskUpdate()) == 0:
            raise _Bad(f'no live task matched id "{task_id}".')
        act: Callable[[apsw.Connection, str], None] = _ORDER[name]
        act(db, task_id)


def _schedule(db: apsw.Connection, task_id: str, asked: dict[str, object], now_ms: int) -> None:
    prompt, script = asked.get("prompt"), asked.get("script")
    if not isinstance(prompt, str) or not prompt.strip():
        raise _Bad("prompt must be a text that says something.")
    if script is not None and not isinstance(script, str):
        raise _Bad("script must be a text or null.")
    if db.execute("SELECT 1 FROM messages_in WHERE id = ?", (task_id,)).fetchall():
        raise _Bad(f'there is a message with the id "{task_id}" already.')
    tasks.insert_task(
        db,
        NewTask(
            task_id=task_id,
            process_after=_instant(asked.get("processAfter")),
            recurrence=_cron(asked.get("recurrence"), now_ms),
            content=json.dumps({"prompt": prompt, "script": script}, ensure_ascii=False),
            platform_id=_text(asked, "platformId"),
            channel_type=_text(asked, "channelType"),
            thread_id=_text(asked, "threadId"),
        ),
        now_ms,
    )


def _update(asked: dict[str, object], now_ms: int) -> TaskUpdate:
    """Only texts are taken, and null where the contract lets it clear a field."""
    prompt, after = asked.get("prompt"), asked.get("processAfter")
    return TaskUpdate(
        prompt=prompt if isinstance(prompt, str) else UNCHANGED,
        script=_or_null(asked, "script"),
        recurrence=UNCHANGED if _or_null(asked, "recurrence") is UNCHANGED else _cron(asked["recurrence"], now_ms),
        process_after=_instant(after) if isinstance(after, str) else UNCHANGED,
    )


def _or_null(asked: dict[str, object], name: str) -> str | None | Unchanged:
    value = asked.get(name, UNCHANGED)
    return value if value is None or isinstance(value, str) else UNCHANGED


def _task_id(asked: dict[str, object]) -> str:
    task_id = asked.get("taskId")
    if not isinstance(task_id, str) or not task_id or len(task_id) > _ID_LIMIT or not task_id.isprintable():
        raise _Bad(f"taskId must be a text of 1 to {_ID_LIMIT} letters.")
    return task_id


def _instant(value: object) -> str | None:
    if value is None:
        return None
    at_ms = parse_sqlite_utc(value) if isinstance(value, str) else None
    if at_ms is None:
        raise _Bad(f"processAfter is no instant: {value!r:.80}; write 2026-03-10T09:00:00.000Z.")
    return iso_utc(at_ms)


def _cron(value: object, now_ms: int) -> str | None:
    if value is None or not isinstance(value, str):
        if value is not None:
            raise _Bad("recurrence must be a cron text or null.")
        return None
    # The zone changes when it fires, not whether the text is one.
    answer = next_cron_run(value, UTC, now_ms)
    if isinstance(answer, CronRefused):
        raise _Bad(f"recurrence is refused: {answer.reason}.")
    return value


def _text(asked: dict[str, object], name: str) -> str | None:
    value = asked.get(name)
    if value is not None and not isinstance(value, str):
        raise _Bad(f"{name} must be a text or null.")
    return value


def _answer(db: apsw.Connection, answer_id: str, text: str, now_ms: int) -> None:
    row = inbound.InboundRow(
        id=answer_id,
        kind="chat",
        timestamp=iso_utc(now_ms),
        content=json.dumps({"text": text, "sender": "system"}, ensure_ascii=False),
        process_after=None,
        recurrence=None,
        trigger=1,
        platform_id=None,
        channel_type=None,
        thread_id=None,
        source_session_id=None,
        on_wake=0,
    )
    inbound.insert_message(db, row)


def _object(content: str) -> dict[str, object]:
    try:
        found: object = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, object]", found) if isinstance(found, dict) else {}
