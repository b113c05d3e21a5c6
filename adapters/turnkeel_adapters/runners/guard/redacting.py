"""How does a secret stay out of a log although it may arrive in pieces?"""

import re
from collections.abc import Iterator, Sequence

MARK = b"[REDACTED]"

HOLD_BYTES = 65_536
"""So much of an unfinished line, or of a key block without its end, is held back: as much as comes in one read."""

FORM_BYTES = 4_096
"""So much of a longer line stays held, that a secret known by its form is not cut: web tokens are seldom longer."""

_LINE_ENDS = (b"\n", b"\r")


class LogRedactor:
    """Takes output as it comes and gives back what may be written, by whole lines.

    `patterns` are gone through in turn, each keeping only what its groups hold. A known value is found however it is
    cut, one known by its form within `FORM_BYTES`. A prompt without a line end comes out with its line, at the latest
    at the end.
    """

    def __init__(self, patterns: Sequence[str], longest_bytes: int) -> None:
        self._held = b""
        self.hide(patterns, longest_bytes)

    def hide(self, patterns: Sequence[str], longest_bytes: int) -> None:
        """Hide this from now on, in what is still held back too."""
        self._patterns = tuple(re.compile(_bytes(pattern)) for pattern in patterns)
        self._overlap = max(longest_bytes, FORM_BYTES)
        self._bound = max(HOLD_BYTES, 2 * self._overlap)

    def feed(self, chunk: bytes) -> bytes:
        """Take more output; what is complete comes back."""
        held = self._held + chunk
        cut = _whole_lines(held)
        if len(held) - cut > self._bound:
            cut = self._between_secrets(held)
        self._held = held[cut:]
        return self._clean(held[:cut])

    def end(self) -> bytes:
        """What was held back; nothing more will come."""
        held, self._held = self._held, b""
        return self._clean(held)

    def _clean(self, data: bytes) -> bytes:
        for pattern in self._patterns:
            data = MARK.join(pattern.sub(_kept, piece) for piece in data.split(MARK))
        return data

    def _between_secrets(self, held: bytes) -> int:
        """A place to cut that no secret spans, not even one whose end has yet to come."""
        cut = len(held) - self._overlap
        for begin, end in self._spans(held):
            if begin < cut < end:
                return begin or end
        return cut

    def _spans(self, held: bytes) -> Iterator[tuple[int, int]]:
        """Where secrets stand, those that overlap as one."""
        found = sorted(match.span() for pattern in self._patterns for match in pattern.finditer(held))
        begin, end = 0, 0
        for first, last in found:
            if first >= end:
                yield begin, end
                begin = first
            end = max(end, last)
        yield begin, end


def _whole_lines(held: bytes) -> int:
    """How far the lines are complete; a key block is whole with its end only."""
    cut = max(held.rfind(line_end) for line_end in _LINE_ENDS) + 1
    begin = held.rfind(b"-----BEGIN ", 0, cut)
    if begin < 0 or held.find(b"-----END ", begin, cut) >= 0:
        return cut
    return max(held.rfind(line_end, 0, begin) for line_end in _LINE_ENDS) + 1


def _kept(match: "re.Match[bytes]") -> bytes:
    return b"".join(match.groups(b"")) + MARK


def _bytes(pattern: str) -> bytes:
    try:
        return pattern.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return pattern.encode("utf-8", "surrogatepass")  # a value that no output can hold as it is
