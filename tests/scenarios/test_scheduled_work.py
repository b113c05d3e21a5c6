"""Which scenarios of scheduled work do the host's own scheduler, store and inboxes live through?

In files, with a clock that moves when told: to the instant at which the scheduler itself wants to look again. A restart
closes everything and opens it anew; an answered turn is one that the store has settled.
"""

import asyncio
import tempfile
import threading
import time
from contextlib import closing
from datetime import datetime
from itertools import count
from pathlib import Path
from zoneinfo import ZoneInfo

import apsw
import pytest

from turnkeel.cli.app import run_command_line
from turnkeel.delivery.mailboxes import FileMailboxes
from turnkeel.events import FaultSeen
from turnkeel.schedules import scheduler
from turnkeel.schedules.changing import BadSchedule, add, pause, run_now
from turnkeel.schedules.ports import FiringPorts, SchedulerPorts
from turnkeel.schedules.scheduler import Scheduler
from turnkeel_adapters.schedules.records import RAN, Schedule
from turnkeel_adapters.schedules.store import StateSchedules
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.state.store import HostState
from turnkeel_core import AbortSnapshot, CatchUp, SchedulePolicy, SettleDelivered, abort_session

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
BERLIN = "Europe/Berlin"
MEMORY = Path("/dev/shm")


