"""How does the lifecycle store behave without a disk? It forgets with its process: for tests and simulations."""

import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import TypeVar

from turnkeel_adapters.lifecycle.memory_evidence import Dead, Identities, Life, Receipts, Sources
from turnkeel_adapters.lifecycle.tables import TurnNote
from turnkeel_adapters.lifecycle.work import LifecycleWork
from turnkeel_core import OutboxRow, Turn
from turnkeel_core.lifecycle_states import ROW_FAILED, ROW_TERMINAL, TURN_TERMINAL

T = TypeVar("T")


class MemoryTables:
    """All table families as dictionaries of frozen records."""

    def __init__(self) -> None:
        self.receipts = Receipts()
        self.outbox = _Outbox(self.receipts)
        self.turns = _Turns(self.outbox)
        self.outbox.turns = self.turns.by_id
        self.identities = Identities(self.turns.by_id)
        self.sources = Sources()
        self.life = Life(self.turns.by_id, self.outbox.by_id)
        self.dead = Dead()

    def dictionaries(self) -> tuple[dict[str, object], ...]:
        """Everything that is stored, for a copy to come back to."""
        held = (self.turns.by_id, self.turns.payloads, self.turns.notes, self.outbox.by_id, self.outbox.payloads)
        more = (self.receipts.by_row, self.identities.by_key, self.identities.repeats, self.sources.outcomes)
        last = (self.life.lines, self.dead.records)
        return (*held, *more, *last)  # type: ignore[return-value]  # each is copied and put back whole, never mixed


class MemoryLifecycle:
    """The same port as `StateLifecycle`, in memory."""

    def __init__(self) -> None:
        self._tables = MemoryTables()
        self._lock = threading.RLock()
        self._inside = False

    @contextmanager
    def transaction(self) -> Generator[LifecycleWork, None, None]:
        """Everything inside, or nothing of it. May be nested: the outermost counts."""
        with self._lock:
            if self._inside:
                yield LifecycleWork(self._tables)
                return
            live = self._tables.dictionaries()
            before = [dict(one) for one in live]
            self._inside = True
            try:
                yield LifecycleWork(self._tables)
            except BaseException:
                for one, was in zip(live, before, strict=True):
                    one.clear()
                    one.update(was)
                raise
            finally:
                self._inside = False

    def run(self, step: Callable[[LifecycleWork], T]) -> T:
        """One transaction as a call."""
        with self.transaction() as work:
            return step(work)

    def run_each(self, steps: Iterable[Callable[[LifecycleWork], T]]) -> tuple[T | Exception, ...]:
        """Each for itself, or all of them the part of the transaction that they are made in."""
        with self._lock:
            return tuple(self.run(step) if self._inside else self._tried(step) for step in steps)

    def _tried(self, step: Callable[[LifecycleWork], T]) -> T | Exception:
        try:
            return self.run(step)
        except Exception as error:
            return error

    @contextmanager
    def reading(self) -> Generator[LifecycleWork, None, None]:
        """All of it as of one instant, to look and not to write."""
        with self._lock:
            yield LifecycleWork(self._tables)


class _Turns:
    def __init__(self, outbox: "_Outbox") -> None:
        self.by_id: dict[str, Turn] = {}
        self.payloads: dict[str, str] = {}
        self.notes: dict[str, TurnNote] = {}
        self._outbox = outbox

    def get(self, turn_id: str) -> Turn | None:
        return self.by_id.get(turn_id)

    def payload(self, turn_id: str) -> str | None:
        return self.payloads.get(turn_id)

    def note(self, turn_id: str) -> TurnNote | None:
        return self.notes.get(turn_id)

    def insert(self, turn: Turn, payload: str) -> bool:
        if turn.turn_id in self.by_id:
            return False
        self.by_id[turn.turn_id], self.payloads[turn.turn_id], self.notes[turn.turn_id] = turn, payload, TurnNote()
        return True

    def update(self, before: Turn, after: Turn) -> bool:
        now = self.by_id.get(before.turn_id)
        if now is None or (now.status, now.token) != (before.status, before.token):
            return False
        self.by_id[before.turn_id] = after
        return True

    def set_note(self, turn_id: str, note: TurnNote) -> None:
        self.notes[turn_id] = note

    def delete(self, turn_id: str) -> bool:
        self.payloads.pop(turn_id, None)
        self.notes.pop(turn_id, None)
        return self.by_id.pop(turn_id, None) is not None

    def open(self) -> tuple[Turn, ...]:
        found = (turn for turn in self.by_id.values() if turn.status not in TURN_TERMINAL)
        return tuple(sorted(found, key=lambda turn: (turn.accepted_at_ms, turn.turn_id)))

    def open_of(self, session: str) -> tuple[Turn, ...]:
        return tuple(turn for turn in self.open() if turn.session == session)

    def owners(self) -> tuple[str, ...]:
        return tuple({turn.lease.owner for turn in self.open() if turn.lease is not None})

    def last_ended_of(self, session: str, but_not: str | None) -> Turn | None:
        found = (t for t in self.by_id.values() if t.session == session and t.status in TURN_TERMINAL)
        left = [t for t in found if not t.commands_abort and t.turn_id != but_not]
        return max(left, key=_end, default=None)

    def withdrawals_due(self) -> tuple[Turn, ...]:
        due = sorted(turn_id for turn_id, note in self.notes.items() if note.withdrawal == "due")
        return tuple(self.by_id[turn_id] for turn_id in due)

    def notices_due(self, limit: int) -> tuple[Turn, ...]:
        due = (self.by_id[turn_id] for turn_id, note in self.notes.items() if note.notice == "due")
        return tuple(sorted(due, key=_end)[:limit])

    def ended_before(self, settled_ms: int, failed_ms: int, limit: int) -> tuple[Turn, ...]:
        owners = {row.turn_id for row in self._outbox.by_id.values()}
        found: list[Turn] = []
        for status, before_ms in (("failed_terminal", failed_ms), ("delivered", settled_ms), ("aborted", settled_ms)):
            old = (t for t in self.by_id.values() if t.status == status and _end(t)[0] < before_ms)
            found += sorted((t for t in old if t.turn_id not in owners), key=_end)
        return tuple(found[:limit])


