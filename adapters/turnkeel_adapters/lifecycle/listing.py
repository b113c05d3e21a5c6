"""Which turns, outbox rows and dead letters are there? Page by page, the newest first, at one instant.

What ended is listed from its latest end on, if it is asked for by its end; else the order is that of coming in.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final, Literal, TypeAlias, cast, get_args

from attrs import frozen

from turnkeel_adapters.lifecycle.store import StateTables
from turnkeel_adapters.lifecycle.tables import TurnNote
from turnkeel_adapters.lifecycle.work import LifecycleWork
from turnkeel_adapters.state.database import StateDatabase
from turnkeel_adapters.state.dead import DeadRecord
from turnkeel_adapters.state.remembered import StateConnection
from turnkeel_core import OutboxRow, Receipt, Turn
from turnkeel_core.lifecycle_states import ROW_TERMINAL, TURN_TERMINAL, TurnStatus

DeadState: TypeAlias = Literal["dead", "retried", "dropped"]
_Letter: TypeAlias = tuple[
    int, str, str, Literal["inbound", "outbound"], str | None, str, str | None, int | None, int | None, int, DeadState
]

# Each walk along an index, or along the table in the order of storing: what it needs, and its two columns of order.
_PLACE: Final = "({at}, {key}) < (SELECT {at}, {key} FROM {table} WHERE {key} = :after)"
_TURN: Final = {"table": "turn", "key": "turn_id", "at": "accepted_at_ms"}
_ROW: Final = {"table": "outbox", "key": "row_id", "at": "queued_at_ms"}
_DEAD: Final = (
    "SELECT id, session, message_id, direction, payload, reason, detail, tries, incarnation, made_at_ms, state"
    " FROM dead"
)
_LAST: Final = "\U0010ffff"

SQL: Final[dict[str, str]] = {
    "prefix_turn": "SELECT turn_id FROM turn WHERE turn_id >= :low AND turn_id < :high ORDER BY turn_id LIMIT :limit",
    "prefix_row": "SELECT row_id FROM outbox WHERE row_id >= :low AND row_id < :high ORDER BY row_id LIMIT :limit",
    "by_source": "SELECT row_id FROM outbox WHERE source IS NOT NULL AND instr(source, :low) > 0 ORDER BY rowid DESC"
    " LIMIT :limit",
    "dead": f"{_DEAD} WHERE state = :state AND id < :after ORDER BY id DESC LIMIT :limit",
    "dead_of": f"{_DEAD} WHERE state = :state AND session = :session AND id < :after ORDER BY id DESC LIMIT :limit",
    "dead_named": f"{_DEAD} WHERE message_id >= :low AND message_id < :high ORDER BY id DESC LIMIT :limit",
    "dead_one": f"{_DEAD} WHERE id = :id",
    "key_holder": "SELECT row_id FROM outbox WHERE idempotency_key = :key AND retired = ''",
}


@frozen(kw_only=True)
class TurnSummary:
    """A turn with what its end left, and all of its rows."""

    turn: Turn
    note: TurnNote
    rows: tuple[OutboxRow, ...]


@frozen(kw_only=True)
class RowSummary:
    """An outbox row with the channel's proofs."""

    row: OutboxRow
    receipts: tuple[Receipt, ...]


@frozen(kw_only=True)
class DeadLetter:
    """A dead record; `number` is its place among all."""

    number: int
    record: DeadRecord


