"""Do both schedule stores keep each nominal time once, together with its turn, through all that comes?"""

import random
import threading
from itertools import count
from pathlib import Path

import apsw
import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from turnkeel.schedules import scheduler
from turnkeel.schedules.changing import BadSchedule, add, cancel, pause, resume, run_now
from turnkeel.schedules.firing import claim
from turnkeel.schedules.looking import look
from turnkeel.schedules.ports import FiringPorts
from turnkeel_adapters.lifecycle.memory import MemoryLifecycle
from turnkeel_adapters.schedules.memory import MemorySchedules
from turnkeel_adapters.schedules.records import RAN, LastLook, Occurrence, Schedule
from turnkeel_adapters.schedules.store import StateSchedules
from turnkeel_adapters.state.database import StateDatabase
from turnkeel_adapters.state.migrations import MIGRATIONS
from turnkeel_adapters.state.store import FILE_NAME
from turnkeel_core import AbortSnapshot, CatchUp, SchedulePolicy, SettleDelivered, abort_session

VERSION_5 = (Path(__file__).parents[1] / "turnkeel_db_version_5.sql").read_text(encoding="utf-8")
T = 10**12
SECOND = 1_000


class Desk:
    """One store, its schedules, and a clock that only moves when told."""

    def __init__(self, store):
        self.store, self.now_ms, self.closed = store, T, frozenset()
        ids = count()
        self.ports = FiringPorts(
            store=store,
            sessions=Nowhere(),
            closed=lambda: self.closed,
            new_id=lambda prefix: f"{prefix}-{next(ids)}",
            now_ms=lambda: self.now_ms,
        )

    def add(self, **facts):
        return add(self.ports, schedule(**facts))

    def look(self, series="s"):
        with self.store.transaction() as work:
            return look(work, self.ports, series, self.now_ms).started

    def rows(self, series="s"):
        with self.store.reading() as work:
            return work.schedules.latest(series, None, 10**6)[::-1]

    def get(self, series="s"):
        with self.store.reading() as work:
            return work.schedules.get(series)

    def outcomes(self, series="s"):
        return [((row.nominal_at_ms - T) / SECOND, row.outcome) for row in self.rows(series)]

    def answer_all(self):
        """Every open turn is answered."""
        with self.store.transaction() as work:
            for turn in work.lifecycle.tables.turns.open():
                work.lifecycle.apply((SettleDelivered(turn.turn_id, self.now_ms, "sent", 1),), self.now_ms)

    def turns(self):
        with self.store.reading() as work:
            return work.lifecycle.tables.turns.open()


class Nowhere:
    """Inboxes that keep nothing: what is tested here is the store."""

    def mail(self, session):
        return self

    def create(self, session):
        pass

    def insert(self, message, now_ms):
        return 0


def schedule(**facts):
    plain = {"series": "s", "session": "main/a", "kind": "interval", "value": "1000", "zone": "UTC"}
    more = {"prompt": "go", "channel": "local", "next_at_ms": None, "moved_at_ms": 0, "made_at_ms": 0}
    return Schedule(**{**plain, **more, **facts})


@pytest.fixture(params=["turnkeel.db", "memory"])
def desk(request, tmp_path):
    if request.param == "memory":
        yield Desk(MemorySchedules(MemoryLifecycle()))
        return
    database = StateDatabase(tmp_path / FILE_NAME)
    yield Desk(StateSchedules(database))
    database.close()


def test_a_schedule_is_kept_as_it_was_given(desk):
    late = CatchUp(runs="within", window_ms=5)
    more = {"thread": "t", "account": "x", "chat": "c", "starts_at_ms": T + 9, "context": "group"}
    made = desk.add(catch_up=late, overlap="replace", grace_ms=7, **more)
    assert desk.get() == made
    assert desk.add(series="alone").context == "isolated"
    assert (made.next_at_ms, made.moved_at_ms, made.status) == (T + 9, T, "active")


