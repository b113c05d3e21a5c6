"""Does the error of a failed run say that the agent's login is refused?

Only who runs the agent can mend that: trying again burns the retries of every message, and tells nobody. A pattern is a
regular expression, as those of `resume_patterns`; it must name the login of the agent itself: what other sites and
tools answered during a run is no reason to stop a session.
"""

import re
from functools import cache
from typing import Final, Literal, TypeAlias

from attrs import Attribute, field, frozen
from attrs.validators import and_, ge, instance_of, le

from turnkeel_core.explain import Explanation, Fact, RuleTried
from turnkeel_core.resume_limits import ERROR_CHARS, PASSING_ERRORS, pattern_problem

LOGIN_REFUSED_EXIT: Final = 77
"""The exit code by which an agent says that its login is refused (EX_NOPERM of sysexits.h)."""

LOGIN_PATTERNS: Final = (
    r"\bauthentication_error\b",
    r"\binvalid[ _](?:x-)?api[- _]key\b",
    r"incorrect api key provided",
    r"\b(?:oauth|access|refresh) token (?:has |was |has been )?(?:expired|revoked)\b",
    r"access token could not be refreshed",
    r"please run /login\b",
    r"\bunexpected status 401 unauthorized\b",
    r"^(?:error: )?(?:(?:api error|http)[: ] ?)?401:? unauthorized\.?$",
)
"""What the known agents say. A bare 401 counts only as a line of its own: with an address it may be any site's."""

_LOGIN: Final = re.compile(r"/login")
OTHER_ERRORS: Final = (
    *(error for error in PASSING_ERRORS if not _LOGIN.search(error)),
    "No conversation found with session ID: s-1",
    "fatal: unable to access 'https://git.example/a.git/': The requested URL returned error: 403",
    "GET https://site.example/page: 401 Unauthorized",
)
"""Errors with another cause: a pattern that finds one of them would pause healthy sessions."""


def _why(reason: str) -> dict[str, str]:
    return {"reason": reason}


def _only_good(_: object, attribute: "Attribute[tuple[str, ...]]", patterns: tuple[str, ...]) -> None:
    for pattern in patterns:
        if problem := pattern_problem(pattern, OTHER_ERRORS, "a refused login"):
            raise ValueError(f"{attribute.name}: {pattern[:200]!r} {problem}")


@frozen(kw_only=True)
class LoginPolicy:
    """What `decide_login` recognises. A pattern that is none, or too wide, or too slow raises ValueError."""

    patterns: tuple[str, ...] = field(
        default=LOGIN_PATTERNS,
        validator=_only_good,
        metadata=_why("what the known agents say when their login has expired or is refused; a file adds to it"),
    )
    error_chars: int = field(
        default=2_048,
        validator=and_(instance_of(int), ge(1), le(ERROR_CHARS)),
        metadata=_why("a refused login is the last word of a run; what stands before it may be any tool's log"),
    )


@frozen(kw_only=True)
class LoginSnapshot:
    """One run that ended. `error` is the error it failed with, None if it did not; never what it printed as result."""

    now_ms: int
    error: str | None


@frozen
class LoginNotRefused:
    """The run did not fail, or as any other: it is charged as usual."""

    because: Literal["not_failed", "not_recognised"]


@frozen
class LoginRefused:
    """Charge nothing, tell it once, and start nothing more until a person has mended the login. `words`: its line."""

    pattern: str
    words: str


LoginAction: TypeAlias = LoginNotRefused | LoginRefused


def decide_login(seen: LoginSnapshot, policy: LoginPolicy = LoginPolicy()) -> LoginAction:
    """Only the end of the error of a failed run is searched."""
    if seen.error is None:
        return LoginNotRefused("not_failed")
    start = max(0, len(seen.error) - policy.error_chars)
    for pattern in policy.patterns:
        # Not a slice: the cut must not make a line begin where none does.
        if found := _compiled(pattern).search(seen.error, start):
            return LoginRefused(pattern, _line_of(found, start))
    return LoginNotRefused("not_recognised")


def explain_login(seen: LoginSnapshot, policy: LoginPolicy = LoginPolicy()) -> Explanation:
    """The rules of `decide_login`; time does not change its answer."""
    action = decide_login(seen, policy)
    rules: tuple[RuleTried, ...]
    rules = (_tried("failed", seen.error is not None, "the run failed", "the run did not fail"),)
    if seen.error is not None:
        pattern = action.pattern if isinstance(action, LoginRefused) else None
        said, silent = "it says that the login is refused", "no pattern is found in the end of the error"
        rules += (_tried("recognised", pattern is not None, said, silent, Fact("pattern", pattern)),)
    return Explanation(decision="decide_login", answer=type(action).__name__, at_ms=seen.now_ms, rules=rules)


def _tried(rule: str, fires: bool, fired: str, not_yet: str, *facts: Fact) -> RuleTried:
    result: Literal["fired", "not_yet"] = "fired" if fires else "not_yet"
    return RuleTried(rule=rule, result=result, because=fired if fires else not_yet, facts=facts)


def _line_of(found: re.Match[str], start: int) -> str:
    """The line that it stands in, as far as it was searched."""
    begin = max(found.string.rfind("\n", start, found.start()) + 1, start)
    end = found.string.find("\n", found.end())
    return found.string[begin : end if end >= 0 else None].strip()


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.MULTILINE)
