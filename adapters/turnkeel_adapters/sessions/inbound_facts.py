"""What does inbound.db say of the work that is still open?"""

from collections.abc import Iterator
from typing import Literal, TypeGuard

import apsw
from attrs import frozen

from turnkeel_adapters.sessions.outbound import due_instant
from turnkeel_adapters.sessions.records import RecurringRow, RowFault
from turnkeel_adapters.sessions.rows import SqlValue, columns_of, count_or_none, text_of, text_or_none
from turnkeel_adapters.timestamps import parse_sqlite_utc
from turnkeel_core.facts import OpenMessage

_STATUSES = ("pending", "paused", "failed")


@frozen(kw_only=True)
class InboundFacts:
    """The open rows, the rows with a cron text (in table order, as the existing host takes them), and the faults."""

    messages: tuple[OpenMessage, ...]
    crons: tuple[RecurringRow, ...]
    row_faults: tuple[RowFault, ...]


def read_inbound_facts(db: apsw.Connection) -> InboundFacts:
    """Read every row that is not completed, or that recurs, without its content; older files lack some columns."""
    columns = columns_of(db, "messages_in")
    trigger = "trigger" if "trigger" in columns else "1"
    on_wake = "on_wake" if "on_wake" in columns else "0"
    # Status and recurrence stand before the content in a row, so that finished rows cost no more than their head.
    sql = f"""
        SELECT id, status, tries, process_after, unixepoch(process_after), timestamp, recurrence, {trigger}, {on_wake},
               kind, rowid
        FROM messages_in WHERE status IS NOT 'completed' OR recurrence IS NOT NULL ORDER BY seq, rowid
    """
    messages: list[OpenMessage] = []
    crons: list[tuple[int, RecurringRow]] = []
    faults: list[RowFault] = []
    for message_id, status, *rest in db.execute(sql).fetchall():
        if not isinstance(message_id, str):
            faults += [_fault(None, "id", f"{message_id!r:.80} is no text; the row is left alone")]
            continue
        if rest[4] is not None and (status == "completed" or _is_open(status)):
            row = RecurringRow(message_id=message_id, cron=text_of(rest[4]), kind=text_of(rest[7]))
            crons += [(rest[8] if isinstance(rest[8], int) else 0, row)]
        if _is_open(status):
            messages += [_open_message(message_id, status, rest)]
            faults += _faults_of(message_id, rest)
        elif status != "completed":
            faults += [_fault(message_id, "status", f"{status!r:.80} is unknown; the row is left alone")]
    return InboundFacts(
        messages=tuple(messages),
        crons=tuple(row for _, row in sorted(crons, key=lambda cron: cron[0])),
        row_faults=tuple(faults),
    )


def _is_open(status: SqlValue) -> TypeGuard[Literal["pending", "paused", "failed"]]:
    return status in _STATUSES


def _open_message(
    message_id: str, status: Literal["pending", "paused", "failed"], values: list[SqlValue]
) -> OpenMessage:
    tries, process_after, second, timestamp, _, trigger, on_wake, kind, _ = values
    due_at_ms = due_instant(text_or_none(process_after), second)
    return OpenMessage(
        message_id=message_id,
        status=status,
        tries=tries if isinstance(tries, int) and tries >= 0 else None,
        due_at_ms=None if _never_due(process_after, second) else due_at_ms,
        never_due=_never_due(process_after, second),
        triggers=trigger == 1,
        first_poll_only=on_wake != 0,
        since_at_ms=parse_sqlite_utc(text_of(timestamp)) if due_at_ms is None else due_at_ms,
        task=kind == "task",
    )


def _never_due(process_after: SqlValue, second: SqlValue) -> bool:
    # The container asks SQLite's datetime(), so what SQLite cannot read is what the container never takes.
    return process_after is not None and second is None


def _faults_of(message_id: str, values: list[SqlValue]) -> Iterator[RowFault]:
    tries, process_after, second, *_ = values
    if _never_due(process_after, second):
        detail = f"{process_after!r:.80} is no timestamp SQLite reads: no container will ever take the row"
        yield _fault(message_id, "process_after", detail)
    count = count_or_none(tries)
    if tries is not None and (count is None or count < 0):
        yield _fault(message_id, "tries", f"{tries!r:.80} is no count; it is taken as 0")


def _fault(message_id: str | None, column: str, detail: str) -> RowFault:
    return RowFault(message_id=message_id, table="messages_in", column=column, detail=detail)
