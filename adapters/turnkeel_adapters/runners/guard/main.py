"""How does a guard watch one agent, and when does it end it?

Reads on stdin one JSON line (the order), then lines `stop <grace_ms>` and `hide <what the log is to leave out>`; its
end means that the host died. Writes on stdout `started <pid> <start ticks>` or `failed <stage> <errno>`, and at the end
the line of a `Report`. With a door the same lines go to and fro between the guard and each later host; with none, or if
no host comes in time, the agent is asked to stop, and killed soon after.
"""

import json
import os
import signal
import sys
import time

from .child import StartFailed, adopt_orphans, start_agent
from .door import Door
from .events import Events
from .hosts import Hosts, now_ms, tell
from .logs import RotatingLog
from .processes import all_processes, descendants, read_process, signal_process
from .redacting import LogRedactor
from .report import Report, keep_report

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
        redactor = LogRedactor(**order["log_redact"]) if order.get("log_redact") else None
        log = RotatingLog(order["log_path"], order["log_max_bytes"], order["log_keep"], redactor)
    except OSError as error:
        tell(1, f"failed log {error.errno}")
        return
    door = _make_door(order.get("run_dir"), order.get("name", ""), log)
    watch = _Watch(log, redactor, door, order.get("orphan_limit_ms", 0))
    try:
        if os.getppid() != order["host"]:
            return  # it died meanwhile: without an agent there is nothing to adopt, and nobody will wonder whose it is
        watch.start(order["argv"], order["environment"], order["folder"], rest)
        watch.until_agent_ends()
        watch.end_all()
    except StartFailed as error:
        tell(1, f"failed {error.stage} {error.errno}")
    finally:
        if door is not None:
            door.close()


class _Watch:
    """One agent from its start to the end of the last process it left."""

    def __init__(self, log: RotatingLog, redactor: LogRedactor | None, door: Door | None, orphan_limit_ms: int) -> None:
        self._log = log
        self._redactor = redactor
        self._door = door
        self._events = Events()
        self._hosts = Hosts(self._events, door, orphan_limit_ms, self._stop, self._hide)
        self._agent = 0
        self._output = -1
        self._status: int | None = None
        self._kill_at_ms: int | None = None
        self._killed: set[int] = set()
        self._wake, wake = os.pipe()
        for fd in (self._wake, wake):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def start(self, argv: list[str], environment: dict[str, str], folder: str, heard: bytes) -> None:
        self._agent, self._output = start_agent(argv, environment, folder)
        os.set_blocking(self._output, False)
        self._events.watch(self._wake, self._child_ended)
        self._events.watch(self._output, self._copy_output)
        agent = read_process(self._agent, even_ended=True)
        self._hosts.greet(f"started {self._agent} {agent.started if agent else 0}", heard)

    def until_agent_ends(self) -> None:
        """Return when the agent has ended by itself or its grace is over."""
        while self._status is None:
            if self._hosts.given_up():
                self._stop(HOST_GONE_GRACE_MS)
            if self._kill_at_ms is not None and now_ms() >= self._kill_at_ms:
                return
            limits = [at_ms for at_ms in (self._kill_at_ms, self._hosts.give_up_at_ms) if at_ms is not None]
            self._events.wait(max(0, min(limits) - now_ms()) if limits else None)

    def end_all(self) -> None:
        """Kill whatever is left, until this process has no child any more; then report and return."""
        forced = self._status is None
        pause_ms = 2
        while self._reap():
            self._kill_all()
            self._events.wait(pause_ms)
            pause_ms = min(pause_ms * 2, 100)
        if sys.platform != "linux":
            _signal_group(self._agent, signal.SIGKILL)  # no /proc and no adoption there: the group is all we know of
        while self._copy_output():
            pass
        self._log.close()
        self._report(os.waitstatus_to_exitcode(self._status or 0), forced)

    def _report(self, status: int, forced: bool) -> None:
        report = Report(
            ended_mono_ms=now_ms(),
            ended_at_ms=time.time_ns() // 1_000_000,
            exit_code=status if status >= 0 else None,
            signal=None if status >= 0 else -status,
            forced=forced,
            survivors_killed=len(self._killed),
        )
        if self._door is not None:  # kept even if a host listens: it may die before it has read the line
            keep_report(self._door.folder, self._door.name, report)
        self._hosts.tell(report.line())

    def _stop(self, grace_ms: int) -> None:
        """Ask the agent's process group to end; a second call can only shorten the grace."""
        at_ms = now_ms() + grace_ms
        if self._kill_at_ms is None and self._status is None:
            _signal_group(self._agent, signal.SIGTERM)
        self._kill_at_ms = at_ms if self._kill_at_ms is None else min(self._kill_at_ms, at_ms)

    def _hide(self, text: bytes) -> None:
        if self._redactor is not None:
            self._redactor.hide(**json.loads(text))

    def _child_ended(self) -> None:
        os.read(self._wake, _CHUNK)
        self._reap()

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
        self._events.leave(self._output)
        os.close(self._output)
        self._output = -1
        return False


def _make_door(run_dir: str | None, name: str, log: RotatingLog) -> Door | None:
    if run_dir is None:
        return None
    try:
        return Door(run_dir, name)
    except OSError as error:  # some shared folders hold no sockets; the agent can work there all the same
        why = os.strerror(error.errno or 0)
        log.write(f"[turnkeel: no later host can adopt this agent, it ends with its host: {run_dir}: {why}]\n".encode())
        return None


def _signal_group(leader: int, number: int) -> None:
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):
        pass  # it is over, or another user's: the report tells which
