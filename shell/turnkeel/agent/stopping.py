"""What happens on SIGTERM? Nothing new is begun, a started write is finished, a claim is left for the host."""

import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

EXIT_STOPPED_AT_WORK = 143


class StopRequest:
    """Turns SIGTERM into SystemExit in the main thread: code 143 with a message in hand, 0 without.

    Inside a `shielded` block of the main thread the exit waits for the end of the block. Elsewhere than in the main
    thread the process keeps whatever reaction to SIGTERM it had.
    """

    def __init__(self, at_work: Callable[[], bool], *, install: bool) -> None:
        """Take SIGTERM over if `install` and this is the main thread."""
        self.requested = False
        self._at_work = at_work
        self._raised = False
        self._depth = 0
        self._pid = os.getpid()
        self._installed = install and threading.current_thread() is threading.main_thread()
        self._before = signal.signal(signal.SIGTERM, self._on_signal) if self._installed else None

    def restore(self) -> None:
        """Give SIGTERM back to its earlier handler."""
        if self._installed and threading.current_thread() is threading.main_thread():
            self._installed = False
            signal.signal(signal.SIGTERM, signal.SIG_DFL if self._before is None else self._before)

    def leave_if_requested(self) -> None:
        """Raise SystemExit if a stop was asked for, even if an earlier one was swallowed."""
        if self.requested:
            raise SystemExit(self._code())

    @contextmanager
    def shielded(self) -> Generator[None, None, None]:
        """Let the block finish before a stop takes effect."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if self.requested and not self._raised and self._depth == 0:
                self._leave()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:
            # A forked child of the work inherits this handler, but has no message in hand.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
            return
        repeated, self.requested = self.requested, True
        if not repeated and self._depth == 0:
            self._leave()

    def _leave(self) -> None:
        self._raised = True
        raise SystemExit(self._code())

    def _code(self) -> int:
        return EXIT_STOPPED_AT_WORK if self._at_work() else 0
