"""What is due of one schedule just now, and what does that do to its rows? Inside one transaction."""

from datetime import tzinfo
from typing import Literal

from attrs import evolve, frozen

from turnkeel.schedules.firing import Started, claim
from turnkeel.schedules.ports import FiringPorts
from turnkeel_adapters.config.zones import BadZone, load_zone
from turnkeel_adapters.schedules.port import ScheduleWork
from turnkeel_adapters.schedules.records import Occurrence, Outcome, Schedule
from turnkeel_core import (
    AbortSnapshot,
    ClaimOccurrence,
    MoveSchedule,
    OccurrenceAction,
    OccurrenceSnapshot,
    ParkSchedule,
    QueueOverlap,
    RecordMissed,
    ReplaceRunning,
    SchedulePolicy,
    SkipOverlap,
    abort_session,
    plan_occurrences,
)
from turnkeel_core.lifecycle_states import TURN_TERMINAL
from turnkeel_core.schedule_due import due_runs
from turnkeel_core.schedule_next import ScheduleSnapshot

_ENDED: dict[str, Outcome] = {"delivered": "ran", "failed_terminal": "failed", "aborted": "aborted"}


@frozen
class Outlook:
    """What one look found: turns to deliver, and why the schedule stands still from now on, if so."""

    started: tuple[Started, ...] = ()
    parked: str | None = None


def look(work: ScheduleWork, ports: FiringPorts, series: str, now_ms: int) -> Outlook:
    """Settle what ended, decide, and store all of it; the same look again changes nothing."""
    schedule = work.schedules.get(series)
    if schedule is None:
        return Outlook()
    for ended in ended_of(work, series, now_ms):
        work.schedules.settle(ended)
    seen = snapshot_of(work, ports, schedule, now_ms)
    started: list[Started] = []
    for action in plan_occurrences(seen, ports.policy):
        _apply(work, ports, schedule, action, now_ms, started)
    work.schedules.forget(series, now_ms - ports.policy.retention_ms)
    after = work.schedules.get(series)
    parked = after.reason if after is not None and after.status == "parked" and after != schedule else None
    return Outlook(tuple(started), parked)


def snapshot_of(work: ScheduleWork, ports: FiringPorts, schedule: Schedule, now_ms: int) -> OccurrenceSnapshot:
    """The facts for `plan_occurrences`."""
    asked = ScheduleSnapshot(
        now_ms=now_ms,
        kind=schedule.kind,
        value=schedule.value,
        anchor_at_ms=schedule.next_at_ms,
        zone=zone_of(schedule.zone),
    )
    runs = due_runs(asked, ports.policy, starts_at_ms=schedule.starts_at_ms)
    if schedule.next_at_ms is None:
        runs = evolve(runs, due_at_ms=(), older=None)
    first_ms = runs.older.first_at_ms if runs.older is not None else min(runs.due_at_ms, default=now_ms)
    known = work.schedules.known(schedule.series, first_ms, now_ms)
    still_open = work.schedules.open_of(schedule.series)
    hold: Literal["paused", "closed"] | None = "closed" if schedule.session in ports.closed() else None
    return OccurrenceSnapshot(
        now_ms=now_ms,
        series=schedule.series,
        next_at_ms=schedule.next_at_ms,
        moved_at_ms=schedule.moved_at_ms,
        runs=runs,
        catch_up=schedule.catch_up,
        overlap=schedule.overlap,
        grace_ms=schedule.grace_ms,
        known_at_ms=known,
        running_at_ms=tuple(one.nominal_at_ms for one in still_open if one.outcome == "claimed"),
        queued_at_ms=tuple(one.nominal_at_ms for one in still_open if one.outcome == "queued"),
        hold="paused" if schedule.status == "paused" else hold,
    )


def ended_of(work: ScheduleWork, series: str, now_ms: int) -> tuple[Occurrence, ...]:
    """The claimed occurrences whose turn has ended, with what became of it."""
    ended: list[Occurrence] = []
    for one in work.schedules.open_of(series):
        turn = None if one.turn_id is None else work.lifecycle.tables.turns.get(one.turn_id)
        if one.outcome != "claimed":
            continue
        if turn is None:
            ended.append(evolve(one, outcome="ran", ended_at_ms=now_ms, reason="its turn is kept no longer"))
        elif turn.status in TURN_TERMINAL:
            at_ms = turn.completed_at_ms or now_ms
            ended.append(evolve(one, outcome=_ENDED[turn.status], ended_at_ms=at_ms, reason=turn.reason))
    return tuple(ended)


