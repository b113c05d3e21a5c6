"""How is the folder of the former queue read, and how does a file leave it without being lost?"""

import errno
import fcntl
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeAlias

from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.lifecycle.legacy_entry import LegacyFile, faulty, read_entry

FAILED: Final = "failed"
LIMIT_BYTES: Final = 10_000_000
_NUMBERS: Final = 1_000
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_RESERVE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_Identity: TypeAlias = tuple[int, int, int, int]


class LegacyFault(AdapterError):
    """A folder or file of the former queue cannot be used; the text names it and the cause. Nothing was taken away."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path


class LegacyFolder:
    """The folder, held open and locked: one import at a time, and none that follows a link out of it."""

    def __init__(self, path: Path) -> None:
        """LegacyFault if it is no folder, or another import is at work in it."""
        self.path = path
        self._read_as: dict[str, _Identity] = {}
        try:
            self._folder = os.open(path, _FOLDER & ~os.O_NOFOLLOW)  # whoever names a link means what it leads to
        except OSError as error:
            raise LegacyFault(path, f"is no folder that can be read: {error.strerror}") from error
        try:
            fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._folder)
            raise LegacyFault(path, "another import is at work in it") from error
        except OSError:
            pass  # a file system without such locks: then the caller alone sees to it that he is alone

    def names(self) -> tuple[str, ...]:
        """The entries, in order: what ends in `.json` and is no folder. Temporary files are another writer's."""
        with self._told(), os.scandir(self._folder) as found:
            entries = [one for one in found if one.name.endswith(".json") and not one.is_dir(follow_symlinks=False)]
        return tuple(sorted(one.name for one in entries))

    def read(self, name: str, now_ms: int) -> LegacyFile | None:
        """One entry, never more of it than the limit; None if it is gone. LegacyFault if it cannot be read just now."""
        try:
            fd = os.open(name, _READ, dir_fd=self._folder)
        except FileNotFoundError:
            return None
        except OSError as error:
            if stat.S_ISREG(self._stat(name).st_mode):
                raise LegacyFault(self.path / name, f"cannot be read: {error.strerror}") from error
            return faulty(name, "a link or no plain file: never followed")
        with self._told(name), os.fdopen(fd, "rb") as file:
            found = os.fstat(fd)
            self._read_as[name] = _identity(found)
            if not stat.S_ISREG(found.st_mode):
                return faulty(name, "a link or no plain file: never followed")
            content = file.read(LIMIT_BYTES + 1)
        if len(content) > LIMIT_BYTES:
            return faulty(name, f"longer than {LIMIT_BYTES} bytes")
        return read_entry(name, content, now_ms)

    def remove(self, name: str) -> bool:
        """Take away a file whose row is on the disk. False if it is not the one that was read: then it stays."""
        with self._told(name):
            if not self._is_as_read(name):
                return False
            os.unlink(name, dir_fd=self._folder)
            return True

    def quarantine(self, name: str) -> str | None:
        """Move a file into `failed/`, over nothing that is there; the name it has now, None if it changed meanwhile."""
        with self._told(name), suppress(FileExistsError):
            os.mkdir(FAILED, 0o700, dir_fd=self._folder)
        with self._told(FAILED):
            failed = os.open(FAILED, _FOLDER, dir_fd=self._folder)
        try:
            with self._told(name):
                if not self._is_as_read(name):
                    return None
                # The name is reserved by an empty file, which the rename replaces in one step.
                kept = _reserve(failed, name)
                try:
                    os.rename(name, kept, src_dir_fd=self._folder, dst_dir_fd=failed)
                except OSError:
                    os.unlink(kept, dir_fd=failed)
                    raise
                os.fsync(failed)
                os.fsync(self._folder)
                return f"{FAILED}/{kept}"
        finally:
            os.close(failed)

    def close(self) -> None:
        """Release the folder."""
        os.close(self._folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _stat(self, name: str) -> os.stat_result:
        with self._told(name):
            return os.stat(name, dir_fd=self._folder, follow_symlinks=False)

    def _is_as_read(self, name: str) -> bool:
        """A link was never opened, so there is nothing it could differ from."""
        with suppress(FileNotFoundError):
            found = os.stat(name, dir_fd=self._folder, follow_symlinks=False)
            return self._read_as.get(name, _identity(found)) == _identity(found)
        return False

    @contextmanager
    def _told(self, name: str = "") -> Generator[None, None, None]:
        try:
            yield
        except OSError as error:
            raise LegacyFault(self.path / name, error.strerror or str(error)) from error


def _identity(found: os.stat_result) -> _Identity:
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _reserve(folder: int, name: str) -> str:
    """A name that was free, made: `a.json`, `a.1.json` and so on."""
    stem = name.removesuffix(".json")
    for wanted in (name, *(f"{stem}.{number}.json" for number in range(1, _NUMBERS))):
        with suppress(FileExistsError):
            os.close(os.open(wanted, _RESERVE, 0o600, dir_fd=folder))
            return wanted
    raise FileExistsError(errno.EEXIST, f"{FAILED}/ holds {_NUMBERS} files of that name")
