"""Who waits for a shared commit, and how does each of them hear of it?"""

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from turnkeel_adapters.state.remembered import StateConnection


def interrupted() -> Exception:
    """What is told to those whose changes were taken back because a thread was stopped in between."""
    return RuntimeError("interrupted")


class Call:
    """A thread's part as a call, for whoever has the lock; `withdrawn`: nobody waits for it any more."""

    __slots__ = ("_bell", "_joined", "_over", "error", "result", "step", "withdrawn")

    def __init__(self, step: Callable[[StateConnection], object]) -> None:
        self.step = step
        self.result: object = None
        self.error: Exception | None = None
        self._joined = False
        self._over = False
        self.withdrawn = False
        self._bell: SimpleQueue[None] = SimpleQueue()

    def is_over(self) -> bool:
        """Its result is on the disk, or its error known."""
        return self._over

    def end(self, error: Exception | None) -> None:
        """Nothing of it will change any more."""
        self.error, self._over = error, True
        self.ring()

    def join(self, batch: "Batch") -> None:
        """It was made: what becomes of the batch becomes of it."""
        batch.calls.append(self)
        self._joined = True

    def leave_alone(self) -> None:
        """Nobody will make it any more: if a thread was stopped before it had, who waits is told."""
        if not self._joined and not self._over:
            self.end(interrupted())

    def ring(self) -> None:
        """Wake who waits: it is over, or the lock may be free."""
        self._bell.put(None)

    def wait(self, seconds: float) -> bool:
        """Until it rings; False if it does not for so long."""
        try:
            self._bell.get(timeout=seconds)
            return True
        except Empty:
            return False

    def outcome(self) -> object:
        """The result, or its error raised."""
        if self.error is not None:
            raise self.error
        return self.result


class Batch:
    """Some threads' changes in one transaction; `error` is why it was not committed."""

    __slots__ = ("_waiting", "calls", "error", "size", "tried")

    def __init__(self) -> None:
        self.size = 0
        self.calls: list[Call] = []
        self.tried = False
        self.error: Exception | None = None
        self._waiting: threading.Event | None = None

    def awaited(self) -> threading.Event:
        """What is set when it ends; to be asked for by those who were part of it, then look at `tried` again."""
        if self._waiting is None:
            self._waiting = threading.Event()
        return self._waiting

    def end(self, error: Exception | None) -> None:
        """Committed, or not."""
        self.error, self.tried = error, True
        if self._waiting is not None:
            self._waiting.set()
        for call in self.calls:
            call.end(error)
