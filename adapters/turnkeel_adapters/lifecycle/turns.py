"""How do turns lie in `turnkeel.db`?"""

from collections.abc import Callable
from typing import Final, Literal, TypeAlias, cast

from attrs import evolve

from turnkeel_adapters.lifecycle.changed import changed
from turnkeel_adapters.lifecycle.tables import TurnNote
from turnkeel_adapters.state.remembered import StateConnection
from turnkeel_core import Lease, Turn
from turnkeel_core.lifecycle_states import Replay, TurnStatus

_COLUMNS: Final = (
    "turn_id, session, accepted_at_ms, status, identity, attempts_started, due_at_ms, token, lease_owner,"
    " lease_until_at_ms, replay, in_session, commands_abort, payload_ok, ack, acked_at_ms, completed_at_ms, reason"
)
_SELECT: Final = f"SELECT {_COLUMNS} FROM turn"
_OPEN: Final = "completed_at_ms IS NULL"
_ENDED: Final = "completed_at_ms IS NOT NULL"
_NAMES: Final = tuple(name.strip() for name in _COLUMNS.split(","))
_ACK: TypeAlias = Literal["completed", "failed"]
_Row: TypeAlias = tuple[
    str, str, int, TurnStatus, str | None, int, int | None, int, str | None, int | None, Replay, int, int, int,
    _ACK | None, int | None, int | None, str | None,
]  # fmt: skip

SQL: Final[dict[str, str]] = {
    "get": f"{_SELECT} WHERE turn_id = ?",
    "payload": "SELECT payload FROM turn WHERE turn_id = ?",
    "note": "SELECT error, uncertain, notice, withdrawal FROM turn WHERE turn_id = ?",
    "insert": f"INSERT INTO turn ({_COLUMNS}, payload) VALUES (?{', ?' * 18}) ON CONFLICT DO NOTHING",
    "update": "UPDATE turn SET {} WHERE turn_id = ? AND status = ? AND token = ?",
    "set_note": "UPDATE turn SET error = ?, uncertain = ?, notice = ?, withdrawal = ? WHERE turn_id = ?",
    "delete": "DELETE FROM turn WHERE turn_id = ?",
    "open": f"{_SELECT} WHERE {_OPEN} ORDER BY accepted_at_ms, turn_id",
    "open_of": f"{_SELECT} WHERE session = ? AND {_OPEN} ORDER BY accepted_at_ms, turn_id",
    "owners": f"SELECT DISTINCT lease_owner FROM turn WHERE {_OPEN} AND lease_owner IS NOT NULL",
    "last_ended_of": f"{_SELECT} WHERE session = ? AND {_ENDED} AND commands_abort = 0 AND turn_id IS NOT ?"
    " ORDER BY completed_at_ms DESC, turn_id DESC LIMIT 1",
    "withdrawals_due": f"{_SELECT} WHERE withdrawal = 'due' ORDER BY turn_id",
    "notices_due": f"{_SELECT} WHERE notice = 'due' ORDER BY completed_at_ms, turn_id LIMIT ?",
    "ended_before": f"{_SELECT} WHERE status = ?1 AND {_ENDED} AND completed_at_ms < ?2 AND NOT EXISTS (SELECT 1"
    " FROM outbox WHERE outbox.turn_id = turn.turn_id) ORDER BY completed_at_ms, turn_id LIMIT ?3",
}