class _Outbox:
    def __init__(self, receipts: Receipts) -> None:
        self.by_id: dict[str, OutboxRow] = {}
        self.payloads: dict[str, str] = {}
        self.turns: dict[str, Turn] = {}
        self._receipts = receipts

    def get(self, row_id: str) -> OutboxRow | None:
        return self.by_id.get(row_id)

    def payload(self, row_id: str) -> str | None:
        return self.payloads.get(row_id)

    def insert(self, row: OutboxRow, payload: str) -> bool:
        if row.turn_id is not None and row.turn_id not in self.turns:
            raise LookupError(f"{row.row_id}: there is no turn {row.turn_id}")
        for one in self.by_id.values():
            named = row.source is not None and row.source == one.source
            same = named or row.idempotency_key == one.idempotency_key
            if row.row_id == one.row_id or (same and one.status not in ROW_FAILED):
                return False
        self.by_id[row.row_id], self.payloads[row.row_id] = row, payload
        return True

    def update(self, before: OutboxRow, after: OutboxRow) -> bool:
        now = self.by_id.get(before.row_id)
        if now is None or (now.status, now.token) != (before.status, before.token):
            return False
        self.by_id[before.row_id] = after
        return True

    def delete(self, row_id: str) -> bool:
        self.payloads.pop(row_id, None)
        self._receipts.by_row.pop(row_id, None)
        return self.by_id.pop(row_id, None) is not None

    def of_turn(self, turn_id: str) -> tuple[OutboxRow, ...]:
        return tuple(sorted((row for row in self.by_id.values() if row.turn_id == turn_id), key=_place))

    def by_source(self, source: str) -> OutboxRow | None:
        return next((row for row in reversed(self.by_id.values()) if row.source == source), None)

    def last_ordinal(self, lane: str) -> int | None:
        return max((row.ordinal for row in self.open() if row.lane == lane), default=None)

    def owners(self) -> tuple[str, ...]:
        return tuple({row.lease.owner for row in self.open() if row.lease is not None})

    def open(self) -> tuple[OutboxRow, ...]:
        return tuple(sorted((row for row in self.by_id.values() if row.status not in ROW_TERMINAL), key=_place))

    def ended_before(self, settled_ms: int, failed_ms: int, limit: int) -> tuple[OutboxRow, ...]:
        found: list[OutboxRow] = []
        for status in ("delivered", "failed_terminal", "expired"):
            before_ms = failed_ms if status in ROW_FAILED else settled_ms
            ended = (row for row in self.by_id.values() if row.status == status)
            old = (row for row in ended if (row.completed_at_ms or 0) < before_ms)
            free = (r for r in old if r.turn_id is None or self.turns[r.turn_id].status in TURN_TERMINAL)
            found += sorted(free, key=lambda row: (row.completed_at_ms or 0, row.row_id))
        return tuple(found[:limit])


def _end(turn: Turn) -> tuple[int, str]:
    return (turn.completed_at_ms or 0, turn.turn_id)


def _place(row: OutboxRow) -> tuple[str, int, int, str]:
    return (row.lane, row.ordinal, row.queued_at_ms, row.row_id)
