"""How does a command's answer reach the reader: plain lines, a table on a terminal, or one JSON document?"""

import json
import sys
from collections.abc import Sequence
from typing import Final, cast

from turnkeel.cli.hiding import hidden, keeper
from turnkeel_adapters.secrets import redact_data
from turnkeel_adapters.timestamps import iso_utc

_COUNT_MS: Final = 2**53


def print_json(document: dict[str, object]) -> None:
    """One JSON document, ASCII only, without secrets; every `x_at_ms` has an `x_at` in ISO 8601 beside it."""
    print(json.dumps(redact_data(with_iso(document), keeper().redact), indent=2))


def with_iso(value: object) -> object:
    """The same data, with the ISO text of every instant beside it."""
    match value:
        case list() | tuple():
            return [with_iso(item) for item in cast(Sequence[object], value)]
        case dict():
            return _with_iso_keys(cast(dict[str, object], value))
        case _:
            return value


def _with_iso_keys(value: dict[str, object]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, item in value.items():
        found[key] = with_iso(item)
        iso = key.removesuffix("_ms")
        if (key == "at_ms" or key.endswith("_at_ms")) and iso not in value:
            found[iso] = iso_or_none(item)
    return found


def iso_or_none(value: object) -> str | None:
    """The instant in ISO 8601; None for anything that is none."""
    return iso_utc(value) if isinstance(value, int) and abs(value) < _COUNT_MS else None


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns side by side: aligned plain lines, one per row, or a table if a person looks at a terminal."""
    if sys.stdout.isatty():
        _print_rich(columns, rows)
        return
    lines = [tuple(columns), *(tuple(flat(cell) for cell in row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def flat(text: str) -> str:
    """The text on one line, without secrets and control characters: what an agent wrote must not steer the terminal."""
    return "".join(char if char.isprintable() else _escape(char) for char in hidden(text))


def safe(text: str) -> str:
    """The text without secrets and control characters, save its line ends and tabs."""
    return "".join(char if char.isprintable() or char in "\n\t" else _escape(char) for char in hidden(text))


def _escape(char: str) -> str:
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(char, char.encode("unicode_escape").decode("ascii"))


def _print_rich(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        # Text, not markup: a message that says "[red]" is shown as it is.
        table.add_row(*(Text(safe(cell)) for cell in row))
    Console().print(table)
