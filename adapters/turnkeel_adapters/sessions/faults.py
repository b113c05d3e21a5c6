"""Which fault of a session file is behind an error of SQLite or of the operating system?"""

import errno
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import apsw

from turnkeel_adapters.database_file import why_not
from turnkeel_adapters.errors import FaultKind, SessionFault

_BY_CLASS: tuple[tuple[type[apsw.Error], FaultKind], ...] = (
    (apsw.NotADBError, "not_sqlite"),
    (apsw.CorruptError, "corrupt"),
    (apsw.BusyError, "busy"),
    (apsw.LockedError, "busy"),
    (apsw.ProtocolError, "busy"),
    (apsw.FullError, "disk_full"),
    (apsw.ReadOnlyError, "read_only"),
    (apsw.AuthError, "denied"),
    (apsw.PermissionsError, "denied"),
    (apsw.IOError, "io"),
    (apsw.NoMemError, "io"),
)
_BY_EXTENDED_CODE: dict[int, FaultKind] = {
    apsw.SQLITE_READONLY_ROLLBACK: "hot_journal",
    apsw.SQLITE_READONLY_RECOVERY: "wal",
    apsw.SQLITE_READONLY_CANTINIT: "wal",
    apsw.SQLITE_READONLY_CANTLOCK: "wal",
    apsw.SQLITE_CANTOPEN_SYMLINK: "link",
    apsw.SQLITE_IOERR_SHORT_READ: "corrupt",
    apsw.SQLITE_IOERR_CORRUPTFS: "corrupt",
}
_BY_ERRNO: dict[int, FaultKind] = {
    errno.ENOENT: "missing",
    errno.ENOTDIR: "missing",
    errno.EACCES: "denied",
    errno.EPERM: "denied",
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EROFS: "read_only",
    errno.ELOOP: "link",
}
_SCHEMA_COMPLAINTS = ("no such table", "no such column", "has no column named", "unsupported file format")


@contextmanager
def faults_named(path: Path) -> Generator[None, None, None]:
    """Turn what SQLite or the operating system raise inside into a SessionFault of `path`.

    Errors that are no fault of the file (a constraint, a mistake in our own SQL) pass unchanged.
    """
    try:
        yield
    except apsw.Error as error:
        kind = _sqlite_kind(path, error)
        if kind is None:
            raise
        raise SessionFault(path, kind, str(error)) from error
    except OSError as error:
        raise os_fault(path, error) from error
    except UnicodeDecodeError as error:
        raise SessionFault(path, "corrupt", "a text in it is not UTF-8") from error


def os_fault(path: Path, error: OSError) -> SessionFault:
    """Return the fault that an operating system error on `path` means."""
    return SessionFault(path, _BY_ERRNO.get(error.errno or 0, "io"), error.strerror or str(error))


def _sqlite_kind(path: Path, error: apsw.Error) -> FaultKind | None:
    # An error that apsw itself raised (a closed connection) carries no SQLite code.
    by_code = _BY_EXTENDED_CODE.get(getattr(error, "extendedresult", 0))
    if by_code is not None:
        return by_code
    if isinstance(error, apsw.CantOpenError):
        return _cannot_open_kind(path)
    if isinstance(error, apsw.SQLError):
        return "wrong_schema" if any(text in str(error) for text in _SCHEMA_COMPLAINTS) else None
    return next((kind for cls, kind in _BY_CLASS if isinstance(error, cls)), None)


def _cannot_open_kind(path: Path) -> FaultKind:
    kind = _BY_ERRNO.get(why_not(path).errno or 0, "io")
    return "read_only" if kind == "io" and not os.access(path.parent, os.W_OK) else kind
