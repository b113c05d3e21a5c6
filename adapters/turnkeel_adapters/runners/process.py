"""How does an agent run as a local process, and end with everything it started?

Each agent has a guard (`guard.main`). When the host dies, however it dies, its guards end their agents; with a run
folder they first wait for the next host to adopt them. Out of reach is only a process that detached, wiped its
environment, and then lost its guard to a KILL from outside. Elsewhere than on Linux only the agent's process group is
ended, and containers of an earlier host are not found.
"""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from attrs import asdict

from turnkeel_adapters.runners.advice import diagnose_answer, find_flaw
from turnkeel_adapters.runners.census import ContainerKey, end_container, find_container, take_census
from turnkeel_adapters.runners.errors import RunnerError, SpawnFailed
from turnkeel_adapters.runners.guard.processes import Process
from turnkeel_adapters.runners.guards import start_guard, take_over_guard
from turnkeel_adapters.runners.records import (
    Alive,
    Handle,
    LookOutcome,
    SpawnOrder,
    StillThere,
    StopOutcome,
    Stopped,
    Unknown,
)
from turnkeel_adapters.runners.rundir import RunFolder
from turnkeel_adapters.runners.tracked import Tracked, how_ended, key_of, still_there, stopped
from turnkeel_core import Redactions

RUNTIME = "process"
_START_LIMIT_MS = 10_000
_KILL_LIMIT_MS = 3_000
_CLOSE_GRACE_MS = 1_000
_RUNS = ("it has a running container already", "stop that one first")
_HAS_PROC = os.path.exists("/proc/self/environ")
_NO_PROC = "this system has no /proc: containers of an earlier host cannot be seen"


