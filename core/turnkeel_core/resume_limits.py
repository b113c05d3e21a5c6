"""Is this regular expression narrow and quick enough to decide about a conversation?

Whoever talks to an agent can bring texts into its errors, so no pattern may take for ever, whatever the text: the ways
in which it can match from one place are counted, and limited.
"""

import re
from typing import Final

ERROR_CHARS: Final = 8_192
_MOST_CHARS: Final = 500
# One `.*` over the longest error, and four alternatives beside it.
_MOST_WAYS: Final = 4 * ERROR_CHARS

PASSING_ERRORS: Final = (
    "x",
    "Unknown error",
    "exited with code 1",
    "terminated by signal SIGTERM",
    "killed with code 137: out of memory",
    "JavaScript heap out of memory",
    "still running after 600 s: Request timed out",
    '429 {"error":{"type":"rate_limit_error","message":"This request would exceed your rate limit"}}',
    '529 {"error":{"type":"overloaded_error","message":"Overloaded"}}',
    "500 Internal Server Error",
    "502 Bad Gateway",
    "503 Service Unavailable",
    "401 OAuth token has expired. Please run /login",
    "403 permission_error: your account does not have access",
    "usage limit reached",
    "read ECONNRESET: socket hang up",
    "connect ETIMEDOUT",
    "connect ECONNREFUSED",
    "getaddrinfo ENOTFOUND",
    "fetch failed",
    "No such file or directory",
    "EACCES: permission denied",
    "No space left on device",
    "database is locked",
    "Cannot connect to the Docker daemon. Is the docker daemon running?",
    "The container name is already in use",
    "Prompt is too long",
)
"""Errors that pass, or have another cause: a pattern that finds one of them would lose healthy conversations."""

_PART: Final = re.compile(
    r"(?P<escape>\\.)|(?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])|(?P<special>\(\?(?!:))|(?P<open>\((?:\?:)?)|(?P<close>\))"
    r"|(?P<either>\|)|(?P<repeat>(?:[*+?]|\{(?!\})(?P<least>\d*)(?P<range>,(?P<most>\d*))?\})[?+]?)|(?P<char>.)",
    re.DOTALL,
)


_DOUBTFUL: Final = re.compile(r"\[\^?\[|--|&&|~~|\|\|")
"""What Python may read as operations on sets one day, and warns of."""


class _Group:
    """What is counted of one group: finished alternatives, what stands before the last item, and the last item."""

    def __init__(self) -> None:
        self.finished, self.before, self.last, self.last_is_group = 0, 1, 1, False

    def add(self, ways: int, is_group: bool = False) -> None:
        self.before, self.last, self.last_is_group = self.before * self.last, ways, is_group

    def end_alternative(self) -> None:
        self.finished, self.before, self.last, self.last_is_group = self.ways, 1, 1, False

    @property
    def ways(self) -> int:
        return self.finished + self.before * self.last


def pattern_problem(
    pattern: str, passing: tuple[str, ...] = PASSING_ERRORS, taken_for: str = "a lost conversation"
) -> str | None:
    """Say what is wrong with a pattern, None if nothing is; one that finds a `passing` error is too wide."""
    if len(pattern) > _MOST_CHARS:
        return f"is too long: write at most {_MOST_CHARS} characters"
    if any(_is_doubtful(part) for part in _PART.finditer(pattern)):
        return "has a set whose meaning is in doubt: write \\[ for a bracket, and no sign twice in one"
    try:
        compiled = re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    except (re.error, OverflowError, RecursionError) as error:
        return f"is no regular expression: {error}"
    if problem := _structure_problem(pattern):
        return problem
    if compiled.search(""):
        return "matches an empty text, and so every error"
    wide = next((error for error in passing if compiled.search(error)), None)
    return None if wide is None else f"is too wide: it would take {wide!r} for {taken_for}"


def _is_doubtful(part: re.Match[str]) -> bool:
    text = part[0]
    return _DOUBTFUL.search(text) is not None if part.lastgroup == "set" else text == "["


def _structure_problem(pattern: str) -> str | None:
    groups = [_Group()]
    for part in _PART.finditer(pattern):
        text = part[0]
        match part.lastgroup:
            case "special":
                return f"has {pattern[part.start() : part.start() + 4]!r}: of groups only (…) and (?:…) are allowed"
            case "escape" if text[1] in "123456789":
                return f"refers back with {text}, which can take for ever"
            case "open":
                groups.append(_Group())
            case "close":
                inner = groups.pop()
                groups[-1].add(inner.ways, is_group=True)
            case "either":
                groups[-1].end_alternative()
            case "escape" | "set" | "char":
                groups[-1].add(1)
            case _:
                if groups[-1].last_is_group and text != "?":
                    return f"repeats a group with {text}, which can take for ever: repeat single characters or sets"
                groups[-1].last = _ways_of(part, groups[-1].last)
        if groups[-1].ways > _MOST_WAYS:
            return "can match in too many ways, and so take too long: keep one .* at most, or write .{0,64}"
    return None


def _ways_of(repeat: re.Match[str], once: int) -> int:
    sign = repeat[0][0]
    if sign == "?":
        return once + 1
    if sign in "*+":
        return ERROR_CHARS
    least = int(repeat["least"] or 0)
    if not repeat["range"]:
        return 1
    return max(1, int(repeat["most"]) - least + 1) if repeat["most"] else ERROR_CHARS
