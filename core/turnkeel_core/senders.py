"""Is a sender's message stored, and may it start an agent? (spec/tars-and-b01.md §4)"""

from typing import Literal, TypeAlias

from attrs import field, frozen
from attrs.validators import in_

from turnkeel_core.explain import Explanation, Fact, RuleTried


@frozen(kw_only=True)
class SenderRule:
    """Who may start an agent in a chat: `allow` None is everybody, else exactly these ids, by every character.

    `mode`: what others write is kept for the agent to read (`trigger`), or not kept at all (`drop`).
    """

    allow: tuple[str, ...] | None = None
    mode: Literal["trigger", "drop"] = field(default="trigger", validator=in_(("trigger", "drop")))

    def allows(self, sender: str | None) -> bool:
        """Whether this sender is one of them; an unknown sender is on no list."""
        return self.allow is None or sender in self.allow


DENY = SenderRule(allow=())
"""Nobody but the owner; what is written is kept, so that nothing is lost while a mistake is being found."""


@frozen(kw_only=True)
class SenderPolicy:
    """The allowlist. A chat's own rule replaces the default as a whole. The default here is that of no file at all."""

    default: SenderRule = SenderRule()
    chats: tuple[tuple[str, SenderRule], ...] = ()
    log_denied: bool = True

    def rule(self, chat: str) -> SenderRule:
        """The rule of one chat, whose id is compared exactly."""
        return next((rule for name, rule in self.chats if name == chat), self.default)


@frozen(kw_only=True)
class SenderSnapshot:
    """One message as its channel tells of it; `sender` None: the channel does not say who it was.

    `from_me` is the owner, as the channel's own flag says it and nothing else. `registered`: an agent has this chat.
    """

    now_ms: int
    chat: str
    sender: str | None
    from_me: bool = False
    bot: bool = False
    registered: bool = True


@frozen
class AdmitMessage:
    """Store it; it may start an agent."""

    because: Literal["owner", "allowed"]


@frozen
class KeepAsContext:
    """Store it; it starts nothing, and is read with the next message that does. `log`: the operator wants to know."""

    log: bool


@frozen
class DropMessage:
    """Store nothing, and acknowledge it, so that it does not come again. `log` as above."""

    log: bool


SenderDecision: TypeAlias = AdmitMessage | KeepAsContext | DropMessage


def decide_sender(seen: SenderSnapshot, policy: SenderPolicy = SenderPolicy()) -> SenderDecision:
    """The owner always may. Others may if their chat's rule names them; else the rule's mode says what is kept.

    An agent's own message is never dropped, nor one of a chat that no agent has.
    """
    return _evaluate(seen, policy)[0]


def explain_sender(seen: SenderSnapshot, policy: SenderPolicy = SenderPolicy()) -> Explanation:
    """The rules of `decide_sender` up to the one that decides; time does not change its answer."""
    decision, rules = _evaluate(seen, policy)
    return Explanation(decision="decide_sender", answer=type(decision).__name__, at_ms=seen.now_ms, rules=rules)


def may_trigger(decision: SenderDecision) -> bool:
    """Whether a message so decided may start an agent."""
    return isinstance(decision, AdmitMessage)


def _evaluate(seen: SenderSnapshot, policy: SenderPolicy) -> tuple[SenderDecision, tuple[RuleTried, ...]]:
    rule = policy.rule(seen.chat)
    own = any(name == seen.chat for name, _ in policy.chats)
    facts = (Fact("chat", seen.chat), Fact("sender", seen.sender), Fact("bot", seen.bot))
    limits = (
        Fact("rule", "the chat's own" if own else "the default"),
        Fact("allow", "*" if rule.allow is None else f"{len(rule.allow)} senders"),
        Fact("mode", rule.mode),
    )
    owner = _tried("owner", seen.from_me, "the owner wrote it", "somebody else wrote it", facts, limits)
    if seen.from_me:
        return AdmitMessage("owner"), (owner,)
    allowed = rule.allows(seen.sender)
    named = _tried("allow", allowed, "the rule allows the sender", "the rule does not allow the sender", facts, limits)
    if allowed:
        return AdmitMessage("allowed"), (owner, named)
    dropped = rule.mode == "drop" and seen.registered and not seen.bot
    drop = _tried("drop", dropped, "the rule drops it", "it is kept as context", facts, limits)
    denied = DropMessage(policy.log_denied) if dropped else KeepAsContext(policy.log_denied)
    return denied, (owner, named, drop)


def _tried(
    rule: str, fires: bool, fired: str, not_yet: str, facts: tuple[Fact, ...], limits: tuple[Fact, ...]
) -> RuleTried:
    result: Literal["fired", "not_yet"] = "fired" if fires else "not_yet"
    return RuleTried(rule=rule, result=result, because=fired if fires else not_yet, facts=facts, limits=limits)
