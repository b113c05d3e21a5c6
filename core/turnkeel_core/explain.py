"""Why this, why not that, and what would flip it? The explanation of a decision, as data."""

from typing import Literal, TypeAlias

from attrs import frozen

FactValue: TypeAlias = int | str | bool | None


@frozen
class Fact:
    """A fact or a limit that a rule looked at; names end in `_ms` for durations and `_at_ms` for instants."""

    name: str
    value: FactValue


@frozen(kw_only=True)
class RuleTried:
    """One rule of a decision: what it looked at, against which limits, and how it ended.

    `subject` is the message the rule was asked about, if any. `fires_after_ms` is the instant after which the rule
    fires if nothing else happens; None if no passing of time makes it fire.
    """

    rule: str
    result: Literal["fired", "not_yet", "skipped"]
    because: str
    subject: str | None = None
    facts: tuple[Fact, ...] = ()
    limits: tuple[Fact, ...] = ()
    fires_after_ms: int | None = None


@frozen(kw_only=True)
class Explanation:
    """What a decision answered, the rules it tried in order, and the nearest instant at which the answer flips.

    `flip_at_ms` holds if nothing but time changes: one millisecond earlier the answer is still this one.
    `parts` are the explanations of decisions asked along the way.
    """

    decision: str
    answer: str
    at_ms: int
    rules: tuple[RuleTried, ...]
    flip_at_ms: int | None = None
    flip_to: str | None = None
    parts: tuple["Explanation", ...] = ()
