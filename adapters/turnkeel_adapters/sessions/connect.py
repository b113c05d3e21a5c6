"""How is a session file opened so that it is neither changed by looking nor left half written?"""

import os
import stat
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

import apsw

from turnkeel_adapters.database_file import says_wal
from turnkeel_adapters.errors import SessionFault
from turnkeel_adapters.sessions.faults import faults_named
from turnkeel_adapters.sessions.schema import INBOUND_SCHEMA, OUTBOUND_SCHEMA

BUSY_TIMEOUT_MS: Final = 5_000

_SUPER_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
_HOT_JOURNAL_LOOKS = 3


def ensure_schema(path: Path, schema: Literal["inbound", "outbound"]) -> None:
    """Create the tables of one session file where they are missing; creates the file too. Repeatable."""
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    with faults_named(path), closing(apsw.Connection(str(path), flags=flags)) as db:
        _assert_durable(db, path)
        with transaction(db):
            db.execute(INBOUND_SCHEMA if schema == "inbound" else OUTBOUND_SCHEMA).fetchall()


def open_read_only(path: Path, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> apsw.Connection:
    """Open for reading; changes no byte and makes no file. Raises SessionFault."""
    path = _regular_file(path)
    with faults_named(path):
        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_NOFOLLOW
        if not says_wal(path):
            return _set_up(apsw.Connection(str(path), flags=flags), busy_timeout_ms)
        wal = _beside(path, "-wal")
        with suppress(FileNotFoundError):
            if wal.stat().st_size > 0:
                raise SessionFault(path, "wal", f"{wal.name} holds changes")
        # SQLite would make -wal and -shm files even for a reader; an immutable file needs none.
        uri = f"file:{quote(str(path))}?immutable=1"
        return _set_up(apsw.Connection(uri, flags=flags | apsw.SQLITE_OPEN_URI), busy_timeout_ms)


def open_for_writing(path: Path, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> apsw.Connection:
    """Open an existing file for writing, journal_mode=DELETE and synchronous=FULL asserted. Raises SessionFault."""
    path = _regular_file(path)
    _refuse_super_journal(path)
    with faults_named(path):
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOFOLLOW
        db = _set_up(apsw.Connection(str(path), flags=flags), busy_timeout_ms)
        try:
            _assert_durable(db, path)
        except BaseException:
            db.close()
            raise
        return db


@contextmanager
def reading(path: Path, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> Generator[apsw.Connection, None, None]:
    """Hold one read transaction on the file; every cursor must be exhausted inside."""
    with closing(_open_past_a_commit(path, busy_timeout_ms)) as db, faults_named(path), transaction(db, "DEFERRED"):
        yield db


@contextmanager
def writing(path: Path, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> Generator[apsw.Connection, None, None]:
    """Hold one short write transaction on the file: committed at the end, rolled back on any error."""
    with closing(open_for_writing(path, busy_timeout_ms)) as db, faults_named(path), transaction(db):
        yield db


@contextmanager
def transaction(
    db: apsw.Connection, mode: Literal["IMMEDIATE", "DEFERRED"] = "IMMEDIATE"
) -> Generator[None, None, None]:
    """Make what happens inside one transaction; joins a transaction that is already open."""
    if not db.get_autocommit():
        yield
        return
    db.execute(f"BEGIN {mode}").fetchall()
    try:
        yield
        db.execute("COMMIT").fetchall()
    finally:
        if not db.get_autocommit():
            db.execute("ROLLBACK").fetchall()


def roll_back_hot_journal(path: Path) -> None:
    """Undo the unfinished transaction that a dead writer left; nothing happens where there is none.

    Only call it when the writer is known dead: it would take away the transaction of a living one that lost its lock.
    """
    if _beside(path, "-journal").exists():
        with closing(open_for_writing(path)) as db, faults_named(path):
            db.execute("SELECT count(*) FROM sqlite_schema").fetchall()


def _open_past_a_commit(path: Path, busy_timeout_ms: int) -> apsw.Connection:
    # A commit that ends between SQLite's looks makes its vanished journal seem hot; then a second look is right.
    for look in range(_HOT_JOURNAL_LOOKS):
        db = open_read_only(path, busy_timeout_ms)
        try:
            with faults_named(path):
                db.execute("SELECT count(*) FROM sqlite_schema").fetchall()
            return db
        except BaseException as error:
            db.close()
            hot = isinstance(error, SessionFault) and error.kind == "hot_journal"
            if not hot or look == _HOT_JOURNAL_LOOKS - 1 or _beside(path, "-journal").exists():
                raise
    raise AssertionError("the last look returns or raises")


def _set_up(db: apsw.Connection, busy_timeout_ms: int) -> apsw.Connection:
    db.set_busy_timeout(busy_timeout_ms)
    # The container can write this folder: its triggers and views get no functions with side effects.
    db.pragma("trusted_schema", 0)
    return db


def _assert_durable(db: apsw.Connection, path: Path) -> None:
    mode = db.pragma("journal_mode", "delete")
    if mode != "delete":
        raise SessionFault(path, "wal", f"journal_mode stays {mode}")
    db.pragma("synchronous", 2)
    if db.pragma("synchronous") != 2:
        raise SessionFault(path, "io", "synchronous=FULL is refused")


def _regular_file(path: Path) -> Path:
    with faults_named(path):
        real = path.parent.resolve(strict=True) / path.name
        found = real.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise SessionFault(path, "link", "a symbolic link stands in its place")
    if not stat.S_ISREG(found.st_mode):
        raise SessionFault(path, "not_sqlite", "it is no regular file")
    if found.st_size == 0 and not _beside(real, "-journal").exists():
        raise SessionFault(path, "empty", "0 bytes")
    return real


def _refuse_super_journal(path: Path) -> None:
    # Rolling back a journal that names a super-journal deletes the file it names, and the container can write one.
    journal = _beside(path, "-journal")
    with faults_named(path):
        tail = _last_bytes(journal, len(_SUPER_JOURNAL_MAGIC))
    if tail == _SUPER_JOURNAL_MAGIC:
        raise SessionFault(path, "corrupt", f"{journal.name} names a second file, which no session writer does")


def _last_bytes(journal: Path, count: int) -> bytes:
    # Another writer's commit removes its journal at any moment: one that is gone by now has nothing to roll back.
    try:
        if not stat.S_ISREG(journal.stat().st_mode):
            return b""
        with journal.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - count))
            return file.read(count)
    except FileNotFoundError:
        return b""


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
