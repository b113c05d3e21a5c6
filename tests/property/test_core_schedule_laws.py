"""Does the schedule agree with a scanner that looks at every single minute?"""

import calendar
from datetime import UTC, datetime, timedelta
from string import ascii_letters, digits
from zoneinfo import ZoneInfo

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


@st.composite
def clock_fields(draw, size):
    """A minute or hour field, as text and as the set it stands for."""
    low, high = sorted((draw(st.integers(0, size - 1)), draw(st.integers(0, size - 1))))
    step = draw(st.integers(1, size // 2))
    whole, span = range(size), range(low, high + 1)
    return draw(
        st.sampled_from(
            [
                ("*", set(whole)),
                (f"*/{step}", set(whole[::step])),
                (f"{low}", {low}),
                (f"{low},{high}", {low, high}),
                (f"{low}-{high}", set(span)),
                (f"{low}-{high}/{step}", set(sorted(span)[::step]) if low < high else set(range(low, size)[::step])),
                (f"{low}/{step}", set(range(low, size)[::step])),
            ]
        )
    )


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


@st.composite
def schedules(draw):
    """A cron text, whether it repeats by the instant, and a test of local times, each written down independently."""
    minute, hour = draw(clock_fields(60)), draw(clock_fields(24))
    day_of_month, day_of_week = draw(days_of_month), draw(days_of_week)
    both = day_of_month[0].startswith("*") or day_of_week[0].startswith("*")

    def matches(local):
        of_month, of_week = day_of_month[1](local), day_of_week[1](local)
        on_day = (of_month and of_week) if both else (of_month or of_week)
        return local.minute in minute[1] and local.hour in hour[1] and on_day

    text = f"{minute[0]} {hour[0]} {day_of_month[0]} * {day_of_week[0]}"
    return text, minute[0].startswith("*") or hour[0].startswith("*"), matches


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
    (text, repeats, matches), (zone, after) = schedule, moment
    answer = next_cron_run(text, zone, (after - EPOCH) // timedelta(milliseconds=1))

    expected = scan(after, zone, repeats, matches)

    if expected is not None:
        assert answer == CronRun((expected - EPOCH) // timedelta(milliseconds=1))
    elif isinstance(answer, CronRun):
        end = (after - BEFORE).replace(second=0, microsecond=0) + BEFORE + HORIZON
        assert EPOCH + timedelta(milliseconds=answer.at_ms) >= end


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(schedules(), moments())
def test_the_next_run_is_the_one_the_scanner_finds(schedule, moment):
    compare(schedule, moment)


@pytest.mark.long
@settings(max_examples=4_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(schedules(), moments())
def test_the_next_run_is_the_one_the_scanner_finds_in_very_many_cases(schedule, moment):
    compare(schedule, moment)


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
