"""Which values are secrets, and which of them stand in the text of an `.env` file?"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from turnkeel_core.policy import RedactPolicy

_ASSIGNMENT: Final = re.compile(r"(?:export\s+)?([^\s=#]+)[ \t]*=[ \t]*")
_COMMENT: Final = re.compile(r"[ \t]+#[^\n]*")
_ESCAPE: Final = re.compile(r"\\([nrt\"\\$])")
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t"}
_DEFAULT: Final = RedactPolicy()


def is_secret_name(name: str, policy: RedactPolicy = _DEFAULT) -> bool:
    """Does a variable of this name hold a secret, by its name alone? For environments, where most do not."""
    upper = name.upper()
    if name in policy.never_public_names:
        return True
    if name in policy.public_names or upper.endswith(policy.pointer_name_ends):
        return False
    return upper.endswith(policy.secret_name_ends) or any(part in upper for part in policy.secret_name_parts)


def secrets_of_environment(environment: Mapping[str, str], policy: RedactPolicy = _DEFAULT) -> tuple[str, ...]:
    """The values whose names are of the secret class."""
    return tuple(value for name, value in environment.items() if is_secret_name(name, policy))


def secrets_of_env_file(text: str, policy: RedactPolicy = _DEFAULT) -> tuple[str, ...]:
    """Every value of an `.env` file, but for the public names: such a file is there to hold secrets."""
    public = set(policy.public_names) - set(policy.never_public_names)
    return tuple(value for name, value in parse_env_file(text) if name not in public)


def parse_env_file(text: str) -> tuple[tuple[str, str], ...]:
    """Names and values in order, a repeated name repeatedly.

    `export` is no part of a name; quotes are taken off, and may hold line ends; behind a closing quote, or behind a
    blank, `#` begins a comment. Tools differ in how they read escapes and comments: where a value can be meant in two
    ways, both are given.
    """
    return tuple(_assignments(text.replace("\r\n", "\n")))


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        end = _line_end(text, at)
        begin = at + len(text[at:end]) - len(text[at:end].lstrip())
        found = _ASSIGNMENT.match(text, begin, end)
        at = end + 1
        if found is None:
            continue
        quoted = _quoted(text, found.end())
        if quoted is None:
            values: Iterable[str] = _plain(text[found.end() : end])
        else:
            values, close = quoted
            at = _line_end(text, close) + 1
        yield from ((found[1], value) for value in dict.fromkeys(values))


def _quoted(text: str, at: int) -> tuple[tuple[str, ...], int] | None:
    """The readings of a quoted value, and where it closes; None if there is no quote, or none that closes."""
    quote = text[at : at + 1]
    if quote not in ("'", '"', "`"):
        return None
    close = text.find(quote, at + 1)
    while quote == '"' and close > 0 and _is_escaped(text, close):
        close = text.find(quote, close + 1)
    if close < 0:
        return None
    raw = text[at + 1 : close]
    if quote != '"':
        return (raw,), close
    return (raw, _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]), raw)), close


def _plain(rest: str) -> tuple[str, ...]:
    whole = rest.strip()
    return _COMMENT.split(rest, maxsplit=1)[0].strip(), whole


def _is_escaped(text: str, at: int) -> bool:
    before = text[:at]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end
