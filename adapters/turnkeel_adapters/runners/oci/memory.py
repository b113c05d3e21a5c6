"""What does a runner remember of its containers, so that it need not ask the runtime?"""

import threading
import time
from pathlib import Path

from turnkeel_adapters.runners.records import Ended


class Memory:
    """By container id: when it was last seen alive, how it ended, where its log goes. Any thread may use it."""

    def __init__(self, alive_holds_ms: int) -> None:
        self._alive_holds_ms = alive_holds_ms
        self._lock = threading.Lock()
        self._alive_until_ms: dict[str, int] = {}
        self._pasts: dict[str, Ended] = {}
        self._logs: dict[str, Path] = {}

    def past(self, container_id: str) -> Ended | None:
        """How it ended, if that was seen."""
        with self._lock:
            return self._pasts.get(container_id)

    def was_just_alive(self, container_id: str) -> bool:
        """Is the last sight of it fresh enough to serve again?"""
        with self._lock:
            return mono_ms() < self._alive_until_ms.get(container_id, 0)

    def note_alive(self, container_id: str) -> None:
        """It runs now."""
        with self._lock:
            self._alive_until_ms[container_id] = mono_ms() + self._alive_holds_ms

    def note_end(self, container_id: str, ended: Ended) -> Ended:
        """It has ended; of two threads that see it, the first one's answer stays, for both."""
        with self._lock:
            return self._pasts.setdefault(container_id, ended)

    def note_log(self, container_id: str, path: Path) -> None:
        """Where the end of its output shall be kept."""
        with self._lock:
            self._logs[container_id] = path

    def log_path(self, container_id: str) -> Path | None:
        """Where the end of its output shall be kept; None for a container that an earlier host started."""
        with self._lock:
            return self._logs.get(container_id)

    def drop(self, container_id: str) -> None:
        """Remember nothing of it any more."""
        with self._lock:
            for known in (self._alive_until_ms, self._pasts, self._logs):
                known.pop(container_id, None)

    def clear(self) -> None:
        """Remember nothing."""
        with self._lock:
            for known in (self._alive_until_ms, self._pasts, self._logs):
                known.clear()


def mono_ms() -> int:
    """The monotonic clock, in ms."""
    return time.monotonic_ns() // 1_000_000
