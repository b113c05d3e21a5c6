"""How does a person make, pause, resume, cancel or run a schedule? One transaction each, with a host or without."""

import re
from typing import Final

from attrs import evolve, frozen

from turnkeel.schedules.firing import Started, claim, deliver
from turnkeel.schedules.looking import look, zone_of
from turnkeel.schedules.ports import FiringPorts
from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.schedules.port import ScheduleWork
from turnkeel_adapters.schedules.records import Schedule, Status
from turnkeel_core import NextRun, SchedulePolicy
from turnkeel_core.schedule_due import due_runs
from turnkeel_core.schedule_next import ScheduleSnapshot, interval_ms

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_OVER: Final = ("done", "cancelled", "parked")


class BadSchedule(AdapterError, ValueError):
    """The schedule cannot be made or changed so; the text says why."""


@frozen
class Changed:
    """A schedule before and after."""

    before: Schedule
    after: Schedule


def first_run(schedule: Schedule, now_ms: int, policy: SchedulePolicy = SchedulePolicy()) -> int:
    """The first nominal time of a new schedule; of `once` that is its `next_at_ms`. BadSchedule if there is none."""
    if not _NAME.fullmatch(schedule.series):
        raise BadSchedule(f"{schedule.series[:80]!r} is no name: letters, digits, `.`, `_` and `-`, at most 64")
    if schedule.kind == "once":
        if schedule.next_at_ms is None or schedule.next_at_ms <= now_ms:
            raise BadSchedule(f"{schedule.value} has passed")
        return schedule.next_at_ms
    step_ms = interval_ms(schedule.value, policy) if schedule.kind == "interval" else None
    if isinstance(step_ms, int) and step_ms < policy.shortest_ms:
        raise BadSchedule(f"every {step_ms} ms is more often than every {policy.shortest_ms} ms")
    asked = ScheduleSnapshot(now_ms=now_ms, kind=schedule.kind, value=schedule.value, zone=zone_of(schedule.zone))
    following = due_runs(asked, policy, starts_at_ms=schedule.starts_at_ms).following
    if not isinstance(following, NextRun):
        raise BadSchedule(getattr(following, "reason", "it never runs"))
    starts_ms = schedule.starts_at_ms
    return starts_ms if isinstance(step_ms, int) and starts_ms is not None and starts_ms > now_ms else following.at_ms


def add(ports: FiringPorts, schedule: Schedule) -> Schedule:
    """Store a new schedule, or one in the place of another of its name that is over. BadSchedule; the host is told."""
    with ports.store.transaction() as work:
        now_ms = ports.now_ms()
        first_ms = first_run(schedule, now_ms, ports.policy)
        if schedule.session in ports.closed():
            raise BadSchedule(f"session {schedule.session} is closed; name another one")
        new = evolve(schedule, next_at_ms=first_ms, moved_at_ms=now_ms, made_at_ms=now_ms)
        if not work.schedules.insert(new):
            known = work.schedules.get(schedule.series)
            if known is None or known.status not in _OVER:
                raise BadSchedule(f"there is a schedule {schedule.series} already; cancel it first")
            work.schedules.update(new)
    ports.told()
    return new


def pause(ports: FiringPorts, series: str) -> Changed:
    """What comes due meanwhile is recorded as skipped. BadSchedule if it is over."""
    return _change(ports, series, "paused", ("active", "paused"))


def resume(ports: FiringPorts, series: str) -> Changed:
    """Go on with the next nominal time; one that was parked is tried again. BadSchedule if it is over."""
    return _change(ports, series, "active", ("active", "paused", "parked"))


def cancel(ports: FiringPorts, series: str) -> Changed:
    """It runs no more, nor what waits for its running one, which goes on to its end."""
    return _change(ports, series, "cancelled", ("active", "paused", "parked", "done", "cancelled"))


def run_now(ports: FiringPorts, series: str) -> Started:
    """One run at once, besides its nominal times, which do not move. BadSchedule if it is cancelled or not accepted."""
    with ports.store.transaction() as work:
        schedule, at_ms = _known(work, series), ports.now_ms()
        if schedule.status == "cancelled":
            raise BadSchedule(f"schedule {series} is cancelled")
        if schedule.session in ports.closed():
            raise BadSchedule(f"session {schedule.session} is closed")
        nominal_ms = at_ms
        while work.schedules.known(series, nominal_ms, nominal_ms) or nominal_ms == schedule.next_at_ms:
            nominal_ms += 1
        started = claim(work, ports, schedule, nominal_ms, at_ms, by_hand=True)
    if started is None:
        raise BadSchedule(f"the run of schedule {series} was refused; `turnkeel sched show {series}` says why")
    deliver(ports, (started,), at_ms)
    return started


def _change(ports: FiringPorts, series: str, status: Status, from_these: tuple[Status, ...]) -> Changed:
    with ports.store.transaction() as work:
        before, now_ms = _known(work, series), ports.now_ms()
        if before.status not in from_these:
            raise BadSchedule(f"schedule {series} is {before.status}")
        started = look(work, ports, series, now_ms).started  # what came due until now belongs to how it was
        current = _known(work, series)
        after = _to(ports, current, status, now_ms) if current.status in from_these else current
        work.schedules.update(after)
        if status == "cancelled":
            for one in work.schedules.open_of(series):
                if one.outcome == "queued":
                    work.schedules.settle(evolve(one, outcome="cancelled", ended_at_ms=now_ms))
    deliver(ports, started, now_ms)
    ports.told()
    return Changed(before, after)


def _to(ports: FiringPorts, schedule: Schedule, status: Status, now_ms: int) -> Schedule:
    if status == "cancelled":
        return evolve(schedule, status=status, next_at_ms=None, moved_at_ms=now_ms)
    next_ms = schedule.next_at_ms
    if next_ms is None:
        next_ms = first_run(schedule, now_ms, ports.policy)
    return evolve(schedule, status=status, next_at_ms=next_ms, moved_at_ms=now_ms, reason=None)


def _known(work: ScheduleWork, series: str) -> Schedule:
    schedule = work.schedules.get(series)
    if schedule is None:
        raise BadSchedule(f"there is no schedule {series}; `turnkeel sched list` names them")
    return schedule
