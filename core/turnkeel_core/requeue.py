"""Which interrupted messages are handed to an agent once more? (B-02)

A step of its own on top of detection, off unless its owner turns it on: nothing of `interrupted` leads here.
"""

from typing import TypeAlias

from attrs import Factory, field, frozen
from attrs.validators import instance_of

from turnkeel_core.explain import Explanation, Fact, RuleTried
from turnkeel_core.interrupted import Dispatched, InterruptedSnapshot, MessageKey, find_interrupted
from turnkeel_core.policy import InterruptedPolicy


@frozen(kw_only=True)
class RequeuePolicy:
    """Whether interrupted messages are run again, and when one counts as interrupted."""

    enabled: bool = field(
        default=False,
        validator=instance_of(bool),
        metadata={"reason": "off: an agent that stayed silent on purpose looks the same, and would run again"},
    )
    interrupted: InterruptedPolicy = Factory(InterruptedPolicy)


@frozen(kw_only=True)
class RequeueSnapshot:
    """All messages with a marker; `answered` are those with a bot response of the same time or later in their chat."""

    now_ms: int
    dispatched: tuple[Dispatched, ...] = ()
    answered: tuple[MessageKey, ...] = ()


@frozen
class RequeueBatch:
    """Hand these messages of one chat on again, marked anew; the oldest first."""

    chat: str
    message_ids: tuple[str, ...]


@frozen
class LeaveAnswered:
    """This one was answered, though its marker stands: to run it again would answer twice."""

    key: MessageKey


RequeueAction: TypeAlias = RequeueBatch | LeaveAnswered


def plan_requeue(seen: RequeueSnapshot, policy: RequeuePolicy = RequeuePolicy()) -> tuple[RequeueAction, ...]:
    """At a start: of the interrupted messages those without an answer, chat by chat; nothing unless it is enabled.

    A message handed on within the threshold may still be at work and is left alone.
    """
    if not policy.enabled:
        return ()
    found = [one.key for one in find_interrupted(_interrupted(seen), policy.interrupted)]
    left = [LeaveAnswered(key) for key in found if key in seen.answered]
    again = [key for key in found if key not in seen.answered]
    batches = [
        RequeueBatch(chat, tuple(key.message_id for key in again if key.chat == chat))
        for chat in dict.fromkeys(key.chat for key in again)
    ]
    return (*left, *batches)


def explain_requeue(seen: RequeueSnapshot, policy: RequeuePolicy = RequeuePolicy()) -> Explanation:
    """The switch, then one rule per interrupted message."""
    switch = RuleTried(
        rule="enabled",
        result="fired" if policy.enabled else "skipped",
        because="recovery is turned on" if policy.enabled else "recovery is off, as it is by default",
        limits=(Fact("enabled", policy.enabled),),
    )
    found = find_interrupted(_interrupted(seen), policy.interrupted) if policy.enabled else ()
    rules = tuple(
        RuleTried(
            rule="duplicate guard",
            result="skipped" if one.key in seen.answered else "fired",
            because="a response was stored since" if one.key in seen.answered else "no response was stored since",
            subject=f"{one.key.chat}/{one.key.message_id}",
            facts=(Fact("age_ms", one.age_ms),),
        )
        for one in found
    )
    actions = plan_requeue(seen, policy)
    answer = ", ".join(type(action).__name__ for action in actions) or "nothing"
    return Explanation(decision="plan_requeue", answer=answer, at_ms=seen.now_ms, rules=(switch, *rules))


def _interrupted(seen: RequeueSnapshot) -> InterruptedSnapshot:
    return InterruptedSnapshot(now_ms=seen.now_ms, dispatched=seen.dispatched)
