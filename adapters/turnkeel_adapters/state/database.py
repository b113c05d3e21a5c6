"""How is `turnkeel.db` opened, so that what it acknowledged is on the disk?"""

from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import apsw

from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.state.durability import leave_plain, make_durable
from turnkeel_adapters.state.migrations import MIGRATIONS
from turnkeel_adapters.state.shared_commits import SharedCommits

BUSY_TIMEOUT_MS: Final = 10_000


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
        self._commits = SharedCommits(self._connection, partial(_told, path))

    @contextmanager
    def transaction(self) -> Generator[apsw.Connection, None, None]:
        """Everything inside is committed together, or not at all. May be nested: the outermost commits."""
        with self._commits.alone("BEGIN IMMEDIATE", "COMMIT"):
            yield self._connection

    @contextmanager
    def shared_transaction(self) -> Generator[apsw.Connection, None, None]:
        """As `transaction`; threads that wait for each other share one commit, which each of them waits for."""
        with self._commits.shared():
            yield self._connection

    @contextmanager
    def reading(self) -> Generator[apsw.Connection, None, None]:
        """Everything inside is read as of one instant; nothing is written. Inside a transaction it is that one's."""
        with self._commits.alone("BEGIN", "ROLLBACK"):
            yield self._connection

    def rows(self, sql: str, *bindings: "apsw.SQLiteValue") -> "list[apsw.SQLiteValues]":
        """All rows of one query; the cursor is exhausted, so no lock stays behind."""
        with self._commits.lock, _told(self.path):
            self._commits.finish()
            return self._connection.execute(sql, bindings).fetchall()

    def close(self) -> None:
        """Close the connection; a closed database cannot be used again."""
        with self._commits.lock:
            if not self._closed:
                self._commits.finish()
                if not self._read_only:
                    leave_plain(self._connection)
            self._closed = True
            self._connection.close()


def _open(path: Path, read_only: bool) -> apsw.Connection:
    flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    with _told(path):
        connection = apsw.Connection(str(path), flags)
        try:
            connection.set_busy_timeout(BUSY_TIMEOUT_MS)
            connection.execute("PRAGMA foreign_keys = ON").fetchall()
            if _version(connection) > len(MIGRATIONS):
                raise StateFault(path, _other_version(_version(connection)))
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


def _version(connection: apsw.Connection) -> int:
    [[version]] = connection.execute("PRAGMA user_version").fetchall()
    return version if isinstance(version, int) else 0


def _other_version(version: int) -> str:
    known = len(MIGRATIONS)
    if version > known:
        return f"was written by a newer turnkeel (schema {version}, this one knows {known}): use that version"
    return f"has schema {version}, this turnkeel reads {known}: start the host once, it brings the file up to date"


@contextmanager
def _told(path: Path) -> Generator[None, None, None]:
    try:
        yield
    except apsw.FullError as error:
        raise StateFault(path, f"disk full: free some space; nothing was acknowledged ({error})") from error
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise StateFault(path, f"damaged or no database: restore it from a backup ({error})") from error
    except apsw.BusyError as error:
        raise StateFault(path, f"locked by another process for over {BUSY_TIMEOUT_MS // 1000} s ({error})") from error
    except (apsw.ReadOnlyError, apsw.PermissionsError) as error:
        raise StateFault(path, f"not writable: fix the mount or the permissions ({error})") from error
    except apsw.CantOpenError as error:
        raise StateFault(
            path, f"cannot be opened: does the folder exist, and may this user write it? ({error})"
        ) from error
    except apsw.IOError as error:
        raise StateFault(path, f"the operating system reported an error: check the disk ({error})") from error
    except apsw.SQLError as error:
        raise StateFault(
            path, f"its tables are not those this turnkeel made: use the right version ({error})"
        ) from error
