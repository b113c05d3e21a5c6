"""Did the machine sleep, or was the clock set, between two looks?"""

from typing import TypeAlias

from attrs import frozen

from turnkeel_core.explain import Explanation, Fact, RuleTried
from turnkeel_core.facts import Sleep
from turnkeel_core.policy import SuspendPolicy


@frozen(kw_only=True)
class ClockSnapshot:
    """Two reads of both clocks; the monotonic one stands still while the machine sleeps. Milliseconds."""

    previous_wall_ms: int
    previous_mono_ms: int
    now_ms: int
    now_mono_ms: int


@frozen
class KeepJudging:
    """Both clocks agree to within `gap_ms`."""

    gap_ms: int


@frozen
class GiveGrace:
    """Wall time ran ahead by `gap_ms`: ages measured across `resumed_at_ms` say nothing until a tolerance is over."""

    resumed_at_ms: int
    gap_ms: int


@frozen(kw_only=True)
class SetBack:
    """The clock was set back at `at_ms` by itself: a stamp after now and up to `until_ms` is from before that."""

    at_ms: int
    until_ms: int


GraceAction: TypeAlias = KeepJudging | GiveGrace


def decide_grace(seen: ClockSnapshot, policy: SuspendPolicy = SuspendPolicy()) -> GraceAction:
    """A gap of over `jump_ms` between the two clocks means that silence was nobody's fault (field FK-07)."""
    gap_ms = _gap(seen)
    return GiveGrace(seen.now_ms, gap_ms) if gap_ms > policy.jump_ms else KeepJudging(gap_ms)


def explain_grace(seen: ClockSnapshot, policy: SuspendPolicy = SuspendPolicy()) -> Explanation:
    """The one rule of `decide_grace`."""
    action = decide_grace(seen, policy)
    rule = RuleTried(
        rule="clock_jump",
        result="fired" if isinstance(action, GiveGrace) else "not_yet",
        because="wall time advanced more than monotonic time",
        facts=(Fact("gap_ms", _gap(seen)),),
        limits=(Fact("jump_ms", policy.jump_ms),),
    )
    return Explanation(decision="decide_grace", answer=type(action).__name__, at_ms=seen.now_ms, rules=(rule,))


def after_set_back(sleeps: tuple[Sleep, ...], now_ms: int, by_ms: int) -> tuple[Sleep, ...]:
    """The sleeps as they count once the clock was set back by `by_ms` to `now_ms`.

    One that ended later than now would hold every judgement until the clock is there again: it ended now, and what
    the clock took back of it was none. Ages come out too young then, never too old.
    """
    left_ms, kept = by_ms, list[Sleep]()
    for sleep in reversed(sleeps):
        if sleep.resumed_at_ms > now_ms:
            taken_ms = min(left_ms, sleep.gap_ms)
            left_ms -= taken_ms
            sleep = Sleep(resumed_at_ms=now_ms, gap_ms=sleep.gap_ms - taken_ms)
        if sleep.gap_ms:
            kept.append(sleep)
    return tuple(reversed(kept))


def _gap(seen: ClockSnapshot) -> int:
    return (seen.now_ms - seen.previous_wall_ms) - (seen.now_mono_ms - seen.previous_mono_ms)