def test_the_last_look_is_kept_alone_and_with_its_transaction_or_not_at_all(desk):
    first = LastLook(looked_at_ms=T, alarm_at_ms=T + 5, trouble="schedule s: it broke")
    with desk.store.transaction() as work:
        assert work.schedules.last_look() is None
        work.schedules.looked(first)
    with pytest.raises(ZeroDivisionError), desk.store.transaction() as work:
        work.schedules.looked(LastLook(looked_at_ms=T + 1, alarm_at_ms=T + 6))
        raise ZeroDivisionError
    with desk.store.transaction() as work:
        assert work.schedules.last_look() == first
        work.schedules.looked(second := LastLook(looked_at_ms=T + 2, alarm_at_ms=T + 7))
    with desk.store.reading() as work:
        assert work.schedules.last_look() == second


def test_a_nominal_time_is_taken_once_however_many_ask(desk):
    one = desk.add()
    desk.now_ms = T + SECOND
    begun = []

    def ask():
        with desk.store.transaction() as work:
            begun.append(claim(work, desk.ports, one, T + SECOND, desk.now_ms))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(one is not None for one in begun) == 1
    assert len(desk.turns()) == len(desk.rows()) == 1
    assert desk.look() == ()


def test_a_claim_that_is_not_committed_leaves_nothing(desk):
    desk.add()
    desk.now_ms = T + SECOND
    with pytest.raises(ZeroDivisionError), desk.store.transaction() as work:
        assert look(work, desk.ports, "s", desk.now_ms).started
        raise ZeroDivisionError
    assert (desk.rows(), desk.turns()) == ((), ())
    assert desk.get().next_at_ms == T + SECOND
    assert len(desk.look()) == 1


def test_the_times_do_not_drift_with_late_looks(desk):
    desk.add(catch_up=CatchUp(runs="all"), overlap="queue")
    for late_ms in (1_003, 2_704, 3_001, 5_950):
        desk.now_ms = T + late_ms
        desk.look()
        desk.answer_all()
    desk.look()
    assert desk.outcomes() == [(1, "ran"), (2, "ran"), (3, "ran"), (4, "ran"), (5, "ran")]
    assert desk.get().next_at_ms == T + 6_000


def test_what_ended_is_told_with_its_end(desk):
    desk.add()
    ends = []
    for at in (1, 2, 3):
        desk.now_ms = T + at * SECOND
        desk.look()
        if at == 2:
            with desk.store.transaction() as work:
                turns = work.lifecycle.tables.turns.open()
                stop = AbortSnapshot(now_ms=desk.now_ms, sessions=("main/a",), turns=turns)
                work.lifecycle.apply(abort_session(stop), desk.now_ms)
        else:
            desk.answer_all()
        ends.append(desk.outcomes()[-1])
    desk.look()
    assert ends == [(1, "claimed"), (2, "claimed"), (3, "claimed")]
    assert desk.outcomes() == [(1, "ran"), (2, "aborted"), (3, "ran")]


def test_a_run_longer_than_its_period_never_starves_the_series(desk):
    desk.add(overlap="skip", catch_up=CatchUp(runs="skip"))
    for tenth in range(1, 100):
        desk.now_ms = T + tenth * 100
        desk.look()
        if tenth % 25 == 0:
            desk.answer_all()
    desk.look()
    ran = [at for at, outcome in desk.outcomes() if outcome in RAN]
    assert ran == [1, 3, 6, 8]
    assert len(desk.outcomes()) == 9
    assert {outcome for at, outcome in desk.outcomes() if at not in ran} == {"skipped_overlap"}


def test_one_that_waits_starts_once_the_running_one_ended(desk):
    desk.add(overlap="queue")
    for at in (1, 2, 3):
        desk.now_ms = T + at * SECOND
        desk.look()
    assert desk.outcomes() == [(1, "claimed"), (2, "queued"), (3, "skipped_overlap")]
    desk.answer_all()
    assert [one.turn_id for one in desk.look()] == [desk.rows()[1].turn_id]
    assert desk.outcomes()[:2] == [(1, "ran"), (2, "claimed")]


