"""Does one of these messages of a group chat call the agent?

Word and permission must come together in the same message (spec/tars-and-b01.md §4).
"""

import re
from functools import lru_cache
from typing import Final, TypeAlias

from attrs import frozen

from turnkeel_core.explain import Explanation, Fact, RuleTried
from turnkeel_core.senders import SenderPolicy, SenderSnapshot, decide_sender, may_trigger

_WORD: Final = "[0-9A-Za-z_]"
# The existing host's word boundary knows ASCII letters only, whatever the case of the rest is compared by.
_BOUNDARY: Final = f"(?:(?<={_WORD})(?!{_WORD})|(?<!{_WORD})(?={_WORD}))"


@frozen(kw_only=True)
class GroupMessage:
    """One message of the batch; `replies_to_bot`: it quotes something that the agent said."""

    text: str
    sender: str | None
    from_me: bool = False
    replies_to_bot: bool = False


@frozen(kw_only=True)
class TriggerSnapshot:
    """New messages of a chat. The main chat, and one that `requires_trigger` not, need no word and ask nobody."""

    now_ms: int
    chat: str
    trigger: str
    messages: tuple[GroupMessage, ...] = ()
    main: bool = False
    requires_trigger: bool = True


@frozen
class RunAgent:
    """Start the agent with the batch; `by` is the message that calls it, by its place; None: any would do."""

    by: int | None


@frozen
class NoCall:
    """Nobody who may has called it; the messages wait as context."""


TriggerDecision: TypeAlias = RunAgent | NoCall


def decide_trigger(seen: TriggerSnapshot, policy: SenderPolicy = SenderPolicy()) -> TriggerDecision:
    """The first message that begins with the trigger, or answers the agent, and whose sender may start it.

    The trigger is compared without regard to case at the beginning of the text, as a whole word.
    """
    if not seen.messages:
        return NoCall()
    if _asks_nobody(seen):
        return RunAgent(None)
    by = next((place for place, said in enumerate(seen.messages) if _calls(said, seen, policy)), None)
    return NoCall() if by is None else RunAgent(by)


def explain_trigger(seen: TriggerSnapshot, policy: SenderPolicy = SenderPolicy()) -> Explanation:
    """One rule per message; time does not change the answer."""
    rules = tuple(
        RuleTried(
            rule="call",
            result="skipped" if _asks_nobody(seen) else "fired" if _calls(said, seen, policy) else "not_yet",
            because=_because(said, seen, policy),
            subject=str(place),
            facts=(Fact("word", _is_addressed(said, seen)), Fact("sender", said.sender)),
        )
        for place, said in enumerate(seen.messages)
    )
    answer = type(decide_trigger(seen, policy)).__name__
    return Explanation(decision="decide_trigger", answer=answer, at_ms=seen.now_ms, rules=rules)


def _asks_nobody(seen: TriggerSnapshot) -> bool:
    return seen.main or not seen.requires_trigger


def _calls(said: GroupMessage, seen: TriggerSnapshot, policy: SenderPolicy) -> bool:
    return _is_addressed(said, seen) and _is_allowed(said, seen, policy)


def _is_allowed(said: GroupMessage, seen: TriggerSnapshot, policy: SenderPolicy) -> bool:
    one = SenderSnapshot(now_ms=seen.now_ms, chat=seen.chat, sender=said.sender, from_me=said.from_me)
    return may_trigger(decide_sender(one, policy))


def _is_addressed(said: GroupMessage, seen: TriggerSnapshot) -> bool:
    return said.replies_to_bot or _pattern(seen.trigger).match(said.text.strip()) is not None


def _because(said: GroupMessage, seen: TriggerSnapshot, policy: SenderPolicy) -> str:
    if _asks_nobody(seen):
        return "this chat asks for no trigger"
    if not _is_addressed(said, seen):
        return "it neither begins with the trigger nor answers the agent"
    return "it calls the agent" if _is_allowed(said, seen, policy) else "its sender may not call the agent"


@lru_cache(maxsize=64)
def _pattern(trigger: str) -> re.Pattern[str]:
    return re.compile(re.escape(trigger) + _BOUNDARY, re.IGNORECASE)
