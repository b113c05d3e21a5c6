"""Who may start now?"""

from attrs import evolve

from turnkeel_core.explain import Explanation, Fact, RuleTried
from turnkeel_core.policy import StartPolicy
from turnkeel_core.queue_records import (
    BackingOff,
    EndRun,
    GroupPlacesTaken,
    HoldReason,
    HoldStart,
    HostDraining,
    PlacesTaken,
    SetTimer,
    StartAction,
    StartNow,
    StartSnapshot,
    WorkClaimed,
    YieldPlace,
)
from turnkeel_core.queue_rules import Queue


def plan_starts(seen: StartSnapshot, policy: StartPolicy = StartPolicy()) -> tuple[StartAction, ...]:
    """Those who start; then one `HoldStart` for each that waits on, in the order of their turns; then who is asked to
    leave, and one timer for each group that backs off.

    A session that runs already never starts again and gets no answer. Source: spec/tars-and-b01.md §3.3, without its
    starvation, its skipped backoff, its claims per group and its idle containers that hold every place.
    """
    queue = Queue(seen, policy)
    ends = (EndRun(place.session) for place in seen.running if not place.asked) if seen.draining else ()
    timers: dict[str, int] = {}
    for request in queue.backing_off():
        at_ms = request.not_before_ms or 0
        timers[request.group] = min(at_ms, timers.get(request.group, at_ms))
    return (
        *queue.starts(),
        *queue.holds(),
        *(() if seen.draining else queue.yields()),
        *ends,
        *(SetTimer(group, at_ms) for group, at_ms in timers.items()),
    )


def explain_starts(seen: StartSnapshot, policy: StartPolicy = StartPolicy()) -> Explanation:
    """One rule for each session that starts, waits or is asked to leave; of times only a backoff's end changes it."""
    actions = plan_starts(seen, policy)
    timers = (action.at_ms for action in actions if isinstance(action, SetTimer))
    flip_at_ms = min(timers, default=None)
    flip_to = None if flip_at_ms is None else _names(plan_starts(evolve(seen, now_ms=flip_at_ms), policy))
    return Explanation(
        decision="plan_starts",
        answer=_names(actions),
        at_ms=seen.now_ms,
        rules=tuple(rule for action in actions if (rule := _rule(action)) is not None),
        flip_at_ms=flip_at_ms,
        flip_to=flip_to,
    )


def _names(actions: tuple[StartAction, ...]) -> str:
    return ", ".join(type(action).__name__ for action in actions) or "nothing to do"


def _rule(action: StartAction) -> RuleTried | None:
    match action:
        case StartNow(session, ahead):
            because = "a place is free" if not ahead else "a place of its group came free, and a task may go ahead"
            return RuleTried(
                rule="slot", result="fired", because=because, subject=session, facts=(Fact("ahead", ahead),)
            )
        case HoldStart(session, ahead, because):
            return _held(session, ahead, because)
        case YieldPlace(session, idle_ms, wanted_by):
            facts = (Fact("idle_ms", idle_ms), Fact("wanted_by", wanted_by))
            return RuleTried(rule="yield", result="fired", because="it idles", subject=session, facts=facts)
        case EndRun(session):
            return RuleTried(rule="drain", result="fired", because="the host ends", subject=session)
        case SetTimer():
            return None


def _held(session: str, ahead: int, why: HoldReason) -> RuleTried:
    rule, because, limit, until_ms, facts = "slot", "", None, None, list[Fact]()
    match why:
        case PlacesTaken(running, max_running):
            because, limit = "all places are taken", Fact("max_running", max_running)
            facts += [Fact("running", running)]
        case GroupPlacesTaken(group, running, most):
            rule, because = "group", "all places of its group are taken"
            facts += [Fact("group", group), Fact("running", running)]
            limit = Fact("max_running_per_group", most)
        case WorkClaimed(work, holder):
            rule, because = "claim", "another works on it, or waits before it"
            facts += [Fact("work", work), Fact("held_by", holder)]
        case BackingOff(until_at_ms):
            rule, because, until_ms = "backoff", "it backs off", until_at_ms - 1
        case HostDraining():
            rule, because = "drain", "the host ends"
    return RuleTried(
        rule=rule,
        result="not_yet",
        because=because,
        subject=session,
        facts=(*facts, Fact("ahead", ahead)),
        limits=() if limit is None else (limit,),
        fires_after_ms=until_ms,
    )
