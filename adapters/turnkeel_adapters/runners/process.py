"""How does an agent run as a local process, and end with everything it started?

Each agent has a guard (`guard.main`): when the host dies, however it dies, its guards end their agents.
Out of reach is only a process that detached, wiped its environment, and then lost its guard to a KILL from outside.
Elsewhere than on Linux only the agent's process group is ended, and containers of an earlier host are not found.
"""

import os
import threading
import time
from collections.abc import Callable

from turnkeel_adapters.runners.advice import diagnose, diagnose_answer, find_flaw
from turnkeel_adapters.runners.census import ContainerKey, end_container, find_container, take_census
from turnkeel_adapters.runners.errors import RunnerError, SpawnFailed
from turnkeel_adapters.runners.guard.processes import Process
from turnkeel_adapters.runners.guarded import GuardLink
from turnkeel_adapters.runners.marker import AGENT_VARIABLE, GUARD_VARIABLE, write_marker
from turnkeel_adapters.runners.records import (
    Alive,
    Ended,
    Handle,
    LookOutcome,
    SpawnOrder,
    StillThere,
    StopOutcome,
    Stopped,
    Unknown,
)
from turnkeel_adapters.runners.tracked import Tracked, still_there

RUNTIME = "process"
_START_LIMIT_MS = 10_000
_KILL_LIMIT_MS = 3_000
_HAS_PROC = os.path.exists("/proc/self/environ")
_NO_PROC = "this system has no /proc: containers of an earlier host cannot be seen"


class ProcessRunner:
    """Runs agents as processes of this user; any thread may call it. `stop` takes its grace and 6 s at most."""

    def __init__(self, *, install_id: str, now_ms: Callable[[], int], log_max_bytes: int, log_keep: int) -> None:
        """`now_ms` is the wall clock. A log takes at most (log_keep + 1) * log_max_bytes of disk."""
        if "/" in install_id or not install_id:
            raise ValueError("an install id is a non-empty text without '/'")
        self._install_id = install_id
        self._now_ms = now_ms
        self._log_limits = {"log_max_bytes": log_max_bytes, "log_keep": log_keep}
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
                raise SpawnFailed(order.session, "it has a running container already", "stop that one first")
            self._starting[order.session] = (order.session, order.incarnation)
        try:
            spawned_at_ms = self._now_ms()
            link = self._open_link(order)
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
            self._track(Tracked(handle=handle, link=link))
            return handle
        finally:
            with self._lock:
                del self._starting[order.session]

    def look(self, handle: Handle) -> LookOutcome:
        """Does anything of this container run? Does not wait."""
        tracked = self._find(handle)
        if tracked is None:
            if not _HAS_PROC:
                return Unknown(reason=_NO_PROC)
            found = find_container(self._install_id, _key(handle))
            return Alive() if found else Ended(exit_code=None, signal=None, ended_at_ms=self._now_ms())
        if tracked.past is None and not tracked.link.wait(0):
            return Alive()
        outcome = tracked.conclude(self._install_id, self._now_ms, kill_ms=200)
        return outcome.ended if isinstance(outcome, Stopped) else Alive()

    def stop(self, handle: Handle, grace_ms: int) -> StopOutcome:
        """TERM, `grace_ms`, KILL to everything, then read back that it is gone. Repeating it is harmless."""
        tracked = self._find(handle)
        if tracked is not None:
            tracked.link.stop(grace_ms)
            tracked.link.wait(grace_ms + _KILL_LIMIT_MS)
            return tracked.conclude(self._install_id, self._now_ms, kill_ms=_KILL_LIMIT_MS)
        if not _HAS_PROC:
            return StillThere(reason=_NO_PROC, pids=())
        ending = end_container(self._install_id, _key(handle), grace_ms, _KILL_LIMIT_MS)
        if ending.left:
            return still_there(ending.left)
        ended = Ended(exit_code=None, signal=None, ended_at_ms=self._now_ms())
        return Stopped(ended=ended, forced=ending.forced, survivors_killed=ending.killed)

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
        """Drop what is known of an ended container; one that runs stays known."""
        with self._lock:
            tracked = self._tracked.get(_key(handle))
            if tracked is not None and tracked.link.wait(0):
                del self._tracked[_key(handle)]

    def close(self) -> None:
        """End every container of this runner (grace 1 s, side by side) and let go of all; takes 5 s at most."""
        with self._lock:
            self._closed = True
            links = [tracked.link for tracked in self._tracked.values()]
            self._tracked.clear()
        for link in links:
            link.cut()
        limit = time.monotonic() + 4
        for link in links:
            if not link.wait(max(0, int((limit - time.monotonic()) * 1000))):
                link.kill()
                link.wait(1_000)

    def _open_link(self, order: SpawnOrder) -> GuardLink:
        marker = write_marker(self._install_id, order.session, order.incarnation)
        environment = {name: value for name, value in order.environment.items() if name != GUARD_VARIABLE}
        stage = "log"
        try:
            order.log_path.parent.mkdir(parents=True, exist_ok=True)
            stage = "guard"
            return GuardLink(
                marker,
                {
                    "argv": order.argv,
                    "environment": {**environment, AGENT_VARIABLE: marker},
                    "folder": os.path.abspath(order.folder),
                    "log_path": os.path.abspath(order.log_path),
                    **self._log_limits,
                },
            )
        except OSError as error:
            raise SpawnFailed(order.session, *diagnose(stage, error.errno or 0, order)) from error

    def _track(self, tracked: Tracked) -> None:
        with self._lock:
            for key in [key for key in self._tracked if key[0] == tracked.handle.session]:
                del self._tracked[key]  # ended: `spawn` has made sure of it
            self._tracked[_key(tracked.handle)] = tracked
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
            return self._tracked.get(_key(handle))

    def _runs(self, session: str) -> bool:
        return any(key[0] == session and not tracked.link.wait(0) for key, tracked in self._tracked.items())


def _key(handle: Handle) -> ContainerKey:
    return handle.session, handle.incarnation


def _age_ms(started: int) -> int:
    with open("/proc/uptime", encoding="ascii") as file:
        uptime_ms = float(file.read().split()[0]) * 1000
    return max(0, int(uptime_ms - started * 1000 / os.sysconf("SC_CLK_TCK")))
