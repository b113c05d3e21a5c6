"""What becomes of the nominal times of a schedule that have come: which runs, which is missed, and what is next?

Every nominal time gets one row: claimed before its turn can start, or recorded with the reason why it does not run.
"""

from turnkeel_core.explain import Explanation, Fact
from turnkeel_core.lifecycle_rules import Verdict, actions_of, explained, fires, passed, waits
from turnkeel_core.schedule_policy import SchedulePolicy
from turnkeel_core.schedule_records import (
    ClaimOccurrence,
    MissedOutcome,
    MoveSchedule,
    NextRun,
    NoMoreRuns,
    OccurrenceAction,
    OccurrenceSnapshot,
    OlderRuns,
    ParkSchedule,
    QueueOverlap,
    RecordMissed,
    ReplaceRunning,
    ScheduleRefused,
    SkipOverlap,
)

_Verdicts = list[Verdict[OccurrenceAction]]


def plan_occurrences(
    seen: OccurrenceSnapshot, policy: SchedulePolicy = SchedulePolicy()
) -> tuple[OccurrenceAction, ...]:
    """What to store in the snapshot's own transaction, in this order; the same question afterwards is answered `()`.

    A nominal time that the store holds already is left out: it is never claimed twice. Held schedules record what
    they pass by. The one that waits for a run to end goes before those that have just come. Runs that are made up for
    together do not overlap each other. After a clock that was set back the next time is sought anew, from now on.
    Source: spec/tars-and-b01.md §3.2; field/failures.md SC-01 to SC-23.
    """
    return actions_of(_evaluate(seen, policy))


def explain_occurrences(seen: OccurrenceSnapshot, policy: SchedulePolicy = SchedulePolicy()) -> Explanation:
    """One rule for each nominal time that has come, and one for what follows."""
    return explained("plan_occurrences", seen.now_ms, _evaluate(seen, policy))


def grace_of(seen: OccurrenceSnapshot, policy: SchedulePolicy = SchedulePolicy()) -> int:
    """How late the newest may be under `skip`: the schedule's own grace, else a share of its period within limits."""
    if seen.grace_ms is not None:
        return seen.grace_ms
    following, due = seen.runs.following, seen.runs.due_at_ms
    if not isinstance(following, NextRun) or not due:
        return policy.grace_max_ms
    share_ms = (following.at_ms - due[-1]) * policy.grace_permille // 1000
    return min(policy.grace_max_ms, max(policy.grace_min_ms, share_ms))


def _evaluate(seen: OccurrenceSnapshot, policy: SchedulePolicy) -> tuple[Verdict[OccurrenceAction], ...]:
    due = tuple(at_ms for at_ms in seen.runs.due_at_ms if at_ms not in seen.known_at_ms)
    verdicts: _Verdicts = [
        passed("known", "it has its row already", _subject(seen, at_ms)) for at_ms in seen.known_at_ms
    ]
    queued = _queued(seen)
    verdicts += queued
    if seen.hold is not None:
        outcome: MissedOutcome = "skipped_paused" if seen.hold == "paused" else "skipped_closed"
        verdicts += _missed(seen, due, outcome, "hold", f"it is {seen.hold}")
    else:
        started = any(verdict.actions for verdict in queued)
        running = (*seen.running_at_ms, *seen.queued_at_ms[:1]) if started else seen.running_at_ms
        verdicts += _caught_up(seen, due, running, len(seen.queued_at_ms) - started, policy)
    return (*verdicts, _followed(seen))


def _queued(seen: OccurrenceSnapshot) -> _Verdicts:
    if not seen.queued_at_ms:
        return []
    first_ms = seen.queued_at_ms[0]
    if seen.hold is not None:
        return [waits("queued", f"it is {seen.hold}", _subject(seen, first_ms))]
    if seen.running_at_ms:
        return [waits("queued", "an earlier one still runs", _subject(seen, first_ms))]
    return [fires("queued", "the earlier one has ended", _subject(seen, first_ms), _claim(seen, first_ms))]


