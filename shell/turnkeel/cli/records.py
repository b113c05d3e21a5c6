"""How is `turnkeel.db` read without changing a byte of its directory, whoever uses it or was killed while he did?"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final, TypeVar

import apsw
from attrs import frozen

from turnkeel.cli.errors import line_of
from turnkeel_adapters.database_file import copy_database, says_wal
from turnkeel_adapters.state.database import StateFault, require_plain_file
from turnkeel_adapters.state.store import FILE_NAME, HostState
from turnkeel_adapters.system.lock import Holder

T = TypeVar("T")

_LOOKS: Final = 3
_LOOK_AGAIN_S: Final = 0.02
_LEFTOVERS: Final = ("-journal", "-wal")


def patiently(ask: Callable[[], T]) -> T:
    """Ask `turnkeel.db`; a commit that ends between two looks of SQLite seems a dead writer's, so look again."""
    for look in range(_LOOKS):
        try:
            return ask()
        except StateFault as fault:
            if not isinstance(fault.__cause__, apsw.ReadOnlyError) or look == _LOOKS - 1:
                raise
            time.sleep(_LOOK_AGAIN_S)
    raise AssertionError("the last look returns or raises")


@frozen(kw_only=True)
class Records:
    """What the host remembers: `state` is empty where there is no file, or (`fault`) one that cannot be read."""

    state: HostState
    there: bool = True
    fault: str | None = None
    notes: tuple[str, ...] = ()


def open_records(data_dir: Path, host: Holder | None, stack: ExitStack) -> Records:
    """What the host remembers, until `stack` is closed; `notes` are what the reader must know.

    A host at work shares its log with readers. Without one, a mere reader of a log would make files beside it: then,
    and where a host was killed, a private copy is read.
    """
    path = data_dir / FILE_NAME
    if not os.path.lexists(path):
        return Records(state=_empty(stack), there=False)
    try:
        require_plain_file(path)
        if host is None and says_wal(path.resolve()):
            return Records(state=_copied(data_dir, stack), notes=_left(data_dir))
        return Records(state=stack.enter_context(patiently(lambda: HostState(data_dir, read_only=True))))
    except (StateFault, OSError) as fault:
        if host is None and _beside(data_dir, "-journal"):
            try:
                return Records(state=_copied(data_dir, stack), notes=_left(data_dir))
            except (StateFault, OSError):
                pass  # then the first fault tells what is wrong, below
        told = line_of(fault)
        note = f"{told}; what the host remembers is left out here"
        return Records(state=_empty(stack), there=False, fault=told, notes=(note,))


def _left(data_dir: Path) -> tuple[str, ...]:
    if _beside(data_dir, "-journal"):
        return (f"{FILE_NAME}: its host was killed inside a commit, which is left out; the next start undoes it",)
    if _beside(data_dir, "-wal"):
        return (f"{FILE_NAME}: its host was killed, or stopped while it was read; all that it committed is shown",)
    return ()


def _beside(data_dir: Path, suffix: str) -> bool:
    return (data_dir / f"{FILE_NAME}{suffix}").exists()


def _empty(stack: ExitStack) -> HostState:
    return stack.enter_context(HostState(_scratch(stack)))


def _copied(data_dir: Path, stack: ExitStack) -> HostState:
    """A copy in which SQLite may do what it does after a crash; StateFault if somebody writes all the time."""
    for look in range(_LOOKS):
        if look:
            time.sleep(_LOOK_AGAIN_S)
        try:
            scratch, before = _scratch(stack), _stamps(data_dir)
            for name in before:
                copy = copy_database if name == FILE_NAME else shutil.copyfile
                copy((data_dir / name).resolve(), scratch / name)
            unchanged = _stamps(data_dir) == before
        except FileNotFoundError:
            continue  # its writer has just closed it
        # Younger than this, a write may hide behind the same stamp.
        if unchanged and all(abs(time.time() - at_ns / 1e9) > _LOOK_AGAIN_S for _, _, at_ns in before.values()):
            return stack.enter_context(HostState(scratch))
    raise StateFault(data_dir / FILE_NAME, "is being written: ask again, or start a host, beside which it can be read")


def _stamps(data_dir: Path) -> dict[str, tuple[int, int, int]]:
    """Of the database and of what lies beside it: which file, how large, changed when."""
    found: dict[str, tuple[int, int, int]] = {}
    for name in (FILE_NAME, *(f"{FILE_NAME}{suffix}" for suffix in _LEFTOVERS if _beside(data_dir, suffix))):
        stat = (data_dir / name).stat()
        found[name] = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
    return found


def _scratch(stack: ExitStack) -> Path:
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="turnkeel-look-")))
