"""Do timestamps survive the way out and back, and does no text ever raise?"""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from turnkeel_adapters.timestamps import iso_utc, parse_sqlite_utc, sqlite_utc, stamp_resolution_ms

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_MS = -62_135_596_800_000
LAST_MS = 253_402_300_799_999
instants = st.integers(FIRST_MS, LAST_MS)


@given(instants)
@example(-1)
@example(FIRST_MS)
@example(LAST_MS)
def test_an_iso_text_names_the_same_millisecond_again(at_ms):
    assert parse_sqlite_utc(iso_utc(at_ms)) == at_ms
    assert iso_utc(at_ms) == (EPOCH + timedelta(milliseconds=at_ms)).strftime("%Y-%m-%dT%H:%M:%S.").zfill(20) + (
        f"{at_ms % 1000:03d}Z"
    )


@given(instants)
@example(-1)
def test_a_sqlite_text_names_the_second_that_holds_the_instant(at_ms):
    assert parse_sqlite_utc(sqlite_utc(at_ms)) == at_ms // 1000 * 1000


@given(st.datetimes(), st.integers(-23 * 60 - 59, 23 * 60 + 59), st.sampled_from("T "))
def test_an_offset_is_taken_off(local, offset_min, separator):
    sign, minutes = "-" if offset_min < 0 else "+", abs(offset_min)
    stamp = f"{local.isoformat(separator, 'microseconds')}{sign}{minutes // 60:02d}:{minutes % 60:02d}"
    aware = local.replace(tzinfo=UTC) - EPOCH - timedelta(minutes=offset_min)
    assert parse_sqlite_utc(stamp) == aware // timedelta(milliseconds=1)


@given(st.text() | st.from_regex(r"[0-9T :.Z+-]{0,40}"))
def test_no_text_raises(text):
    found = parse_sqlite_utc(text)
    assert found is None or isinstance(found, int)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-04-20 24:00:00", "2026-04-21 00:00:00"),
        ("2026-04-20T24:00:00.000Z", "2026-04-21 00:00:00"),
        ("2026-04-20 24:00:00.0001", None),
        ("2026-04-20 24:00:01", None),
        ("2026-04-20 24:01:00", None),
        ("2026-04-20 25:00:00", None),
        ("2026-02-30 00:00:00", "2026-03-02 00:00:00"),
        ("2024-02-31T00:00:00Z", "2024-03-02 00:00:00"),
        ("2026-04-31 12:00:00", "2026-05-01 12:00:00"),
        ("2026-04-32 12:00:00", None),
        ("2026-04-00 12:00:00", None),
        ("2026-13-01 12:00:00", None),
        ("2026-04-20 12:60:00", None),
        ("2026-04-20 12:00:60", None),
        ("2026-04-20 12:00:00.", None),
        ("2026-04-20 12:00:00." + "9" * 5000, "2026-04-20 12:00:00"),
        ("2026-04-20 12:00:00\n", None),
        (" 2026-04-20 12:00:00", None),
        ("2026-04-20 12:00:00\x00", None),
        ("2026-04-20", None),
        ("2026-04-20 12:00", None),
        ("2026-04-20 12:00:00+0200", None),
        ("2026-04-20 12:00:00+02:60", None),
        ("2026-04-20 12:00:00+24:00", None),
        ("2026-04-20 12:00:00z", "2026-04-20 12:00:00"),
        ("２０２６-04-20 12:00:00", None),
        ("٢٠٢٦-04-20 12:00:00", None),
    ],
)
def test_the_edges_of_the_grammar(text, expected):
    found = parse_sqlite_utc(text)
    assert (None if found is None else sqlite_utc(found)) == expected


@pytest.mark.parametrize(
    ("text", "width_ms"),
    [("2026-04-20 12:00:00", 1000), ("2026-04-20T12:00:00Z", 1000), ("2026-04-20T12:00:00.5Z", 1)],
)
def test_a_stamp_is_as_wide_as_its_last_place(text, width_ms):
    assert stamp_resolution_ms(text) == width_ms


def test_a_text_without_a_zone_is_utc():
    assert parse_sqlite_utc("2026-04-20 12:00:00") == parse_sqlite_utc(
        datetime(2026, 4, 20, 14, tzinfo=timezone(timedelta(hours=2))).isoformat()
    )
