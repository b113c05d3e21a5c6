"""How do outbox rows lie in `turnkeel.db`?"""

from collections.abc import Callable
from typing import Final, TypeAlias, cast

from attrs import evolve

from turnkeel_adapters.lifecycle.changed import changed
from turnkeel_adapters.state.remembered import StateConnection
from turnkeel_core import Lease, OutboxRow
from turnkeel_core.lifecycle_states import ROW_FAILED, DispatchKind, RowStatus

_COLUMNS: Final = (
    "row_id, kind, channel, lane, ordinal, queued_at_ms, idempotency_key, turn_id, source, status, attempts,"
    " due_at_ms, last_attempt_at_ms, send_started_at_ms, deferred_since_at_ms, completed_at_ms, parts, parts_proven,"
    " payload_ok, token, lease_owner, lease_until_at_ms, reason, last_error, session, retired"
)
# `retired` is the row's own id once it has failed, else "": its source and its key may then be used again.
_SELECT: Final = f"SELECT {_COLUMNS} FROM outbox"
_ENDED: Final = "completed_at_ms IS NOT NULL"
_NAMES: Final = tuple(name.strip() for name in _COLUMNS.split(","))
_Row: TypeAlias = tuple[
    str, DispatchKind, str, str, int, int, str, str | None, str | None, RowStatus, int, int | None, int | None,
    int | None, int | None, int | None, int, int, int, int, str | None, int | None, str | None, str | None, str, str,
]  # fmt: skip

SQL: Final[dict[str, str]] = {
    "get": f"{_SELECT} WHERE row_id = ?",
    "payload": "SELECT payload FROM outbox WHERE row_id = ?",
    "insert": f"INSERT INTO outbox ({_COLUMNS}, payload) VALUES (?{', ?' * 26}) ON CONFLICT DO NOTHING",
    "update": "UPDATE outbox SET {} WHERE row_id = ? AND status = ? AND token = ?",
    "delete": "DELETE FROM outbox WHERE row_id = ?",
    "of_turn": f"{_SELECT} WHERE turn_id = ?",
    "by_source": f"{_SELECT} WHERE source = ? ORDER BY rowid DESC LIMIT 1",
    "last_ordinal": "SELECT max(ordinal) FROM outbox WHERE lane = ? AND completed_at_ms IS NULL",
    "owners": "SELECT DISTINCT lease_owner FROM outbox WHERE completed_at_ms IS NULL AND lease_owner IS NOT NULL",
    "open": f"{_SELECT} WHERE completed_at_ms IS NULL ORDER BY lane, ordinal, queued_at_ms, row_id",
    "ended_before": f"{_SELECT} WHERE status = ?1 AND {_ENDED} AND completed_at_ms < ?2 AND (turn_id IS NULL OR"
    " EXISTS (SELECT 1 FROM turn WHERE turn.turn_id = outbox.turn_id AND turn.completed_at_ms IS NOT NULL))"
    " ORDER BY completed_at_ms, row_id LIMIT ?3",
}


