"""What becomes of nominal times that have come: run, missed, skipped, queued, or run in another's place?"""

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest
from attrs import evolve

from turnkeel_core import (
    CatchUp,
    ClaimOccurrence,
    DueRuns,
    MoveSchedule,
    NextRun,
    NoMoreRuns,
    OccurrenceSnapshot,
    OlderRuns,
    ParkSchedule,
    QueueOverlap,
    RecordMissed,
    ReplaceRunning,
    SchedulePolicy,
    ScheduleRefused,
    SkipOverlap,
    explain_occurrences,
    plan_occurrences,
)
from turnkeel_core.schedule_due import due_runs
from turnkeel_core.schedule_next import ScheduleSnapshot, compute_next_run, explain_next_run

HOUR = 3_600_000
T = 1_000 * HOUR
DUE = (T - 3 * HOUR, T - 2 * HOUR, T - HOUR)


def seen(*due, following=None, **facts):
    runs = DueRuns(following=following or NextRun(T + HOUR), due_at_ms=due)
    first = due[0] if due else T + HOUR
    return OccurrenceSnapshot(
        now_ms=T, series="s", **{"next_at_ms": first, "moved_at_ms": T - 9 * HOUR, "runs": runs, **facts}
    )


def claims(actions):
    return [action.nominal_at_ms for action in actions if isinstance(action, ClaimOccurrence)]


def missed(actions):
    return [(action.nominal_at_ms, action.outcome) for action in actions if isinstance(action, RecordMissed)]


def test_what_comes_on_time_is_claimed_before_the_schedule_moves():
    assert plan_occurrences(seen(T)) == (ClaimOccurrence("s", T, 0), MoveSchedule("s", T + HOUR))


def test_before_its_time_nothing_happens_and_the_explanation_says_when():
    early = seen()
    assert plan_occurrences(early) == ()
    assert explain_occurrences(early).flip_at_ms == T + HOUR


MISSED = [
    ("skip", CatchUp(runs="skip"), [], [(at, "missed") for at in DUE]),
    ("latest", CatchUp(), [DUE[2]], [(at, "missed") for at in DUE[:2]]),
    ("all", CatchUp(runs="all"), list(DUE), []),
    ("all but a limit", CatchUp(runs="all", limit=2), list(DUE[1:]), [(DUE[0], "missed")]),
    ("within", CatchUp(runs="within", window_ms=2 * HOUR), list(DUE[1:]), [(DUE[0], "skipped_late")]),
    ("within nothing", CatchUp(runs="within", window_ms=HOUR - 1), [], [(at, "skipped_late") for at in DUE]),
]


@pytest.mark.parametrize(("catch_up", "run", "not_run"), [row[1:] for row in MISSED], ids=[row[0] for row in MISSED])
def test_each_missed_one_runs_or_is_recorded_as_its_policy_says(catch_up, run, not_run):
    actions = plan_occurrences(seen(*DUE, catch_up=catch_up, grace_ms=1))
    assert (claims(actions), missed(actions)) == (run, not_run)
    assert actions[-1] == MoveSchedule("s", T + HOUR)


@pytest.mark.parametrize(("late_ms", "runs"), [(0, True), (HOUR, True), (HOUR + 1, False)])
def test_under_skip_the_newest_runs_within_half_a_period(late_ms, runs):
    at = T - late_ms
    asked = seen(at, following=NextRun(at + 2 * HOUR), catch_up=CatchUp(runs="skip"))
    assert bool(claims(plan_occurrences(asked))) == runs
    assert bool(claims(plan_occurrences(evolve(asked, grace_ms=late_ms - 1)))) is False


def test_a_reconnect_of_two_minutes_is_no_missed_run():
    asked = seen(T - 120_000, following=NextRun(T + 1), catch_up=CatchUp(runs="skip"))
    assert claims(plan_occurrences(asked)) == [T - 120_000]


OVERLAPS = [
    ("skip", (), [], (SkipOverlap("s", T, 5),)),
    ("queue", (), [], (QueueOverlap("s", T, 5),)),
    ("queue", (6,), [], (SkipOverlap("s", T, 5),)),
    ("replace", (), [T], (ReplaceRunning("s", 5), ClaimOccurrence("s", T, 0))),
]


@pytest.mark.parametrize(("overlap", "queued", "run", "actions"), OVERLAPS)
def test_while_an_earlier_one_runs(overlap, queued, run, actions):
    got = plan_occurrences(seen(T, overlap=overlap, running_at_ms=(5,), queued_at_ms=queued))
    assert got == (*actions, MoveSchedule("s", T + HOUR))
    assert claims(got) == run


def test_the_one_that_waits_starts_when_the_running_one_has_ended_and_before_those_that_come():
    asked = seen(T, overlap="queue", queued_at_ms=(6,))
    assert plan_occurrences(asked) == (
        ClaimOccurrence("s", 6, T - 6),
        QueueOverlap("s", T, 6),
        MoveSchedule("s", T + HOUR),
    )
    assert plan_occurrences(seen(queued_at_ms=(6,), running_at_ms=(5,))) == ()


def test_runs_made_up_for_together_do_not_overlap_each_other():
    actions = plan_occurrences(seen(*DUE, catch_up=CatchUp(runs="all"), overlap="skip"))
    assert claims(actions) == list(DUE)


@pytest.mark.parametrize(("hold", "outcome"), [("paused", "skipped_paused"), ("closed", "skipped_closed")])
def test_a_schedule_that_is_held_records_what_it_passes_by(hold, outcome):
    actions = plan_occurrences(seen(*DUE, hold=hold, queued_at_ms=(6,), catch_up=CatchUp(runs="all")))
    assert missed(actions) == [(at, outcome) for at in DUE]
    assert claims(actions) == []
    assert actions[-1] == MoveSchedule("s", T + HOUR)


