"""Which nominal times of a schedule have come by now, and which one follows?

Needs cronsim, as `schedule` does, and is imported by name.
"""

from datetime import tzinfo

from attrs import evolve

from turnkeel_core.schedule import CronRun, next_cron_run
from turnkeel_core.schedule_next import ScheduleSnapshot, compute_next_run, interval_ms
from turnkeel_core.schedule_policy import SchedulePolicy
from turnkeel_core.schedule_records import DueRuns, NextRunAnswer, OlderRuns, ScheduleRefused

_MINUTE_MS = 60_000


def due_runs(
    seen: ScheduleSnapshot, policy: SchedulePolicy = SchedulePolicy(), *, starts_at_ms: int | None = None
) -> DueRuns:
    """From the stored nominal time (`anchor_at_ms`) up to now, that one in any case: it was promised.

    At most `due_limit` by themselves, the newest; those before them together. The cost does not grow with the time
    that passed. `following` is the first after now, at or after `starts_at_ms`, also where the stored one lies later.
    """
    first_ms = seen.anchor_at_ms
    following = _following(seen, policy, starts_at_ms)
    if first_ms is None or first_ms > seen.now_ms:
        return DueRuns(following=following)
    if seen.kind == "interval":
        step_ms = interval_ms(seen.value, policy)
        if not isinstance(step_ms, ScheduleRefused):
            return _interval(first_ms, step_ms, seen.now_ms, policy.due_limit, following)
    if seen.kind == "cron" and seen.zone is not None and not isinstance(following, ScheduleRefused):
        return _cron(first_ms, seen.value, seen.zone, seen.now_ms, policy.due_limit, following)
    return DueRuns(following=following, due_at_ms=(first_ms,))


def _following(seen: ScheduleSnapshot, policy: SchedulePolicy, starts_at_ms: int | None) -> NextRunAnswer:
    anchor_ms = seen.anchor_at_ms
    base_ms = seen.now_ms if starts_at_ms is None else max(seen.now_ms, starts_at_ms - 1)
    step_ms = interval_ms(seen.value, policy) if seen.kind == "interval" else None
    if isinstance(step_ms, int) and anchor_ms is not None and anchor_ms > base_ms:
        # The clock was set back: the same grid, from before now on.
        anchor_ms -= -((base_ms - anchor_ms) // step_ms) * step_ms
    return compute_next_run(evolve(seen, now_ms=base_ms, anchor_at_ms=anchor_ms), policy)


def _interval(first_ms: int, step_ms: int, now_ms: int, limit: int, following: NextRunAnswer) -> DueRuns:
    count = (now_ms - first_ms) // step_ms + 1
    before = max(0, count - limit)
    due = tuple(range(first_ms + before * step_ms, now_ms + 1, step_ms))
    older = None
    if before:
        older = OlderRuns(first_at_ms=first_ms, until_at_ms=first_ms + (before - 1) * step_ms, count=before)
    return DueRuns(following=following, due_at_ms=due, older=older)


def _cron(first_ms: int, cron: str, zone: tzinfo, now_ms: int, limit: int, following: NextRunAnswer) -> DueRuns:
    # No cron is due more than once a minute: the newest `limit` lie in a window that needs to be widened only for
    # those that come more rarely.
    window_ms = limit * _MINUTE_MS
    while True:
        start_ms = max(first_ms, now_ms - window_ms)
        found = _firings(cron, zone, start_ms, now_ms)
        if start_ms == first_ms:
            found = [first_ms, *found]
        if len(found) >= limit or start_ms == first_ms:
            break
        window_ms *= 2
    due, before = found[-limit:], found[:-limit]
    if due[0] == first_ms:
        return DueRuns(following=following, due_at_ms=tuple(due))
    counted = len(before) if start_ms == first_ms else None
    until_ms = before[-1] if before else due[0] - _MINUTE_MS
    return DueRuns(
        following=following,
        due_at_ms=tuple(due),
        older=OlderRuns(first_at_ms=first_ms, until_at_ms=until_ms, count=counted),
    )


def _firings(cron: str, zone: tzinfo, after_ms: int, until_ms: int) -> list[int]:
    found: list[int] = []
    answer = next_cron_run(cron, zone, after_ms)
    while isinstance(answer, CronRun) and answer.at_ms <= until_ms:
        found.append(answer.at_ms)
        answer = next_cron_run(cron, zone, answer.at_ms)
    return found
