"""How does one run of a program end, and what did it print? It gets a text on stdin and a process group of its own."""

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import IO, Final, Literal, Self, TypeAlias

from attrs import frozen

from turnkeel.agent.log import pass_on

PumpEnd: TypeAlias = Literal["ended", "deadline", "flooded"]

_STOP_GRACE_S: Final = 2.0
_CHUNK: Final = 65_536
_STDERR_KEPT: Final = 4_096
# How long output is awaited from what a program left running behind it, and how much of it is read in the end.
_DRAIN_S: Final = 1.0
_DRAIN_CHUNKS: Final = 64
_LONGEST_WAIT_S: Final = 3_600.0
_TICK_S: Final = 0.05


@frozen(kw_only=True)
class ProgramEnd:
    """How a run ended. `status` is the exit code, or minus the signal that killed the program."""

    how: PumpEnd
    status: int
    output: bytes
    stderr_end: str


class ProgramRun:
    """Feeds a started program and reads it, in one thread; leaving the `with` block kills what is left of its group.

    Each chunk of output calls `on_output`; stderr is passed on to our own.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], text: bytes, *, output_limit: int, on_output: Callable[[], None]
    ) -> None:
        self._process = process
        self._unsent = memoryview(text)
        self._limit = output_limit
        self._on_output = on_output
        self._output = bytearray()
        self._stderr_end = b""
        self._selector = selectors.DefaultSelector()
        self._pipes: dict[str, IO[bytes]] = {}
        for name, pipe in (("stdin", process.stdin), ("stdout", process.stdout), ("stderr", process.stderr)):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                events = selectors.EVENT_WRITE if name == "stdin" else selectors.EVENT_READ
                self._selector.register(pipe, events, name)
                self._pipes[name] = pipe
        self._pidfd = _open_pidfd(process.pid)
        if self._pidfd is not None:
            self._selector.register(self._pidfd, selectors.EVENT_READ, "exit")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is not None:
                self._ask_to_stop()
        finally:
            self._end()

    def run(self, timeout_s: float | None) -> ProgramEnd:
        """Run the program to its end, stopping it at the timeout or when it prints more than the limit."""
        how = self._pump(float("inf") if timeout_s is None else time.monotonic() + timeout_s)
        if how == "deadline":
            self._ask_to_stop()
        self._end()
        return ProgramEnd(
            how="flooded" if how == "ended" and self._is_flooded() else how,
            status=self._process.returncode,
            output=bytes(self._output),
            stderr_end=_whole_lines(self._stderr_end).decode(errors="replace"),
        )

    def _pump(self, until_s: float) -> PumpEnd:
        has_ended = False
        while not self._is_flooded():
            now_s = time.monotonic()
            if not has_ended and self._has_ended():
                has_ended, until_s = True, now_s + _DRAIN_S
            if has_ended and not self._pipes.keys() & {"stdout", "stderr"}:
                return "ended"
            if now_s >= until_s:
                return "ended" if has_ended else "deadline"
            self._step(until_s - now_s)
        return "flooded"

    def _step(self, wait_s: float) -> None:
        for key, _ in self._selector.select(min(wait_s, _LONGEST_WAIT_S if self._pidfd is not None else _TICK_S)):
            if key.data == "stdin":
                self._feed()
            elif key.data != "exit":
                self._read(key.data)

    def _feed(self) -> None:
        try:
            sent = os.write(self._pipes["stdin"].fileno(), self._unsent[:_CHUNK])
        except BlockingIOError:
            return
        except OSError:
            sent = len(self._unsent)  # the program does not want the rest
        self._unsent = self._unsent[sent:]
        if not self._unsent:
            self._close_pipe("stdin")

    def _read(self, name: str) -> bool:
        try:
            chunk = os.read(self._pipes[name].fileno(), _CHUNK)
        except BlockingIOError:
            return False
        if not chunk:
            self._close_pipe(name)
            return False
        if name == "stderr":
            self._stderr_end = (self._stderr_end + chunk)[-_STDERR_KEPT:]
            pass_on(chunk)
        else:
            self._output += chunk
        self._on_output()
        return True

    def _ask_to_stop(self) -> None:
        if self._process.returncode is None:
            self._signal_group(signal.SIGTERM)
            self._pump(time.monotonic() + _STOP_GRACE_S)

    def _end(self) -> None:
        if self._process.returncode is not None:
            return
        # The program is not reaped yet, even if dead: its group's number cannot belong to anyone else.
        self._signal_group(signal.SIGKILL)
        self._process.wait()
        for name in ("stdout", "stderr"):
            for _ in range(_DRAIN_CHUNKS):
                if self._is_flooded() or name not in self._pipes or not self._read(name):
                    break
        for name in tuple(self._pipes):
            self._close_pipe(name)
        self._selector.close()
        if self._pidfd is not None:
            os.close(self._pidfd)

    def _signal_group(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return

    def _has_ended(self) -> bool:
        ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        if ended and self._pidfd is not None and self._pidfd in self._selector.get_map():
            self._selector.unregister(self._pidfd)
        return ended

    def _is_flooded(self) -> bool:
        return len(self._output) > self._limit

    def _close_pipe(self, name: str) -> None:
        pipe = self._pipes.pop(name)
        self._selector.unregister(pipe)
        pipe.close()


def _open_pidfd(pid: int) -> int | None:
    if sys.platform != "linux":
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:  # an old kernel or a strict sandbox: the exit is then found by asking
        return None


def _whole_lines(end: bytes) -> bytes:
    """Without the line that was cut: the rest of a secret is no longer known as one."""
    _, line_end, rest = end.partition(b"\n")
    return rest if len(end) == _STDERR_KEPT and line_end else end
