"""How do files get beside a reply, whole or not at all, and nowhere else?

Each is copied to `outbox/<reply>/<name>` and on the disk before the row that names it is written (spec/nanoclaw.md §2).
"""

import os
import re
import shutil
import stat
from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from turnkeel_adapters.errors import AdapterError
from turnkeel_core import OutputPolicy, OutputSnapshot, RefuseOutput, decide_output

OUTBOX: Final = "outbox"
_NAME: Final = re.compile(r"[^\W_][\w .@+,()=-]{0,119}")
_OUR_REPLY: Final = re.compile(r"out-[0-9a-f]{32}")
_NAME_BYTES: Final = 255
_CHUNK: Final = 1 << 20
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAKE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class OutputRefused(AdapterError, ValueError):
    """The program gave a reply over a limit, or a file that cannot be attached; nothing was written."""


def checked_names(paths: Sequence[Path]) -> tuple[str, ...]:
    """Return the name of each file as it will be sent; raises OutputRefused for one that is odd or there twice."""
    names: list[str] = []
    for path in paths:
        name = path.name
        if _NAME.fullmatch(name) is None or len(name.encode(errors="replace")) > _NAME_BYTES:
            rule = "begin with a letter or a digit, hold letters, digits, blanks and .@+,()=_- only, up to 120 in all"
            raise OutputRefused(f"{str(path)!r:.200} cannot be attached under its name: rename it; a name must {rule}")
        if name.casefold() in {known.casefold() for known in names}:
            raise OutputRefused(f"two attachments are called {name!r}: rename one of them")
        names.append(name)
    return tuple(names)


@contextmanager
def attached(
    folder: Path, reply_id: str, paths: Sequence[Path], names: Sequence[str], policy: OutputPolicy, now_ms: int
) -> Generator[None, None, None]:
    """Hold the files beside the reply while its row is written; if that fails they are taken away again.

    Raises OutputRefused for a file that cannot be read, is no plain file, or goes over the limit with the others.
    """
    if not paths:
        yield
        return
    try:
        _copy_all(folder, reply_id, paths, names, policy, now_ms)
        yield
    except BaseException:
        _remove(folder, reply_id)
        raise


def attached_replies(folder: Path) -> frozenset[str]:
    """Return the ids of the replies of this kit that have files in the outbox."""
    outbox = folder / OUTBOX
    try:
        return frozenset() if outbox.is_symlink() else frozenset(filter(_OUR_REPLY.fullmatch, os.listdir(outbox)))
    except OSError:
        return frozenset()


def drop_attachments(folder: Path, reply_ids: Collection[str]) -> None:
    """Take away the files of replies that were never written."""
    for reply_id in reply_ids:
        _remove(folder, reply_id)


def _copy_all(
    folder: Path, reply_id: str, paths: Sequence[Path], names: Sequence[str], policy: OutputPolicy, now_ms: int
) -> None:
    try:
        with suppress(FileExistsError):
            (folder / OUTBOX).mkdir()
        with _opened(folder / OUTBOX, _FOLDER) as outbox:
            os.mkdir(reply_id, 0o755, dir_fd=outbox)
            with _opened(reply_id, _FOLDER, outbox) as place:
                taken = 0
                for path, name in zip(paths, names, strict=True):
                    taken += _copy(path, name, place, taken, policy, now_ms)
                os.fsync(place)
            os.fsync(outbox)
    except OSError as error:
        raise OutputRefused(f"the attachments cannot be put into {folder / OUTBOX}: {error}") from error


def _copy(path: Path, name: str, place: int, taken: int, policy: OutputPolicy, now_ms: int) -> int:
    """Copy one file; the bytes it had. A file that grows meanwhile is refused as soon as it is over the limit."""
    try:
        source = os.open(path, _READ)
    except OSError as error:
        raise OutputRefused(f"{path} cannot be attached: {error.strerror}") from error
    try:
        seen = os.fstat(source)
        if not stat.S_ISREG(seen.st_mode):
            raise OutputRefused(f"{path} cannot be attached: it is no plain file")
        _require(taken + seen.st_size, policy, now_ms)
        with _opened(name, _MAKE, place) as target:
            size = 0
            while chunk := os.read(source, _CHUNK):
                size += len(chunk)
                _require(taken + size, policy, now_ms)
                _write(target, chunk)
            os.fsync(target)
        return size
    finally:
        os.close(source)


def _require(attachment_bytes: int, policy: OutputPolicy, now_ms: int) -> None:
    answer = decide_output(OutputSnapshot(now_ms=now_ms, text_bytes=0, attachment_bytes=attachment_bytes), policy)
    if isinstance(answer, RefuseOutput):
        raise OutputRefused(answer.reason)


def _write(target: int, chunk: bytes) -> None:
    left = memoryview(chunk)
    while left:
        left = left[os.write(target, left) :]


@contextmanager
def _opened(path: Path | str, flags: int, at: int | None = None) -> Generator[int, None, None]:
    handle = os.open(path, flags, 0o644, dir_fd=at)
    try:
        yield handle
    finally:
        os.close(handle)


def _remove(folder: Path, reply_id: str) -> None:
    # rmtree follows no link, neither at the top nor below.
    if not (folder / OUTBOX).is_symlink():
        shutil.rmtree(folder / OUTBOX / reply_id, ignore_errors=True)
