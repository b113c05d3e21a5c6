"""What do the bytes of a database file say? They are read through SQLite, never with `open`.

POSIX takes all locks of a process off a file as soon as the process closes any descriptor of it. Who opens a database
by himself while another thread is inside a transaction lets other processes write into the middle of that; SQLite
closes its own descriptors late for this reason.
"""

import errno
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw

_HEADER_BYTES: Final = 100
_CHUNK_BYTES: Final = 1 << 20
_WAL_VERSION: Final = 2
_FLAGS: Final = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_NOFOLLOW


def read_header(path: Path) -> bytes:
    """The first 100 bytes, fewer of a shorter file. OSError."""
    with _opened(path) as file:
        return file.xRead(min(_HEADER_BYTES, file.xFileSize()), 0)


def says_wal(path: Path) -> bool:
    """Whether it is in WAL mode, so that a mere reader would make files beside it. OSError."""
    return _WAL_VERSION in read_header(path)[18:20]


def copy_database(path: Path, target: Path) -> None:
    """The bytes of the file as they are, locked or not. OSError."""
    with _opened(path) as file, target.open("wb") as copy:
        size = file.xFileSize()
        for at in range(0, size, _CHUNK_BYTES):
            copy.write(file.xRead(min(_CHUNK_BYTES, size - at), at))


@contextmanager
def _opened(path: Path) -> Generator[apsw.VFSFile, None, None]:
    try:
        file = apsw.VFSFile("", str(path), [_FLAGS, 0])
    except apsw.CantOpenError as error:
        raise why_not(path) from error
    try:
        yield file
    except apsw.IOError as error:
        raise why_not(path) from error
    finally:
        file.xClose()


def why_not(path: Path) -> OSError:
    """Why SQLite cannot open it. It does not pass the errno on, so the likely causes are asked for one by one."""
    try:
        mode = os.lstat(path).st_mode
    except OSError as error:
        return error
    why = errno.ELOOP if stat.S_ISLNK(mode) else errno.EISDIR if stat.S_ISDIR(mode) else errno.EIO
    if why == errno.EIO and not os.access(path, os.R_OK):
        why = errno.EACCES
    return OSError(why, os.strerror(why), str(path))
