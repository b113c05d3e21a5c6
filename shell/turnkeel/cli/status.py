"""`status`: does the host run, and how is each session?"""

import sys
import time
from collections import Counter
from pathlib import Path

from attrs import asdict, frozen

from turnkeel.cli.condition import Condition
from turnkeel.cli.conditions import Conditions
from turnkeel.cli.health import Health, health_line, health_of
from turnkeel.cli.looking import Looker
from turnkeel.cli.output import flat, print_json, print_table
from turnkeel.cli.reading import Reading, open_reading
from turnkeel.cli.render import render_ago, render_duration, render_when
from turnkeel.cli.schedules_health import schedules_line
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.system.lock import Holder

DEFAULT_LIMIT = 100
_COLUMNS = ("session", "state", "since", "progress", "due", "claimed", "oldest", "tries", "dead", "trouble")


@frozen(kw_only=True)
class Totals:
    """`sessions`, `dead` and `faults` of the whole data directory; the rest of the sessions shown."""

    sessions: int
    shown: int
    states: dict[str, int]
    due: int
    claimed: int
    dead: int
    faults: int


def status(
    data: Path | None = None, *, limit: int = DEFAULT_LIMIT, after: str | None = None, json: bool = False
) -> int:
    """Show the host and up to `limit` sessions after the one named; 0 even if something is faulty."""
    with open_reading(data) as reading:
        first = "" if after is None else str(SessionName.parse(after))
        names = [name for name in reading.names if name > first]
        conditions = Conditions(reading, Looker(reading))
        page = tuple(conditions.of(name) for name in names[:limit])
        totals = _totals(reading, conditions, page)
        following = page[-1].session if page and len(names) > limit else None
        now_ms = time.time_ns() // 1_000_000
        health = health_of(reading, now_ms)
        if json:
            document = _document(reading, conditions, page, totals, following, now_ms)
            print_json({**document, "health": {**asdict(health), "unknown": health.unknown}})
        else:
            _print(reading, conditions, page, totals, following, now_ms)
            _print_health(health, now_ms)
    return 0


def host_line(host: Holder | None, now_ms: int) -> str:
    """Who serves the data directory, and since when."""
    if host is None:
        return "host: none is at work here"
    since = "" if host.started_at_ms is None else f", since {render_when(host.started_at_ms, now_ms)}"
    return f"host: up, {host}{since}"


def host_data(host: Holder | None) -> dict[str, object]:
    """The same as data."""
    return {"up": host is not None, **({} if host is None else asdict(host))}


def print_notes(reading: Reading) -> None:
    """What the reader should know of the answer, and is none of it."""
    for note in reading.notes:
        print(f"note: {flat(note)}", file=sys.stderr)


def _totals(reading: Reading, conditions: Conditions, page: tuple[Condition, ...]) -> Totals:
    return Totals(
        sessions=len(reading.names),
        shown=len(page),
        states=dict(Counter(condition.state for condition in page)),
        due=sum(condition.due for condition in page),
        claimed=sum(condition.claimed for condition in page),
        dead=sum(conditions.dead.values()),
        faults=len(conditions.faults) + len(reading.listing.faults),
    )


def _document(
    reading: Reading,
    conditions: Conditions,
    page: tuple[Condition, ...],
    totals: Totals,
    following: str | None,
    now_ms: int,
) -> dict[str, object]:
    other = [asdict(fault) for fault in conditions.faults if fault.session not in reading.names]
    return {
        "read_at_ms": now_ms,
        "data": str(reading.data_dir),
        "host": host_data(reading.host),
        "notes": reading.notes,
        "sessions": [asdict(condition) for condition in page],
        "pauses": [asdict(pause) for pause in conditions.pauses],
        "next": following,
        "folders": [{"folder": str(fault.folder), "fault": fault.detail} for fault in reading.listing.faults],
        "other_faults": other,
        "totals": asdict(totals),
    }


def _print(
    reading: Reading,
    conditions: Conditions,
    page: tuple[Condition, ...],
    totals: Totals,
    following: str | None,
    now_ms: int,
) -> None:
    print(host_line(reading.host, now_ms))
    print_notes(reading)
    for pause in conditions.pauses:
        if pause.session is None:
            reason = "" if pause.reason is None else f" ({pause.reason})"
            since = render_when(pause.since_at_ms, now_ms)
            print(f"all sessions are paused since {since}{flat(reason)}; turnkeel resume --all ends it")
    if page:
        print_table(_COLUMNS, [_row(condition, now_ms) for condition in page])
    for folder in reading.listing.faults:
        print(f"no session: {flat(folder.detail)}")
    for fault in conditions.faults:
        if fault.session not in reading.names:
            print(f"fault: {flat(f'{fault.session} {fault.subject}: {fault.kind}: {fault.detail}')}")
    states = ", ".join(f"{count} {state}" for state, count in sorted(totals.states.items()))
    shown = "" if totals.shown == totals.sessions else f", {totals.shown} shown"
    counts = f"{totals.due} due, {totals.claimed} claimed, {totals.dead} dead, {totals.faults} faults"
    print(f"{totals.sessions} sessions{shown}{f' ({states})' if states else ''}; {counts}")
    if following is not None:
        print(f"more: turnkeel status --after {following}")


def _print_health(health: Health, now_ms: int) -> None:
    for line in (schedules_line(health.schedules, now_ms), health_line(health)):
        if line is not None:
            print(flat(line))


def _row(condition: Condition, now_ms: int) -> tuple[str, ...]:
    progress, oldest = condition.last_progress_at_ms, condition.oldest_due_age_ms
    return (
        condition.session,
        state_words(condition, now_ms),
        "-" if condition.since_at_ms is None else render_ago(now_ms - condition.since_at_ms),
        "-" if progress is None else render_ago(now_ms - progress),
        str(condition.due),
        str(condition.claimed),
        "-" if oldest is None else render_duration(oldest),
        str(condition.tries),
        str(condition.dead or condition.failed),
        _trouble(condition),
    )


def state_words(condition: Condition, now_ms: int) -> str:
    """`running 3`, `waiting: slot`, `waiting: backoff, in 8 s`, `running 3, paused` …"""
    number = f" {condition.incarnation}" if condition.state in ("running", "starting") and condition.incarnation else ""
    if condition.paused_since_at_ms is not None and condition.state != "paused":
        number += ", paused"
    if condition.state == "faulty" or condition.reason is None:
        return f"{condition.state}{number}"
    until = "" if condition.until_at_ms is None else f", in {render_duration(max(0, condition.until_at_ms - now_ms))}"
    return f"{condition.state}{number}: {condition.reason}{until}"


def _trouble(condition: Condition) -> str:
    return condition.faults[0] if condition.faults else condition.last_error or "-"
