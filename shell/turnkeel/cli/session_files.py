"""Which files belong to a session, and how are they removed so that nothing else is?"""

import os
import re
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from attrs import evolve, frozen

from turnkeel.cli.errors import CommandFailed
from turnkeel.cli.place import TREE
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.sessions.tree import SessionTree

_PREFIX: Final = ".deleted."
_LOGS: Final = "logs"


@frozen(kw_only=True)
class Purge:
    """What a delete removes. `leftovers` are folders that an earlier delete had set aside; `size` is in bytes."""

    name: SessionName
    folder: Path
    has_folder: bool
    leftovers: tuple[Path, ...]
    logs: tuple[Path, ...]
    size: int

    @property
    def exists(self) -> bool:
        """Is there any of it?"""
        return self.has_folder or bool(self.leftovers or self.logs)


def gather(data_dir: Path, name: SessionName) -> Purge:
    """What is there of a session; SessionFault if a link stands in its place."""
    folder = SessionTree(data_dir).folder(name)
    leftovers = _children(data_dir / TREE / name.group, rf"{re.escape(_PREFIX)}[0-9a-f]{{16}}\.{re.escape(name.name)}")
    logs = _children(data_dir / _LOGS / name.group, rf"{re.escape(name.name)}\.log(\.[0-9]+)?")
    has_folder = os.path.lexists(folder)
    places = (*((folder,) if has_folder else ()), *leftovers, *logs)
    size = sum(_size(place) for place in places)
    return Purge(name=name, folder=folder, has_folder=has_folder, leftovers=leftovers, logs=logs, size=size)


def purge(found: Purge, check: Callable[[], object]) -> None:
    """Set the folder aside, `check` once more, then remove everything; if `check` raises, the folder is put back.

    Once it is set aside no host finds the session, so a container that `check` does not see cannot be started.
    """
    if found.has_folder:
        aside = found.folder.with_name(f"{_PREFIX}{secrets.token_hex(8)}.{found.name.name}")
        found.folder.rename(aside)
        try:
            check()
        except BaseException:
            aside.rename(found.folder)
            raise
        found = evolve(found, leftovers=(*found.leftovers, aside))
    for place in found.leftovers:
        _remove(place)
    for log in found.logs:
        log.unlink(missing_ok=True)
    for parent in (found.folder.parent, *{log.parent for log in found.logs}):
        _sync(parent)


def _children(folder: Path, pattern: str) -> tuple[Path, ...]:
    if folder.is_symlink() or not folder.is_dir():
        return ()
    return tuple(sorted(path for path in folder.iterdir() if re.fullmatch(pattern, path.name)))


def _size(place: Path) -> int:
    """Of a file or of all below a folder; links count themselves, and what cannot be read counts nothing."""
    total = 0 if place.is_dir() and not place.is_symlink() else place.lstat().st_size
    for folder, _, names in os.walk(place):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except OSError:
                continue
    return total


def _remove(place: Path) -> None:
    # rmtree follows no link, neither at the top nor below; an agent may have planted some.
    try:
        shutil.rmtree(place)
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else place
        raise CommandFailed(
            f"{where} cannot be removed ({error.strerror}): mend its permissions below {place}, then repeat the command"
        ) from error


def _sync(folder: Path) -> None:
    """A removal is final once the folder that held the entry is on the disk."""
    if not folder.is_dir():
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