class ProcessRunner:
    """Runs agents as processes of this user; any thread may call it. `stop` takes its grace and 6 s at most."""

    def __init__(
        self,
        *,
        install_id: str,
        now_ms: Callable[[], int],
        log_max_bytes: int,
        log_keep: int,
        run_dir: Path | None = None,
        orphan_limit_ms: int = 0,
        redactions: Callable[[], Redactions] | None = None,
    ) -> None:
        """`now_ms` is the wall clock. A log takes at most (log_keep + 1) * log_max_bytes of disk.

        With a `run_dir` (made 0700) agents outlive this host by `orphan_limit_ms`, until a runner of the same install
        and `run_dir` adopts them, and how they ended is kept there; without one they end with it. `redactions` is
        asked at each start, and by `hide_more`, what is to be left out of the logs.
        """
        if "/" in install_id or not install_id:
            raise ValueError("an install id is a non-empty text without '/'")
        run_dir = run_dir if _HAS_PROC else None
        self._run = RunFolder(path=run_dir, install_id=install_id, orphan_limit_ms=orphan_limit_ms)
        self._install_id = install_id
        self._now_ms = now_ms
        self._log_limits = {"log_max_bytes": log_max_bytes, "log_keep": log_keep}
        self._redactions = redactions
        self._lock = threading.Lock()
        self._tracked: dict[ContainerKey, Tracked] = {}
        self._starting: dict[str, ContainerKey] = {}
        self._closed = False

    def spawn(self, order: SpawnOrder) -> Handle:
        """Start one incarnation; SpawnFailed says why it did not start. A session never gets a second container."""
        if (flaw := find_flaw(order)) is not None:
            raise SpawnFailed(order.session, *flaw)
        with self._lock:
            if self._closed:
                raise RunnerError("this runner is closed; make a new one")
            if order.session in self._starting or self._runs(order.session):
                raise SpawnFailed(order.session, *_RUNS)
            self._starting[order.session] = (order.session, order.incarnation)
        try:
            return self._start(order)
        finally:
            with self._lock:
                del self._starting[order.session]

    def adopt(self, handle: Handle, log_path: Path) -> None:
        """Take over a container that an earlier host started, as listed by `list_own`; waits 1 s at most.

        Harmless if it has ended, or is adopted already. If its guard does not answer (stopped, or busy with another
        host) it stays a container without a guard's help: looked at and stopped all the same, and adopted by a later
        call. `log_path` is for runners that write the log themselves; here the guard goes on with it.
        """
        key = key_of(handle)
        if self._find(handle) is not None or (link := take_over_guard(key, self._run)) is None:
            return
        with self._lock:
            if not self._closed and key not in self._tracked:
                self._tracked[key] = Tracked(handle=handle, link=link, run=self._run)
                if (hidden := self._hidden()) is not None:
                    link.hide(hidden)
                return
        link.let_go()

    def hide_more(self) -> None:
        """Leave what is now to be hidden out of the logs of running containers too; does not wait for their guards."""
        hidden = self._hidden()
        if hidden is None:
            return
        with self._lock:
            links = [tracked.link for tracked in self._tracked.values() if tracked.past is None]
        for link in links:
            link.hide(hidden)

    def _hidden(self) -> dict[str, object] | None:
        """What a guard is told of secrets; on a line of its own, which nobody else reads."""
        return None if self._redactions is None else asdict(self._redactions())

    def look(self, handle: Handle) -> LookOutcome:
        """Does anything of this container run? Does not wait."""
        if handle.runtime != RUNTIME:
            return Unknown(reason=_foreign(handle))
        tracked = self._find(handle)
        if tracked is None:
            if not _HAS_PROC:
                return Unknown(reason=_NO_PROC)
            found = find_container(self._install_id, key_of(handle))
            return Alive() if found else how_ended(self._run.report(key_of(handle)), self._now_ms())
        if tracked.past is None and not tracked.link.wait(0):
            return Alive()
        outcome = tracked.conclude(self._now_ms, kill_ms=200)
        return outcome.ended if isinstance(outcome, Stopped) else Alive()

    def stop(self, handle: Handle, grace_ms: int) -> StopOutcome:
        """TERM, `grace_ms`, KILL to everything, then read back that it is gone. Repeating it is harmless."""
        if handle.runtime != RUNTIME:
            return StillThere(reason=_foreign(handle), pids=())
        tracked = self._find(handle)
        if tracked is not None:
            tracked.link.stop(grace_ms)
            tracked.link.wait(grace_ms + _KILL_LIMIT_MS)
            return tracked.conclude(self._now_ms, kill_ms=_KILL_LIMIT_MS)
        if not _HAS_PROC:
            return StillThere(reason=_NO_PROC, pids=())
        ending = end_container(self._install_id, key_of(handle), grace_ms, _KILL_LIMIT_MS)
        if ending.left:
            return still_there(ending.left)
        report = self._run.report(key_of(handle))
        return stopped(report, self._now_ms(), forced=ending.forced, killed=ending.killed)

    def list_own(self) -> tuple[Handle, ...]:
        """All running containers of this install, in the order of their sessions; also those of an earlier host."""
        census = take_census(self._install_id)
        with self._lock:  # after the census: one that started meanwhile is known by now, and no stranger
            starting = set(self._starting.values())
            known = {key: one.handle for key, one in self._tracked.items() if key in census or not one.link.wait(0)}
        strangers = {key: self._stranger(key, found.first()) for key, found in census.items() if key not in starting}
        handles = {**strangers, **known}
        return tuple(handles[key] for key in sorted(handles))

    def forget(self, handle: Handle) -> None:
        """Drop what is known of an ended container, the report of its end too; one that runs stays known."""
        key = key_of(handle)
        with self._lock:
            tracked = self._tracked.get(key)
            if tracked is not None and not tracked.link.wait(0):
                return
            self._tracked.pop(key, None)
        self._run.forget(key)

    def trouble(self) -> str | None:
        """What is wrong with the runtime: it is the system itself, and that is never down."""
        return None

    def close(self) -> None:
        """End every container started or adopted here (grace 1 s, side by side); takes 5 s at most."""
        with self._lock:
            self._closed = True
            links = [tracked.link for tracked in self._tracked.values()]
            self._tracked.clear()
        for link in links:
            link.stop(_CLOSE_GRACE_MS)
        limit = time.monotonic() + 4
        for link in links:
            if not link.wait(max(0, int((limit - time.monotonic()) * 1000))):
                link.kill()
                link.wait(1_000)

    def detach(self) -> None:
        """Let go of every container and end none: with a run directory each waits for the next host."""
        with self._lock:
            self._closed = True
            links = [tracked.link for tracked in self._tracked.values()]
            self._tracked.clear()
        for link in links:
            link.let_go()

    def _start(self, order: SpawnOrder) -> Handle:
        # Also one that no runner here knows: an earlier host's, or what a killed guard left.
        if any(session == order.session for session, _ in take_census(self._install_id)):
            raise SpawnFailed(order.session, *_RUNS)
        spawned_at_ms = self._now_ms()
        hidden = self._hidden()
        link = start_guard(order, {**self._log_limits, "log_redact": hidden}, self._run)
        words = link.first_words(_START_LIMIT_MS)
        if words[:1] != ["started"]:
            link.kill()
            link.wait(_KILL_LIMIT_MS)
            end_container(self._install_id, (order.session, order.incarnation), 0, _KILL_LIMIT_MS)
            raise SpawnFailed(order.session, *diagnose_answer(words, order))
        handle = Handle(
            runtime=RUNTIME,
            container_id=f"{words[1]}:{words[2]}",
            session=order.session,
            incarnation=order.incarnation,
            spawned_at_ms=spawned_at_ms,
        )
        self._track(Tracked(handle=handle, link=link, run=self._run))
        if (now := self._hidden()) is not None and now != hidden:
            link.hide(now)  # it changed meanwhile
        return handle

    def _track(self, tracked: Tracked) -> None:
        with self._lock:
            for key in [key for key in self._tracked if key[0] == tracked.handle.session]:
                del self._tracked[key]  # ended: `spawn` has made sure of it
            self._tracked[key_of(tracked.handle)] = tracked
            if not self._closed:
                return
        self.close()  # it was closed during the start: end this one too
        raise RunnerError("this runner was closed while an agent started; the agent was ended")

    def _stranger(self, key: ContainerKey, first: Process) -> Handle:
        return Handle(
            runtime=RUNTIME,
            container_id=f"{first.pid}:{first.started}",
            session=key[0],
            incarnation=key[1],
            spawned_at_ms=self._now_ms() - _age_ms(first.started),
        )

    def _find(self, handle: Handle) -> Tracked | None:
        with self._lock:
            return self._tracked.get(key_of(handle))

    def _runs(self, session: str) -> bool:
        return any(key[0] == session and not tracked.link.wait(0) for key, tracked in self._tracked.items())


def _age_ms(started: int) -> int:
    with open("/proc/uptime", encoding="ascii") as file:
        uptime_ms = float(file.read().split()[0]) * 1000
    return max(0, int(uptime_ms - started * 1000 / os.sysconf("SC_CLK_TCK")))


def _foreign(handle: Handle) -> str:
    """A configuration that was changed while it ran must not let a second one start beside it."""
    return f"it was started by {handle.runtime}, not as a process: stop it by the configuration that it had"
