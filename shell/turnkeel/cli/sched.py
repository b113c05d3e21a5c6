"""`sched list|show|missed`: which schedules are there, and what became of their nominal times?"""

import time
from pathlib import Path
from typing import Final

from attrs import asdict

from turnkeel.cli.errors import CommandFailed
from turnkeel.cli.output import flat, print_json, print_table, safe
from turnkeel.cli.reading import Reading, open_reading, patiently
from turnkeel.cli.render import render_duration, render_when
from turnkeel.cli.status import host_line, print_notes
from turnkeel.schedules.looking import ended_of
from turnkeel_adapters.schedules.records import Occurrence, Outcome, Schedule
from turnkeel_adapters.schedules.store import StateSchedules

MISSED: Final[frozenset[Outcome]] = frozenset(
    ("missed", "skipped_late", "skipped_paused", "skipped_closed", "skipped_overlap", "cancelled")
)
_COLUMNS: Final = ("schedule", "session", "runs", "state", "next")
_RUNS: Final = ("due", "outcome", "turn", "why")


def list_schedules(data: Path | None, *, json: bool) -> int:
    """Every schedule, those that are over among them."""
    with open_reading(data, records=True) as reading:
        found, now_ms = patiently(lambda: _all(reading)), _now_ms()
        if json:
            print_json({"read_at_ms": now_ms, "notes": reading.notes, "schedules": [asdict(one) for one in found]})
            return 0
        _head(reading, now_ms)
        if found:
            print_table(_COLUMNS, [_row(one, now_ms) for one in found])
        else:
            print("no schedules; turnkeel sched add --help")
    return 0


def show_schedule(series: str, data: Path | None, *, limit: int, json: bool) -> int:
    """One schedule and its latest nominal times. CommandFailed if there is none of this name."""
    with open_reading(data, records=True) as reading:
        schedule, runs = patiently(lambda: _one(reading, series, limit))
        now_ms = _now_ms()
        if json:
            told = {"read_at_ms": now_ms, "notes": reading.notes, "schedule": asdict(schedule)}
            print_json({**told, "occurrences": [asdict(one) for one in runs]})
            return 0
        _head(reading, now_ms)
        for line in _lines(schedule, now_ms):
            print(line)
        if runs:
            print_table(_RUNS, [_run(one, now_ms) for one in runs])
    return 0


def missed(series: str | None, data: Path | None, *, limit: int, json: bool) -> int:
    """The nominal times that did not run, the newest first, each with the reason."""
    with open_reading(data, records=True) as reading:
        found, now_ms = patiently(lambda: _missed(reading, series, limit)), _now_ms()
        if json:
            told = {"read_at_ms": now_ms, "notes": reading.notes}
            print_json({**told, "occurrences": [asdict(one) for one in found]})
            return 0
        _head(reading, now_ms)
        if found:
            print_table(("schedule", *_RUNS), [(one.series, *_run(one, now_ms)) for one in found])
        else:
            print("nothing was missed")
    return 0


def _all(reading: Reading) -> tuple[Schedule, ...]:
    with StateSchedules(reading.state.database).reading() as work:
        return work.schedules.all()


def _one(reading: Reading, series: str, limit: int) -> tuple[Schedule, tuple[Occurrence, ...]]:
    with StateSchedules(reading.state.database).reading() as work:
        schedule = work.schedules.get(series)
        if schedule is None:
            raise CommandFailed(f"there is no schedule {series}; `turnkeel sched list` names them")
        ended = {one.nominal_at_ms: one for one in ended_of(work, series, _now_ms())}  # no host has stored it yet
        found = work.schedules.latest(series, None, limit)
        return schedule, tuple(ended.get(one.nominal_at_ms, one) for one in found)


def _missed(reading: Reading, series: str | None, limit: int) -> tuple[Occurrence, ...]:
    with StateSchedules(reading.state.database).reading() as work:
        if series is not None and work.schedules.get(series) is None:
            raise CommandFailed(f"there is no schedule {series}; `turnkeel sched list` names them")
        return work.schedules.latest(series, MISSED, limit)


def _head(reading: Reading, now_ms: int) -> None:
    print(host_line(reading.host, now_ms))
    print_notes(reading)


def _row(one: Schedule, now_ms: int) -> tuple[str, ...]:
    following = "-" if one.next_at_ms is None else render_when(one.next_at_ms, now_ms)
    state = one.status if one.reason is None else f"{one.status}: {one.reason}"
    return (one.series, one.session, _rule(one), state, following)


def _rule(one: Schedule) -> str:
    match one.kind:
        case "interval":
            return f"every {render_duration(int(one.value))}"
        case "cron":
            return f"{one.value} ({one.zone})"
        case "once":
            return f"once, {one.value}"


def _lines(one: Schedule, now_ms: int) -> tuple[str, ...]:
    late, more = one.catch_up, ""
    if late.limit is not None:
        more = f" {late.limit}"
    elif late.window_ms is not None:
        more = f" {render_duration(late.window_ms)}"
    state = one.status if one.reason is None else f"{one.status}: {one.reason}"
    following = "" if one.next_at_ms is None else f", next {render_when(one.next_at_ms, now_ms)}"
    return (
        flat(f"{one.series}: {_rule(one)}, in {one.session}; {state}{following}"),
        flat(
            f"missed runs: {late.runs}{more}; overlap: {one.overlap}; context: {one.context};"
            f" answers go to {one.channel} {one.chat}"
        ),
        safe(f"says: {one.prompt}"),
    )


def _run(one: Occurrence, now_ms: int) -> tuple[str, ...]:
    more = ""
    if one.until_at_ms != one.nominal_at_ms:
        count = "those" if one.count is None else str(one.count)
        more = f" ({count} until {render_when(one.until_at_ms, now_ms)})"
    outcome = f"{one.outcome}{' (by hand)' if one.by_hand else ''}"
    return (f"{render_when(one.nominal_at_ms, now_ms)}{more}", outcome, one.turn_id or "-", one.reason or "-")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
