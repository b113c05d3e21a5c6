"""When does this schedule run next?

    once      never again
    interval  whole milliseconds on a grid through the nominal time that has come: no drift, missed ticks left out
    cron      in the schedule's own zone, by the rules of `turnkeel_core.schedule`; the nominal time plays no part

Source: spec/tars-and-b01.md §3.1. Needs cronsim, as `schedule` does, and is imported by name.
"""

import re
from datetime import tzinfo

from attrs import frozen

from turnkeel_core.explain import Explanation, Fact, RuleTried
from turnkeel_core.schedule import CronRefused, next_cron_run
from turnkeel_core.schedule_policy import SchedulePolicy
from turnkeel_core.schedule_records import NextRun, NextRunAnswer, NoMoreRuns, ScheduleRefused

_DIGITS = re.compile(r"[0-9]{1,19}")


@frozen(kw_only=True)
class ScheduleSnapshot:
    """A schedule as it is written down. `kind`: once, interval or cron; `value`: its milliseconds or its cron text.

    `anchor_at_ms` is the nominal time that has come (None: there was none, and now stands for it). `zone` None: the
    name that the schedule gives is no zone.
    """

    now_ms: int
    kind: str
    value: str
    anchor_at_ms: int | None = None
    zone: tzinfo | None = None


def compute_next_run(seen: ScheduleSnapshot, policy: SchedulePolicy = SchedulePolicy()) -> NextRunAnswer:
    """The first nominal time strictly after now, and of an interval also after its anchor, which may lie ahead.

    Refused: another kind, an interval that is no whole number of milliseconds from 1 to the policy's limit, a cron
    text that `next_cron_run` refuses, and a cron without a zone.
    """
    return _evaluate(seen, policy)[0]


def explain_next_run(seen: ScheduleSnapshot, policy: SchedulePolicy = SchedulePolicy()) -> Explanation:
    """The one rule of the schedule's kind, over the same evaluation."""
    answer, rule = _evaluate(seen, policy)
    return Explanation(
        decision="compute_next_run",
        answer=type(answer).__name__,
        at_ms=seen.now_ms,
        rules=(rule,),
        flip_at_ms=answer.at_ms if isinstance(answer, NextRun) else None,
    )


def interval_ms(value: str, policy: SchedulePolicy = SchedulePolicy()) -> int | ScheduleRefused:
    """The milliseconds that an interval's text gives."""
    if not _DIGITS.fullmatch(value) or int(value) == 0:
        return ScheduleRefused("interval", f"no whole number of milliseconds above 0: {value[:80]!r}")
    if int(value) > policy.max_interval_ms:
        return ScheduleRefused("interval", f"longer than {policy.max_interval_ms} ms: {value!r}")
    return int(value)


def _evaluate(seen: ScheduleSnapshot, policy: SchedulePolicy) -> tuple[NextRunAnswer, RuleTried]:
    facts = (Fact("value", seen.value), Fact("anchor_at_ms", seen.anchor_at_ms))
    limits: tuple[Fact, ...] = ()
    match seen.kind:
        case "once":
            answer: NextRunAnswer = NoMoreRuns()
        case "interval":
            answer = _interval(seen, policy)
            limits = (Fact("max_interval_ms", policy.max_interval_ms),)
        case "cron":
            answer = _cron(seen)
            facts = (Fact("value", seen.value), Fact("zone", str(seen.zone)))
        case other:
            answer = ScheduleRefused(
                "kind", f"{other[:80]!r} is no kind of schedule; there are once, interval and cron"
            )
    because = answer.reason if isinstance(answer, ScheduleRefused) else f"a schedule of the kind {seen.kind}"
    return answer, RuleTried(rule=seen.kind, result="fired", because=because, facts=facts, limits=limits)


def _interval(seen: ScheduleSnapshot, policy: SchedulePolicy) -> NextRunAnswer:
    step_ms = interval_ms(seen.value, policy)
    if isinstance(step_ms, ScheduleRefused):
        again_ms = policy.malformed_interval_ms
        return step_ms if again_ms is None else NextRun(seen.now_ms + again_ms)
    anchor_ms = seen.now_ms if seen.anchor_at_ms is None else seen.anchor_at_ms
    return NextRun(anchor_ms + (max(0, seen.now_ms - anchor_ms) // step_ms + 1) * step_ms)


def _cron(seen: ScheduleSnapshot) -> NextRunAnswer:
    if seen.zone is None:
        return ScheduleRefused("timezone", "the schedule's zone is unknown")
    answer = next_cron_run(seen.value, seen.zone, seen.now_ms)
    return ScheduleRefused("cron", answer.reason) if isinstance(answer, CronRefused) else NextRun(answer.at_ms)
