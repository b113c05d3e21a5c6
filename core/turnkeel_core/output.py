"""Is this reply small enough, and plain enough, to be taken?"""

from typing import Literal, TypeAlias

from attrs import frozen

from turnkeel_core.explain import Explanation, Fact, RuleTried
from turnkeel_core.policy import OutputPolicy


@frozen(kw_only=True)
class OutputSnapshot:
    """One reply: the bytes of its text and of all its attachments. `odd` says which attachment is no plain file."""

    now_ms: int
    text_bytes: int
    attachment_bytes: int = 0
    odd: str | None = None


@frozen
class TakeOutput:
    """It may be sent."""


@frozen
class RefuseOutput:
    """It may not be sent; the reason in words."""

    reason: str


OutputAction: TypeAlias = TakeOutput | RefuseOutput


def decide_output(seen: OutputSnapshot, policy: OutputPolicy = OutputPolicy()) -> OutputAction:
    """Refuse a reply over a limit, or with an attachment that is no plain file; at a limit it is still taken."""
    last = _evaluate(seen, policy)[-1]
    return RefuseOutput(last.because) if last.result == "fired" else TakeOutput()


def explain_output(seen: OutputSnapshot, policy: OutputPolicy = OutputPolicy()) -> Explanation:
    """The rules of `decide_output`, up to the one that refuses; time does not change its answer."""
    action = decide_output(seen, policy)
    return Explanation(
        decision="decide_output",
        answer=type(action).__name__,
        at_ms=seen.now_ms,
        rules=_evaluate(seen, policy),
    )


def _evaluate(seen: OutputSnapshot, policy: OutputPolicy) -> tuple[RuleTried, ...]:
    plain: Literal["fired", "not_yet"] = "not_yet" if seen.odd is None else "fired"
    rules = (
        _size("text", seen.text_bytes, policy.output_limit_bytes),
        RuleTried(rule="plain files", result=plain, because=seen.odd or "every attachment is a plain file"),
        _size("attachments", seen.attachment_bytes, policy.attachment_limit_bytes),
    )
    fired = next((i for i, rule in enumerate(rules) if rule.result == "fired"), len(rules))
    return rules[: fired + 1]


def _size(rule: str, size: int, limit: int) -> RuleTried:
    return RuleTried(
        rule=rule,
        result="fired" if size > limit else "not_yet",
        because=f"{rule} of {size:,} bytes, the limit is {limit:,}",
        facts=(Fact("bytes", size),),
        limits=(Fact("limit_bytes", limit),),
    )
