"""Does the schedule agree with a scanner that looks at every single minute, and with one that steps through days?

Two scanners, written apart from each other and from the rules: one walks the instants and looks at the local clock, the
other walks the local dates and asks the zone for the instants. cronsim by itself skips ordinary runs around a change in
zones whose shift is half an hour; the rules around it must not.
"""

import calendar
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from string import ascii_letters, digits
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from turnkeel_core.schedule import CronRefused, CronRun, next_cron_run

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
BEFORE, HORIZON = timedelta(hours=30), 2 * DAY
LAST = 1000  # marks the last such weekday of a month
CHANGES = [
    ("America/New_York", "2026-03-08T07:00"),
    ("America/New_York", "2026-11-01T06:00"),
    ("Europe/Berlin", "2026-03-29T01:00"),
    ("Europe/Berlin", "2026-10-25T01:00"),
    ("Australia/Lord_Howe", "2026-10-03T15:30"),
    ("Australia/Lord_Howe", "2026-04-04T15:00"),
    ("Antarctica/Troll", "2026-03-29T01:00"),
    ("Antarctica/Troll", "2026-10-25T01:00"),
    ("America/Havana", "2026-03-08T05:00"),
    ("America/Havana", "2026-11-01T05:00"),
    ("America/Sao_Paulo", "2018-11-04T03:00"),
    ("America/Sao_Paulo", "2018-02-18T02:00"),
    ("Africa/Cairo", "2026-04-23T22:00"),
    ("Africa/Cairo", "2026-10-29T21:00"),
    ("Pacific/Chatham", "2026-09-26T14:00"),
    ("Pacific/Apia", "2011-12-30T10:00"),
    ("Pacific/Kiritimati", "1994-12-31T10:40"),
    ("Asia/Pyongyang", "2018-05-04T15:00"),
    ("America/Caracas", "2016-05-01T07:00"),
    ("Asia/Kolkata", "2026-07-01T00:00"),
    ("UTC", "2026-02-28T12:00"),
]


class Schedule(NamedTuple):
    text: str
    repeats: bool
    minutes: set
    hours: set
    on_day: Callable

    def matches(self, local):
        return local.minute in self.minutes and local.hour in self.hours and self.on_day(local)


