"""Which columns does a change write? Those that differ: SQLite renews every index of a column that is written."""

from functools import lru_cache
from typing import TypeAlias

Value: TypeAlias = str | int | None


def changed(
    names: tuple[str, ...], before: tuple[Value, ...], after: tuple[Value, ...]
) -> tuple[str, tuple[Value, ...]]:
    """The assignments as SQL, and their values; a harmless one if nothing differs."""
    places = [place for place, value in enumerate(before) if value != after[place]]
    return _assigned(tuple([names[place] for place in places])), tuple([after[place] for place in places])


@lru_cache(1_000)
def _assigned(names: tuple[str, ...]) -> str:
    return ", ".join(f"{name} = ?" for name in names) or "token = token"
