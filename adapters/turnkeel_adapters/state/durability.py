"""Which journal keeps a commit of `turnkeel.db` on this file system, and is it in force?"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, TypeAlias

import apsw

from turnkeel_adapters.system.filesystem import Nature, file_system_of

JournalMode: TypeAlias = Literal["wal", "delete"]

# A write-ahead log needs memory that all its users share: one kernel, whose own files these are.
_ONE_KERNEL: Final[frozenset[Nature]] = frozenset(("local", "layer", "memory"))
_FULL: Final = 2
_LOOK_AGAIN_S: Final = 0.005


def journal_mode_for(path: Path) -> JournalMode:
    """WAL on a machine's own file system; the rollback journal on network, shared and user-space ones, or if unknown.

    Neither is less durable: with synchronous=FULL a commit is on the disk in both.
    """
    try:
        found = file_system_of(path.parent)
    except OSError:
        return "delete"
    return "wal" if found is not None and found.nature in _ONE_KERNEL else "delete"


def make_durable(path: Path, connection: apsw.Connection, patience_ms: int) -> str | None:
    """Set journal mode and synchronous=FULL and read both back; what is wrong with them, None if nothing.

    apsw.BusyError if others hold the file for so long.
    """
    wanted = journal_mode_for(path)
    connection.execute("PRAGMA synchronous = FULL").fetchall()
    mode = _patiently(lambda: _set_mode(connection, wanted), patience_ms)
    synchronous = connection.execute("PRAGMA synchronous").fetchall()
    # SQLite answers "delete" where it can have no shared memory: as durable, so it will do.
    if mode not in (wanted, "delete") or synchronous != [(_FULL,)]:
        return f"journal_mode {mode}, synchronous {synchronous}"
    return None


def leave_plain(connection: apsw.Connection) -> None:
    """Bring everything into the one file, so that a data directory at rest is copied whole with it.

    As it is while others have the file open, or if the disk does not allow it: nothing is lost in the log either.
    """
    try:
        connection.set_busy_timeout(0)
        if connection.execute("PRAGMA journal_mode").fetchall() == [("wal",)]:
            connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    except apsw.Error:
        pass


def _set_mode(connection: apsw.Connection, mode: JournalMode) -> str:
    connection.execute(f"PRAGMA journal_mode = {mode}").fetchall()
    # A look into the file holds it in this mode: who closes it meanwhile can set no other.
    connection.execute("PRAGMA user_version").fetchall()
    [[found]] = connection.execute("PRAGMA journal_mode").fetchall()
    return str(found)


def _patiently(ask: Callable[[], str], patience_ms: int) -> str:
    """SQLite does not wait for a lock to change the mode."""
    ends = time.monotonic() + patience_ms / 1_000
    while True:
        try:
            return ask()
        except apsw.BusyError:
            if time.monotonic() > ends:
                raise
            time.sleep(_LOOK_AGAIN_S)