def test_a_newer_one_takes_the_place_of_the_running_one_and_of_nothing_else(desk):
    desk.add(overlap="replace")
    desk.add(series="other", value="2000")
    desk.now_ms = T + 2 * SECOND
    desk.look(), desk.look("other")
    desk.now_ms = T + 3 * SECOND
    desk.look()
    assert desk.outcomes() == [(1, "missed"), (2, "aborted"), (3, "claimed")]
    assert desk.outcomes("other") == [(2, "claimed")]
    assert len(desk.turns()) == 2


def test_a_run_by_hand_does_not_move_the_schedule(desk):
    before = desk.add()
    desk.now_ms = T + 500
    started = run_now(desk.ports, "s")
    assert evolve(desk.get()) == before
    assert [(row.turn_id, row.by_hand) for row in desk.rows()] == [(started.turn_id, True)]
    run_now(desk.ports, "s")
    assert [row.nominal_at_ms - T for row in desk.rows()] == [500, 501]
    desk.now_ms = T + SECOND - 1
    run_now(desk.ports, "s"), run_now(desk.ports, "s")
    assert T + SECOND not in [row.nominal_at_ms for row in desk.rows()]


def test_what_passes_a_pause_is_recorded_and_not_made_up_for(desk):
    desk.add(catch_up=CatchUp(runs="all"))
    desk.now_ms = T + 1_100
    pause(desk.ports, "s")
    desk.now_ms = T + 3_100
    assert desk.look() == ()
    desk.now_ms = T + 4_100
    assert resume(desk.ports, "s").after.next_at_ms == T + 5_000
    desk.now_ms = T + 5_000
    desk.answer_all()
    desk.look()
    paused = [(at, "skipped_paused") for at in (2, 3, 4)]
    assert desk.outcomes() == [(1, "ran"), *paused, (5, "claimed")]


def test_a_closed_session_gets_no_runs_and_each_is_recorded(desk):
    desk.add()
    desk.closed = frozenset({"main/a"})
    desk.now_ms = T + SECOND
    assert desk.look() == ()
    assert desk.outcomes() == [(1, "skipped_closed")]
    with pytest.raises(BadSchedule, match="closed"):
        desk.add(series="new")


def test_a_cancelled_schedule_runs_no_more_nor_what_waited(desk):
    desk.add(overlap="queue")
    for at in (1, 2):
        desk.now_ms = T + at * SECOND
        desk.look()
    cancel(desk.ports, "s")
    desk.answer_all()
    desk.now_ms = T + 9 * SECOND
    assert desk.look() == ()
    assert desk.outcomes() == [(1, "ran"), (2, "cancelled")]
    with pytest.raises(BadSchedule, match="cancelled"):
        run_now(desk.ports, "s")
    assert desk.add().next_at_ms == T + 10 * SECOND


def test_a_schedule_whose_zone_is_gone_stands_still_and_says_why(desk):
    made = desk.add(kind="cron", value="* * * * *")
    with desk.store.transaction() as work:
        work.schedules.update(evolve(made, zone="Atlantis/Capital"))
    desk.now_ms = T + 60 * SECOND
    assert len(desk.look()) == 1
    assert (desk.get().status, desk.get().next_at_ms) == ("parked", None)
    assert "zone" in desk.get().reason
    desk.answer_all()
    desk.now_ms = T + 600 * SECOND
    assert desk.look() == ()


def test_a_once_is_done_after_its_one_run_also_when_it_is_late(desk):
    desk.add(kind="once", value="then", next_at_ms=T + SECOND)
    desk.now_ms = T + 10**8
    assert len(desk.look()) == 1
    assert (desk.get().status, desk.outcomes()) == ("done", [(1, "claimed")])
    desk.answer_all()
    assert desk.look() == ()


