"""What does a host with nothing to do cost? Counted, not timed: opened files, statements, write transactions."""

import asyncio
from collections import Counter
from pathlib import Path

import apsw
import pytest
from attrs import evolve

from turnkeel.events import Died
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.state import database
from turnkeel_adapters.state.remembered import StateConnection
from turnkeel_core import StartPolicy

SCANS = 10
STATEMENTS_PER_SCAN = 8
OPENS_PER_LOOK = 2


@pytest.fixture
def counted(monkeypatch) -> Counter[str]:
    """Counts from here on: `opens` of session files, `statements` and `writes` by file, `scans` of the host."""
    seen: Counter[str] = Counter()

    def counting(base):
        class Counted(base):
            def __init__(self, filename: str, *rest, **options) -> None:
                super().__init__(filename, *rest, **options)
                self.name = Path(filename.removeprefix("file:").partition("?")[0]).name
                if self.name != "turnkeel.db":
                    seen["opens"] += 1

            def execute(self, statements, *rest, **more):
                seen[f"statements {self.name}"] += 1
                first = statements.split(maxsplit=2)[:2]
                if first == ["BEGIN", "IMMEDIATE"] or first[0] in ("INSERT", "UPDATE", "DELETE"):
                    seen["writes"] += 1
                return super().execute(statements, *rest, **more)

        return Counted

    monkeypatch.setattr(apsw, "Connection", counting(apsw.Connection))
    monkeypatch.setattr(database, "StateConnection", counting(StateConnection))
    find = FileSessions.find

    def counting_find(self):
        seen["scans"] += 1
        return find(self)

    monkeypatch.setattr(FileSessions, "find", counting_find)
    return seen


async def _rests(lab, live, names, counted) -> None:
    """Until every agent has ended and no pass has opened a file for a while."""
    await live.until(lambda: len(live.of(Died)) == len(names))
    before = -1
    while before != counted["opens"]:
        before = counted["opens"]
        await asyncio.sleep(0.5)


def _watched(lab, config, sessions: int, counted: Counter[str], what: str, times: int) -> Counter[str]:
    names = [f"s{number}" for number in range(sessions)]
    for name in names:
        lab.send(name, "hello")
    found: Counter[str] = Counter()

    async def script(live):
        await _rests(lab, live, names, counted)
        start = counted.copy()
        await live.until(lambda: counted[what] >= start[what] + times)
        found.update(counted - start)

    lab.run(evolve(config, start=StartPolicy(max_running=sessions)), script)
    return found


@pytest.mark.parametrize("sessions", [3, pytest.param(30, marks=pytest.mark.long)])
def test_a_scan_over_idle_sessions_opens_nothing_and_asks_the_same_few_things_however_many_there_are(
    lab, quick, counted, sessions
):
    stuck = evolve(quick.stuck, idle_stop_ms=50)
    config = evolve(quick, stuck=stuck, host=evolve(quick.host, idle_scan_ms=100))
    seen = _watched(lab, config, sessions, counted, "scans", SCANS)
    print(f"{sessions} idle sessions, {seen['scans']} scans: {dict(seen)}")
    assert seen["opens"] == 0
    assert seen["writes"] == 0
    assert seen["statements turnkeel.db"] <= STATEMENTS_PER_SCAN * (seen["scans"] + 1)


def test_a_full_look_at_idle_sessions_opens_each_file_once_and_writes_nothing(lab, quick, counted):
    stuck = evolve(quick.stuck, idle_stop_ms=50)
    config = evolve(quick, stuck=stuck, host=evolve(quick.host, idle_scan_ms=60_000, fallback_scan_ms=3_000))
    seen = _watched(lab, config, 3, counted, "opens", 3 * OPENS_PER_LOOK)
    print(f"one full look at 3 idle sessions: {dict(seen)}")
    assert seen["writes"] == 0
    assert seen["opens"] == 3 * OPENS_PER_LOOK and seen["scans"] == 1
