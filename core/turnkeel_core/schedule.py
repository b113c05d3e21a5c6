"""When does this cron text fire next?

Five fields, names, lists, ranges and steps, `L`, `nL`, `n#k`, and aliases; the text is matched by cronsim, what a
change of the zone's offset means is decided here:

    minute or hour field starts with `*`   every matching instant fires, on both sides of a change
    both fixed, the local time is missing  fires at the first valid instant after the gap
    both fixed, the local time comes twice fires once, the first time

cronsim by itself leaves out ordinary hourly runs beside a shift of half an hour (Australia/Lord_Howe, 2006-04-01 15:09
UTC): what repeats by the instant is therefore matched within one offset at a time. A scanner that steps through local
dates agrees within three days of every change of every zone since 1980.

The one module of the core that needs cronsim; zones come in as `tzinfo` objects.
"""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TypeAlias

from attrs import frozen
from cronsim import CronSim, CronSimError

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIELD = re.compile(r"[0-9A-Za-z*,/#-]+")


@frozen
class CronRun:
    """The first instant strictly after the given one."""

    at_ms: int


@frozen
class CronRefused:
    """The text cannot be a schedule; `reason` says what is wrong with it."""

    reason: str


CronAnswer: TypeAlias = CronRun | CronRefused


def next_cron_run(cron: str, zone: tzinfo, after_ms: int) -> CronAnswer:
    """The first firing of `cron` in `zone` strictly after `after_ms`, on a whole second.

    Refused: an empty text, an unknown alias, other than five fields, a field out of range, a date that never comes.
    """
    fields = _fields(cron)
    if isinstance(fields, CronRefused):
        return fields
    expression, repeats = " ".join(fields), fields[0].startswith("*") or fields[1].startswith("*")
    try:
        after = _EPOCH + timedelta(milliseconds=after_ms)
        found = _every_instant(expression, zone, after) if repeats else _fixed_time(expression, zone, after)
    except CronSimError as error:
        return CronRefused(f"{error}: {cron!r}")
    except StopIteration:
        return CronRefused(f"no such date within 50 years: {cron!r}")
    except (OverflowError, ValueError):
        return CronRefused(f"the next run lies beyond the calendar: {cron!r}")
    return CronRun((found - _EPOCH) // timedelta(milliseconds=1))


def _fields(cron: str) -> tuple[str, ...] | CronRefused:
    text = cron.strip()
    if not text:
        return CronRefused("empty cron text")
    if text.startswith("@"):
        alias = ALIASES.get(text.lower())
        return tuple(alias.split()) if alias else CronRefused(f"unknown alias {text!r}")
    fields = tuple(text.split())
    if len(fields) != 5:
        return CronRefused(f"{len(fields)} fields instead of five: {cron!r}")
    odd = [field for field in fields if not _FIELD.fullmatch(field) or "LW" in field.upper()]
    return CronRefused(f"{odd[0]!r} is not understood: {cron!r}") if odd else fields


def _fixed_time(expression: str, zone: tzinfo, after: datetime) -> datetime:
    # cronsim walks local times, moves those in a gap to its end and takes the first of two; a walk that starts in
    # the second pass of a repeated hour can therefore name an instant that has passed.
    for local in CronSim(expression, after.astimezone(zone)):
        found = local.astimezone(UTC)
        if found > after:
            return found
    raise StopIteration


def _every_instant(expression: str, zone: tzinfo, after: datetime) -> datetime:
    # Within one offset local time is plain arithmetic: match there, and begin anew at each change of the offset.
    cursor, offset = after, _offset(after, zone)
    while True:
        local = next(CronSim(expression, (cursor + offset).replace(tzinfo=None)))
        found = (local - offset).replace(tzinfo=UTC)
        change = _next_change(cursor, found, zone, offset)
        if change is None:
            return found
        cursor, offset = change - timedelta(seconds=1), _offset(change, zone)


def _next_change(start: datetime, end: datetime, zone: tzinfo, offset: timedelta) -> datetime | None:
    """The first whole second in (start, end] whose offset is another one; steps of half a day see every change."""
    low = start.replace(microsecond=0) + timedelta(seconds=1)
    while low <= end:
        high = min(low + timedelta(hours=12), end)
        if _offset(high, zone) != offset or _offset(low, zone) != offset:
            return _bisect(low, high, zone, offset)
        if high == end:
            return None
        low = high
    return None


def _bisect(low: datetime, high: datetime, zone: tzinfo, offset: timedelta) -> datetime:
    if _offset(low, zone) != offset:
        return low
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0)
        if _offset(middle, zone) != offset:
            high = middle
        else:
            low = middle
    return high


def _offset(at: datetime, zone: tzinfo) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta()
