"""Which texts say that a resume handle is dead? (spec/tars-and-b01.md §2.3, §2.4)

A pattern is a regular expression, looked for in any case of letters; `^` and `$` mean the ends of a line. It must name
the conversation that was resumed: the errors of other sessions, threads and files that a run meets are no reason to
lose one.
"""

import re
from functools import cache
from typing import Final, Literal

from attrs import Attribute, field, frozen
from attrs.validators import and_, ge, instance_of, le

from turnkeel_core.resume_limits import ERROR_CHARS, pattern_problem

_UUID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

ANCHOR_PATTERNS: Final = (r"no message found with message\.uuid",)
"""The place inside a conversation is gone; the conversation itself is not."""

SESSION_PATTERNS: Final = (
    r"no conversation found",
    r"invalid session id(?:entifier)?\b",
    r"requires a valid session id",
    r"no rollout found for (?:thread|conversation)",
    r"missing rollout path for thread",
    r"(?:^|[:\s])unknown (?:session|thread)\s+[0-9a-f-]{8,}",
    r"thread not found:\s*[0-9a-f-]{8,}",
    # The first parts are atomic: a later place of theirs could match nothing that the first does not.
    r"ENOENT(?>[^\n]*?[/\\]\.claude[/\\]projects[/\\])[^\n]*\.jsonl",
    r"ENOENT(?>[^\n]*?[/\\]\.codex[/\\]sessions[/\\])[^\n]*\.jsonl",
    rf"^(?:error:\s*)?session(?: id)?\s+{_UUID}\s+not found",
    r"session not found:\s*ses_",
    r"^(?:error:\s*)?(?:session|conversation) (?:not found|does not exist|expired|invalid)\.?\s*$",
    r"no such (?:session|conversation):",
)
"""The whole conversation is gone."""

_BUILT_IN: Final = frozenset((*ANCHOR_PATTERNS, *SESSION_PATTERNS))


def _why(reason: str) -> dict[str, str]:
    return {"reason": reason}


def _only_good(_: object, attribute: "Attribute[tuple[str, ...]]", patterns: tuple[str, ...]) -> None:
    for pattern in patterns:
        # Those here are held to the same promises by tests; one of them is atomic, which no other may be.
        if pattern not in _BUILT_IN and (problem := pattern_problem(pattern)):
            raise ValueError(f"{attribute.name}: {pattern[:200]!r} {problem}")


@frozen(kw_only=True)
class ResumePolicy:
    """What `should_clear_resume` recognises. A pattern that is none, or too wide, or too slow raises ValueError."""

    session_patterns: tuple[str, ...] = field(
        default=SESSION_PATTERNS,
        validator=_only_good,
        metadata=_why("what the known agents say when the conversation they should resume is gone; a file adds to it"),
    )
    anchor_patterns: tuple[str, ...] = field(
        default=ANCHOR_PATTERNS,
        validator=_only_good,
        metadata=_why("the same for a place inside a conversation; a file adds to it"),
    )
    error_chars: int = field(
        default=ERROR_CHARS,
        validator=and_(instance_of(int), ge(1), le(ERROR_CHARS)),
        metadata=_why("the cause stands at the end of an error; an agent's whole log is no error"),
    )


@frozen
class StaleText:
    """A text that says which handle is dead, and the pattern that found it."""

    kind: Literal["anchor", "session"]
    pattern: str


def find_stale_text(error: str, policy: ResumePolicy = ResumePolicy()) -> StaleText | None:
    """The first pattern that is found in the end of the error; where both are, the whole conversation is gone."""
    start = max(0, len(error) - policy.error_chars)
    for pattern in policy.session_patterns:
        # Not a slice: the cut must not make a line begin where none does.
        if _compiled(pattern).search(error, start):
            return StaleText("session", pattern)
    for pattern in policy.anchor_patterns:
        if _compiled(pattern).search(error, start):
            return StaleText("anchor", pattern)
    return None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.MULTILINE)
