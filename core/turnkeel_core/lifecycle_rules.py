"""How does a decision of turns and rows tell which of its rules stopped it, and with what actions?"""

from collections.abc import Iterable
from typing import Generic, Literal, NamedTuple, Never, TypeVar

from turnkeel_core.explain import Explanation, Fact, RuleTried

A = TypeVar("A")
Out = TypeVar("Out", covariant=True)


class Verdict(NamedTuple, Generic[Out]):
    """One rule as tried about one subject; `stops` ends the search for this subject.

    A decision makes dozens of them, and most are never read: hence no attrs record.
    """

    rule: str
    result: Literal["fired", "not_yet", "skipped"]
    because: str
    subject: str
    facts: tuple[Fact, ...] = ()
    actions: tuple[Out, ...] = ()
    stops: bool = False
    fires_after_ms: int | None = None

    def tried(self) -> RuleTried:
        """The same for an explanation."""
        return RuleTried(
            rule=self.rule,
            result=self.result,
            because=self.because,
            subject=self.subject,
            facts=self.facts,
            fires_after_ms=self.fires_after_ms,
        )


def passed(rule: str, because: str, subject: str, *facts: Fact) -> Verdict[Never]:
    """The rule does not apply; the next one is asked."""
    return Verdict(rule, "skipped", because, subject, facts)


def waits(rule: str, because: str, subject: str, *facts: Fact, until_ms: int | None = None) -> Verdict[Never]:
    """The rule holds the subject, until `until_ms` if time alone frees it; nothing is done."""
    after_ms = None if until_ms is None else until_ms - 1
    return Verdict(rule, "not_yet", because, subject, facts, (), True, after_ms)


def fires(rule: str, because: str, subject: str, *actions: A, facts: tuple[Fact, ...] = ()) -> Verdict[A]:
    """The rule applies; without actions it says that nothing may be done."""
    return Verdict(rule, "fired", because, subject, facts, actions, True)


def actions_of(verdicts: Iterable[Verdict[A]]) -> tuple[A, ...]:
    """All actions in order: the answer."""
    return tuple(action for verdict in verdicts for action in verdict.actions)


def explained(decision: str, now_ms: int, verdicts: tuple[Verdict[A], ...]) -> Explanation:
    """The same verdicts as an explanation; it flips at the nearest instant at which a rule that waits lets go."""
    rules = tuple(verdict.tried() for verdict in verdicts)
    names = [type(action).__name__ for action in actions_of(verdicts)]
    flips = [rule.fires_after_ms + 1 for rule in rules if rule.fires_after_ms is not None]
    return Explanation(
        decision=decision,
        answer=", ".join(names) or "nothing",
        at_ms=now_ms,
        rules=rules,
        flip_at_ms=min((at_ms for at_ms in flips if at_ms > now_ms), default=None),
    )
