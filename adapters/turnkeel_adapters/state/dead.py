"""Which messages failed for good, with what payload, and why?"""

from collections.abc import Callable
from typing import Final, Literal, Protocol, TypeAlias, cast

import apsw
from attrs import frozen

from turnkeel_adapters.sessions.error_notes import read_error_note
from turnkeel_adapters.state.database import StateDatabase


@frozen(kw_only=True)
class DeadRecord:
    """A message that will not be tried again by itself. Payload, reason and a way back are kept."""

    session: str
    message_id: str
    direction: Literal["inbound", "outbound"] = "inbound"
    payload: str | None
    reason: str
    detail: str | None = None
    tries: int | None = None
    incarnation: int | None = None
    made_at_ms: int
    state: Literal["dead", "retried", "dropped"] = "dead"


class _Words(Protocol):
    def payload(self, message_id: str) -> str | None: ...
    def error_note(self, message_id: str) -> str | None: ...


def compose_dead(
    session: str,
    store: _Words,
    incarnation: int,
    at_ms: int,
    message_id: str,
    reason: str,
    tries: int | None = None,
) -> DeadRecord:
    """The record of a message that failed, with its payload and what the agent itself said of the failure."""
    word = read_error_note(store.error_note(message_id))
    return DeadRecord(
        session=session,
        message_id=message_id,
        payload=store.payload(message_id),
        reason=word.reason or reason,
        detail=f"{reason}; {word.detail}" if word.detail else reason,
        tries=tries,
        incarnation=incarnation,
        made_at_ms=at_ms,
    )


_Row: TypeAlias = tuple[
    str,
    str,
    Literal["inbound", "outbound"],
    str | None,
    str,
    str | None,
    int | None,
    int | None,
    int,
    Literal["dead", "retried", "dropped"],
]
_COLUMNS: Final = "session, message_id, direction, payload, reason, detail, tries, incarnation, made_at_ms, state"
SQL: Final[dict[str, str]] = {
    "keep": f"INSERT INTO dead ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (session, direction, message_id) WHERE state = 'dead' DO NOTHING",
    "settle": "UPDATE dead SET state = ? WHERE session = ? AND direction = ? AND message_id = ? AND state = 'dead'",
    "of_message": f"SELECT {_COLUMNS} FROM dead WHERE session = ? AND message_id = ? ORDER BY id",
    "of_session": f"SELECT {_COLUMNS} FROM dead WHERE session = ? AND state = 'dead' ORDER BY id DESC LIMIT ?",
    "counts": "SELECT session, count(*) FROM dead WHERE state = 'dead' GROUP BY session",
}


class DeadRows:
    """The table `dead` on a connection inside a transaction."""

    def __init__(self, connection: apsw.Connection, redact: Callable[[str], str] = str) -> None:
        self._db = connection
        self._redact = redact

    def keep(self, record: DeadRecord) -> bool:
        """False if a record of the same message is still open; that stays as it is."""
        values = (
            record.session,
            record.message_id,
            record.direction,
            record.payload,
            self._redact(record.reason),
            None if record.detail is None else self._redact(record.detail),
            record.tries,
            record.incarnation,
            record.made_at_ms,
            record.state,
        )
        self._db.execute(SQL["keep"], values).fetchall()
        return self._db.changes() == 1

    def settle(self, record: DeadRecord, state: Literal["retried", "dropped"]) -> bool:
        """The open record of the same message goes this way; False if there is none."""
        letter = (record.session, record.direction, record.message_id)
        self._db.execute(SQL["settle"], (state, *letter)).fetchall()
        return self._db.changes() == 1

    def of_message(self, session: str, message_id: str) -> tuple[DeadRecord, ...]:
        """All records of one message, oldest first."""
        return tuple(_record(row) for row in self._db.execute(SQL["of_message"], (session, message_id)).fetchall())


class DeadRecords:
    """The dead records of `turnkeel.db`."""

    def __init__(self, database: StateDatabase, redact: Callable[[str], str] = str) -> None:
        self._database = database
        self._redact = redact

    def keep(self, record: DeadRecord) -> None:
        """Durable before the row is settled; a record of the same message that is still open stays as it is."""
        with self._database.transaction() as db:
            DeadRows(db, self._redact).keep(record)

    def of_message(self, session: str, message_id: str) -> tuple[DeadRecord, ...]:
        """All records of one message, oldest first."""
        return tuple(_record(row) for row in self._database.rows(SQL["of_message"], session, message_id))

    def of_session(self, session: str, *, limit: int) -> tuple[DeadRecord, ...]:
        """The newest open records of one session, newest first."""
        return tuple(_record(row) for row in self._database.rows(SQL["of_session"], session, limit))

    def counts(self) -> dict[str, int]:
        """Open records by session."""
        rows = self._database.rows(SQL["counts"])
        return dict(cast("list[tuple[str, int]]", rows))


def _record(row: tuple[object, ...]) -> DeadRecord:
    typed = cast(_Row, row)
    return DeadRecord(
        session=typed[0],
        message_id=typed[1],
        direction=typed[2],
        payload=typed[3],
        reason=typed[4],
        detail=typed[5],
        tries=typed[6],
        incarnation=typed[7],
        made_at_ms=typed[8],
        state=typed[9],
    )
