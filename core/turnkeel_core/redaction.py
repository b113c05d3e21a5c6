"""What must not be shown?

Known secret values first, literally, then what is a secret by its form. An encoded, reversed or split secret passes:
this is the last line of defence, not the first.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from attrs import field, frozen

from turnkeel_core.literals import alternation
from turnkeel_core.policy import RedactPolicy
from turnkeel_core.redact_shapes import CONTEXTS, TOKENS

REDACTED: Final = "[REDACTED]"
_LATEST: Final = 16  # a host has one set of redactions, a group one more; their patterns are dear to compile
_DEFAULT: Final = RedactPolicy()


@frozen(kw_only=True)
class Redactions:
    """What to hide: regular expressions to go through in turn, each keeping only what its groups hold.

    They hold the secrets themselves and are not shown in `repr`. `longest_bytes` is the length of the longest known
    value in UTF-8: so much of a stream must be seen at once.
    """

    patterns: tuple[str, ...] = field(repr=False)
    longest_bytes: int = 0


def redactions_of(values: Iterable[str], policy: RedactPolicy = _DEFAULT) -> Redactions:
    """Prepare to hide `values`, what is a secret by its form, and what its name or place gives away (`by_name`).

    A value is also known without the white space around it, and by each of its lines; what is shorter than
    `least_chars` is not hidden. Values match literally, in their case, wherever they stand, the longest first.
    """
    known = {part for value in values for part in _parts(value) if len(part) >= policy.least_chars}
    literals = (f"{alternation(known)}()",) if known else ()
    return Redactions(
        patterns=(*literals, TOKENS, *((CONTEXTS,) if policy.by_name else ())),
        longest_bytes=max((len(part.encode("utf-8", "surrogatepass")) for part in known), default=0),
    )


def redact(text: str, redactions: Redactions) -> str:
    """The text with `[REDACTED]` for each secret; doing it twice changes nothing more. Time is linear in the text."""
    pieces = text.split(REDACTED)
    for pattern in map(_compiled, redactions.patterns):
        # What was hidden is no text any more: it neither is searched again nor joins what stands around it.
        pieces = [part for piece in pieces for part in _without(pattern, piece)]
    return REDACTED.join(pieces)


def _without(pattern: re.Pattern[str], text: str) -> list[str]:
    """What is left around the matches."""
    left: list[str] = []
    begin = 0
    for match in pattern.finditer(text):
        left.append(text[begin : match.start()] + "".join(match.groups("")))
        begin = match.end()
    return [*left, text[begin:]]


def _parts(value: str) -> Iterable[str]:
    # A value that holds the mark itself can only be known by what stands around it.
    for whole in value.split(REDACTED):
        yield whole
        yield whole.strip()
        yield from (line.strip() for line in whole.splitlines())


@lru_cache(maxsize=_LATEST)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
