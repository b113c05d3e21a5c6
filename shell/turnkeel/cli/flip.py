"""What happens next if nothing else happens, and what would prevent it? In words."""

from turnkeel.cli.held import WAITS
from turnkeel.cli.render import render_duration
from turnkeel_core import ContainerUnknown, Explanation, HoldWake, StopContainer, SweepPlan, SweepSnapshot, Wake

_PREVENTED_BY = {
    "ceiling": "a heartbeat arrives",
    "startup": "a heartbeat, a claim or any output arrives",
    "claim": "a heartbeat arrives",
    "progress": "something moves: a reply, a tool started or ended, a message done",
    "run": "the run ends first",
    "unclaimed": "it takes a message or shows progress",
    "idle": "a message arrives or it does something",
}


def now_in_words(seen: SweepSnapshot, plan: SweepPlan, why: Explanation, *, host_at_work: bool) -> str:
    """What the pass would do with the session's container, and what comes next."""
    by = "a pass of the host is about to" if host_at_work else "the next host to start will"
    for action in plan.actions:
        match action:
            case Wake(incarnation, due, _):
                return f"{by} start container {incarnation} for {len(due)} due"
            case StopContainer(incarnation, because, _, _):
                return f"{by} stop container {incarnation}: {type(because).__name__}"
            case HoldWake(reason, None, due):
                return f"{len(due)} due, no start yet: {reason}"
            case HoldWake("rate", until_ms, due) if until_ms is not None:
                away = render_duration(max(0, until_ms - seen.now_ms))
                return f"{len(due)} due, no start yet: {WAITS['rate']}; the next run may begin in {away}"
            case _:
                continue
    if isinstance(seen.container, ContainerUnknown):
        return f"nothing is decided: the container is unknown ({seen.container.reason})"
    return next_in_words(why)


def next_in_words(why: Explanation) -> str:
    """`would be killed in 14 s unless a heartbeat arrives`, for the explanation of a pass over a session."""
    if why.flip_at_ms is None:
        return "time alone changes nothing"
    away = f"in {render_duration(max(0, why.flip_at_ms - why.at_ms))}"
    for part in why.parts:
        if part.decision == "decide_stuck_action" and part.flip_at_ms == why.flip_at_ms:
            return f"{_stop_in_words(part)} {away} unless {_prevention(part)}"
        if part.decision == "decide_spawn" and part.flip_at_ms == why.flip_at_ms:
            return f"would be started again {away}"
    return f"would change {away}, to: {why.flip_to}"


def _stop_in_words(part: Explanation) -> str:
    return "would be stopped as idle" if part.flip_to == "StopIdle" else "would be killed"


def _prevention(part: Explanation) -> str:
    """The rule that flips the answer is the one whose instant lies one millisecond before it."""
    for rule in part.rules:
        if rule.fires_after_ms is not None and rule.fires_after_ms + 1 == part.flip_at_ms:
            subject = "" if rule.subject is None else f" ({rule.rule} of {rule.subject})"
            return f"{_PREVENTED_BY.get(rule.rule, 'something changes')}{subject}"
    return "something changes"
