"""How does another process tell the host to look now?"""

import os
import time
from pathlib import Path

DOORBELL_NAME = ".doorbell"


def ring(data_dir: Path) -> bool:
    """Tell the host of this data directory that something is new. False if that failed: its next scan finds it."""
    try:
        fd = os.open(data_dir / DOORBELL_NAME, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
        try:
            # The kernel's own stamp is some milliseconds coarse: two rings within one of its ticks would look like one.
            now_ns = time.time_ns()
            os.utime(fd, ns=(now_ns, now_ns))
        finally:
            os.close(fd)
        return True
    except OSError:
        return False


class Doorbell:
    """The host's ear: one stat per question."""

    def __init__(self, data_dir: Path) -> None:
        """From now on; rings before this count as heard."""
        self._path = data_dir / DOORBELL_NAME
        self._heard = self._look()

    def rung(self) -> bool:
        """Has it rung since the last question? Ask before reading what it may announce."""
        now = self._look()
        changed = now is not None and now != self._heard
        self._heard = now
        return changed

    def _look(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path, follow_symlinks=False)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns
