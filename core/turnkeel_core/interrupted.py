"""Which dispatched messages never got an answer?

Detection only: nothing here requeues, replays, unlocks or recovers. A marker says that a message left the polling path
(B-01; spec/tars-and-b01.md §1).
"""

from attrs import frozen

from turnkeel_core.explain import Explanation, Fact, RuleTried
from turnkeel_core.policy import InterruptedPolicy


@frozen
class MessageKey:
    """A message of a chat; the same id in another chat is another message."""

    chat: str
    message_id: str


@frozen(kw_only=True)
class DispatchSnapshot:
    """The messages that are about to be handed to an agent: all that were selected, those for context included."""

    now_ms: int
    batch: tuple[MessageKey, ...]


@frozen
class MarkDispatched:
    """Immediately before the batch is handed on: give each of its messages this one marker, in one transaction.

    A marker that is there is replaced, so that a batch never has two values.
    """

    batch: tuple[MessageKey, ...]
    at_ms: int


@frozen(kw_only=True)
class Dispatched:
    """A message that was handed on at `started_at_ms` and has no answer yet; None: its marker cannot be read."""

    key: MessageKey
    sent_at_ms: int | None
    started_at_ms: int | None


@frozen(kw_only=True)
class InterruptedSnapshot:
    """All messages with a marker, in any order."""

    now_ms: int
    dispatched: tuple[Dispatched, ...] = ()


@frozen
class Interrupted:
    """A message to tell an operator of: handed on `age_ms` ago, and no answer was stored since."""

    key: MessageKey
    started_at_ms: int
    age_ms: int


def plan_dispatch_mark(seen: DispatchSnapshot) -> MarkDispatched:
    """One marker for the whole batch, each message once and in its order; an empty batch marks nothing."""
    return MarkDispatched(tuple(dict.fromkeys(seen.batch)), seen.now_ms)


def explain_dispatch_mark(seen: DispatchSnapshot) -> Explanation:
    """The one rule of `plan_dispatch_mark`; time does not change who is marked."""
    mark = plan_dispatch_mark(seen)
    rule = RuleTried(
        rule="mark",
        result="fired" if mark.batch else "skipped",
        because="the whole batch leaves the polling path at once" if mark.batch else "the batch is empty",
        facts=(Fact("messages", len(mark.batch)), Fact("at_ms", mark.at_ms)),
    )
    return Explanation(decision="plan_dispatch_mark", answer="MarkDispatched", at_ms=seen.now_ms, rules=(rule,))


def find_interrupted(
    seen: InterruptedSnapshot, policy: InterruptedPolicy = InterruptedPolicy()
) -> tuple[Interrupted, ...]:
    """Those handed on strictly longer ago than the threshold, the oldest first, then by chat, message time and id.

    A marker that cannot be read has no age: it is left out here, and told by whoever read it.
    """
    return tuple(
        Interrupted(one.key, started_at_ms, seen.now_ms - started_at_ms)
        for one, started_at_ms in _in_order(seen)
        if seen.now_ms - started_at_ms > policy.stale_ms
    )


def explain_interrupted(seen: InterruptedSnapshot, policy: InterruptedPolicy = InterruptedPolicy()) -> Explanation:
    """One rule per marked message, and when the next one becomes too old."""
    found = find_interrupted(seen, policy)
    rules = tuple(_rule(one, at_ms, seen.now_ms, policy) for one, at_ms in _in_order(seen))
    next_ms = min((rule.fires_after_ms for rule in rules if rule.fires_after_ms is not None), default=None)
    joining = sum(rule.fires_after_ms == next_ms for rule in rules if rule.fires_after_ms is not None)
    return Explanation(
        decision="find_interrupted",
        answer=f"{len(found)} interrupted",
        at_ms=seen.now_ms,
        rules=rules,
        flip_at_ms=None if next_ms is None else next_ms + 1,
        flip_to=None if next_ms is None else f"{len(found) + joining} interrupted",
    )


def _rule(one: Dispatched, started_at_ms: int, now_ms: int, policy: InterruptedPolicy) -> RuleTried:
    age_ms = now_ms - started_at_ms
    stale = age_ms > policy.stale_ms
    return RuleTried(
        rule="stale",
        result="fired" if stale else "not_yet",
        because=f"handed on {age_ms} ms ago without an answer, the threshold is {policy.stale_ms} ms",
        subject=f"{one.key.chat}/{one.key.message_id}",
        facts=(Fact("started_at_ms", started_at_ms), Fact("age_ms", age_ms)),
        limits=(Fact("stale_ms", policy.stale_ms),),
        fires_after_ms=None if stale else started_at_ms + policy.stale_ms,
    )


def _in_order(seen: InterruptedSnapshot) -> list[tuple[Dispatched, int]]:
    known = [(one, one.started_at_ms) for one in seen.dispatched if one.started_at_ms is not None]
    return sorted(known, key=lambda it: (it[1], it[0].key.chat, it[0].sent_at_ms or 0, it[0].key.message_id))
