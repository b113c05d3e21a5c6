"""May this session's container be started again now, or does it keep dying?"""

from typing import TypeAlias

from attrs import evolve, frozen

from turnkeel_core.explain import Explanation, Fact, RuleTried
from turnkeel_core.facts import Death
from turnkeel_core.policy import SpawnPolicy


@frozen(kw_only=True)
class SpawnSnapshot:
    """The latest deaths of this session's containers, oldest first; stops on purpose (idle, shutdown) are none."""

    now_ms: int
    deaths: tuple[Death, ...] = ()


@frozen
class SpawnNow:
    """Nothing speaks against a start; `fruitless` deaths in a row came before it."""

    fruitless: int


@frozen
class SpawnLater:
    """`fruitless` containers in a row died without progress: not before `at_ms`."""

    at_ms: int
    fruitless: int
    delay_ms: int


SpawnAction: TypeAlias = SpawnNow | SpawnLater


def decide_spawn(seen: SpawnSnapshot, policy: SpawnPolicy = SpawnPolicy()) -> SpawnAction:
    """Delays of 0, 10, 20, 40 … 300 s between fruitless starts; progress or a long life counts anew.

    A death is fruitless if its container settled and sent nothing and lived shorter than `healthy_ms`. A death in the
    future is the tale of a clock that was set back: it delays nothing (field SC-23).
    """
    deaths, delay_ms = _past(seen), _delay(seen, policy)
    fruitless = _fruitless(seen, policy)
    if not deaths or seen.now_ms >= deaths[-1].died_at_ms + delay_ms:
        return SpawnNow(fruitless)
    return SpawnLater(deaths[-1].died_at_ms + delay_ms, fruitless, delay_ms)


def explain_spawn(seen: SpawnSnapshot, policy: SpawnPolicy = SpawnPolicy()) -> Explanation:
    """The one rule of `decide_spawn`, and when a start that must wait may happen."""
    action = decide_spawn(seen, policy)
    later = isinstance(action, SpawnLater)
    deaths = _past(seen)
    last_ms = deaths[-1].died_at_ms if deaths else None
    rule = RuleTried(
        rule="spawn_backoff",
        result="fired" if later else "skipped",
        because=f"{action.fruitless} containers in a row died without progress",
        facts=(Fact("fruitless", action.fruitless), Fact("last_death_at_ms", last_ms)),
        limits=(Fact("delay_ms", _delay(seen, policy)), Fact("healthy_ms", policy.healthy_ms)),
    )
    flip_at_ms = next((at_ms for at_ms in turns(seen, policy) if _differs(seen, at_ms, action, policy)), None)
    return Explanation(
        decision="decide_spawn",
        answer=type(action).__name__,
        at_ms=seen.now_ms,
        rules=(rule,),
        flip_at_ms=flip_at_ms,
        flip_to=None if flip_at_ms is None else type(decide_spawn(evolve(seen, now_ms=flip_at_ms), policy)).__name__,
    )


def turns(seen: SpawnSnapshot, policy: SpawnPolicy) -> list[int]:
    """The later instants at which the answer may be another one, in order."""
    found: set[int] = set()
    for death in seen.deaths:
        at = evolve(seen, now_ms=death.died_at_ms)
        found |= {death.died_at_ms, death.died_at_ms + _delay(at, policy)}
    return sorted(at_ms for at_ms in found if at_ms > seen.now_ms)


def _differs(seen: SpawnSnapshot, at_ms: int, action: SpawnAction, policy: SpawnPolicy) -> bool:
    return type(decide_spawn(evolve(seen, now_ms=at_ms), policy)) is not type(action)


def _past(seen: SpawnSnapshot) -> tuple[Death, ...]:
    return tuple(death for death in seen.deaths if death.died_at_ms <= seen.now_ms)


def _fruitless(seen: SpawnSnapshot, policy: SpawnPolicy) -> int:
    count = 0
    for death in reversed(_past(seen)):
        if death.progressed or death.died_at_ms - death.spawned_at_ms >= policy.healthy_ms:
            break
        count += 1
    return count


def _delay(seen: SpawnSnapshot, policy: SpawnPolicy) -> int:
    # The first death in a row is answered at once: the spawn is the retry.
    doublings = _fruitless(seen, policy) - 2
    if doublings < 0:
        return 0
    return min(policy.base_ms << min(doublings, policy.max_delay_ms.bit_length()), policy.max_delay_ms)
