"""May another run of this session begin now?

A run is one started attempt at a message: a claim that is held now, was settled, or was charged.
"""

from typing import TypeAlias

from attrs import evolve, frozen

from turnkeel_core.explain import Explanation, Fact, RuleTried
from turnkeel_core.facts import Run
from turnkeel_core.policy import LimitPolicy

HOUR_MS = 3_600_000


@frozen(kw_only=True)
class RunSnapshot:
    """The runs of a session that ended within the last hour, and how many are under way (`held`)."""

    now_ms: int
    runs: tuple[Run, ...] = ()
    held: int = 0


@frozen
class RunNow:
    """`runs` runs lie in the hour before; another may begin."""

    runs: int


@frozen
class RunLater:
    """The hour has had its `limit` runs. `at_ms` is when enough of them have left it; None while they are held."""

    at_ms: int | None
    runs: int
    limit: int


RunAction: TypeAlias = RunNow | RunLater


def decide_run(seen: RunSnapshot, policy: LimitPolicy = LimitPolicy()) -> RunAction:
    """Count message × incarnation over [now − 1 h, now], each at its latest instant.

    A run in the future is the tale of a clock that was set back: it does not count yet. The existing runner marks its
    first batch anew while it works; such a message counts once, and leaves the hour that much later.
    """
    ended, limit = _ended(seen), policy.runs_per_hour
    runs = len(ended) + seen.held
    if limit is None or runs < limit:
        return RunNow(runs)
    must_leave = runs - limit + 1
    return RunLater(ended[must_leave - 1] + HOUR_MS if must_leave <= len(ended) else None, runs, limit)


def explain_run(seen: RunSnapshot, policy: LimitPolicy = LimitPolicy()) -> Explanation:
    """The one rule of `decide_run`, and when its answer turns."""
    action = decide_run(seen, policy)
    later, limit = isinstance(action, RunLater), policy.runs_per_hour
    rule = RuleTried(
        rule="runs_per_hour",
        result="skipped" if limit is None else "fired" if later else "not_yet",
        because="no limit is set" if limit is None else f"{action.runs} runs lie in the hour before",
        facts=(Fact("runs", action.runs), Fact("held", seen.held)),
        limits=(Fact("runs_per_hour", limit),),
    )
    now = type(action)
    later_ones = ((at_ms, type(decide_run(evolve(seen, now_ms=at_ms), policy))) for at_ms in run_turns(seen, policy))
    flip = next(((at_ms, other) for at_ms, other in later_ones if other is not now), None)
    return Explanation(
        decision="decide_run",
        answer=now.__name__,
        at_ms=seen.now_ms,
        rules=(rule,),
        flip_at_ms=None if flip is None else flip[0],
        flip_to=None if flip is None else flip[1].__name__,
    )


def run_turns(seen: RunSnapshot, policy: LimitPolicy) -> list[int]:
    """The later instants at which the answer may be another one, in order; none without a limit."""
    if policy.runs_per_hour is None:
        return []
    instants = {at_ms for run in seen.runs for at_ms in (run.at_ms, run.at_ms + HOUR_MS)}
    return sorted(at_ms for at_ms in instants if at_ms > seen.now_ms)


def _ended(seen: RunSnapshot) -> list[int]:
    """When each run that counts now was last seen, oldest first."""
    latest: dict[tuple[str, int | None], int] = {}
    for run in seen.runs:
        if run.at_ms <= seen.now_ms < run.at_ms + HOUR_MS:
            key = (run.message_id, run.incarnation)
            latest[key] = max(run.at_ms, latest.get(key, run.at_ms))
    return sorted(latest.values())
