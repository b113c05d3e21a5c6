"""How are many texts looked for at once?

In a plain alternation each is tried at each place. Here those that begin alike are tried once for their beginning, so
that some thousands cost little more than a few.
"""

import re
from collections.abc import Iterable
from typing import Final

_LEVELS: Final = 16
"""A regular expression may not be nested much deeper; texts that are alike for longer are tried one after another."""


def alternation(texts: Iterable[str]) -> str:
    """A regular expression for any of `texts`; of those that match at a place it takes the longest."""
    return _any_of(sorted(set(texts)), _LEVELS)


def _any_of(ordered: list[str], levels: int) -> str:
    if len(ordered) == 1:
        return re.escape(ordered[0])
    if not levels:
        return f"(?:{'|'.join(map(re.escape, sorted(ordered, key=len, reverse=True)))})"
    begin = _common(ordered[0], ordered[-1])  # in this order what the outermost share is shared by all
    groups: dict[str, list[str]] = {}
    for text in ordered:
        groups.setdefault(text[len(begin) : len(begin) + 1], []).append(text[len(begin) :])
    # The one that ends here comes last: it is the shortest.
    ends = groups.pop("", None) is not None
    longer = [_any_of(group, levels - 1) for group in groups.values()]
    return f"{re.escape(begin)}(?:{'|'.join([*longer, *([''] if ends else [])])})"


def _common(one: str, other: str) -> str:
    length = min(len(one), len(other))
    differs = next((at for at in range(length) if one[at] != other[at]), length)
    return one[:differs]