def clock_fields(size):
    """Minute or hour fields, as text and as the set each stands for."""
    number = st.integers(0, size - 1)
    return st.tuples(st.integers(0, 6), number, number, st.integers(1, size // 2)).map(
        lambda drawn: field_of(size, *drawn)
    )


def field_of(size, form, one, other, step):
    whole, (low, high) = range(size), sorted((one, other))
    match form:
        case 0:
            return "*", set(whole)
        case 1:
            return f"*/{step}", set(whole[::step])
        case 2:
            return f"{low}", {low}
        case 3:
            return f"{low},{high}", {low, high}
        case 4:
            return f"{low}-{high}", set(range(low, high + 1))
        case 5:
            return f"{low}-{high}/{step}", set(range(low, high + 1 if low < high else size, step))
        case _:
            return f"{low}/{step}", set(range(low, size, step))


def last_day(date):
    return calendar.monthrange(date.year, date.month)[1]


day, weekday = st.integers(1, 31), st.integers(0, 7)
days_of_month = st.sampled_from(["*"] * 4).map(lambda text: (text, lambda date: True)) | st.one_of(
    day.map(lambda n: (f"{n}", lambda date: date.day == n)),
    st.just(("L", lambda date: date.day == last_day(date))),
    st.integers(2, 9).map(lambda n: (f"*/{n}", lambda date: (date.day - 1) % n == 0)),
)
days_of_week = st.sampled_from(["*"] * 4).map(lambda text: (text, lambda date: True)) | st.one_of(
    weekday.map(lambda n: (f"{n}", lambda date: date.isoweekday() % 7 == n % 7)),
    weekday.map(lambda n: (f"{n}L", lambda date: date.isoweekday() % 7 == n % 7 and date.day + 7 > last_day(date))),
    st.tuples(weekday, st.integers(1, 5)).map(
        lambda pair: (
            f"{pair[0]}#{pair[1]}",
            lambda date: date.isoweekday() % 7 == pair[0] % 7 and (date.day + 6) // 7 == pair[1],
        )
    ),
)


def schedule_of(minute, hour, day_of_month, day_of_week):
    """A cron text, whether it repeats by the instant, and the local times it means, each written down independently."""
    both = day_of_month[0].startswith("*") or day_of_week[0].startswith("*")

    def on_day(date):
        of_month, of_week = day_of_month[1](date), day_of_week[1](date)
        return (of_month and of_week) if both else (of_month or of_week)

    text = f"{minute[0]} {hour[0]} {day_of_month[0]} * {day_of_week[0]}"
    return Schedule(text, minute[0].startswith("*") or hour[0].startswith("*"), minute[1], hour[1], on_day)


SCHEDULES = st.tuples(clock_fields(60), clock_fields(24), days_of_month, days_of_week).map(
    lambda fields: schedule_of(*fields)
)


@st.composite
def moments(draw):
    """A zone and an instant within two days before, or one after, a change of its clocks."""
    zone, change = draw(st.sampled_from(CHANGES))
    offset_ms = draw(st.integers(-2 * 86_400_000, 86_400_000))
    rounded_ms = offset_ms // 60_000 * 60_000
    return ZoneInfo(zone), datetime.fromisoformat(change).replace(tzinfo=UTC) + timedelta(
        milliseconds=draw(st.sampled_from([offset_ms, rounded_ms, -1_000, -1, 0]))
    )


def scan(after, zone, repeats, matches):
    """The next firing, found by looking at every minute of some days; None if there is none."""
    start = (after - BEFORE).replace(second=0, microsecond=0)
    minutes = [start + n * MINUTE for n in range((BEFORE + HORIZON) // MINUTE)]
    locals_of = {instant: instant.astimezone(zone).replace(tzinfo=None) for instant in minutes}
    if repeats:
        return next((t for t in minutes if t > after and matches(locals_of[t])), None)
    fired, latest = [], locals_of[start]
    for instant in minutes[1:]:
        local = locals_of[instant]
        # Local times that this minute is the first to reach: its own, and those a gap before it left out.
        while latest < local:
            latest += MINUTE
            if matches(latest):
                fired.append(instant)
    return next((instant for instant in fired if instant > after), None)


def compare(schedule, moment):
    zone, after = moment
    answer = next_cron_run(schedule.text, zone, (after - EPOCH) // timedelta(milliseconds=1))

    expected = scan(after, zone, schedule.repeats, schedule.matches)

    if expected is not None:
        assert answer == CronRun((expected - EPOCH) // timedelta(milliseconds=1))
    elif isinstance(answer, CronRun):
        end = (after - BEFORE).replace(second=0, microsecond=0) + BEFORE + HORIZON
        assert EPOCH + timedelta(milliseconds=answer.at_ms) >= end


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SCHEDULES, moments())
def test_the_next_run_is_the_one_the_scanner_finds(schedule, moment):
    compare(schedule, moment)


@pytest.mark.long
@settings(max_examples=4_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SCHEDULES, moments())
def test_the_next_run_is_the_one_the_scanner_finds_in_very_many_cases(schedule, moment):
    compare(schedule, moment)


@cache
def changes_of(name):
    """The whole seconds at which a zone's offset changes, from 1980 on, looked for in steps of five days."""
    zone, found = ZoneInfo(name), []
    day, end = datetime(1980, 1, 1, tzinfo=UTC), datetime(2038, 1, 1, tzinfo=UTC)
    while day < end:
        if day.astimezone(zone).utcoffset() != (day + 5 * DAY).astimezone(zone).utcoffset():
            found.append(first_change(day, day + 5 * DAY, zone))
        day += 5 * DAY
    return found


def first_change(low, high, zone):
    """The first whole second in (low, high] with another offset than at `low`."""
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0) if middle.replace(microsecond=0) > low else low + timedelta(seconds=1)
        low, high = (low, middle) if middle.astimezone(zone).utcoffset() != before else (middle, high)
    return high


ZONES = sorted(
    name for name in available_timezones() if name.count("/") == 1 and not name.startswith(("Etc", "System"))
)


def near_change(name, which, around_ms):
    changes = changes_of(name) or [datetime(2026, 3, 1, tzinfo=UTC)]
    return ZoneInfo(name), changes[which % len(changes)] + timedelta(milliseconds=around_ms)


NEAR_CHANGES = st.tuples(
    st.sampled_from(["Australia/Lord_Howe", *ZONES]) | st.just("Australia/Lord_Howe"),
    st.integers(0, 9_999),
    st.integers(-3 * 86_400_000, 3 * 86_400_000) | st.sampled_from([-60_000, -1_000, -1, 0, 1, 60_000]),
).map(lambda drawn: near_change(*drawn))
"""Any zone, any change of its clocks since 1980, and an instant within three days of it."""


def step_days(schedule, zone, after, days):
    """The first firing after `after` within `days`: the dates from two days before on, by the zone's own arithmetic.

    A date may lie after its own firings by a change of more than a day, so one more is looked at.
    """
    fired, first, ends = set(), after.astimezone(zone).date() - 2 * DAY, None
    for number in range(days + 3):
        date = first + number * DAY
        if schedule.on_day(date):
            for hour in schedule.hours:
                fired |= firings_of(datetime(date.year, date.month, date.day, hour), zone, schedule, after)
        if ends is None and fired:
            ends = number + 1
        if number == ends:
            break
    return min(fired, default=None)


def firings_of(hour, zone, schedule, after):
    """Those of one local hour after `after`; of an ordinary hour the first alone, by counting on from its beginning."""
    begins, ends = instants_of(hour, zone, True), instants_of(hour + 60 * MINUTE, zone, True)
    if len(begins) == len(ends) == 1 and max(ends) - max(begins) == 60 * MINUTE:
        [start] = begins
        if start + 60 * MINUTE <= after:
            return set()
        found = (start + minute * MINUTE for minute in sorted(schedule.minutes))
        return {next((at for at in found if at > after), None)} - {None}
    every = (instants_of(hour + minute * MINUTE, zone, schedule.repeats) for minute in schedule.minutes)
    return {at for found in every for at in found if at > after}


def instants_of(local, zone, repeats):
    early, late = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if early.astimezone(zone).replace(tzinfo=None) == local:
        return {early, late} if repeats else {early}
    # The local time is missing: read with the offset before the gap it comes after it, with the later offset before.
    return set() if repeats else {first_change(late - timedelta(seconds=1), early, zone)}


def compare_days(schedule, moment):
    zone, after = moment
    answer = next_cron_run(schedule.text, zone, (after - EPOCH) // timedelta(milliseconds=1))

    expected = step_days(schedule, zone, after, 4)

    if expected is not None and expected <= after + 3 * DAY:
        assert answer == CronRun((expected - EPOCH) // timedelta(milliseconds=1))
    elif isinstance(answer, CronRun):
        assert EPOCH + timedelta(milliseconds=answer.at_ms) > after + 3 * DAY


@settings(max_examples=2_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SCHEDULES, NEAR_CHANGES)
def test_around_every_change_of_the_clocks_the_next_run_is_the_one_found_by_stepping_through_days(schedule, moment):
    compare_days(schedule, moment)


@pytest.mark.long
@settings(max_examples=100_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SCHEDULES, NEAR_CHANGES)
def test_the_same_in_very_many_cases(schedule, moment):
    compare_days(schedule, moment)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.text(st.sampled_from(digits + ascii_letters + "*,/#-@?. \t\x00é"), max_size=30)
    | st.lists(st.sampled_from(["*", "L", "LW", "1", "5L", "1#2", "*/7", "0", "1-5", "MON", "31", "2", "60"])).map(
        " ".join
    ),
    st.sampled_from([UTC, ZoneInfo("Europe/Berlin")]),
    st.integers(-(10**15), 10**15),
)
def test_no_text_and_no_instant_raises(text, zone, after_ms):
    answer = next_cron_run(text, zone, after_ms)

    assert answer.reason if isinstance(answer, CronRefused) else answer.at_ms > after_ms