def at(text, zone="UTC"):
    """An instant in ms."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


class Here:
    """Blocking calls are made where they are asked for."""

    async def run(self, call, *arguments):
        return call(*arguments)


class Timetable:
    """A data directory, and what a host has open of it."""

    def __init__(self, folder, now_ms, name="a"):
        self.folder, self.now_ms, self.told, self.name = folder, now_ms, [], name
        self._ids = count()
        self.open()

    def open(self):
        self.state = HostState(self.folder)
        self.sessions = FileSessions(self.folder)
        self.ports = FiringPorts(
            store=StateSchedules(self.state.database),
            sessions=FileMailboxes(self.sessions),
            closed=frozenset,
            new_id=lambda prefix: f"{prefix}-{self.name}{next(self._ids)}",
            now_ms=lambda: self.now_ms,
            policy=SchedulePolicy(look_ms=15 * MINUTE, queued_look_ms=30 * SECOND),
        )
        asked = SchedulerPorts(firing=self.ports, clock=None, executor=Here(), report=self.told.append)
        self.scheduler = Scheduler(asked)

    def close(self):
        self.state.close()

    def restart(self):
        """The host is gone and comes back; what it had in memory is lost."""
        self.close()
        self.open()

    def add(self, series="s", **facts):
        plain = {"session": "main/a", "kind": "interval", "value": str(HOUR), "zone": "UTC", "prompt": "go"}
        more = {"channel": "local", "next_at_ms": None, "moved_at_ms": 0, "made_at_ms": 0}
        return add(self.ports, Schedule(**{"series": series, **plain, **more, **facts}))

    def cron(self, text, series="s", **facts):
        return self.add(series, **{"kind": "cron", "value": text, **facts})

    def look(self):
        """One look of the host, as its loop does it; in how many ms it wants to look again."""
        return asyncio.run(self.scheduler.look())

    def until(self, end_ms, *, answers=True, each=None):
        """The host at work up to an instant; every run ends before the next look if it `answers`."""
        for _ in range(1_000):
            after_ms = self.look()
            if answers:
                self.answer()
            if each is not None:
                each()
            if self.now_ms + after_ms > end_ms:
                self.now_ms = end_ms
                return
            self.now_ms += after_ms
        raise AssertionError("it looks again and again, and time stands still")

    def turns(self):
        """Those that have not ended."""
        with self.ports.store.reading() as work:
            return work.lifecycle.tables.turns.open()

    def answer(self):
        """Every open turn is answered."""
        with self.ports.store.transaction() as work:
            for turn in work.lifecycle.tables.turns.open():
                work.lifecycle.apply((SettleDelivered(turn.turn_id, self.now_ms, "sent", 1),), self.now_ms)

    def abort(self):
        """Every open turn ends badly."""
        with self.ports.store.transaction() as work:
            asked = AbortSnapshot(now_ms=self.now_ms, sessions=("main/a",), turns=work.lifecycle.tables.turns.open())
            work.lifecycle.apply(abort_session(asked), self.now_ms)

    def rows(self, series="s"):
        """Its occurrences, oldest first."""
        with self.ports.store.reading() as work:
            return work.schedules.latest(series, None, 10**6)[::-1]

    def ran(self, series="s"):
        """The nominal times that became turns."""
        return [row.nominal_at_ms for row in self.rows(series) if row.outcome in RAN]

    def outcomes(self, series="s"):
        return [row.outcome for row in self.rows(series)]

    def following(self, series="s"):
        with self.ports.store.reading() as work:
            return work.schedules.get(series).next_at_ms

    def inbox(self, session="main/a"):
        """The ids of the messages that its agent finds."""
        path = self.sessions.store(session).folder / "inbound.db"
        with closing(apsw.Connection(str(path), apsw.SQLITE_OPEN_READONLY)) as db:
            return [message_id for (message_id,) in db.execute("SELECT id FROM messages_in ORDER BY seq").fetchall()]


@pytest.fixture
def new_table():
    """Make one; all of a test are hosts of one data directory. In memory where that is offered: it is not about disks."""
    made = []

    def make(now_ms):
        made.append(Timetable(Path(folder), now_ms, name="abc"[len(made)]))
        return made[-1]

    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield make
        for table in made:
            table.close()


def test_SC_01_a_restart_in_the_middle_of_a_run_starts_it_no_second_time(new_table):
    table = new_table(at("2026-03-02T06:59:00"))
    table.cron("0 8 * * *", zone="Europe/Madrid")
    table.until(at("2026-03-02T07:00:30"), answers=False)
    [turn] = table.turns()
    for minute in (1, 2, 3):
        table.now_ms = at(f"2026-03-02T07:0{minute}:00")
        table.restart()
        table.look()
    assert [one.turn_id for one in table.turns()] == [turn.turn_id] == table.inbox()
    table.answer()
    table.look()
    [row] = table.rows()
    assert (row.outcome, row.turn_id, row.nominal_at_ms) == ("ran", turn.turn_id, at("2026-03-02T07:00:00"))


def test_SC_02_late_looks_and_long_runs_move_no_time_of_a_series(new_table):
    table = new_table(start := at("2026-03-02T00:00:00"))
    table.add(value=str(10 * MINUTE))
    for number in range(1, 25):
        table.now_ms = start + number * 10 * MINUTE + number * 7 * SECOND  # ever later
        table.look()
        table.now_ms += 3 * MINUTE  # and it takes its time
        table.answer()
    table.look()
    assert table.ran() == [start + number * 10 * MINUTE for number in range(1, 25)]
    assert table.following() == start + 250 * MINUTE


def test_SC_03_a_run_by_hand_leaves_the_times_of_the_schedule_alone(new_table):
    table = new_table(at("2026-03-02T05:00:00"))
    before = table.cron("0 8 * * *").next_at_ms
    table.now_ms = at("2026-03-02T06:13:00")
    started = run_now(table.ports, "s")
    table.until(at("2026-03-03T09:00:00"))
    assert before == at("2026-03-02T08:00:00")
    assert table.ran() == [at("2026-03-02T06:13:00"), before, before + DAY]
    assert [row.by_hand for row in table.rows()] == [True, False, False]
    assert table.inbox()[0] == started.turn_id


@pytest.mark.parametrize("server", ["UTC", "America/Los_Angeles", "Asia/Shanghai"])
def test_SC_04_a_schedule_keeps_its_own_zone_wherever_the_server_is(new_table, server, monkeypatch):
    monkeypatch.setenv("TZ", server)
    time.tzset()
    try:
        table = new_table(at("2026-06-01T00:00:00"))
        table.cron("0 8 * * *", zone="Asia/Tokyo")
        table.restart()
        table.until(at("2026-06-03T12:00:00"))
        assert table.ran() == [at(f"2026-06-0{day}T08:00:00", "Asia/Tokyo") for day in (2, 3)]
    finally:
        monkeypatch.undo()
        time.tzset()


POLICIES = {
    "skip": (CatchUp(runs="skip"), (), {}),
    "latest": (CatchUp(), (3,), {}),
    "all": (CatchUp(runs="all"), (1, 2, 3), {}),
    "within a day": (CatchUp(runs="within", window_ms=DAY), (3,), {}),
    "a grace of its own": (CatchUp(runs="skip"), (3,), {"grace_ms": 6 * HOUR}),
}


@pytest.mark.parametrize(("catch_up", "days", "more"), POLICIES.values(), ids=POLICIES.keys())
def test_SC_05_SC_09_three_missed_days_are_made_up_for_as_each_schedule_says_and_each_is_recorded(
    new_table, catch_up, days, more
):
    table = new_table(at("2026-04-30T12:00:00"))
    table.cron("0 8 * * *", catch_up=catch_up, **more)
    table.now_ms = at("2026-05-03T12:00:00")  # no host since 00:00 of the first
    table.restart()
    table.look()
    due = [at(f"2026-05-0{day}T08:00:00") for day in (1, 2, 3)]
    assert [row.nominal_at_ms for row in table.rows()] == due, "one of them vanished"
    assert table.ran() == [due[day - 1] for day in days]
    assert [row.turn_id for row in table.rows() if row.turn_id] == (table.inbox() if days else [])
    left = {row.outcome for row in table.rows() if row.turn_id is None}
    assert left <= {"missed", "skipped_late"} and all(row.noted_at_ms == table.now_ms for row in table.rows())
    assert table.following() == at("2026-05-04T08:00:00")
    table.answer()
    run_now(table.ports, "s")
    assert table.following() == at("2026-05-04T08:00:00")


def test_SC_06_however_many_look_at_the_same_minute_it_runs_once(new_table):
    table = new_table(at("2026-03-02T07:59:59"))
    table.cron("0 8 * * *")
    table.now_ms = at("2026-03-02T08:00:00")
    others = [new_table(table.now_ms) for _ in range(2)]
    threads = [threading.Thread(target=one.look) for one in (table, *others) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not [event for one in (table, *others) for event in one.told if isinstance(event, FaultSeen)]
    assert len(table.turns()) == len(table.rows()) == len(table.inbox()) == 1


NIGHTS = {
    "into summer, the time is missing": ("2026-03-28T12:00:00", ("2026-03-29T03:00:00",)),
    "into winter, the time comes twice": ("2026-10-24T12:00:00", ("2026-10-25T02:30:00",)),
}


@pytest.mark.parametrize(("begins", "firing"), NIGHTS.values(), ids=NIGHTS.keys())
def test_SC_08_a_daily_run_comes_once_a_day_in_the_nights_the_clocks_change(new_table, begins, firing):
    table = new_table(start := at(begins, BERLIN))
    table.cron("30 2 * * *", zone=BERLIN)
    table.add("beat", value=str(HOUR), session="main/b")
    table.until(start + 3 * DAY)
    local = [datetime.fromtimestamp(at_ms / 1000, ZoneInfo(BERLIN)) for at_ms in table.ran()]
    assert [one.date().toordinal() for one in local] == [local[0].date().toordinal() + n for n in range(3)]
    assert [one.replace(tzinfo=None).isoformat() for one in local[:1]] == list(firing)
    assert local[0].fold == 0
    # an interval counts elapsed time and knows no such nights
    assert table.ran("beat") == [start + number * HOUR for number in range(1, 73)]


@pytest.mark.parametrize("missed", ["skip", "latest", "all"])
def test_SC_13_a_restart_of_13_seconds_at_the_very_time_costs_no_run(new_table, missed):
    table = new_table(at("2026-03-02T07:59:50"))
    table.cron("0 8 * * *", catch_up=CatchUp(runs=missed))
    table.look()
    table.now_ms = at("2026-03-02T08:00:03")
    table.restart()
    table.until(at("2026-03-02T09:00:00"))
    assert (table.ran(), table.outcomes()) == ([at("2026-03-02T08:00:00")], ["ran"])


def test_SC_14_an_alert_that_is_eleven_hours_late_is_not_raised_and_said_to_be_late(new_table):
    table = new_table(at("2026-03-02T06:00:00"))
    table.cron("30 9 * * *", "alert", catch_up=CatchUp(runs="within", window_ms=15 * MINUTE))
    table.cron("30 9 * * *", "digest", session="main/b")
    table.now_ms = at("2026-03-02T20:30:00")
    table.restart()
    table.look()
    assert (table.outcomes("alert"), table.outcomes("digest")) == (["skipped_late"], ["claimed"])
    table.until(at("2026-03-03T10:00:00"))
    assert table.ran("alert") == [at("2026-03-03T09:30:00")], "the next one on time must run"


def test_SC_15_a_run_that_ended_badly_holds_up_neither_the_next_nor_one_by_hand(new_table):
    table = new_table(at("2026-03-02T00:00:00"))
    table.add()
    table.until(at("2026-03-02T02:30:00"), answers=False)
    assert table.outcomes() == ["claimed", "skipped_overlap"], "while it runs, it is no second time"
    assert "still ran" in table.rows()[1].reason
    table.abort()
    table.now_ms = at("2026-03-02T02:40:00")
    run_now(table.ports, "s")
    table.answer()
    table.until(at("2026-03-02T03:01:00"))
    table.look()
    assert table.outcomes() == ["aborted", "skipped_overlap", "ran", "ran"]


def test_SC_16_a_host_that_starts_takes_no_run_from_another_that_is_alive(new_table):
    table = new_table(at("2026-03-02T00:00:00"))
    table.add()
    table.until(at("2026-03-02T01:00:30"), answers=False)
    [turn] = table.turns()
    newcomer = new_table(at("2026-03-02T01:10:00"))
    newcomer.until(at("2026-03-02T02:10:00"), answers=False)
    assert newcomer.outcomes() == ["claimed", "skipped_overlap"]
    assert [one.turn_id for one in newcomer.turns()] == [turn.turn_id]


def test_SC_18_a_job_slower_than_its_interval_still_runs_and_never_beside_itself(new_table):
    table = new_table(start := at("2026-03-02T00:00:00"))
    table.add(value=str(300 * SECOND), overlap="queue")
    began, most = {}, []

    def works():
        for turn in table.turns():
            since = began.setdefault(turn.turn_id, table.now_ms)
            if table.now_ms - since >= 900 * SECOND:
                table.answer()
        most.append(len(table.turns()))

    table.until(start + 2 * HOUR, answers=False, each=works)
    ended = [outcome for outcome in table.outcomes() if outcome == "ran"]
    assert len(ended) >= 7 and max(most) == 1
    assert set(table.outcomes()) - {"ran", "claimed", "queued"} == {"skipped_overlap"}
    assert [row.nominal_at_ms for row in table.rows()] == [start + n * 300 * SECOND for n in range(1, 25)]


def test_SC_19_a_long_job_or_a_broken_one_takes_nothing_from_the_others_of_the_same_look(new_table, monkeypatch):
    table = new_table(at("2026-03-02T07:59:00"))
    for name in ("a", "b", "c"):
        table.cron("0 8 * * *", name, session=f"main/{name}", catch_up=CatchUp(runs="skip"), grace_ms=0)
    table.until(at("2026-03-02T08:00:00"), answers=False)
    table.look()
    assert [table.outcomes(name) for name in ("a", "b", "c")] == [["claimed"]] * 3  # none of them has ended
    table.answer()
    real = scheduler.look

    def breaks(work, ports, series, now_ms):
        assert series != "b", "a fault nobody thought of"
        return real(work, ports, series, now_ms)

    monkeypatch.setattr(scheduler, "look", breaks)
    table.until(at("2026-03-03T08:00:30"))
    assert [table.ran(name)[1:] for name in ("a", "c")] == [[at("2026-03-03T08:00:00")]] * 2
    assert {(event.subject, event.kind) for event in table.told if isinstance(event, FaultSeen)} == {
        ("schedule b", "broken")
    }
    with table.ports.store.reading() as work:
        assert "schedule b: AssertionError" in work.schedules.last_look().trouble
    monkeypatch.undo()
    table.look()
    assert table.ran("b")[1:] == [] and table.outcomes("b")[1:] == ["missed"], "its grace of nothing is over"


GRACES = {
    "a daily briefing, an hour and a half late": ("0 7 * * *", {}, "08:30", True),
    "a daily briefing, over two hours late": ("0 7 * * *", {}, "09:01", False),
    "every ten minutes, two minutes late": ("*/10 * * * *", {}, "07:02", True),
    "every ten minutes, six minutes late": ("*/10 * * * *", {}, "07:06", False),
    "a daily one that says how late it may be": ("0 7 * * *", {"grace_ms": 120 * SECOND}, "07:05", False),
}


@pytest.mark.parametrize(("cron", "more", "back", "runs"), GRACES.values(), ids=GRACES.keys())
def test_SC_20_how_late_a_run_may_be_goes_by_its_period_or_by_what_it_says(new_table, cron, more, back, runs):
    table = new_table(at("2026-03-02T06:59:00"))
    table.cron(cron, catch_up=CatchUp(runs="skip"), **more)
    table.now_ms = at(f"2026-03-02T{back}:00")
    table.restart()
    table.look()
    assert (table.ran() == [at("2026-03-02T07:00:00")]) == runs
    assert table.rows()[-1].outcome == ("claimed" if runs else "missed")


def test_SC_21_what_came_of_each_time_can_be_asked_after_a_weekend_asleep(new_table, capsys):
    table = new_table(at("2026-03-06T12:00:00"))
    table.cron("0 16 * * *", "report", catch_up=CatchUp(runs="skip"))
    table.cron("0 * * * *", "pulse", session="main/b")
    table.until(at("2026-03-06T13:30:00"))
    table.now_ms = at("2026-03-08T10:06:00")  # the machine slept from Friday to Sunday
    table.until(at("2026-03-08T10:30:00"))
    assert table.ran("report") == [], "of Friday's and Saturday's report none is for Sunday morning"
    assert table.outcomes("report") == ["missed", "missed"]
    assert table.ran("pulse") == [at("2026-03-06T13:00:00"), at("2026-03-08T10:00:00")]
    assert run_command_line(("sched", "missed", "--data", str(table.folder), "--limit", "100")) == 0
    told = capsys.readouterr().out
    assert (told.count("report"), told.count("pulse")) == (2, 44)


@pytest.mark.parametrize("set_ms", [-3 * DAY, -HOUR, 3 * DAY, 2 * HOUR + 1])
def test_SC_23_a_clock_that_is_set_neither_silences_a_schedule_nor_runs_a_time_twice(new_table, set_ms):
    table = new_table(start := at("2026-03-10T00:00:00"))
    table.add(value=str(10 * MINUTE))
    table.until(start + 2 * HOUR)
    table.now_ms = begins = start + 2 * HOUR + set_ms
    table.until(begins + HOUR)
    times = table.ran()
    assert len(table.inbox()) == len(times) == len(set(times))
    fresh = [one for one in times if begins < one <= begins + HOUR]
    past = [one for one in range(start, start + 2 * HOUR + 1, 10 * MINUTE) if begins < one <= begins + HOUR]
    assert len(fresh) == 6 or set(fresh) == set(past)  # an hour set back runs nothing that has run
    assert table.following() <= table.now_ms + 10 * MINUTE
    if set_ms > 0:  # one is made up for at once, the others between are recorded
        assert len([one for one in times if start + 2 * HOUR < one <= begins]) == 1


def test_SC_25_the_host_alone_keeps_the_time_and_leaves_word_of_its_last_look(new_table):
    table = new_table(start := at("2026-03-02T00:00:00"))
    table.add()
    looks = []

    def remember():
        with table.ports.store.reading() as work:
            looks.append(work.schedules.last_look().looked_at_ms)

    table.until(start + DAY, each=remember)
    assert table.ran() == [start + number * HOUR for number in range(1, 25)]
    gaps = [after - before for before, after in zip(looks, looks[1:], strict=False)]
    assert max(gaps) <= table.ports.policy.look_ms


def test_SC_11_a_run_stands_alone_unless_its_schedule_says_otherwise(new_table):
    table = new_table(at("2026-03-02T00:00:00"))
    table.add()
    table.add("chat", session="main/b", context="group")
    table.until(at("2026-03-02T01:00:30"))
    modes = {}
    for session in ("main/a", "main/b"):
        path = table.sessions.store(session).folder / "inbound.db"
        with closing(apsw.Connection(str(path), apsw.SQLITE_OPEN_READONLY)) as db:
            [(modes[session],)] = db.execute(
                "SELECT json_extract(content, '$.contextMode') FROM messages_in"
            ).fetchall()
    assert modes == {"main/a": "isolated", "main/b": "group"}


def test_SC_10_SC_22_what_a_paused_schedule_passes_by_has_a_row_that_is_no_success(new_table):
    table = new_table(at("2026-03-02T00:00:00"))
    table.add()
    pause(table.ports, "s")
    table.until(at("2026-03-02T03:30:00"))
    assert (table.outcomes(), table.ran()) == (["skipped_paused"] * 3, [])
    with pytest.raises(BadSchedule, match="already"):
        table.add()