def test_what_has_its_row_is_never_claimed_again():
    actions = plan_occurrences(seen(*DUE, known_at_ms=DUE[1:], catch_up=CatchUp(runs="all")))
    assert claims(actions) == [DUE[0]]
    assert claims(plan_occurrences(seen(T, known_at_ms=(T,)))) == []


def test_those_before_the_limit_are_recorded_together():
    older = OlderRuns(first_at_ms=1, until_at_ms=9, count=9)
    asked = evolve(seen(T), runs=DueRuns(following=NextRun(T + 1), due_at_ms=(T,), older=older))
    assert plan_occurrences(asked)[0] == RecordMissed("s", 1, "missed", 9, 9)
    assert missed(plan_occurrences(evolve(asked, known_at_ms=(1,)))) == []


def test_after_its_one_run_a_schedule_is_done():
    asked = seen(T, following=NoMoreRuns())
    assert plan_occurrences(asked) == (ClaimOccurrence("s", T, 0), MoveSchedule("s", None))
    assert plan_occurrences(seen(following=NoMoreRuns())) == ()


def test_a_schedule_that_can_have_no_next_run_stands_still_after_this_one():
    actions = plan_occurrences(seen(T, following=ScheduleRefused("timezone", "gone")))
    assert actions == (ClaimOccurrence("s", T, 0), ParkSchedule("s", "gone"))


def test_after_a_clock_set_back_the_next_time_is_sought_from_now_on():
    waits = seen(next_at_ms=T + 24 * HOUR, moved_at_ms=T - 1)
    assert plan_occurrences(waits) == ()
    assert plan_occurrences(evolve(waits, moved_at_ms=T + 23 * HOUR)) == (MoveSchedule("s", T + HOUR),)


# Which nominal times have come


def due(kind, value, anchor, now, limit=1_000, zone=UTC, starts=None):
    asked = ScheduleSnapshot(now_ms=now, kind=kind, value=value, anchor_at_ms=anchor, zone=zone)
    return due_runs(asked, SchedulePolicy(due_limit=limit), starts_at_ms=starts)


def test_all_ticks_up_to_now_are_due_and_the_grid_does_not_drift():
    assert due("interval", "10", 5, 29) == DueRuns(following=NextRun(35), due_at_ms=(5, 15, 25))
    assert due("interval", "10", 5, 25).due_at_ms == (5, 15, 25)
    assert due("interval", "10", 5, 4) == DueRuns(following=NextRun(5))


def test_a_year_of_missed_milliseconds_costs_no_more_than_the_limit():
    runs = due("interval", "1", 0, 366 * 24 * HOUR, limit=3)
    last = 366 * 24 * HOUR
    assert runs.due_at_ms == (last - 2, last - 1, last)
    assert runs.older == OlderRuns(first_at_ms=0, until_at_ms=last - 3, count=last - 2)


def test_missed_cron_times_are_counted_where_that_is_cheap_and_told_together_where_not():
    few = due("cron", "0 * * * *", 10 * HOUR, 13 * HOUR + 1)
    assert few.due_at_ms == (10 * HOUR, 11 * HOUR, 12 * HOUR, 13 * HOUR) and few.older is None
    many = due("cron", "* * * * *", 0, 10_000 * HOUR, limit=3)
    assert many.due_at_ms == tuple(10_000 * HOUR - back * 60_000 for back in (2, 1, 0))
    assert many.older == OlderRuns(first_at_ms=0, until_at_ms=10_000 * HOUR - 3 * 60_000, count=None)


def test_the_stored_time_is_due_though_the_text_would_not_name_it():
    assert due("cron", "0 * * * *", 10 * HOUR + 7, 11 * HOUR).due_at_ms == (10 * HOUR + 7, 11 * HOUR)
    assert due("cron", "0 9 * * *", 10 * HOUR, 11 * HOUR, zone=None).due_at_ms == (10 * HOUR,)


def test_no_time_before_the_start_follows():
    assert due("interval", "10", 105, 29, starts=105).following == NextRun(105)
    assert due("cron", "0 * * * *", None, 0, starts=5 * HOUR).following == NextRun(5 * HOUR)


@pytest.mark.parametrize(
    "value", ["0", "-5", "1.5", "1h", "", " 60000", "٣", "1e3", str(366 * 24 * HOUR + 1), "9" * 30]
)
def test_what_is_no_interval_is_refused(value):
    answer = compute_next_run(ScheduleSnapshot(now_ms=T, kind="interval", value=value, anchor_at_ms=T))
    assert isinstance(answer, ScheduleRefused) and answer.what == "interval"


def test_an_interval_of_366_days_is_one():
    asked = ScheduleSnapshot(now_ms=T, kind="interval", value=str(366 * 24 * HOUR), anchor_at_ms=T)
    assert compute_next_run(asked) == NextRun(T + 366 * 24 * HOUR)


def test_each_schedule_has_its_own_zone():
    asked = ScheduleSnapshot(now_ms=0, kind="cron", value="0 9 * * *", zone=ZoneInfo("Asia/Tokyo"))
    assert compute_next_run(asked) == NextRun(24 * HOUR)
    assert explain_next_run(asked).flip_at_ms == 24 * HOUR
    assert compute_next_run(evolve(asked, zone=ZoneInfo("America/New_York"))) == NextRun(14 * HOUR)
