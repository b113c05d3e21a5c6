"""How does the schedule store behave without a disk? It forgets with its process: for tests and simulations."""

import threading
from collections.abc import Generator
from contextlib import contextmanager

from attrs import evolve

from turnkeel_adapters.lifecycle.memory import MemoryLifecycle
from turnkeel_adapters.schedules.records import OPEN, LastLook, Occurrence, Outcome, Schedule
from turnkeel_adapters.schedules.store import Work


class MemorySchedules:
    """The same port as `StateSchedules`, beside a lifecycle store in memory."""

    def __init__(self, lifecycle: MemoryLifecycle) -> None:
        self._lifecycle = lifecycle
        self._tables = _Tables()
        self._lock = threading.RLock()

    @contextmanager
    def transaction(self) -> Generator[Work, None, None]:
        """Everything inside, or nothing of it."""
        tables = self._tables
        with self._lock, self._lifecycle.transaction() as work:
            before = dict(tables.by_series), dict(tables.by_time), tables.look
            try:
                yield Work(work, tables)
            except BaseException:
                tables.by_series, tables.by_time, tables.look = before
                raise

    @contextmanager
    def reading(self) -> Generator[Work, None, None]:
        """All of it as of one instant, to look and not to write."""
        with self._lock, self._lifecycle.reading() as work:
            yield Work(work, self._tables)


class _Tables:
    def __init__(self) -> None:
        self.by_series: dict[str, Schedule] = {}
        self.by_time: dict[tuple[str, int], Occurrence] = {}
        self.look: LastLook | None = None

    def insert(self, schedule: Schedule) -> bool:
        if schedule.series in self.by_series:
            return False
        self.by_series[schedule.series] = schedule
        return True

    def get(self, series: str) -> Schedule | None:
        return self.by_series.get(series)

    def all(self) -> tuple[Schedule, ...]:
        return tuple(self.by_series[series] for series in sorted(self.by_series))

    def waiting(self) -> tuple[Schedule, ...]:
        busy = {one.series for one in self.by_time.values() if one.outcome in OPEN}
        return tuple(one for one in self.all() if one.next_at_ms is not None or one.series in busy)

    def update(self, schedule: Schedule) -> None:
        if schedule.series in self.by_series:
            self.by_series[schedule.series] = schedule

    def note(self, occurrence: Occurrence) -> bool:
        if occurrence.series not in self.by_series:
            raise LookupError(f"there is no schedule {occurrence.series}")
        key = (occurrence.series, occurrence.nominal_at_ms)
        if key in self.by_time:
            return False
        self.by_time[key] = occurrence
        return True

    def settle(self, occurrence: Occurrence) -> None:
        key = (occurrence.series, occurrence.nominal_at_ms)
        known = self.by_time.get(key)
        if known is not None and known.outcome in OPEN:
            told = evolve(known, outcome=occurrence.outcome, turn_id=occurrence.turn_id, reason=occurrence.reason)
            self.by_time[key] = evolve(told, noted_at_ms=occurrence.noted_at_ms, ended_at_ms=occurrence.ended_at_ms)

    def open_of(self, series: str) -> tuple[Occurrence, ...]:
        return tuple(one for one in self._sorted() if one.series == series and one.outcome in OPEN)

    def known(self, series: str, from_at_ms: int, to_at_ms: int) -> tuple[int, ...]:
        times = (one.nominal_at_ms for one in self._sorted() if one.series == series)
        return tuple(at_ms for at_ms in times if from_at_ms <= at_ms <= to_at_ms)

    def latest(self, series: str | None, outcomes: frozenset[Outcome] | None, limit: int) -> tuple[Occurrence, ...]:
        found = (one for one in self.by_time.values() if series is None or one.series == series)
        wanted = [one for one in found if outcomes is None or one.outcome in outcomes]
        return tuple(sorted(wanted, key=lambda one: (-one.nominal_at_ms, one.series))[:limit])

    def forget(self, series: str, before_at_ms: int) -> int:
        old = [
            key
            for key, one in self.by_time.items()
            if key[0] == series and key[1] < before_at_ms and one.outcome not in OPEN
        ]
        for key in old:
            del self.by_time[key]
        return len(old)

    def looked(self, look: LastLook) -> None:
        self.look = look

    def last_look(self) -> LastLook | None:
        return self.look

    def _sorted(self) -> list[Occurrence]:
        return sorted(self.by_time.values(), key=lambda one: one.nominal_at_ms)
