"""Is there a message to take? Looks into inbound.db only when a stat says that it may be worth it."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from turnkeel_adapters.errors import SessionFault
from turnkeel_adapters.sessions.container_side import ClaimedWork, ContainerFiles

_RELOOK_S = 1.0
_CLOCK_STEP_NS = 50_000_000
_PASSING = ("busy", "hot_journal")


class Watch:
    """Says whether a file changed since the last look, or whether a due time may have come since."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._looked_at_s = 0.0

    def should_look(self) -> bool:
        """Answer from a single stat; a yes counts as a look."""
        seen = self._stat()
        now_s = time.monotonic()
        if seen is not None and seen == self._seen and now_s - self._looked_at_s < _RELOOK_S:
            return False
        # File times move in steps of milliseconds: a second change within the same step would not show.
        is_fresh = seen is not None and abs(time.time_ns() - seen[2]) < _CLOCK_STEP_NS
        self._seen = None if is_fresh else seen
        self._looked_at_s = now_s
        return True

    def forget(self) -> None:
        """Look next time, whatever the file says."""
        self._seen = None

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns


class Intake:
    """Claims the session's messages; a file that is busy for a while is reported once and asked again."""

    def __init__(self, files: ContainerFiles, inbound: Path, report: Callable[[str], None]) -> None:
        self._files = files
        self._watch = Watch(inbound)
        self._report = report
        self._first_poll = True
        self._reported = False

    def begin(self) -> None:
        """Start to wait for a message: the first look is not skipped."""
        self._watch.forget()

    def claim(self, now_ms: int) -> ClaimedWork | None:
        """Claim the oldest due message, if any; raises SessionFault for a fault that does not pass by itself."""
        if not self._watch.should_look():
            return None
        try:
            work = self._files.claim_next(now_ms, self._first_poll)
        except SessionFault as fault:
            self._watch.forget()
            if fault.kind not in _PASSING:
                raise
            if not self._reported:
                self._report(f"no message can be taken now, trying again: {fault}")
            self._reported = True
            return None
        self._first_poll = self._reported = False
        return work
