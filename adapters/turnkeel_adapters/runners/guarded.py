"""How does the host talk with the guard of one agent?"""

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from turnkeel_adapters.runners.marker import GUARD_VARIABLE

_BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from guard.main import run; run()"
_SLICE_MS = 100


@frozen(kw_only=True)
class Report:
    """How an agent ended, in its guard's words; `ended_mono_ms` is an instant of the monotonic clock."""

    ended_mono_ms: int
    exit_code: int | None
    signal: int | None
    forced: bool
    survivors_killed: int


class GuardLink:
    """The host's end of one guard. Any thread may use it; no method but `wait` blocks."""

    def __init__(self, marker: str, order: Mapping[str, object]) -> None:
        """Start the guard and hand it its order; OSError if it cannot be started."""
        self._process = _start_guard(marker)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._control = self._process.stdin
        self._status = self._process.stdout
        self._fd = self._status.fileno()
        self._lock = threading.Lock()
        self._text = b""
        self._gone = False
        os.set_blocking(self._fd, False)
        self._say(json.dumps(order))

    def first_words(self, timeout_ms: int) -> list[str]:
        """What the guard said of the start; empty if it ended or stayed silent instead."""
        deadline = _now_ms() + timeout_ms
        while b"\n" not in self._text and not self._read() and (left := deadline - _now_ms()) > 0:
            self._sleep(left)
        return self._text.partition(b"\n")[0].decode().split()

    def stop(self, grace_ms: int) -> None:
        """Ask for the agent's end; returns at once."""
        self._say(f"stop {grace_ms}")

    def cut(self) -> None:
        """Let go of the guard: it ends the agent as if the host had died."""
        with self._lock:
            if not self._control.closed:
                self._control.close()

    def kill(self) -> None:
        """Kill the guard itself, and by that its agent's first process."""
        self._process.kill()

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
        for line in self._text.decode().splitlines():
            words = line.split()
            if words[:1] == ["ended"] and len(words) == 6:
                return Report(
                    ended_mono_ms=int(words[1]),
                    exit_code=None if words[2] == "-" else int(words[2]),
                    signal=None if words[3] == "-" else int(words[3]),
                    forced=words[4] == "1",
                    survivors_killed=int(words[5]),
                )
        return None

    def _read(self) -> bool:
        with self._lock:
            while not self._gone:
                try:
                    chunk = os.read(self._fd, 4096)
                except BlockingIOError:
                    return False
                self._text += chunk
                if not chunk:
                    self._control.close()
                    self._status.close()
                    self._process.wait()  # its end of the pipe closed by its exit: this takes no time
                    self._gone = True
            return True

    def _sleep(self, timeout_ms: int) -> None:
        # Another thread may close the file meanwhile: then the slice, not the event, ends this wait.
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.poll(min(timeout_ms, _SLICE_MS))

    def _say(self, line: str) -> None:
        with self._lock:
            if not self._control.closed:
                rest = memoryview(line.encode() + b"\n")
                try:
                    while rest:
                        rest = rest[os.write(self._control.fileno(), rest) :]
                except BrokenPipeError:
                    pass  # the guard is gone, as the next look will show


def _start_guard(marker: str) -> subprocess.Popen[bytes]:
    # -I -S: 25 ms to start, and nothing the session or the user has lying about is imported.
    home = str(Path(__file__).parent)
    environment = {GUARD_VARIABLE: marker}
    if "LD_LIBRARY_PATH" in os.environ:  # some Python builds find their own library by it
        environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-X", "utf8", "-c", _BOOT, home],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        cwd="/",
        env=environment,
        start_new_session=True,
    )


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