class TurnRows:
    """The table `turn` on a connection inside a transaction, in which nobody else writes."""

    def __init__(self, connection: StateConnection, redact: Callable[[str], str]) -> None:
        self._db = connection
        self._redact = redact
        self._known = connection.remembered.turns
        self._rows_of = connection.remembered.rows_of

    def get(self, turn_id: str) -> Turn | None:
        """The turn, if there is one of that id."""
        if turn_id not in self._known:
            self._known[turn_id] = next(iter(self._turns("get", turn_id)), None)
        return self._known[turn_id]

    def payload(self, turn_id: str) -> str | None:
        """Its text as it was accepted."""
        found = cast("list[tuple[str]]", self._db.execute(SQL["payload"], (turn_id,)).fetchall())
        return found[0][0] if found else None

    def note(self, turn_id: str) -> TurnNote | None:
        """What it leaves to be told."""
        found = self._db.execute(SQL["note"], (turn_id,)).fetchall()
        typed = cast(
            "list[tuple[str | None, int, Literal['none', 'due', 'told'], Literal['none', 'due', 'done']]]", found
        )
        notes = (TurnNote(error=e, uncertain=bool(u), notice=n, withdrawal=w) for e, u, n, w in typed)
        return next(notes, None)

    def insert(self, turn: Turn, payload: str) -> bool:
        """False if its id is taken; `Identities` knows whether the message is there already."""
        turn = self._clean(turn)
        self._db.execute(SQL["insert"], (*_values(turn), payload))
        if not self._wrote(turn):
            return False
        self._rows_of[turn.turn_id] = []  # a row needs its turn to be there before it
        return True

    def update(self, before: Turn, after: Turn) -> bool:
        """False if status or token are no longer those of `before`."""
        after = self._clean(after)
        names, values = changed(_NAMES, _values(before), _values(after))
        self._db.execute(SQL["update"].format(names), (*values, before.turn_id, before.status, before.token))
        return self._wrote(after)

    def set_note(self, turn_id: str, note: TurnNote) -> None:
        """Keep what it leaves to be told."""
        error = None if note.error is None else self._redact(note.error)
        values = (error, int(note.uncertain), note.notice, note.withdrawal, turn_id)
        self._db.execute(SQL["set_note"], values).fetchall()

    def delete(self, turn_id: str) -> bool:
        """Whether there was one."""
        self._known.pop(turn_id, None)
        self._db.execute(SQL["delete"], (turn_id,)).fetchall()
        return self._db.changes() == 1

    def open(self) -> tuple[Turn, ...]:
        """All that have not ended."""
        return self._turns("open")

    def open_of(self, session: str) -> tuple[Turn, ...]:
        """Those of one session."""
        return self._turns("open_of", session)

    def owners(self) -> tuple[str, ...]:
        """Who runs turns now, or did when his process ended."""
        return tuple(name for (name,) in cast("list[tuple[str]]", self._db.execute(SQL["owners"]).fetchall()))

    def last_ended_of(self, session: str, but_not: str | None) -> Turn | None:
        """The one that ended last, stop words and `but_not` aside."""
        return next(iter(self._turns("last_ended_of", session, but_not)), None)

    def withdrawals_due(self) -> tuple[Turn, ...]:
        """Aborted ones whose inbound row is not known to be completed."""
        return self._turns("withdrawals_due")

    def notices_due(self, limit: int) -> tuple[Turn, ...]:
        """Failed ones of which nobody was told."""
        return self._turns("notices_due", limit)

    def ended_before(self, settled_ms: int, failed_ms: int, limit: int) -> tuple[Turn, ...]:
        """Ended ones without rows that are old enough to be forgotten."""
        failed = self._turns("ended_before", "failed_terminal", failed_ms, limit)
        delivered = self._turns("ended_before", "delivered", settled_ms, limit)
        return (*failed, *delivered, *self._turns("ended_before", "aborted", settled_ms, limit))[:limit]

    def _turns(self, name: str, *bindings: str | int | None) -> tuple[Turn, ...]:
        return tuple(_turn(cast(_Row, row)) for row in self._db.execute(SQL[name], bindings).fetchall())

    def _clean(self, turn: Turn) -> Turn:
        reason = None if turn.reason is None else self._redact(turn.reason)
        return turn if reason == turn.reason else evolve(turn, reason=reason)

    def _wrote(self, turn: Turn) -> bool:
        """Whether the statement that stores it changed anything; what is known of it from then on."""
        if self._db.changes() == 1:
            self._known[turn.turn_id] = turn
            return True
        self._known.pop(turn.turn_id, None)
        return False


def _values(turn: Turn) -> tuple[str | int | None, ...]:
    lease = turn.lease
    owner, until_ms = (None, None) if lease is None else (lease.owner, lease.until_at_ms)
    return (
        turn.turn_id, turn.session, turn.accepted_at_ms, turn.status, turn.identity, turn.attempts_started,
        turn.due_at_ms, turn.token, owner, until_ms, turn.replay, int(turn.in_session), int(turn.commands_abort),
        int(turn.payload_ok), turn.ack, turn.acked_at_ms, turn.completed_at_ms, turn.reason,
    )  # fmt: skip


def _turn(row: _Row) -> Turn:
    owner, until_ms = row[8], row[9]
    lease = None if owner is None or until_ms is None else Lease(owner=owner, token=row[7], until_at_ms=until_ms)
    return Turn(
        turn_id=row[0],
        session=row[1],
        accepted_at_ms=row[2],
        status=row[3],
        identity=row[4],
        attempts_started=row[5],
        due_at_ms=row[6],
        token=row[7],
        lease=lease,
        replay=row[10],
        in_session=bool(row[11]),
        commands_abort=bool(row[12]),
        payload_ok=bool(row[13]),
        ack=row[14],
        acked_at_ms=row[15],
        completed_at_ms=row[16],
        reason=row[17],
    )