def test_a_clock_set_back_neither_silences_a_schedule_nor_runs_anything_twice(desk):
    desk.add(catch_up=CatchUp(runs="all"))
    desk.now_ms = T + 10**9
    desk.look(), desk.answer_all()
    desk.now_ms = T + 1_500
    desk.look()
    assert desk.get().next_at_ms == T + 2_000
    for at in (2, 3):
        desk.now_ms = T + at * SECOND
        desk.look(), desk.answer_all()
    times = [row.nominal_at_ms for row in desk.rows() if row.turn_id]
    assert {T + 2_000, T + 3_000} <= set(times) and len(times) == len(set(times))


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"value": "999"}, "more often"),
        ({"value": "1h"}, "no whole number"),
        ({"kind": "cron", "value": "* * *"}, "3 fields"),
        ({"kind": "cron", "value": "* * * * *", "zone": "Nowhere"}, "zone"),
        ({"kind": "once", "value": "then", "next_at_ms": T}, "has passed"),
        ({"series": "../x"}, "no name"),
    ],
)
def test_what_can_never_run_is_refused_at_once(desk, facts, why):
    with pytest.raises(BadSchedule, match=why):
        desk.add(**facts)
    assert desk.get(facts.get("series", "s")) is None


def test_old_occurrences_are_forgotten_and_open_ones_kept(desk):
    desk.add(overlap="skip")
    for at in (1, 2):
        desk.now_ms = T + at * SECOND
        desk.look()
    desk.now_ms = T + SchedulePolicy().retention_ms + 3 * SECOND
    desk.look()
    first, *rest = desk.rows()
    assert (first.outcome, first.nominal_at_ms) == ("claimed", T + SECOND)
    assert all(row.nominal_at_ms > T + 2 * SECOND for row in rest)


# Random lives


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.integers(0, 2**32),
    st.sampled_from(["skip", "latest", "all", "within"]),
    st.sampled_from(["skip", "queue", "replace"]),
)
def test_no_nominal_time_runs_twice_and_each_has_its_row(seed, runs, overlap):
    life(seed, CatchUp(runs=runs, window_ms=5_000 if runs == "within" else None), overlap, 60)


@pytest.mark.long
@settings(max_examples=2_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.integers(0, 2**32),
    st.sampled_from(["skip", "latest", "all", "within"]),
    st.sampled_from(["skip", "queue", "replace"]),
)
def test_the_same_in_very_many_lives(seed, runs, overlap):
    life(seed, CatchUp(runs=runs, window_ms=5_000 if runs == "within" else None), overlap, 200)


def life(seed, catch_up, overlap, steps):
    """Looks at random instants, some undone by a crash; runs that end whenever they like."""
    rng, desk = random.Random(seed), Desk(MemorySchedules(MemoryLifecycle()))
    desk.add(catch_up=catch_up, overlap=overlap, value=str(rng.choice((1_000, 1_500, 7_000))))
    step_ms, begun = int(desk.get().value), []
    for _ in range(steps):
        desk.now_ms += rng.choice((0, 1, 300, 1_000, 20_000))
        match rng.randrange(6):
            case 0:
                desk.answer_all()
            case 1:
                (pause if rng.random() < 0.5 else resume)(desk.ports, "s")
            case 2:
                with pytest.raises(KeyboardInterrupt), desk.store.transaction() as work:
                    look(work, desk.ports, "s", desk.now_ms)
                    raise KeyboardInterrupt
            case _:
                begun += [one.turn_id for one in desk.look()]
    desk.look()
    rows = desk.rows()
    times = [row.nominal_at_ms for row in rows]
    assert times == [T + step_ms * number for number in range(1, len(times) + 1)]
    assert times[-1:] == [at for at in times[-1:] if at <= desk.now_ms < at + step_ms]
    turns = [row.turn_id for row in rows if row.turn_id is not None]
    assert len(turns) == len(set(turns)) and set(begun) <= set(turns)
    starts = [row.noted_at_ms for row in rows if row.turn_id is not None]
    assert starts == sorted(starts)


# The tables


