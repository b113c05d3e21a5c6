"""Which of a guard's files has news, and who reads it?"""

import select
from collections.abc import Callable

_LONGEST_WAIT_MS = 3_600_000


class Events:
    """Files to watch, each with what to call when there is something to read, or its other end has closed."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._readers: dict[int, Callable[[], object]] = {}

    def watch(self, fd: int, reader: Callable[[], object]) -> None:
        """Call `reader` from now on; -1 is no file."""
        if fd >= 0:
            self._readers[fd] = reader
            self._poll.register(fd, select.POLLIN)

    def leave(self, fd: int) -> None:
        """Call nobody any more; a file that is not watched is none to leave."""
        if self._readers.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def wait(self, timeout_ms: int | None) -> None:
        """Wait for news, and have it read; None: as long as it takes. It may return early."""
        limit_ms = None if timeout_ms is None else min(timeout_ms, _LONGEST_WAIT_MS)  # a C int holds 24 days
        for fd, _ in self._poll.poll(limit_ms):
            reader = self._readers.get(fd)
            if reader is not None:  # a reader before it may have left this file
                reader()
