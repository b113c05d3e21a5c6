"""How does a row's text become parts, each with a key of its own, and their outcomes the row's?"""

import unicodedata
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from attrs import evolve

from turnkeel_adapters.channels.records import AskOutcome, DeliverOutcome, Part, SizeUnit, TextLimit
from turnkeel_core import Receipt, Sent
from turnkeel_core.turn_identity import encode_parts

_JOINER: Final = "\u200d"
_SELECTORS: Final = ("\ufe0e", "\ufe0f")
_CLUSTER: Final = 32  # no character of a living script is longer; a chain of marks is cut

OutcomeT = TypeVar("OutcomeT", DeliverOutcome, AskOutcome)


def split_text(text: str, limit: TextLimit | None) -> tuple[Part, ...]:
    """At least one part, each within the limit; the same text and limit give the same parts.

    Cut at the last line end in the second half of what fits, else at the last white space, which is dropped. Only a
    word that fits nowhere is cut, between characters. Blank parts are left out. A row keeps the limit that it was cut
    with: another one would give other parts to the receipts it has.
    """
    texts = [text] if limit is None else [one for one in _cut(text, limit) if one.strip()] or [""]
    return tuple(Part(index=index, count=len(texts), text=one) for index, one in enumerate(texts))


def part_key(row_key: str, part: Part) -> str:
    """The key of one part: the row's own if it has but one, so that no channel sees more than it must."""
    return row_key if part.count == 1 else encode_parts(row_key, str(part.index))


def each_part(parts: Sequence[Part], first: int, act: Callable[[Part], OutcomeT]) -> OutcomeT | Sent:
    """`act` on the parts from `first` on until one is not `Sent`; the last outcome, with the receipts of all.

    For sending (`act` delivers, stores the receipt, keeps the pace) and for asking alike.
    """
    receipts: tuple[Receipt, ...] = ()
    for part in parts[first:]:
        outcome = act(part)
        receipts += outcome.receipts
        if not isinstance(outcome, Sent):
            return evolve(outcome, receipts=receipts)
    return Sent(receipts)


def _cut(text: str, limit: TextLimit) -> list[str]:
    texts: list[str] = []
    begin = 0
    while begin < len(text):
        end = _fitting(text, begin, limit)
        cut, after = (end, end) if end == len(text) else _break(text, begin, end)
        texts.append(text[begin:cut])
        begin = after
    return texts


def _fitting(text: str, begin: int, limit: TextLimit) -> int:
    """The end of the longest piece from `begin` on that is within the limit."""
    left, end = limit.size, begin
    while end < len(text) and (left := left - _size(text[end], limit.unit)) >= 0:
        end += 1
    return end


def _size(char: str, unit: SizeUnit) -> int:
    match unit:
        case "characters":
            return 1
        case "utf16":
            return 1 if char <= "\uffff" else 2
        case "utf8":
            return len(char.encode("utf-8", "surrogatepass"))


def _break(text: str, begin: int, end: int) -> tuple[int, int]:
    """Where the piece ends and where the next begins. The white space at the break may lie just behind the limit."""
    line = text.rfind("\n", begin + (end - begin) // 2, end + 1)
    if line > begin:
        return line, line + 1
    for space in range(end, begin - 1, -1):
        if text[space].isspace():
            return space, space + 1
    whole = end
    while whole > max(begin + 1, end - _CLUSTER) and _belong_together(text[whole - 1], text[whole]):
        whole -= 1
    if _belong_together(text[whole - 1], text[whole]):
        whole = end - 1 if _is_pair(text[end - 1], text[end]) else end
    return whole, whole


def _belong_together(before: str, char: str) -> bool:
    if _is_pair(before, char) or _JOINER in (before, char) or char in _SELECTORS:
        return True
    return unicodedata.combining(char) != 0 or "\U0001f3fb" <= char <= "\U0001f3ff"


def _is_pair(before: str, char: str) -> bool:
    """The halves of one character, in a text that came with its halves apart."""
    return "\ud800" <= before <= "\udbff" and "\udc00" <= char <= "\udfff"
