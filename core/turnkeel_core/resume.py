"""Does this error mean that the resume handle is dead? (spec/tars-and-b01.md §2.5)"""

from typing import Literal, TypeAlias

from attrs import field, frozen
from attrs.validators import in_

from turnkeel_core.explain import Explanation, Fact, RuleTried
from turnkeel_core.resume_patterns import ResumePolicy, StaleText, find_stale_text

ResumeContext: TypeAlias = Literal["group", "isolated"]


@frozen(kw_only=True)
class ResumeSnapshot:
    """One run that ended. `error` is the error it failed with, None if it did not; never what it printed as its result.

    `context`: a run in the conversation of its chat (`group`; every message is one), or one that stands alone.
    `session` and `anchor` are the handles that the run was started with: the conversation, and the place in it.
    `retried`: it was itself the second run that an earlier answer asked for.
    """

    now_ms: int
    error: str | None
    context: ResumeContext = field(default="group", validator=in_(("group", "isolated")))
    session: str | None = None
    anchor: str | None = None
    retried: bool = False


@frozen
class KeepResume:
    """Nothing is cleared; a failed run is a failure as any other. `pattern` is what was found all the same."""

    because: Literal["not_failed", "not_recognised", "isolated", "nothing_resumed"]
    pattern: str | None = None


@frozen
class ClearAnchor:
    """Forget the place in the conversation, if the stored one is still this `handle`."""

    handle: str
    pattern: str


@frozen
class ClearSession:
    """Forget the conversation, if the stored one is still this `handle`: what was said in it is lost to the agent."""

    handle: str
    pattern: str


@frozen
class RetryFresh:
    """Run the message again at once, `without` that handle, and charge nothing for it."""

    without: Literal["anchor", "session"]
    pattern: str


ResumeAction: TypeAlias = KeepResume | ClearAnchor | ClearSession | RetryFresh


def should_clear_resume(seen: ResumeSnapshot, policy: ResumePolicy = ResumePolicy()) -> tuple[ResumeAction, ...]:
    """Clear what the error of a failed run says is gone, and nothing for any other error.

    A lost anchor leaves the conversation, a lost conversation takes its anchor along. The order is that of execution:
    a crash in between leaves a handle less, never an anchor without its conversation.
    """
    return _evaluate(seen, policy)[0]


def explain_resume(seen: ResumeSnapshot, policy: ResumePolicy = ResumePolicy()) -> Explanation:
    """The rules of `should_clear_resume`, up to the one that keeps everything; time does not change its answer."""
    actions, rules = _evaluate(seen, policy)
    answer = ", ".join(type(action).__name__ for action in actions)
    return Explanation(decision="should_clear_resume", answer=answer, at_ms=seen.now_ms, rules=rules)


def _evaluate(seen: ResumeSnapshot, policy: ResumePolicy) -> tuple[tuple[ResumeAction, ...], tuple[RuleTried, ...]]:
    failed = _tried("failed", seen.error is not None, "the run failed", "the run did not fail")
    if seen.error is None:
        return (KeepResume("not_failed"),), (failed,)
    stale = find_stale_text(seen.error, policy)
    recognised = _tried(
        "recognised",
        stale is not None,
        f"it says that the {stale.kind if stale else ''} is gone",
        "no pattern is found in the error",
        Fact("pattern", stale.pattern if stale else None),
    )
    if stale is None:
        return (KeepResume("not_recognised"),), (failed, recognised)
    group = seen.context == "group"
    context = _tried(
        "context", group, "it ran in the conversation of its chat", "it stands alone", Fact("context", seen.context)
    )
    if not group:
        return (KeepResume("isolated", stale.pattern),), (failed, recognised, context)
    return _of_stale(seen, stale, (failed, recognised, context))


def _of_stale(
    seen: ResumeSnapshot, stale: StaleText, rules: tuple[RuleTried, ...]
) -> tuple[tuple[ResumeAction, ...], tuple[RuleTried, ...]]:
    session = seen.session if stale.kind == "session" else None
    clears: tuple[ResumeAction, ...] = (
        *(() if seen.anchor is None else (ClearAnchor(seen.anchor, stale.pattern),)),
        *(() if session is None else (ClearSession(session, stale.pattern),)),
    )
    used = (Fact("session", seen.session), Fact("anchor", seen.anchor))
    resumed = _tried("resumed", bool(clears), "the run was started with it", "the run was started without it", *used)
    if not clears:
        return (KeepResume("nothing_resumed", stale.pattern),), (*rules, resumed)
    again = not seen.retried
    retry = _tried("retry", again, "it is run again at once", "it was run again already", Fact("retried", seen.retried))
    retries = (RetryFresh(stale.kind, stale.pattern),) if again else ()
    return (*clears, *retries), (*rules, resumed, retry)


def _tried(rule: str, fires: bool, fired: str, not_yet: str, *facts: Fact) -> RuleTried:
    result: Literal["fired", "not_yet"] = "fired" if fires else "not_yet"
    return RuleTried(rule=rule, result=result, because=fired if fires else not_yet, facts=facts)