def _caught_up(
    seen: OccurrenceSnapshot, due: tuple[int, ...], running: tuple[int, ...], waiting: int, policy: SchedulePolicy
) -> _Verdicts:
    """The missed ones by the catch-up policy, oldest first, then those that run by the overlap policy."""
    if not due:
        return _missed(seen, (), "missed", "catch_up", "")
    ones, outcome, because = _chosen(seen, due, policy)
    left_out = tuple(at_ms for at_ms in due if at_ms not in ones)
    verdicts = _missed(seen, left_out, outcome, "catch_up", because)
    if not running:
        return verdicts + [fires("due", because, _subject(seen, at), _claim(seen, at)) for at in ones]
    if seen.overlap == "replace" and ones:
        for at_ms in running:
            action = ReplaceRunning(seen.series, at_ms)
            verdicts.append(fires("overlap", "a newer one is due", _subject(seen, at_ms), action))
        return verdicts + [fires("due", because, _subject(seen, at), _claim(seen, at)) for at in ones]
    free = max(0, policy.queue_limit - waiting) if seen.overlap == "queue" else 0
    places = ones[-free:] if free else ()
    for at_ms in ones:
        kind = QueueOverlap if at_ms in places else SkipOverlap
        word = "an earlier one still runs"
        verdicts.append(fires("overlap", word, _subject(seen, at_ms), kind(seen.series, at_ms, running[-1])))
    return verdicts


def _chosen(
    seen: OccurrenceSnapshot, due: tuple[int, ...], policy: SchedulePolicy
) -> tuple[tuple[int, ...], MissedOutcome, str]:
    """Which of those due run, what is recorded of the others, and by which rule."""
    catch_up, newest_ms = seen.catch_up, due[-1]
    match catch_up.runs:
        case "latest":
            return (newest_ms,), "missed", "only the latest is made up for"
        case "all":
            count = min(policy.catch_up_limit, catch_up.limit or policy.catch_up_limit)
            return due[-count:], "missed", f"the latest {count} are made up for"
        case "within":
            since_ms = seen.now_ms - (catch_up.window_ms or 0)
            recent = tuple(at_ms for at_ms in due if at_ms >= since_ms)[-policy.catch_up_limit :]
            return recent, "skipped_late", f"those at most {catch_up.window_ms} ms late run"
        case "skip":
            grace_ms = grace_of(seen, policy)
            on_time = seen.now_ms - newest_ms <= grace_ms
            return ((newest_ms,) if on_time else ()), "missed", f"none is made up for; the grace is {grace_ms} ms"


def _missed(
    seen: OccurrenceSnapshot, left_out: tuple[int, ...], outcome: MissedOutcome, rule: str, because: str
) -> _Verdicts:
    older, verdicts = seen.runs.older, _Verdicts()
    if older is not None and older.first_at_ms not in seen.known_at_ms:
        verdicts.append(_together(seen, older, outcome, rule, because))
    for at_ms in left_out:
        action = RecordMissed(seen.series, at_ms, outcome, at_ms)
        verdicts.append(fires(rule, because, _subject(seen, at_ms), action, facts=_late(seen, at_ms)))
    return verdicts


def _together(
    seen: OccurrenceSnapshot, older: OlderRuns, outcome: MissedOutcome, rule: str, because: str
) -> Verdict[OccurrenceAction]:
    first_ms = older.first_at_ms
    action = RecordMissed(seen.series, first_ms, outcome, older.until_at_ms, older.count)
    return fires(rule, because, _subject(seen, first_ms), action, facts=_late(seen, first_ms))


def _followed(seen: OccurrenceSnapshot) -> Verdict[OccurrenceAction]:
    stored_ms, following = seen.next_at_ms, seen.runs.following
    if stored_ms is None:
        return passed("next", "it is done", seen.series)
    come, set_back = stored_ms <= seen.now_ms, seen.now_ms < seen.moved_at_ms
    match following:
        case NextRun(at_ms) if come or (set_back and at_ms < stored_ms):
            because = "the stored time has come" if come else "the clock was set back"
            return fires("next", because, seen.series, MoveSchedule(seen.series, at_ms))
        case NoMoreRuns() if come:
            return fires("next", "it runs once", seen.series, MoveSchedule(seen.series, None))
        case ScheduleRefused(reason=reason):
            return fires("next", reason, seen.series, ParkSchedule(seen.series, reason))
        case _:
            return waits("next", "its time has not come", seen.series, until_ms=stored_ms)


def _claim(seen: OccurrenceSnapshot, at_ms: int) -> ClaimOccurrence:
    return ClaimOccurrence(seen.series, at_ms, max(0, seen.now_ms - at_ms))


def _subject(seen: OccurrenceSnapshot, at_ms: int) -> str:
    return f"{seen.series}@{at_ms}"


def _late(seen: OccurrenceSnapshot, at_ms: int) -> tuple[Fact, ...]:
    return (Fact("late_ms", seen.now_ms - at_ms),)
