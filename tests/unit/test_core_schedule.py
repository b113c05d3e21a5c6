"""When does a cron text fire, and what does a change of the clocks do to it?"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from turnkeel_core.schedule import ALIASES, CronRefused, CronRun, next_cron_run


def at_ms(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def runs(cron, zone, after, how_many):
    """The next firings as UTC texts without seconds; every one must lie on a whole minute."""
    found, cursor_ms = [], at_ms(after)
    for _ in range(how_many):
        answer = next_cron_run(cron, ZoneInfo(zone), cursor_ms)
        assert isinstance(answer, CronRun), answer
        assert answer.at_ms > cursor_ms
        assert answer.at_ms % 60_000 == 0
        cursor_ms = answer.at_ms
        found.append(datetime.fromtimestamp(cursor_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M"))
    return found


PLAIN = [
    ("@yearly", "2026-03-10T12:00", ["2027-01-01T00:00"]),
    ("@annually", "2026-03-10T12:00", ["2027-01-01T00:00"]),
    ("@monthly", "2026-03-10T12:00", ["2026-04-01T00:00"]),
    ("@weekly", "2026-03-10T12:00", ["2026-03-15T00:00"]),
    ("@daily", "2026-03-10T12:00", ["2026-03-11T00:00"]),
    ("@midnight", "2026-03-10T12:00", ["2026-03-11T00:00"]),
    ("@hourly", "2026-03-10T12:00", ["2026-03-10T13:00"]),
    ("@DAILY", "2026-03-10T12:00", ["2026-03-11T00:00"]),
    ("  0  9\t* * *\n", "2026-03-10T12:00", ["2026-03-11T09:00"]),
    ("0 9 * * mon-fri", "2026-03-13T09:00", ["2026-03-16T09:00"]),
    ("0 9 * jan,JUL *", "2026-03-10T12:00", ["2026-07-01T09:00"]),
    ("0 0 * * 0", "2026-03-10T12:00", ["2026-03-15T00:00"]),
    ("0 0 * * 7", "2026-03-10T12:00", ["2026-03-15T00:00"]),
    ("0 0 L * *", "2026-02-10T12:00", ["2026-02-28T00:00", "2026-03-31T00:00", "2026-04-30T00:00"]),
    ("0 0 L 2 *", "2027-12-01T00:00", ["2028-02-29T00:00"]),
    ("0 0 * * 5L", "2026-03-01T00:00", ["2026-03-27T00:00", "2026-04-24T00:00", "2026-05-29T00:00"]),
    ("0 0 * * 0L", "2026-03-01T00:00", ["2026-03-29T00:00"]),
    ("0 0 * * 2#2", "2026-03-01T00:00", ["2026-03-10T00:00", "2026-04-14T00:00"]),
    ("0 0 * * fri#5", "2026-03-01T00:00", ["2026-05-29T00:00"]),
    ("0 0 13 * 5", "2026-03-01T00:00", ["2026-03-06T00:00", "2026-03-13T00:00", "2026-03-20T00:00"]),
    ("0 0 */2 * 5", "2026-03-01T00:00", ["2026-03-13T00:00", "2026-03-27T00:00"]),
    ("5/20 * * * *", "2026-03-10T12:00", ["2026-03-10T12:05", "2026-03-10T12:25", "2026-03-10T12:45"]),
    ("0-30/15 8 * * *", "2026-03-10T12:00", ["2026-03-11T08:00", "2026-03-11T08:15", "2026-03-11T08:30"]),
    ("0 0 29 2 *", "2026-03-10T12:00", ["2028-02-29T00:00"]),
]


@pytest.mark.parametrize(("cron", "after", "expected"), PLAIN, ids=[f"{row[0]!r} after {row[1]}" for row in PLAIN])
def test_what_a_text_means(cron, after, expected):
    assert runs(cron, "UTC", after, len(expected)) == expected


def test_every_alias_is_a_schedule():
    assert {alias for alias in ALIASES if isinstance(next_cron_run(alias, UTC, 0), CronRun)} == set(ALIASES)


@pytest.mark.parametrize(
    ("cron", "reason"),
    [
        ("", "empty cron text"),
        (" \t\n", "empty cron text"),
        ("@never", "unknown alias"),
        ("@", "unknown alias"),
        ("* * * *", "4 fields instead of five"),
        ("0 * * * * *", "6 fields instead of five"),
        ("bogus", "1 fields instead of five"),
        ("0 0 LW * *", "'LW' is not understood"),
        ("0 0 lw * *", "'lw' is not understood"),
        ("0 0 ? * *", "'?' is not understood"),
        ("٥ 0 * * *", "is not understood"),
        ("60 * * * *", "Bad minute"),
        ("* 24 * * *", "Bad hour"),
        ("* * 0 * *", "Bad day-of-month"),
        ("* * 32 * *", "Bad day-of-month"),
        ("* * * 13 *", "Bad month"),
        ("* * * * 8", "Bad day-of-week"),
        ("*/0 * * * *", "Bad minute"),
        ("5-1 * * * *", "Bad minute"),
        ("1- * * * *", "Bad minute"),
        ("-1 * * * *", "Bad minute"),
        (", * * * *", "Bad minute"),
        ("0 0 30 2 *", "Bad day-of-month"),
        ("0 0 * 2 1#6", "Bad day-of-week"),
        ("0 0 * * L", "Bad day-of-week"),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_a_text_that_is_no_schedule_is_refused_with_the_reason(cron, reason, zone):
    answer = next_cron_run(cron, ZoneInfo(zone), at_ms("2026-03-10T12:00"))

    assert isinstance(answer, CronRefused)
    assert reason in answer.reason


@pytest.mark.parametrize("cron", ["* * * * *", "0 0 1 1 *", "0 0 29 2 *"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_at_the_end_of_the_calendar_there_is_no_next_run(cron, zone):
    answer = next_cron_run(cron, ZoneInfo(zone), at_ms("9999-12-31T23:59"))

    assert isinstance(answer, CronRefused)
    assert "beyond the calendar" in answer.reason


@pytest.mark.parametrize("after_ms", [10**15, -(10**15), 10**30])
def test_an_instant_outside_the_calendar_is_refused_not_raised(after_ms):
    assert isinstance(next_cron_run("* * * * *", UTC, after_ms), CronRefused)


@pytest.mark.parametrize(
    ("after_ms", "next_ms"),
    [(0, 60_000), (1, 60_000), (59_999, 60_000), (60_000, 120_000), (-1, 0), (-60_000, 0), (-60_001, -60_000)],
)
@pytest.mark.parametrize("cron", ["* * * * *", "0-59 0-23 * * *"])
@pytest.mark.parametrize("zone", ["UTC", "Etc/GMT+3"])
def test_the_next_run_is_strictly_later(cron, zone, after_ms, next_ms):
    assert next_cron_run(cron, ZoneInfo(zone), after_ms) == CronRun(next_ms)


# name, cron, zone, after (UTC), expected (UTC)
CHANGES = [
    (
        "an hourly run skips nothing when an hour is missing",
        "30 * * * *",
        "America/New_York",
        "2026-03-08T06:00",
        ["2026-03-08T06:30", "2026-03-08T07:30", "2026-03-08T08:30"],
    ),
    (
        "a starred minute of a fixed hour does not fire when the hour is missing",
        "*/30 2 * * *",
        "America/New_York",
        "2026-03-08T06:00",
        ["2026-03-09T06:00", "2026-03-09T06:30"],
    ),
    (
        "asked in the last second before the gap, a starred minute does not fire at its end",
        "*/30 2 * * *",
        "America/New_York",
        "2026-03-08T06:59:59",
        ["2026-03-09T06:00"],
    ),
    (
        "asked in the last second before the gap, an hourly run fires at its end",
        "0 * * * *",
        "America/New_York",
        "2026-03-08T06:59:59",
        ["2026-03-08T07:00"],
    ),
    (
        "asked in the last second before the gap, the hour after it is not entered late",
        "*/30 3 * * *",
        "America/New_York",
        "2026-03-08T06:59:59",
        ["2026-03-08T07:00", "2026-03-08T07:30"],
    ),
    (
        "a fixed time that is missing fires at the first instant after the gap",
        "30 2 * * *",
        "America/New_York",
        "2026-03-08T06:00",
        ["2026-03-08T07:00", "2026-03-09T06:30"],
    ),
    (
        "several fixed times in one gap fire once",
        "0,15,30,45 2 * * *",
        "America/New_York",
        "2026-03-08T06:00",
        ["2026-03-08T07:00", "2026-03-09T06:00"],
    ),
    (
        "a fixed time at the end of the gap and one inside it fire once",
        "0 2,3 * * *",
        "America/New_York",
        "2026-03-08T06:00",
        ["2026-03-08T07:00", "2026-03-09T06:00", "2026-03-09T07:00"],
    ),
    (
        "an hourly run fires in both passes of a repeated hour",
        "30 * * * *",
        "America/New_York",
        "2026-11-01T04:45",
        ["2026-11-01T05:30", "2026-11-01T06:30", "2026-11-01T07:30"],
    ),
    (
        "a starred minute of a fixed hour fires in both passes",
        "*/30 1 * * *",
        "America/New_York",
        "2026-11-01T04:45",
        ["2026-11-01T05:00", "2026-11-01T05:30", "2026-11-01T06:00", "2026-11-01T06:30", "2026-11-02T06:00"],
    ),
    (
        "a fixed time that comes twice fires the first time only",
        "30 1 * * *",
        "America/New_York",
        "2026-11-01T04:45",
        ["2026-11-01T05:30", "2026-11-02T06:30"],
    ),
    (
        "asked in the second pass, a fixed time waits for the next day",
        "30 1 * * *",
        "America/New_York",
        "2026-11-01T06:10",
        ["2026-11-02T06:30"],
    ),
    (
        "asked in the first pass after the time, a fixed time waits for the next day",
        "15 1 * * *",
        "America/New_York",
        "2026-11-01T05:20",
        ["2026-11-02T06:15"],
    ),
    (
        "a shift of half an hour leaves a gap of half an hour",
        "15 2 * * *",
        "Australia/Lord_Howe",
        "2026-10-03T00:00",
        ["2026-10-03T15:30", "2026-10-04T15:15"],
    ),
    (
        "a starred schedule steps over that half hour",
        "*/15 * * * *",
        "Australia/Lord_Howe",
        "2026-10-03T15:10",
        ["2026-10-03T15:15", "2026-10-03T15:30", "2026-10-03T15:45"],
    ),
    (
        "a shift back of half an hour repeats half an hour: fixed once",
        "45 1 * * *",
        "Australia/Lord_Howe",
        "2026-04-04T14:00",
        ["2026-04-04T14:45", "2026-04-05T15:15"],
    ),
    (
        "a shift back of half an hour repeats half an hour: starred twice",
        "45 * * * *",
        "Australia/Lord_Howe",
        "2026-04-04T14:00",
        ["2026-04-04T14:45", "2026-04-04T15:15", "2026-04-04T16:15"],
    ),
    (
        "a missing day is made up for at the first instant of the next",
        "0 9 * * *",
        "Pacific/Apia",
        "2011-12-29T20:00",
        ["2011-12-30T10:00", "2011-12-30T19:00", "2011-12-31T19:00"],
    ),
    (
        "midnight of a missing day and midnight of the next are one",
        "0 0 * * *",
        "Pacific/Apia",
        "2011-12-29T20:00",
        ["2011-12-30T10:00", "2011-12-31T10:00"],
    ),
    (
        "an hourly run never sees the missing day",
        "0 * * * *",
        "Pacific/Apia",
        "2011-12-30T08:00",
        ["2011-12-30T09:00", "2011-12-30T10:00", "2011-12-30T11:00"],
    ),
    (
        "a starred schedule on the missing date waits for the next year",
        "0 * 30 12 *",
        "Pacific/Apia",
        "2011-12-29T20:00",
        ["2012-12-29T10:00"],
    ),
    (
        "a repeated hour before midnight belongs to the day that ends",
        "30 23 * * *",
        "America/Sao_Paulo",
        "2018-02-18T00:00",
        ["2018-02-18T01:30", "2018-02-19T02:30"],
    ),
    (
        "midnight that is missing fires at one o'clock",
        "0 0 * * *",
        "America/Sao_Paulo",
        "2018-11-03T12:00",
        ["2018-11-04T03:00", "2018-11-05T02:00"],
    ),
]


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES]
)
def test_what_a_change_of_the_clocks_does(cron, zone, after, expected):
    assert runs(cron, zone, after, len(expected)) == expected
