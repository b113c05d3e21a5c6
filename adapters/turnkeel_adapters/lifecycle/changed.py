"""Which columns does a change write? Those that differ: SQLite renews every index of a column that is written."""

from functools import lru_cache
from itertools import compress
from operator import ne
from typing import TypeAlias

Value: TypeAlias = str | int | None


def changed(
    names: tuple[str, ...], before: tuple[Value, ...], after: tuple[Value, ...]
) -> tuple[str, tuple[Value, ...]]:
    """The assignments as SQL, and their values; a harmless one if nothing differs."""
    differ = tuple(map(ne, before, after))
    return _assigned(names, differ), tuple(compress(after, differ))


@lru_cache(1_000)
def _assigned(names: tuple[str, ...], differ: tuple[bool, ...]) -> str:
    return ", ".join(f"{name} = ?" for name in compress(names, differ)) or "token = token"
