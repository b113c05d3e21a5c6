"""Did the machine sleep, or was the clock set, between two looks?"""

from typing import TypeAlias

from attrs import frozen

from turnkeel_core.explain import Explanation, Fact, RuleTried
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


def _gap(seen: ClockSnapshot) -> int:
    return (seen.now_ms - seen.previous_wall_ms) - (seen.now_mono_ms - seen.previous_mono_ms)
