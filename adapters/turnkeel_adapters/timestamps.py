"""Which instant does a timestamp in a session file name?"""

import re

_STAMP = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))?"
)
_DAY_MS = 86_400_000


def parse_sqlite_utc(text: str) -> int | None:
    """Return the epoch milliseconds of `YYYY-MM-DD[T ]HH:MM:SS[.f+][Z|±HH:MM]`, or None for any other text.

    Without a zone the text is UTC, whatever the host's own zone is; fractions are cut to whole milliseconds. As in
    the existing host and in SQLite, `z` is as good as `Z`, days 29-31 of a shorter month roll over, and 24:00:00 is
    the next midnight (spec/nanoclaw.md §5.1).
    """
    found = _STAMP.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in found.group(1, 2, 3, 4, 5, 6))
    millis = int((found[7] or "0")[:3].ljust(3, "0"))
    if not (1 <= month <= 12 and 1 <= day <= 31 and minute <= 59 and second <= 59):
        return None
    # Only midnight itself may be written as hour 24.
    if hour > 24 or (hour == 24 and (minute, second, (found[7] or "").strip("0")) != (0, 0, "")):
        return None
    offset_ms = _offset_ms(found[8], found[9], found[10])
    if offset_ms is None:
        return None
    clock_ms = ((hour * 60 + minute) * 60 + second) * 1000 + millis
    return _days_since_epoch(year, month, day) * _DAY_MS + clock_ms - offset_ms


def stamp_resolution_ms(text: str) -> int:
    """Return the width in ms of what a stamp can mean: 1000 for whole seconds, 1 where it has a fraction."""
    return 1 if "." in text else 1000


def sqlite_utc(at_ms: int) -> str:
    """Return `YYYY-MM-DD HH:MM:SS` of the second that holds `at_ms`, as SQLite's datetime() writes it."""
    year, month, day, clock_ms = _civil(at_ms)
    seconds = clock_ms // 1000
    return f"{year:04d}-{month:02d}-{day:02d} {seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def iso_utc(at_ms: int) -> str:
    """Return `YYYY-MM-DDTHH:MM:SS.mmmZ` of `at_ms`."""
    date, _, clock = sqlite_utc(at_ms).partition(" ")
    return f"{date}T{clock}.{at_ms % 1000:03d}Z"


def _offset_ms(sign: str | None, hours: str | None, minutes: str | None) -> int | None:
    if sign is None or hours is None or minutes is None:
        return 0
    if int(hours) > 23 or int(minutes) > 59:
        return None
    return (int(hours) * 60 + int(minutes)) * 60_000 * (1 if sign == "+" else -1)


# Years are counted from March, so that a leap day is the last day of its year; eras of 400 years repeat exactly.
# The standard library's datetime has neither year 0 nor day overflow.
def _days_since_epoch(year: int, month: int, day: int) -> int:
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468


def _civil(at_ms: int) -> tuple[int, int, int, int]:
    days, clock_ms = divmod(at_ms, _DAY_MS)
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    return era * 400 + year_of_era + (month <= 2), month, day, clock_ms
