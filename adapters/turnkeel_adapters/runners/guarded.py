"""How does the host talk with the guard of one agent?"""

import json
import os
import select
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO

from turnkeel_adapters.runners.guard.report import Report, read_line

_SLICE_MS = 100


class GuardLink:
    """The host's end of one guard. Any thread may use it; no method but `first_words` and `wait` blocks."""

    def __init__(
        self, control: IO[bytes], status: IO[bytes], *, kill: Callable[[], object], reap: Callable[[], object]
    ) -> None:
        """`kill` ends the guard itself; `reap` is called once, when its end of `status` has closed."""
        self._control = control
        self._status = status
        self._kill = kill
        self._reap = reap
        self._fd = status.fileno()
        self._lock = threading.Lock()
        self._text = b""
        self._unsaid = b""
        self._gone = False
        for file in (control, status):
            os.set_blocking(file.fileno(), False)

    def say(self, line: str) -> None:
        """One line to the guard. One that is gone, or reads no more, is not an error: looks and waits show it.

        What does not go through at once is said by the next `say`, look or wait: no line is ever cut short.
        """
        with self._lock:
            self._unsaid += line.encode() + b"\n"
            self._say_on()

    def first_words(self, timeout_ms: int) -> list[str]:
        """What the guard said of the start; empty if it ended or stayed silent instead."""
        deadline = _now_ms() + timeout_ms
        while b"\n" not in self._text and not self._read() and (left := deadline - _now_ms()) > 0:
            self._sleep(left)
        return self._text.partition(b"\n")[0].decode().split()

    def stop(self, grace_ms: int) -> None:
        """Ask for the agent's end; returns at once."""
        self.say(f"stop {grace_ms}")

    def hide(self, redactions: Mapping[str, object]) -> None:
        """Leave this out of the log from now on; returns at once. A guard of an earlier version does not know how."""
        self.say(f"hide {json.dumps(redactions)}")

    def let_go(self) -> None:
        """Say no more: to the guard it is as if the host had died."""
        with self._lock:
            self._control.close()
            self._gone = self._status.closed  # one file, if the guard was taken over: then nothing is heard any more

    def kill(self) -> None:
        """Kill the guard itself, and by that its agent's first process."""
        self._kill()

    def wait(self, timeout_ms: int) -> bool:
        """True once the guard, and with it the container, is gone; asked with 0 it only looks."""
        deadline = _now_ms() + timeout_ms
        while not self._read():
            if (left := deadline - _now_ms()) <= 0:
                return False
            self._sleep(left)
        return True

    def report(self) -> Report | None:
        """The guard's last word; None if it had none, because it was killed."""
        reports = (read_line(line) for line in self._text.decode().splitlines())
        return next((report for report in reports if report is not None), None)

    def _say_on(self) -> None:
        try:
            while self._unsaid and not self._control.closed:
                self._unsaid = self._unsaid[os.write(self._control.fileno(), self._unsaid) :]
        except BlockingIOError:
            pass
        except ConnectionError:
            self._unsaid = b""

    def _read(self) -> bool:
        with self._lock:
            self._say_on()
            while not self._gone:
                try:
                    chunk = os.read(self._fd, 4096)
                except BlockingIOError:
                    return False
                except ConnectionError:
                    chunk = b""
                self._text += chunk
                if not chunk:
                    self._control.close()
                    self._status.close()
                    self._gone = True
                    self._reap()  # its end of the line closed by its exit: this takes no time
            return True

    def _sleep(self, timeout_ms: int) -> None:
        # Another thread may close the file meanwhile: then the slice, not the event, ends this wait.
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        if self._unsaid and not self._control.closed:
            poll.register(self._control.fileno(), select.POLLOUT)
        poll.poll(min(timeout_ms, _SLICE_MS))


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
