"""How does a guard watch one agent, and when does it end it?

Reads on stdin one JSON line (the order), then lines `stop <grace_ms>`; its end means that the host died, and the agent
is asked to stop, and killed soon after. Writes on stdout `started <pid> <start ticks>` or `failed <stage> <errno>`, and
at the end `ended <monotonic ms> <exit code or -> <signal or -> <forced: 0 or 1> <others killed>`.
"""

import json
import os
import select
import signal
import sys
import time

from .child import StartFailed, adopt_orphans, start_agent
from .logs import RotatingLog
from .processes import all_processes, descendants, read_process, signal_process

HOST_GONE_GRACE_MS = 1_000
_CHUNK = 65_536


def run() -> None:
    """Be the guard: start the agent, watch it, leave nothing of it behind."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)  # the host decides when an agent ends, not a key pressed in its terminal
    adopt_orphans()
    text = b""
    while b"\n" not in text:
        chunk = os.read(0, _CHUNK)
        if not chunk:
            return
        text += chunk
    line, _, rest = text.partition(b"\n")
    order = json.loads(line)
    try:
        log = RotatingLog(order["log_path"], order["log_max_bytes"], order["log_keep"])
    except OSError as error:
        _tell(f"failed log {error.errno}")
        return
    watch = _Watch(log, rest)
    try:
        watch.start(order["argv"], order["environment"], order["folder"])
    except StartFailed as error:
        _tell(f"failed {error.stage} {error.errno}")
        return
    watch.until_agent_ends()
    watch.end_all()


class _Watch:
    """One agent from its start to the end of the last process it left."""

    def __init__(self, log: RotatingLog, orders: bytes) -> None:
        self._log = log
        self._orders = orders
        self._poll = select.poll()
        self._agent = 0
        self._output = -1
        self._status: int | None = None
        self._kill_at_ms: int | None = None
        self._killed: set[int] = set()
        self._wake, wake = os.pipe()
        self._host = _open_parent()
        for fd in (self._wake, wake):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def start(self, argv: list[str], environment: dict[str, str], folder: str) -> None:
        self._agent, self._output = start_agent(argv, environment, folder)
        os.set_blocking(self._output, False)
        for fd in (0, self._wake, self._output, self._host):
            if fd >= 0:
                self._poll.register(fd, select.POLLIN)
        agent = read_process(self._agent, even_ended=True)
        _tell(f"started {self._agent} {agent.started if agent else 0}")
        self._obey()

    def until_agent_ends(self) -> None:
        """Return when the agent has ended by itself or its grace is over."""
        while self._status is None:
            left = None if self._kill_at_ms is None else self._kill_at_ms - _now_ms()
            if left is not None and left <= 0:
                return
            self._step(left)

    def end_all(self) -> None:
        """Kill whatever is left, until this process has no child any more; then report and return."""
        forced = self._status is None
        pause_ms = 2
        while self._reap():
            self._kill_all()
            self._step(pause_ms)
            pause_ms = min(pause_ms * 2, 100)
        if sys.platform != "linux":
            _signal_group(self._agent, signal.SIGKILL)  # no /proc and no adoption there: the group is all we know of
        while self._copy_output():
            pass
        self._log.close()
        status = os.waitstatus_to_exitcode(self._status or 0)
        code, number = (status, "-") if status >= 0 else ("-", -status)
        _tell(f"ended {_now_ms()} {code} {number} {int(forced)} {len(self._killed)}")

    def _step(self, timeout_ms: int | None) -> None:
        for fd, _ in self._poll.poll(timeout_ms):
            if fd == 0:
                self._hear()
            elif fd == self._output:
                self._copy_output()
            elif fd == self._host:
                self._poll.unregister(fd)
                self._stop(HOST_GONE_GRACE_MS)
            else:
                os.read(self._wake, _CHUNK)
                self._reap()

    def _hear(self) -> None:
        chunk = os.read(0, _CHUNK)
        self._orders += chunk
        self._obey()
        if not chunk:
            self._poll.unregister(0)
            self._stop(HOST_GONE_GRACE_MS)

    def _obey(self) -> None:
        *lines, self._orders = self._orders.split(b"\n")
        for line in lines:
            self._stop(int(line.split()[1]))

    def _stop(self, grace_ms: int) -> None:
        """Ask the agent's process group to end; a second call can only shorten the grace."""
        at_ms = _now_ms() + grace_ms
        if self._kill_at_ms is None and self._status is None:
            _signal_group(self._agent, signal.SIGTERM)
        self._kill_at_ms = at_ms if self._kill_at_ms is None else min(self._kill_at_ms, at_ms)

    def _reap(self) -> bool:
        """Collect ended children; True while others run. Once reaped, the agent's pid is never signalled again."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._agent:
                self._status = status

    def _kill_all(self) -> None:
        for process in descendants([os.getpid()], all_processes()):
            if signal_process(process, signal.SIGKILL) and process.pid != self._agent:
                self._killed.add(process.pid)
        if self._status is None:
            _signal_group(self._agent, signal.SIGKILL)

    def _copy_output(self) -> bool:
        if self._output < 0:
            return False
        try:
            chunk = os.read(self._output, _CHUNK)
        except BlockingIOError:
            return False
        if chunk:
            self._log.write(chunk)
            return True
        self._poll.unregister(self._output)
        os.close(self._output)
        self._output = -1
        return False


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _open_parent() -> int:
    # A copy of the pipe's other end in some fork of the host would hide its death; a pidfd does not.
    try:
        return os.pidfd_open(os.getppid())
    except (AttributeError, OSError):
        return -1


def _signal_group(leader: int, number: int) -> None:
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):
        pass  # it is over, or another user's: the report tells which


def _tell(line: str) -> None:
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except OSError:
        pass  # the host died; there is nobody to tell
