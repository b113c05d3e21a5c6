"""May the runtime be asked now, or did it fail a moment ago?

While it is down or slow, one caller at a time tries it, at growing distances; all others get the last answer at once,
so that a hanging daemon does not hold every thread of the host.
"""

import threading
from collections.abc import Callable
from typing import TypeAlias

from attrs import frozen


@frozen
class Unresponsive:
    """No answer within the limit; the client program was killed, what it asked for may still happen."""

    program: str
    after_ms: int


@frozen
class DaemonDown:
    """The client program says that it cannot reach its daemon."""

    program: str
    text: str


@frozen
class ProgramMissing:
    """The client program cannot be started."""

    program: str
    text: str


Trouble: TypeAlias = Unresponsive | DaemonDown | ProgramMissing


def describe_trouble(trouble: Trouble) -> str:
    """One line: what the runtime did not do."""
    match trouble:
        case Unresponsive(program, after_ms):
            return f"{program} gave no answer within {after_ms} ms"
        case DaemonDown(program, text):
            return f"the daemon of {program} cannot be reached: {text}"
        case ProgramMissing(program, text):
            return f"the program {program} cannot be started ({text}); install it, or correct PATH"


class Health:
    """The last trouble with a runtime and the backoff after it; any thread may ask."""

    def __init__(self, *, backoff_ms: int, backoff_max_ms: int, mono_ms: Callable[[], int]) -> None:
        self._first_ms = backoff_ms
        self._max_ms = backoff_max_ms
        self._mono_ms = mono_ms
        self._lock = threading.Lock()
        self._trouble: Trouble | None = None
        self._pause_ms = 0
        self._closed_until_ms = 0

    def trouble(self) -> Trouble | None:
        """Return what was wrong at the last call; None if it was answered."""
        with self._lock:
            return self._trouble

    def admit(self) -> Trouble | None:
        """Return None if the caller may ask now; else what it would find."""
        with self._lock:
            now_ms = self._mono_ms()
            if self._trouble is None or now_ms >= self._closed_until_ms:
                self._closed_until_ms = now_ms + self._pause_ms
                return None
            return self._trouble

    def note(self, trouble: Trouble | None) -> None:
        """A call came back: with an answer (None), or not."""
        with self._lock:
            self._trouble = trouble
            self._pause_ms = min(max(self._pause_ms * 2, self._first_ms), self._max_ms) if trouble is not None else 0
            self._closed_until_ms = self._mono_ms() + self._pause_ms
