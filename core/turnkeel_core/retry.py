"""Again, when, or give up?"""

from typing import TypeAlias

from attrs import frozen

from turnkeel_core.explain import Explanation, Fact, RuleTried
from turnkeel_core.policy import RetryPolicy


@frozen(kw_only=True)
class RetrySnapshot:
    """An attempt that ended without an answer. `tries` are the attempts charged before it; None counts as 0.

    `random_permille` (0 to 1000) is the host's random number for jitter; 0 leaves the backoff as it is.
    """

    now_ms: int
    tries: int | None
    random_permille: int = 0


@frozen
class RetryAt:
    """Charge the attempt (`tries` is the new count) and try again at `at_ms`, `delay_ms` from now."""

    tries: int
    at_ms: int
    delay_ms: int


@frozen
class GiveUp:
    """`tries` attempts have been charged, the limit is `max_tries`: the message has failed."""

    tries: int
    max_tries: int


RetryAction: TypeAlias = RetryAt | GiveUp


def decide_retry(seen: RetrySnapshot, policy: RetryPolicy = RetryPolicy()) -> RetryAction:
    """Backoff of base × 2^tries until the tries are used up; the store may keep whole seconds of it.

    Source: spec/nanoclaw.md §5.3 (5, 10, 20, 40, 80 s; failed at the sixth).
    """
    tries = max(seen.tries or 0, 0)
    if tries >= policy.max_tries:
        return GiveUp(tries, policy.max_tries)
    delay_ms = _delay(tries, seen.random_permille, policy)
    return RetryAt(tries + 1, seen.now_ms + delay_ms, delay_ms)


def explain_retry(seen: RetrySnapshot, policy: RetryPolicy = RetryPolicy()) -> Explanation:
    """The two rules of `decide_retry`; time does not change its answer."""
    action = decide_retry(seen, policy)
    facts = (Fact("tries", seen.tries), Fact("random_permille", seen.random_permille))
    exhausted = isinstance(action, GiveUp)
    tried = (
        RuleTried(
            rule="exhausted",
            result="fired" if exhausted else "not_yet",
            because="all tries are charged" if exhausted else "tries are left",
            facts=facts,
            limits=(Fact("max_tries", policy.max_tries),),
        ),
        RuleTried(
            rule="backoff",
            result="skipped" if exhausted else "fired",
            because="nothing to wait for" if exhausted else "the delay doubles with every try",
            facts=facts,
            limits=(Fact("base_ms", policy.base_ms), Fact("max_delay_ms", policy.max_delay_ms)),
        ),
    )
    rules = tried[:1] if exhausted else tried
    return Explanation(decision="decide_retry", answer=type(action).__name__, at_ms=seen.now_ms, rules=rules)


def _delay(tries: int, random_permille: int, policy: RetryPolicy) -> int:
    # The exponent is bounded before the power is taken: a huge count must not make a huge number.
    doubled = policy.base_ms << min(tries, policy.max_delay_ms.bit_length())
    jitter_ms = doubled * policy.jitter_permille * random_permille // 1_000_000
    return min(doubled + jitter_ms, policy.max_delay_ms)
