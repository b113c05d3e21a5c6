"""What stands in a file of secrets, and has it changed?"""

import glob
import os
import stat
from collections.abc import Iterable
from typing import Final, TypeAlias

from attrs import field, frozen

SECRET_FILE_BYTES: Final = 1_048_576
"""No key is longer: what is, was put there by mistake, and looking for each of its lines costs too much."""

Stamp: TypeAlias = tuple[int, ...] | None
"""What changes with a file's content; None for a file that is not there."""


@frozen(kw_only=True)
class FileRead:
    """The text of a file, not shown in `repr`, or what is wrong with it; neither for one that is not there."""

    text: str | None = field(default=None, repr=False)
    fault: str | None = None


def named_files(pattern: str) -> tuple[str, ...]:
    """The files that a path with `*`, `?` or `[…]` names now, in order; the path itself, if it is one as it stands."""
    if not glob.has_magic(pattern) or os.path.lexists(pattern):
        return (pattern,)
    # A name that begins with a dot is found only where the pattern has the dot.
    return tuple(sorted(glob.glob(pattern)))


def stamps_of(paths: Iterable[str]) -> dict[str, Stamp]:
    """The stamp of each."""
    return {path: _stamp(path) for path in paths}


def read_secret_file(path: str) -> FileRead:
    """Read it as a whole; never raises, never waits for a writer, and says what kept it from being read."""
    try:
        # O_NONBLOCK: a pipe that somebody put in its place holds up nobody.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return FileRead()
    except (OSError, ValueError) as error:
        return FileRead(fault=f"{path}: {_words(error)}")
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return FileRead(fault=f"{path}: is no regular file")
        with os.fdopen(handle, "rb", closefd=False) as file:
            content = file.read(SECRET_FILE_BYTES + 1)
    except OSError as error:
        return FileRead(fault=f"{path}: {_words(error)}")
    finally:
        os.close(handle)
    if len(content) > SECRET_FILE_BYTES:
        return FileRead(fault=f"{path}: longer than {SECRET_FILE_BYTES} bytes")
    # Bytes that are no UTF-8 stand in logs as they are: escaped alike, they are found again.
    return FileRead(text=content.decode("utf-8", "surrogateescape"))


def _stamp(path: str) -> Stamp:
    try:
        seen = os.stat(path)
    except (OSError, ValueError):
        return None
    return (seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)


def _words(error: OSError | ValueError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
