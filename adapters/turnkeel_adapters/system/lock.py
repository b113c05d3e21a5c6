"""Does another host hold this data directory?"""

import errno
import fcntl
import json
import os
import time
from pathlib import Path
from types import TracebackType
from typing import cast

from attrs import frozen

LOCK_NAME = "turnkeel.lock"
_PROBE_PATIENCE_MS = 500
_RETRY_S = 0.02


class LockError(Exception):
    """The lock of a data directory could not be taken."""


class AlreadyHeld(LockError):
    """Another host serves this data directory."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(f"{path.parent} is served by another host ({holder}); stop that one first")
        self.path = path
        self.holder = holder


class LockUnavailable(LockError):
    """The lock file cannot be opened or locked at all, so nothing may be assumed of other hosts."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be locked: {reason}; does the folder exist, on a file system with locks?")
        self.path = path
        self.reason = reason


@frozen(kw_only=True)
class Holder:
    """What a live host wrote into its lock; None where it could not be read."""

    pid: int | None = None
    started_at_ms: int | None = None
    version: str | None = None

    def __str__(self) -> str:
        name = "pid unknown" if self.pid is None else f"pid {self.pid}"
        return name if self.version is None else f"{name}, version {self.version}"


class DataLock:
    """The right to serve a data directory: an flock, which the system releases when its holder ends, however it ends.

    The file stays behind, and says nothing when unlocked. A child process never inherits the lock.
    """

    def __init__(self, data_dir: Path, *, started_at_ms: int | None = None, version: str | None = None) -> None:
        """The keywords are for the reader of the file only."""
        self._path = data_dir / LOCK_NAME
        self._note = {"pid": os.getpid(), "started_at_ms": started_at_ms, "version": version}
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock, waiting 0.5 s at most (a probe may hold it for a moment). AlreadyHeld, LockUnavailable."""
        if self._fd is not None:
            return
        deadline = time.monotonic() + _PROBE_PATIENCE_MS / 1000
        while (fd := self._try()) is None:
            if time.monotonic() >= deadline:
                raise AlreadyHeld(self._path, str(_read_note(self._path)))
            time.sleep(_RETRY_S)
        self._fd = fd
        text = json.dumps(self._note).encode() + b"\n"
        try:
            os.ftruncate(fd, 0)
            os.pwrite(fd, text, 0)
        except OSError:
            pass  # a full disk: the lock holds all the same, and the note is only for readers

    def still_ours(self) -> bool:
        """False if the lock file was deleted or replaced: from then on a second host could start."""
        return self._fd is not None and _is_at(self._path, self._fd)

    def release(self) -> None:
        """Give the lock back; a second call does nothing."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> "DataLock":
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _try(self) -> int | None:
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise LockUnavailable(self._path, os.strerror(error.errno or 0)) from error
        try:
            locked = _lock(fd, self._path, fcntl.LOCK_EX) and _is_at(self._path, fd)
        except LockUnavailable:
            os.close(fd)
            raise
        if locked:
            return fd
        os.close(fd)
        return None


def probe(data_dir: Path) -> Holder | None:
    """The live host of this data directory, None if there is none. Creates and changes nothing; LockUnavailable."""
    path = data_dir / LOCK_NAME
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LockUnavailable(path, os.strerror(error.errno or 0)) from error
    try:
        return None if _lock(fd, path, fcntl.LOCK_SH) else _read_note(path)
    finally:
        os.close(fd)


def _lock(fd: int, path: Path, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
        return True
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise LockUnavailable(path, os.strerror(error.errno or 0)) from error


def _is_at(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(fd))
    except OSError:
        return False


def _read_note(path: Path) -> Holder:
    try:
        note: object = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return Holder()
    if not isinstance(note, dict):
        return Holder()
    fields = cast(dict[str, object], note)
    pid, started, version = fields.get("pid"), fields.get("started_at_ms"), fields.get("version")
    return Holder(
        pid=pid if isinstance(pid, int) else None,
        started_at_ms=started if isinstance(started, int) else None,
        version=version if isinstance(version, str) else None,
    )