def test_a_file_of_version_5_is_brought_up_to_date_and_keeps_its_rows(tmp_path):
    old = apsw.Connection(str(tmp_path / FILE_NAME))
    old.execute(VERSION_5).fetchall()
    old.close()
    database = StateDatabase(tmp_path / FILE_NAME)
    desk = Desk(StateSchedules(database))
    assert [turn.turn_id for turn in desk.turns()] == ["t2"]
    desk.add()
    desk.now_ms = T + SECOND
    assert len(desk.look()) == 1
    fresh = StateDatabase(tmp_path / "fresh.db")
    schema = "SELECT type, name, sql FROM sqlite_schema ORDER BY name"
    assert database.rows(schema) == fresh.rows(schema)
    assert database.rows("PRAGMA user_version") == [(len(MIGRATIONS),)]
    database.close(), fresh.close()


BROKEN = [
    "UPDATE schedule SET status = 'active', next_at_ms = NULL",
    "UPDATE schedule SET status = 'done'",
    "UPDATE schedule SET kind = 'weekly'",
    "UPDATE schedule SET overlap = 'both'",
    "UPDATE schedule SET context = 'alone'",
    "INSERT INTO scheduler (id, looked_at_ms, alarm_at_ms) VALUES (2, 1, 2)",
    "UPDATE occurrence SET outcome = 'done'",
    "UPDATE occurrence SET turn_id = NULL",
    "UPDATE occurrence SET ended_at_ms = 1",
    "UPDATE occurrence SET series = 'nobody'",
    "UPDATE occurrence SET nominal_at_ms = 'now'",
    "INSERT INTO occurrence (series, nominal_at_ms, outcome, by_hand, noted_at_ms, ended_at_ms, until_at_ms)"
    " SELECT series, nominal_at_ms, 'missed', 0, 1, 1, nominal_at_ms FROM occurrence",
]


@pytest.mark.parametrize("sql", BROKEN)
def test_the_tables_refuse_what_cannot_be(tmp_path, sql):
    database = StateDatabase(tmp_path / FILE_NAME)
    desk = Desk(StateSchedules(database))
    desk.add()
    desk.now_ms = T + SECOND
    desk.look()
    with pytest.raises((apsw.ConstraintError, apsw.Error)), database.transaction() as connection:
        connection.execute(sql).fetchall()
    assert desk.outcomes() == [(1, "claimed")]
    database.close()


def test_due_schedules_and_open_occurrences_are_found_by_an_index(tmp_path):
    database = StateDatabase(tmp_path / FILE_NAME)
    asked = {
        "SELECT 1 FROM schedule WHERE next_at_ms IS NOT NULL": "schedule_next",
        "SELECT 1 FROM occurrence WHERE ended_at_ms IS NULL AND series = ?": "occurrence_open",
    }
    for sql, index in asked.items():
        plan = " ".join(str(row) for row in database.rows(f"EXPLAIN QUERY PLAN {sql}", *["x"] * sql.count("?")))
        assert index in plan
    database.close()


def test_secrets_stay_out_of_reasons(tmp_path):
    database = StateDatabase(tmp_path / FILE_NAME)
    store = StateSchedules(database, lambda text: text.replace("hush", "***"))
    with store.transaction() as work:
        work.schedules.insert(schedule(status="parked", reason="hush"))
        work.schedules.note(
            Occurrence(
                series="s",
                nominal_at_ms=1,
                outcome="failed",
                noted_at_ms=1,
                ended_at_ms=1,
                until_at_ms=1,
                reason="a hush",
            )
        )
        assert work.schedules.get("s").reason == "***"
        assert work.schedules.latest("s", None, 1)[0].reason == "a ***"
    database.close()


def test_a_schedule_that_cannot_be_looked_at_stops_no_other(desk, monkeypatch):
    desk.add(), desk.add(series="t")
    desk.now_ms = T + SECOND
    monkeypatch.setattr(scheduler, "look", lambda work, ports, series, now: {"t": look(work, ports, "t", now)}[series])
    looked = scheduler._look_at_all(desk.ports)
    assert set(looked.broken) == {"s"} and looked.after_ms == SchedulePolicy().queued_look_ms
    assert (desk.outcomes(), desk.outcomes("t")) == ([], [(1, "claimed")])
