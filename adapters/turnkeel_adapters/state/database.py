"""How is `turnkeel.db` opened, so that what it acknowledged is on the disk?"""

import os
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, TypeVar

import apsw

from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.state.durability import leave_plain, make_durable
from turnkeel_adapters.state.migrations import MIGRATIONS
from turnkeel_adapters.state.remembered import StateConnection
from turnkeel_adapters.state.shared_commits import SharedCommits

T = TypeVar("T")

BUSY_TIMEOUT_MS: Final = 10_000
_OURS: Final = "incarnation"  # a table that every version has


class StateFault(AdapterError):
    """The host's own store cannot be used; the text names the file, the cause and what helps."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path


class StateDatabase:
    """One connection to `turnkeel.db`, shared by the host's worker threads, one at a time.

    A commit is on the disk when it returns: `synchronous=FULL`, with the journal that suits the file system. The last
    writer to close leaves one plain file.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._read_only, self._closed = read_only, False
        self._connection = _open(path, read_only)
        self._told = _Told(path)
        self._commits = SharedCommits(self._connection, self._told)

    @contextmanager
    def transaction(self) -> Generator[StateConnection, None, None]:
        """Everything inside is committed together, or not at all. May be nested: the outermost commits."""
        with self._commits.alone("BEGIN IMMEDIATE", "COMMIT"):
            yield self._connection

    def shared_transaction(self) -> AbstractContextManager[StateConnection]:
        """As `transaction`; threads that wait for each other share one commit, which each of them waits for."""
        return self._commits.shared()

    def run_shared(self, step: Callable[[StateConnection], T]) -> T:
        """A shared transaction as a call, which another thread may make: it must hold no lock that `step` needs."""
        return self._commits.run(step)

    def run_each_shared(self, steps: Iterable[Callable[[StateConnection], T]]) -> tuple[T | Exception, ...]:
        """Several such calls at once, each for itself: its result, or its error."""
        return self._commits.run_each(steps)

    @contextmanager
    def reading(self) -> Generator[StateConnection, None, None]:
        """Everything inside is read as of one instant; nothing is written. Inside a transaction it is that one's."""
        with self._commits.alone("BEGIN", "ROLLBACK"):
            yield self._connection

    def rows(self, sql: str, *bindings: "apsw.SQLiteValue") -> "list[apsw.SQLiteValues]":
        """All rows of one query; the cursor is exhausted, so no lock stays behind."""
        with self._commits.held(), self._told:
            return self._connection.execute(sql, bindings).fetchall()

    def close(self) -> None:
        """Close the connection; a closed database cannot be used again."""
        with self._commits.held():
            if not self._closed:
                if not self._read_only:
                    leave_plain(self._connection)
            self._closed = True
            self._connection.close()


def require_plain_file(path: Path) -> None:
    """StateFault if something else stands in its place: whoever opens a pipe may wait for ever."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise StateFault(path, "is no plain file: move away what stands there")


def _open(path: Path, read_only: bool) -> StateConnection:
    require_plain_file(path)
    flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    with _Told(path):
        connection = StateConnection(str(path), flags)
        try:
            connection.set_busy_timeout(BUSY_TIMEOUT_MS)
            connection.execute("PRAGMA foreign_keys = ON").fetchall()
            if _version(connection) > len(MIGRATIONS):
                raise StateFault(path, _other_version(_version(connection)))
            if _is_foreign(connection):
                raise StateFault(path, "is another program's database: move it away, or use another data directory")
            if not read_only:
                problem = make_durable(path, connection, BUSY_TIMEOUT_MS)
                if problem is not None:
                    raise StateFault(path, f"cannot be made durable ({problem}); do not use it")
                _migrate(path, connection)
            elif _version(connection) != len(MIGRATIONS):
                raise StateFault(path, _other_version(_version(connection)))
        except BaseException:
            connection.close()
            raise
        return connection


def _migrate(path: Path, connection: apsw.Connection) -> None:
    # Two processes may open a new file at once: the version is read again under the write lock.
    while _version(connection) < len(MIGRATIONS):
        connection.execute("BEGIN IMMEDIATE")
        version = _version(connection)
        if version < len(MIGRATIONS):
            connection.execute(MIGRATIONS[version])
            connection.execute(f"PRAGMA user_version = {version + 1}")
        connection.execute("COMMIT")


def _is_foreign(connection: apsw.Connection) -> bool:
    """Whether there are tables, and not ours; asked before anything is written, as of one instant."""
    connection.execute("BEGIN").fetchall()
    try:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        return _OURS not in names if _version(connection) else bool(names)
    finally:
        connection.execute("ROLLBACK").fetchall()


def _version(connection: apsw.Connection) -> int:
    [[version]] = connection.execute("PRAGMA user_version").fetchall()
    return version if isinstance(version, int) else 0


def _other_version(version: int) -> str:
    known = len(MIGRATIONS)
    if version > known:
        return f"was written by a newer turnkeel (schema {version}, this one knows {known}): use that version"
    return f"has schema {version}, this turnkeel reads {known}: start the host once, it brings the file up to date"


_PROBLEMS: Final[tuple[tuple[type[apsw.Error] | tuple[type[apsw.Error], ...], str], ...]] = (
    (apsw.FullError, "disk full: free some space; nothing was acknowledged"),
    ((apsw.NotADBError, apsw.CorruptError), "damaged or no database: restore it from a backup"),
    (apsw.BusyError, "locked by another process for over {busy_s} s"),
    ((apsw.ReadOnlyError, apsw.PermissionsError), "not writable: fix the mount or the permissions"),
    (apsw.CantOpenError, "cannot be opened: does the folder exist, and may this user write it?"),
    (apsw.IOError, "the operating system reported an error: check the disk"),
    (apsw.SQLError, "its tables are not those this turnkeel made: use the right version"),
)


class _Told(AbstractContextManager[None]):
    """SQLite's errors as StateFault, with what helps; used again and again, by one thread inside another."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        if isinstance(error, apsw.Error):
            for kinds, problem in _PROBLEMS:
                if isinstance(error, kinds):
                    told = problem.format(busy_s=BUSY_TIMEOUT_MS // 1000)
                    raise StateFault(self._path, f"{told} ({error})") from error
        return False
