"""Which columns does a change write? Those that differ: SQLite renews every index of a column that is written."""

from collections.abc import Sequence
from typing import TypeAlias

Value: TypeAlias = str | int | None


def changed(names: Sequence[str], before: Sequence[Value], after: Sequence[Value]) -> tuple[str, tuple[Value, ...]]:
    """The assignments as SQL, and their values; a harmless one if nothing differs."""
    found = [(name, new) for name, old, new in zip(names, before, after, strict=True) if old != new]
    if not found:
        return "token = token", ()
    return ", ".join(f"{name} = ?" for name, _ in found), tuple(new for _, new in found)
