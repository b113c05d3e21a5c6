"""How is a v1 database opened, to be written by its host or looked at without changing a byte?"""

import shutil
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

import apsw

from turnkeel_adapters.database_file import copy_database, says_wal
from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.sessions.rows import columns_of

BUSY_TIMEOUT_MS: Final = 5_000
MARKER: Final = "processing_started_at"
_NEEDED: Final = frozenset(
    {"id", "chat_jid", "sender", "sender_name", "content", "timestamp", "is_from_me", "is_bot_message"}
)


class V1Fault(AdapterError):
    """A v1 database cannot be used; the text says which one and why."""

    path: Path

    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(path, detail)
        self.path = path
        self.detail = detail

    def __str__(self) -> str:
        """The file, then what is wrong with it."""
        return f"{self.path}: {self.detail}"


@contextmanager
def faults_of(path: Path) -> Generator[None, None, None]:
    """Turn every error of SQLite or of the operating system inside into a V1Fault of `path`."""
    try:
        yield
    except apsw.Error as error:
        raise V1Fault(path, f"{type(error).__name__.removesuffix('Error')}: {error}") from error
    except OSError as error:
        raise V1Fault(path, error.strerror or str(error)) from error


def open_v1(path: Path, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> apsw.Connection:
    """Open an existing v1 database for writing, in the journal mode that its host gave it; V1Fault."""
    with faults_of(path):
        _require_file(path)
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            db.set_busy_timeout(busy_timeout_ms)
            # A marker must be on the disk before the batch is handed on: a lost one hides a lost message.
            db.pragma("synchronous", 2)
            _require_table(path, db)
        except BaseException:
            db.close()
            raise
        return db


@contextmanager
def reading_v1(path: Path, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> Generator[apsw.Connection, None, None]:
    """The database as of one instant, with or without its host at work; nothing in its folder changes. V1Fault.

    What a killed host left beside it is taken into account in a private copy.
    """
    with ExitStack() as stack, faults_of(path):
        _require_file(path)
        db = _open_to_read(path, busy_timeout_ms, stack)
        _require_table(path, db)
        db.execute("BEGIN").fetchall()
        yield db


def _open_to_read(path: Path, busy_timeout_ms: int, stack: ExitStack) -> apsw.Connection:
    wal, shm = _beside(path, "-wal"), _beside(path, "-shm")
    if not says_wal(path.resolve()) or shm.exists():
        db = stack.enter_context(closing(apsw.Connection(_uri(path, "mode=ro"), flags=_READ)))
        db.set_busy_timeout(busy_timeout_ms)
        try:
            db.execute("SELECT count(*) FROM sqlite_schema").fetchall()
            return db
        except apsw.ReadOnlyError:
            pass  # a dead writer's journal: only a writer may undo it, so look at a copy
    elif not _holds_bytes(wal):
        # Nobody has it open, and SQLite would make files beside it even for a reader.
        return stack.enter_context(closing(apsw.Connection(_uri(path, "immutable=1"), flags=_READ)))
    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="turnkeel-v1-")))
    copy_database(path.resolve(), scratch / path.name)
    for suffix in ("-journal", "-wal"):
        with suppress(FileNotFoundError):  # a commit may end, and its journal go, at any moment
            shutil.copyfile(_beside(path, suffix), scratch / f"{path.name}{suffix}")
    return stack.enter_context(closing(apsw.Connection(str(scratch / path.name))))


_READ: Final = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI


def _holds_bytes(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def _uri(path: Path, query: str) -> str:
    return f"file:{quote(str(path.resolve()))}?{query}"


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise V1Fault(path, "there is no such file")


def _require_table(path: Path, db: apsw.Connection) -> None:
    missing = _NEEDED - columns_of(db, "messages")
    if missing:
        raise V1Fault(path, f"no table `messages` of NanoClaw v1: it lacks {', '.join(sorted(missing))}")


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
