"""Who may start now?"""

from typing import TypeAlias

from attrs import frozen

from turnkeel_core.explain import Explanation, Fact, RuleTried
from turnkeel_core.policy import StartPolicy


@frozen(kw_only=True)
class StartSnapshot:
    """Who runs or is being started, and who waits, first come first."""

    now_ms: int
    running: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


@frozen
class StartNow:
    """A slot is free for `session`."""

    session: str


@frozen
class HoldStart:
    """`running` of `max_running` slots are taken and `ahead` sessions wait before `session`."""

    session: str
    ahead: int
    running: int
    max_running: int


StartAction: TypeAlias = StartNow | HoldStart


def plan_starts(seen: StartSnapshot, policy: StartPolicy = StartPolicy()) -> tuple[StartAction, ...]:
    """One answer per waiting session, in their order; a session that runs already never starts again."""
    free = policy.max_running - len(set(seen.running))
    started = list(dict.fromkeys(session for session in seen.waiting if session not in seen.running))
    now, later = started[: max(free, 0)], started[max(free, 0) :]
    held = (
        HoldStart(session, ahead, len(set(seen.running)), policy.max_running) for ahead, session in enumerate(later)
    )
    return (*(StartNow(session) for session in now), *held)


def explain_starts(seen: StartSnapshot, policy: StartPolicy = StartPolicy()) -> Explanation:
    """One rule per waiting session; time does not change the answer."""
    actions = plan_starts(seen, policy)
    limits = (Fact("max_running", policy.max_running),)
    rules = tuple(
        RuleTried(
            rule="slot",
            result="fired" if isinstance(action, StartNow) else "not_yet",
            because="a slot is free" if isinstance(action, StartNow) else "all slots are taken",
            subject=action.session,
            facts=(Fact("running", len(set(seen.running))),),
            limits=limits,
        )
        for action in actions
    )
    answer = ", ".join(type(action).__name__ for action in actions)
    return Explanation(decision="plan_starts", answer=answer, at_ms=seen.now_ms, rules=rules)
