"""Which file lies beside a reply, and is it still the one that was recorded?

An agent owns the folder that its files lie in, and may have put anything in their place since. So the folder, the one
it is in and the file are opened by name, each in the one before, and none may be a link.
"""

import errno
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from turnkeel_adapters.channels.records import Attachment
from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.lifecycle.payloads import AttachedFile

_NAME: Final = re.compile(r"(?!\.{1,2}\Z)[^/\x00-\x1f\x7f]{1,255}")
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe in its place must not block
_OUTBOX: Final = "outbox"
_GONE: Final = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG)
_CHUNK: Final = 1 << 20


class AttachmentChanged(AdapterError):
    """The agent put something in the place of a file of its reply that must not be sent."""


class AttachmentGone(AdapterError):
    """A file of a reply is not there, or this host may not read it; the text says which."""


class AttachmentUnreadable(AdapterError):
    """This machine could not read a file of a reply just now (a disk fault, too many open files)."""


def describe_attachments(folder: Path, names: Sequence[str]) -> tuple[AttachedFile, ...]:
    """Size and digest of each file as it is now. AttachmentChanged for a link, another kind of file, or one with a
    second name; AttachmentGone; AttachmentUnreadable.
    """
    found: list[AttachedFile] = []
    for name in names:
        with _plain_file(folder, name) as handle:
            digest, size = hashlib.sha256(), 0
            while piece := os.read(handle, _CHUNK):
                digest.update(piece)
                size += len(piece)
        found.append(AttachedFile(name=name, size=size, sha256=digest.hexdigest()))
    return tuple(found)


def read_attachment(attachment: Attachment) -> bytes:
    """The bytes that were recorded. Raises as `describe_attachments`; AttachmentChanged for other bytes, too."""
    with _plain_file(attachment.folder, attachment.name) as handle:
        size = os.fstat(handle).st_size
        content = _read(handle, attachment.size) if size == attachment.size else b""
    if len(content) != attachment.size or hashlib.sha256(content).hexdigest() != attachment.sha256:
        raise AttachmentChanged(f"attachment {attachment.name!r}: not the file that was recorded")
    return content


def remove_attachments(folder: Path) -> None:
    """Take the folder of a reply's files away, as far as that can be done; what a link points to stays.

    Any folder but one right below an `outbox` is left alone: its name came from the agent.
    """
    if not _is_straight(folder) or folder.parent.name != _OUTBOX:
        return
    with suppress(OSError), _opened(folder.parent, _FOLDER) as parent:
        if stat.S_ISDIR(os.stat(folder.name, dir_fd=parent, follow_symlinks=False).st_mode):
            shutil.rmtree(folder.name, ignore_errors=True, dir_fd=parent)
        else:
            os.unlink(folder.name, dir_fd=parent)


@contextmanager
def _plain_file(folder: Path, name: str) -> Generator[int, None, None]:
    if _NAME.fullmatch(name) is None or not _is_straight(folder):
        raise AttachmentChanged(f"attachment {name!r:.80}: no name of a file, or of a reply")
    try:
        with _opened(folder.parent, _FOLDER) as parent, _opened(folder.name, _FOLDER, parent) as place:
            with _opened(name, _FILE, place) as handle:
                _require_plain(name, os.fstat(handle))
                yield handle
    except OSError as error:
        raise _fault(name, error) from error


def _is_straight(folder: Path) -> bool:
    """Whether no part of the path leads up again."""
    return ".." not in folder.parts and _NAME.fullmatch(folder.name) is not None


def _require_plain(name: str, seen: os.stat_result) -> None:
    if not stat.S_ISREG(seen.st_mode):
        raise AttachmentChanged(f"attachment {name!r}: no plain file")
    if seen.st_nlink != 1:
        # Its other name may be a file that the agent may not read itself.
        raise AttachmentChanged(f"attachment {name!r}: has a second name, or none any more")


def _fault(name: str, error: OSError) -> AdapterError:
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return AttachmentChanged(f"attachment {name!r}: a link, or below one")
    if error.errno in (errno.ENXIO, errno.ENODEV):
        return AttachmentChanged(f"attachment {name!r}: no plain file")
    text = f"attachment {name!r} cannot be read: {error.strerror or error}"
    return AttachmentGone(text) if error.errno in _GONE else AttachmentUnreadable(text)


def _read(handle: int, size: int) -> bytes:
    """At most one byte more than `size`: a file that grows meanwhile fills no memory."""
    pieces: list[bytes] = []
    left = size + 1
    while left and (piece := os.read(handle, min(left, _CHUNK))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


@contextmanager
def _opened(path: Path | str, flags: int, at: int | None = None) -> Generator[int, None, None]:
    handle = os.open(path, flags, dir_fd=at)
    try:
        yield handle
    finally:
        os.close(handle)
