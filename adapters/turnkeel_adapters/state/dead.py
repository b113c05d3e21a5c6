"""Which messages failed for good, with what payload, and why?"""

from typing import Literal, TypeAlias, cast

from attrs import frozen

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
_COLUMNS = "session, message_id, direction, payload, reason, detail, tries, incarnation, made_at_ms, state"


class DeadRecords:
    """The dead records of `turnkeel.db`."""

    def __init__(self, database: StateDatabase) -> None:
        self._database = database

    def keep(self, record: DeadRecord) -> None:
        """Durable before the row is settled; a record of the same message that is still open stays as it is."""
        with self._database.transaction() as db:
            db.execute(
                f"INSERT OR IGNORE INTO dead ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    record.session,
                    record.message_id,
                    record.direction,
                    record.payload,
                    record.reason,
                    record.detail,
                    record.tries,
                    record.incarnation,
                    record.made_at_ms,
                    record.state,
                ),
            )

    def of_message(self, session: str, message_id: str) -> tuple[DeadRecord, ...]:
        """All records of one message, oldest first."""
        sql = f"SELECT {_COLUMNS} FROM dead WHERE session = ? AND message_id = ? ORDER BY id"
        return tuple(_record(row) for row in self._database.rows(sql, session, message_id))

    def of_session(self, session: str, *, limit: int) -> tuple[DeadRecord, ...]:
        """The newest open records of one session, newest first."""
        sql = f"SELECT {_COLUMNS} FROM dead WHERE session = ? AND state = 'dead' ORDER BY id DESC LIMIT ?"
        return tuple(_record(row) for row in self._database.rows(sql, session, limit))

    def counts(self) -> dict[str, int]:
        """Open records by session."""
        rows = self._database.rows("SELECT session, count(*) FROM dead WHERE state = 'dead' GROUP BY session")
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
