"""Which files did the host of a data directory look for secrets in? Commands without its configuration ask this."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

NOTE_NAME: Final = "secret-places.json"
_NOTE_BYTES: Final = 1_048_576


@frozen(kw_only=True)
class Note:
    """Paths by what stands in them, and names of variables that are public: no secret is in it."""

    places: tuple[tuple[str, str], ...] = ()
    public_names: tuple[str, ...] = ()


def write_note(data_dir: Path, note: Note) -> None:
    """Replace the note as a whole, if it says something else; only this user may read it. OSError."""
    if read_note(data_dir) == note and (data_dir / NOTE_NAME).exists():
        return
    path, fresh = data_dir / NOTE_NAME, data_dir / f"{NOTE_NAME}.new"
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump({"places": note.places, "public_names": note.public_names}, file, indent=1)
    os.replace(fresh, path)


def read_note(data_dir: Path) -> Note:
    """What the last host noted; an empty note if none did, or it cannot be read."""
    try:
        with (data_dir / NOTE_NAME).open("rb") as file:
            found: object = json.loads(file.read(_NOTE_BYTES))
    except (OSError, ValueError, RecursionError):
        return Note()
    if not isinstance(found, dict):
        return Note()
    table = cast("dict[str, object]", found)
    pairs = [_texts(pair) for pair in _items(table.get("places"))]
    return Note(
        places=tuple((pair[0], pair[1]) for pair in pairs if len(pair) == 2),
        public_names=_texts(table.get("public_names")),
    )


def _items(value: object) -> "Iterable[object]":
    return cast("list[object]", value) if isinstance(value, list) else ()


def _texts(value: object) -> tuple[str, ...]:
    return tuple(text for text in _items(value) if isinstance(text, str))