class Listing:
    """What a person is shown, on a connection inside a reading or, with `work` to write, a transaction.

    `redact` takes the secrets out of what is written.
    """

    def __init__(self, connection: StateConnection, redact: Callable[[str], str] = str) -> None:
        self._db = connection
        self.tables = StateTables(connection, redact)
        self.work = LifecycleWork(self.tables)

    def turns(
        self, *, limit: int, after: str | None = None, session: str | None = None, statuses: tuple[str, ...] = ()
    ) -> tuple[TurnSummary, ...]:
        """Up to `limit` after the one named, which must be there still. No status is every one.

        Of one session, without a status, those that are open come first.
        """
        if session is not None and not statuses:
            return self._of_session(session, limit, after)
        found = self._ids(_TURN, TURN_TERMINAL, statuses, limit=limit, after=after, session=session)
        return tuple(one for turn_id in found if (one := self.turn(turn_id)) is not None)

    def rows(
        self,
        *,
        limit: int,
        after: str | None = None,
        session: str | None = None,
        statuses: tuple[str, ...] = (),
        channel: str | None = None,
    ) -> tuple[RowSummary, ...]:
        """The same of outbox rows. Rows of one channel are picked from the others along the way."""
        found = self._ids(_ROW, ROW_TERMINAL, statuses, limit=limit, after=after, session=session, channel=channel)
        return tuple(one for row_id in found if (one := self.row(row_id)) is not None)

    def turn(self, turn_id: str) -> TurnSummary | None:
        """One turn."""
        turn = self.tables.turns.get(turn_id)
        if turn is None:
            return None
        note = self.tables.turns.note(turn_id) or TurnNote()
        return TurnSummary(turn=turn, note=note, rows=self.tables.outbox.of_turn(turn_id))

    def row(self, row_id: str) -> RowSummary | None:
        """One row."""
        row = self.tables.outbox.get(row_id)
        return None if row is None else RowSummary(row=row, receipts=self.tables.receipts.of_row(row_id))

    def turns_named(self, prefix: str, limit: int) -> tuple[str, ...]:
        """The ids of turns that begin like this."""
        return self._texts("prefix_turn", low=prefix, high=prefix + _LAST, limit=limit)

    def rows_named(self, prefix: str, limit: int) -> tuple[str, ...]:
        """The ids of rows that begin like this."""
        return self._texts("prefix_row", low=prefix, high=prefix + _LAST, limit=limit)

    def rows_from(self, part: str, limit: int) -> tuple[str, ...]:
        """The ids of rows whose source has this in it, newest first: goes through all sources."""
        return self._texts("by_source", low=part, limit=limit)

    def dead(
        self, *, limit: int, after: int | None = None, session: str | None = None, state: DeadState = "dead"
    ) -> tuple[DeadLetter, ...]:
        """Up to `limit` dead letters in this state before the one of this number."""
        named = "dead" if session is None else "dead_of"
        more: dict[str, int | str] = {} if session is None else {"session": session}
        return self._letters(named, state=state, after=2**63 - 1 if after is None else after, limit=limit, **more)

    def dead_named(self, prefix: str, limit: int) -> tuple[DeadLetter, ...]:
        """Those in any state whose message id begins like this: goes through all of them."""
        return self._letters("dead_named", low=prefix, high=prefix + _LAST, limit=limit)

    def dead_numbered(self, number: int) -> DeadLetter:
        """The one of this number; LookupError if there is none."""
        for letter in self._letters("dead_one", id=number):
            return letter
        raise LookupError(f"there is no dead letter {number}")

    def key_holder(self, key: str) -> str | None:
        """The id of the row that has this idempotency key and has not failed."""
        return next(iter(self._texts("key_holder", key=key)), None)

    def _of_session(self, session: str, limit: int, after: str | None) -> tuple[TurnSummary, ...]:
        last = None if after is None else self.tables.turns.get(after)
        ended = last is not None and last.status in TURN_TERMINAL
        first = () if ended else self.turns(limit=limit, after=after, session=session, statuses=_TURN_OPEN)
        place, left = after if ended else None, limit - len(first)
        return (*first, *self.turns(limit=left, after=place, session=session, statuses=tuple(TURN_TERMINAL)))

    def _ids(
        self, of: dict[str, str], terminal: frozenset[str], statuses: tuple[str, ...], **bindings: int | str | None
    ) -> tuple[str, ...]:
        given = frozenset(name for name, value in bindings.items() if value is not None)
        return self._run(walk(of, terminal, statuses, given), **bindings)

    def _texts(self, name: str, **bindings: int | str) -> tuple[str, ...]:
        return self._run(SQL[name], **bindings)

    def _run(self, sql: str, **bindings: int | str | None) -> tuple[str, ...]:
        return tuple(cast(str, found[0]) for found in self._db.execute(sql, bindings).fetchall())

    def _letters(self, name: str, **bindings: int | str) -> tuple[DeadLetter, ...]:
        return tuple(_letter(cast(_Letter, row)) for row in self._db.execute(SQL[name], bindings).fetchall())


def _letter(row: _Letter) -> DeadLetter:
    record = DeadRecord(
        session=row[1],
        message_id=row[2],
        direction=row[3],
        payload=row[4],
        reason=row[5],
        detail=row[6],
        tries=row[7],
        incarnation=row[8],
        made_at_ms=row[9],
        state=row[10],
    )
    return DeadLetter(number=row[0], record=record)


def walk(of: dict[str, str], terminal: frozenset[str], statuses: tuple[str, ...], given: frozenset[str]) -> str:
    """The query of one page; `given` are the bindings that narrow it. Statuses are words of the schema alone."""
    wanted = [status for status in statuses if status in _STATUSES]
    ended, open_only = bool(wanted) and set(wanted) <= terminal, bool(wanted) and not set(wanted) & terminal
    columns = {**of, "at": "completed_at_ms" if ended else of["at"]}
    if not (ended or open_only or "session" in given):
        columns["at"] = "rowid"
    terms = [f"{name} = :{name}" for name in ("session", "channel") if name in given]
    terms += ["status IN ({})".format(", ".join(f"'{status}'" for status in wanted))] if wanted else []
    terms += ["completed_at_ms IS NOT NULL"] if ended else ["completed_at_ms IS NULL"] if open_only else []
    terms += [_PLACE.format_map(columns)] if "after" in given else []
    where = f" WHERE {' AND '.join(terms)}" if terms else ""
    table, key, at = columns["table"], columns["key"], columns["at"]
    return f"SELECT {key} FROM {table}{where} ORDER BY {at} DESC, {key} DESC LIMIT :limit"


_TURN_OPEN: Final = tuple(status for status in get_args(TurnStatus) if status not in TURN_TERMINAL)
_STATUSES: Final = frozenset(
    ("accepted", "running", "failed_retryable", "delivery_pending", "delivered", "failed_terminal", "aborted",
     "queued", "sending", "unknown", "expired")
)  # fmt: skip


@contextmanager
def reading_of(database: StateDatabase) -> Generator[Listing, None, None]:
    """Everything inside is read as of one instant. StateFault."""
    with database.reading() as connection:
        yield Listing(connection)