def zone_of(name: str) -> tzinfo | None:
    """The zone of a schedule; None if the time zone database has it no more."""
    try:
        return load_zone(name)
    except BadZone:
        return None


def _apply(
    work: ScheduleWork,
    ports: FiringPorts,
    schedule: Schedule,
    action: OccurrenceAction,
    now_ms: int,
    started: list[Started],
) -> None:
    match action:
        case ClaimOccurrence(nominal_at_ms=at_ms):
            begun = claim(work, ports, schedule, at_ms, now_ms)
            started += [] if begun is None else [begun]
        case RecordMissed(nominal_at_ms=at_ms, outcome=outcome, until_at_ms=until_ms, count=count):
            work.schedules.note(_ended(action.series, at_ms, outcome, now_ms, until_ms=until_ms, count=count))
        case SkipOverlap(nominal_at_ms=at_ms, running_at_ms=running_ms):
            word = f"the one of {running_ms} still ran"
            work.schedules.note(_ended(action.series, at_ms, "skipped_overlap", now_ms, reason=word))
        case QueueOverlap(nominal_at_ms=at_ms):
            work.schedules.note(evolve(_ended(action.series, at_ms, "queued", now_ms), ended_at_ms=None))
        case ReplaceRunning(nominal_at_ms=at_ms):
            _stop(work, ports, action.series, at_ms, now_ms)
        case MoveSchedule(next_at_ms=next_ms):
            status = schedule.status if next_ms is not None else "done"
            work.schedules.update(evolve(schedule, next_at_ms=next_ms, moved_at_ms=now_ms, status=status))
        case ParkSchedule(reason=reason):
            parked = evolve(schedule, next_at_ms=None, moved_at_ms=now_ms, status="parked", reason=reason)
            work.schedules.update(parked)


def _ended(
    series: str,
    at_ms: int,
    outcome: Outcome,
    now_ms: int,
    *,
    until_ms: int | None = None,
    count: int | None = 1,
    reason: str | None = None,
) -> Occurrence:
    return Occurrence(
        series=series,
        nominal_at_ms=at_ms,
        outcome=outcome,
        noted_at_ms=now_ms,
        ended_at_ms=now_ms,
        until_at_ms=at_ms if until_ms is None else until_ms,
        count=count,
        reason=reason,
    )


def _stop(work: ScheduleWork, ports: FiringPorts, series: str, at_ms: int, now_ms: int) -> None:
    """Abort the turn of a running occurrence, and nothing else of its session."""
    tables = work.lifecycle.tables
    for one in work.schedules.open_of(series):
        turn = None if one.turn_id is None else tables.turns.get(one.turn_id)
        if one.nominal_at_ms != at_ms:
            continue
        if turn is not None:
            rows = tables.outbox.of_turn(turn.turn_id)
            asked = AbortSnapshot(now_ms=now_ms, sessions=(turn.session,), turns=(turn,), rows=rows)
            work.lifecycle.apply(abort_session(asked, ports.settle.turn), now_ms, because="a newer one is due")
        outcome: Outcome = "cancelled" if turn is None else "aborted"
        work.schedules.settle(evolve(one, outcome=outcome, ended_at_ms=now_ms, reason="a newer one was due"))


def calls_for_look(work: ScheduleWork, schedule: Schedule, now_ms: int) -> bool:
    """Its time has come, its clock was set back, a run has ended, or one that waits may start."""
    comes = schedule.next_at_ms is not None and schedule.next_at_ms <= now_ms
    if comes or now_ms < schedule.moved_at_ms or ended_of(work, schedule.series, now_ms):
        return True
    outcomes = {one.outcome for one in work.schedules.open_of(schedule.series)}
    return schedule.status != "paused" and outcomes == {"queued"}


def next_look(work: ScheduleWork, policy: SchedulePolicy, now_ms: int) -> int:
    """When to look again at the latest."""
    times = [now_ms + policy.look_ms]
    for schedule in work.schedules.waiting():
        times += [] if schedule.next_at_ms is None else [schedule.next_at_ms]
        if any(one.outcome == "queued" for one in work.schedules.open_of(schedule.series)):
            times.append(now_ms + policy.queued_look_ms)
    return min(times)