class OutboxRows:
    """The table `outbox` on a connection inside a transaction, in which nobody else writes."""

    def __init__(self, connection: StateConnection, redact: Callable[[str], str]) -> None:
        self._db = connection
        self._redact = redact
        self._known = connection.remembered.rows
        self._of_turn = connection.remembered.rows_of

    def get(self, row_id: str) -> OutboxRow | None:
        """The row, if there is one of that id."""
        if row_id not in self._known:
            self._known[row_id] = next(iter(self._rows("get", row_id)), None)
        return self._known[row_id]

    def payload(self, row_id: str) -> str | None:
        """What is to be sent; the same bytes at every try."""
        found = cast("list[tuple[str]]", self._db.execute(SQL["payload"], (row_id,)).fetchall())
        return found[0][0] if found else None

    def insert(self, row: OutboxRow, payload: str) -> bool:
        """False if its id, its source or its key is taken."""
        row = self._clean(row)
        self._db.execute(SQL["insert"], (*_values(row), payload))
        if not self._wrote(row):
            return False
        if row.turn_id in self._of_turn:
            self._of_turn[row.turn_id].append(row.row_id)
        return True

    def update(self, before: OutboxRow, after: OutboxRow) -> bool:
        """False if status or token are no longer those of `before`."""
        after = self._clean(after)
        names, values = changed(_NAMES, _values(before), _values(after))
        self._db.execute(SQL["update"].format(names), (*values, before.row_id, before.status, before.token))
        return self._wrote(after)

    def delete(self, row_id: str) -> bool:
        """Whether there was one; its receipts and its life go with it."""
        self._known.pop(row_id, None)
        self._of_turn.clear()
        self._db.execute(SQL["delete"], (row_id,)).fetchall()
        return self._db.changes() == 1

    def of_turn(self, turn_id: str) -> tuple[OutboxRow, ...]:
        """All rows of a turn."""
        if turn_id not in self._of_turn:
            found = self._rows("of_turn", turn_id)
            self._known.update((row.row_id, row) for row in found)
            self._of_turn[turn_id] = [row.row_id for row in found]
        rows = (row for row_id in self._of_turn[turn_id] if (row := self.get(row_id)) is not None)
        # They are few: SQLite's sorter would cost more than all else of the query.
        return tuple(sorted(rows, key=_in_order))

    def by_source(self, source: str) -> OutboxRow | None:
        """What a container's reply became last, as long as that is kept: after a retry there are several rows of it."""
        return next(iter(self._rows("by_source", source)), None)

    def last_ordinal(self, lane: str) -> int | None:
        """The highest place among the open rows of a lane."""
        return cast("list[tuple[int | None]]", self._db.execute(SQL["last_ordinal"], (lane,)).fetchall())[0][0]

    def owners(self) -> tuple[str, ...]:
        """Who sends now, or did when his process ended."""
        return tuple(name for (name,) in cast("list[tuple[str]]", self._db.execute(SQL["owners"]).fetchall()))

    def open(self) -> tuple[OutboxRow, ...]:
        """All that have not ended."""
        return self._rows("open")

    def ended_before(self, settled_ms: int, failed_ms: int, limit: int) -> tuple[OutboxRow, ...]:
        """Ended ones, of ended turns or nobody's, that are old enough to be forgotten."""
        delivered = self._rows("ended_before", "delivered", settled_ms, limit)
        failed = self._rows("ended_before", "failed_terminal", failed_ms, limit)
        return (*delivered, *failed, *self._rows("ended_before", "expired", failed_ms, limit))[:limit]

    def _rows(self, name: str, *bindings: str | int) -> tuple[OutboxRow, ...]:
        return tuple(_row(cast(_Row, row)) for row in self._db.execute(SQL[name], bindings).fetchall())

    def _clean(self, row: OutboxRow) -> OutboxRow:
        if row.reason is None and row.last_error is None:
            return row
        reason, error = (None if text is None else self._redact(text) for text in (row.reason, row.last_error))
        return evolve(row, reason=reason, last_error=error)

    def _wrote(self, row: OutboxRow) -> bool:
        """Whether the statement that stores it changed anything; what is known of it from then on."""
        if self._db.changes() == 1:
            self._known[row.row_id] = row
            return True
        self._known.pop(row.row_id, None)
        return False


def _values(row: OutboxRow) -> tuple[str | int | None, ...]:
    lease = row.lease
    owner, until_ms = (None, None) if lease is None else (lease.owner, lease.until_at_ms)
    retired = row.row_id if row.status in ROW_FAILED else ""
    return (
        row.row_id, row.kind, row.channel, row.lane, row.ordinal, row.queued_at_ms, row.idempotency_key,
        row.turn_id, row.source, row.status, row.attempts, row.due_at_ms, row.last_attempt_at_ms,
        row.send_started_at_ms, row.deferred_since_at_ms, row.completed_at_ms, row.parts, row.parts_proven,
        int(row.payload_ok), row.token, owner, until_ms, row.reason, row.last_error, row.session, retired,
    )  # fmt: skip


def _in_order(row: OutboxRow) -> tuple[str, int, int, str]:
    return (row.lane, row.ordinal, row.queued_at_ms, row.row_id)


def _row(row: _Row) -> OutboxRow:
    owner, until_ms = row[20], row[21]
    lease = None if owner is None or until_ms is None else Lease(owner=owner, token=row[19], until_at_ms=until_ms)
    return OutboxRow(
        row_id=row[0],
        kind=row[1],
        channel=row[2],
        lane=row[3],
        ordinal=row[4],
        queued_at_ms=row[5],
        idempotency_key=row[6],
        turn_id=row[7],
        source=row[8],
        status=row[9],
        attempts=row[10],
        due_at_ms=row[11],
        last_attempt_at_ms=row[12],
        send_started_at_ms=row[13],
        deferred_since_at_ms=row[14],
        completed_at_ms=row[15],
        parts=row[16],
        parts_proven=row[17],
        payload_ok=bool(row[18]),
        token=row[19],
        lease=lease,
        reason=row[22],
        last_error=row[23],
        session=row[24],
    )
