"""What does the agent say it is doing: moving, running a tool, or waiting?"""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from attrs import frozen

from turnkeel.agent.log import report
from turnkeel.agent.stopping import StopRequest
from turnkeel_adapters.errors import SessionFault
from turnkeel_adapters.sessions.container_side import ContainerFiles

_PROGRESS_EVERY_S = 1.0


@frozen(eq=False, kw_only=True)
class _RunningTool:
    name: str
    timeout_ms: int | None
    started_at_ms: int


class Declarations:
    """Keeps the session's files in step with what the process says of its work; usable from several threads.

    Tools may nest or run side by side: the one that began last, of those still running, is the one declared.
    """

    def __init__(self, files: ContainerFiles, now_ms: Callable[[], int], stop: StopRequest) -> None:
        self._files = files
        self._now_ms = now_ms
        self._stop = stop
        self._running: list[_RunningTool] = []
        self._lock = threading.Lock()
        self._progress_at_s = float("-inf")

    def progress(self) -> None:
        """Record that the work moves, at most once a second; a file that cannot be written is only reported."""
        now_s = time.monotonic()
        if now_s - self._progress_at_s < _PROGRESS_EVERY_S:
            return
        self._progress_at_s = now_s
        with self._stop.shielded():
            try:
                self._files.progress(self._now_ms())
            except SessionFault as fault:
                report(f"progress could not be recorded, the work goes on: {fault}")

    @contextmanager
    def tool(self, name: str, timeout_ms: int | None) -> Generator[None, None, None]:
        """Declare a tool for the length of the block."""
        tool = _RunningTool(name=name, timeout_ms=timeout_ms, started_at_ms=self._now_ms())
        try:
            with self._stop.shielded(), self._lock:
                self._running.append(tool)
                self._files.declare_tool(name, timeout_ms, tool.started_at_ms)
            yield
        finally:
            with self._stop.shielded(), self._lock:
                self._running.remove(tool)
                self._declare_last()

    @contextmanager
    def waiting(self, reason: str, until_at_ms: int | None) -> Generator[None, None, None]:
        """Declare a wait for the length of the block."""
        try:
            with self._stop.shielded():
                self._files.declare_waiting(reason, until_at_ms, self._now_ms())
            yield
        finally:
            with self._stop.shielded():
                self._files.clear_waiting(self._now_ms())

    def _declare_last(self) -> None:
        if not self._running:
            self._files.clear_tool(self._now_ms())
            return
        last = self._running[-1]
        self._files.declare_tool(last.name, last.timeout_ms, self._now_ms(), last.started_at_ms)
