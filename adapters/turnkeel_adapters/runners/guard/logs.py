"""How is an agent's output kept without filling the disk?"""

import os

from .redacting import LogRedactor


class RotatingLog:
    """Appends bytes to `path`; older parts are `path.1` (newest) to `path.<keep>`, each at most `max_bytes` long.

    The parts joined in order are the end of the output: at least its last `keep * max_bytes`. Not thread-safe. With a
    `redactor` it is the output without its secrets, and an unfinished line is written when it ends, at the latest at
    `close`.
    Opening raises OSError. Writing never does: what the disk refuses is dropped, and counted in the log once it can be.
    """

    def __init__(
        self, path: str | os.PathLike[str], max_bytes: int, keep: int, redactor: LogRedactor | None = None
    ) -> None:
        if max_bytes < 1 or keep < 0:
            raise ValueError("a log needs max_bytes of at least 1 and keep of at least 0")
        self._path = os.fspath(path)
        self._max_bytes = max_bytes
        self._keep = keep
        self._redactor = redactor
        self._dropped = 0
        self._fd: int | None = None
        self._size = 0
        self._open()

    def write(self, chunk: bytes) -> None:
        """Append, starting a new part whenever one is full."""
        self._put(chunk if self._redactor is None else self._redactor.feed(chunk))

    def close(self) -> None:
        """Close the file; a second close does nothing."""
        if self._redactor is not None and (rest := self._redactor.end()):
            self._put(rest)
        self._shut()

    def _put(self, chunk: bytes) -> None:
        if self._dropped:
            lost, self._dropped = self._dropped, 0
            chunk = b"\n[turnkeel: %d bytes of output could not be written here]\n" % lost + chunk
        view = memoryview(chunk)
        while view:
            room = self._max_bytes - self._size
            if room <= 0:
                self._rotate()
                continue
            self._append(view[:room])
            view = view[room:]

    def _shut(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _append(self, view: memoryview) -> None:
        try:
            if self._fd is None:
                self._open()
            while view and self._fd is not None:
                written = os.write(self._fd, view)
                self._size += written
                view = view[written:]
        except OSError:
            self._dropped += len(view)

    def _rotate(self) -> None:
        self._shut()
        self._size = 0
        try:
            for number in range(self._keep - 1, 0, -1):
                if os.path.lexists(f"{self._path}.{number}"):
                    os.replace(f"{self._path}.{number}", f"{self._path}.{number + 1}")
            if self._keep:
                os.replace(self._path, f"{self._path}.1")
            else:
                os.unlink(self._path)
            self._open()
        except OSError:
            self._start_over()

    def _start_over(self) -> None:
        # A folder that refuses renames must not make the log grow without bound.
        try:
            self._open()
            if self._fd is not None:
                os.ftruncate(self._fd, 0)
                self._size = 0
        except OSError:
            pass  # the next write tries to open again, and counts what it cannot keep

    def _open(self) -> None:
        # A link planted at the log's place must not lead the host's pen elsewhere.
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        self._fd = os.open(self._path, flags, 0o600)
        self._size = os.fstat(self._fd).st_size
