"""What does a raw value of a session file mean?"""

from typing import TypeAlias

import apsw

SqlValue: TypeAlias = None | int | float | str | bytes


def text_or_none(value: SqlValue) -> str | None:
    """Return a text as it is; numbers and bytes as text; NULL as None."""
    match value:
        case None | str():
            return value
        case bytes():
            return value.decode("utf-8", "replace")
        case int() | float():
            return str(value)


def text_of(value: SqlValue) -> str:
    """Return a value as text; NULL gives the empty text."""
    return text_or_none(value) or ""


def count_or_none(value: SqlValue) -> int | None:
    """Return a whole number, or None for every other value."""
    return value if isinstance(value, int) else None


def columns_of(db: apsw.Connection, table: str) -> frozenset[str]:
    """Return the column names of a table; none if it does not exist."""
    rows = db.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall()
    return frozenset(text_of(name) for (name,) in rows)
