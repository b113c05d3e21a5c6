"""How does an agent run in a container of Docker or Podman, and how is it known to have ended?

Containers outlive their host and are found again by their labels. A runtime that is down or slow is a state of the
machine: looks say Unknown, starts raise RuntimeDown, and nothing of it is charged to a session.
"""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from attrs import asdict

from turnkeel_adapters.runners.guard.logs import RotatingLog
from turnkeel_adapters.runners.guard.redacting import LogRedactor
from turnkeel_adapters.runners.oci.argv import group_of, name_container
from turnkeel_adapters.runners.oci.command import RuntimeCommand
from turnkeel_adapters.runners.oci.containers import Containers
from turnkeel_adapters.runners.oci.errors import RuntimeUnavailable
from turnkeel_adapters.runners.oci.health import describe_trouble
from turnkeel_adapters.runners.oci.memory import Memory, mono_ms
from turnkeel_adapters.runners.oci.mounting import Mounting, MountSource, TellMounts
from turnkeel_adapters.runners.oci.secrets import SecretShelf, memory_folder
from turnkeel_adapters.runners.oci.seen import Seen
from turnkeel_adapters.runners.oci.settings import ContainerSettings, RuntimeLimits
from turnkeel_adapters.runners.oci.starting import Starter
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
from turnkeel_core import Redactions

_LOG_LINES: Final = 2_000
_LOG_KEEP: Final = 3
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 0.5


class ContainerRunner:
    """Runs agents in containers, labelled with the install. Any thread may call it, one per session at a time.

    `stop` takes its grace, the kill limit, and four call limits at most. `groups` holds settings per group.
    """

    def __init__(
        self,
        *,
        install_id: str,
        settings: ContainerSettings,
        now_ms: Callable[[], int],
        groups: Mapping[str, ContainerSettings] | None = None,
        limits: RuntimeLimits | None = None,
        environ: Mapping[str, str] | None = None,
        log_path: Callable[[str], Path] | None = None,
        redactions: Callable[[], Redactions] | None = None,
        mounts: MountSource | None = None,
        tell_mounts: TellMounts | None = None,
    ) -> None:
        """`now_ms` is the wall clock, `environ` what the client program sees (default: all of this process's).

        `log_path` says where a session's log is, for containers that an earlier host started. `mounts` decides about
        the mounts of each start, and `tell_mounts` is told; without it there are none. `redactions` says what is to be
        left out of a log when it is kept.
        """
        self._settings = settings
        self._groups = dict(groups or {})
        if any(group.runtime != settings.runtime for group in self._groups.values()):
            raise ValueError("all groups of an install use one runtime: set [container] runtime once")
        seen = os.environ if environ is None else environ
        self._install_id = install_id
        self._now_ms = now_ms
        self._limits = limits or RuntimeLimits()
        self._command = RuntimeCommand(settings.runtime, seen, self._limits)
        self._containers = Containers(self._command)
        self._shelf = SecretShelf(base=memory_folder(seen), install_id=install_id)
        owner, mounting = (os.getuid(), os.getgid()), Mounting(mounts, tell_mounts)
        self._starter = Starter(self._command, self._containers, self._shelf, owner, mounting)
        self._memory = Memory(self._limits.alive_holds_ms)
        self._log_path = log_path
        self._redactions = redactions
        self._is_tidy = False

    @property
    def runtime(self) -> str:
        """The name in the handles: docker or podman."""
        return self._command.program

    def trouble(self) -> str | None:
        """What is wrong with the runtime, by the last call; None if it answered."""
        trouble = self._command.health.trouble()
        return None if trouble is None else describe_trouble(trouble)

    def spawn(self, order: SpawnOrder) -> Handle:
        """Start one incarnation; SpawnFailed says why it did not start, RuntimeDown that the runtime is to blame.

        Ended containers of the session are removed first; beside a running one none is started.
        """
        spawned_at_ms = self._now_ms()
        container_id = self._starter.start(self._groups.get(group_of(order.session), self._settings), order)
        self._memory.note_log(container_id, order.log_path)
        return Handle(
            runtime=self.runtime,
            container_id=container_id,
            session=order.session,
            incarnation=order.incarnation,
            spawned_at_ms=spawned_at_ms,
        )

    def look(self, handle: Handle) -> LookOutcome:
        """Does it run? `Alive` may be as old as `alive_holds_ms`; Unknown if the runtime gave no usable answer."""
        if (past := self._memory.past(handle.container_id)) is not None:
            return past
        if handle.runtime != self.runtime:
            return Unknown(reason=self._foreign(handle))
        if self._memory.was_just_alive(handle.container_id):
            return Alive()
        try:
            self._starter.settle_doubts()
            return self._judge(handle, self._containers.inspect(handle.container_id)) or Alive()
        except RuntimeUnavailable as error:
            return Unknown(reason=error.reason)

    def stop(self, handle: Handle, grace_ms: int) -> StopOutcome:
        """TERM, `grace_ms`, KILL, then read back by inspect that it is gone. Repeating it is harmless."""
        if handle.runtime != self.runtime:
            return StillThere(reason=self._foreign(handle), pids=())
        forced, refusal = False, ""
        try:
            for name, wait_ms in (("TERM", grace_ms), ("KILL", self._limits.kill_ms)):
                if (past := self._await_end(handle, 0)) is None:
                    forced = name == "KILL"
                    refusal = self._containers.signal(handle.container_id, name) or "restart the runtime"
                    past = self._await_end(handle, wait_ms)
                if past is not None:
                    return Stopped(ended=past, forced=forced, survivors_killed=0)
            seen = self._containers.inspect(handle.container_id, urgent=True)
        except RuntimeUnavailable as error:
            return StillThere(reason=f"it cannot be stopped: {error.reason}", pids=())
        pids = (seen.pid,) if seen is not None and seen.pid else ()
        return StillThere(reason=f"{self.runtime} shows it running after KILL; {refusal}", pids=pids)

    def adopt(self, handle: Handle, log_path: Path) -> None:
        """Watch over a container that an earlier host started as if this one had: the end of its output is kept."""
        self._memory.note_log(handle.container_id, log_path)

    def list_own(self) -> tuple[Handle, ...]:
        """All running containers of this install, in the order of their sessions; RuntimeUnavailable.

        The first answer is also used to `tidy`: at the start of a host the runtime may still be down.
        """
        now_ms = self._now_ms()
        own = self._containers.own(self._install_id)
        if not self._is_tidy:
            self._remove_leftovers(own)
        running = (seen for seen in own if seen.alive)
        handles = [handle for seen in running if (handle := seen.handle(self.runtime, now_ms)) is not None]
        return tuple(sorted(handles, key=lambda handle: (handle.session, handle.incarnation)))

    def forget(self, handle: Handle) -> None:
        """Keep the end of an ended container's output in its log file, then remove it; one that runs stays.

        If the runtime cannot be asked now, or the log not be written, the session's next start removes it.
        """
        try:
            seen = self._containers.inspect(handle.container_id)
            if seen is not None and not seen.alive:
                self._keep_log(handle.container_id, handle.session)
                self._containers.remove(handle.container_id)
        except (RuntimeUnavailable, OSError):
            return
        finally:
            self._memory.drop(handle.container_id)

    def tidy(self) -> int:
        """Remove all ended containers of this install and secret files without a container; RuntimeUnavailable.

        For the beginning of a host: ends that an earlier one did not live to see. How they ended is still answered
        by `look`. Returns how many were removed.
        """
        return self._remove_leftovers(self._containers.own(self._install_id))

    def detach(self) -> None:
        """Let go of everything: containers go on in any case."""
        self.close()

    def close(self) -> None:
        """Let go of everything. Containers go on: the next host finds them by `list_own`."""
        self._memory.clear()

    def _remove_leftovers(self, own: tuple[Seen, ...]) -> int:
        removed = [seen.name for seen in own if not seen.alive and self._remove_leftover(seen)]
        for name in {*self._shelf.names()} - {seen.name for seen in own if seen.alive}:
            self._shelf.drop(name)
        self._is_tidy = True
        return len(removed)

    def _remove_leftover(self, seen: Seen) -> bool:
        if (key := seen.key()) is not None:
            self._memory.note_end(seen.container_id, seen.ended(self._now_ms()))
            with suppress(OSError):  # a full disk costs the end of a log, not the start of a host
                self._keep_log(seen.container_id, key[0])
        return self._containers.remove(seen.container_id)

    def _foreign(self, handle: Handle) -> str:
        """A configuration that was changed while it ran must not let a second one start beside it."""
        return f"it was started by {handle.runtime}, not {self.runtime}: stop it by the configuration that it had"

    def _judge(self, handle: Handle, seen: Seen | None) -> Ended | None:
        """Keep what `inspect` showed; None if it runs."""
        if seen is not None and seen.alive:
            self._memory.note_alive(handle.container_id)
            return None
        now_ms = self._now_ms()
        gone = Ended(exit_code=None, signal=None, ended_at_ms=now_ms)
        past = self._memory.note_end(handle.container_id, gone if seen is None else seen.ended(now_ms))
        self._shelf.drop(name_container(self._install_id, handle.session, handle.incarnation))
        return past

    def hide_more(self) -> None:
        """Nothing is to be done: what is hidden is asked when a log is kept."""

    def _await_end(self, handle: Handle, wait_ms: int) -> Ended | None:
        deadline_ms, pause_s = mono_ms() + wait_ms, _FIRST_PAUSE_S
        while True:
            past = self._judge(handle, self._containers.inspect(handle.container_id, urgent=True))
            left_s = (deadline_ms - mono_ms()) / 1000
            if past is not None or left_s <= 0:
                return past
            time.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _keep_log(self, container_id: str, session: str) -> None:
        path = self._memory.log_path(container_id)
        if path is None and self._log_path is not None:
            path = self._log_path(session)
        if path is None:
            return
        text = self._containers.log_end(container_id, _LOG_LINES, self._limits.log_kept_bytes)
        path.parent.mkdir(parents=True, exist_ok=True)
        redactor = None if self._redactions is None else LogRedactor(**asdict(self._redactions()))
        log = RotatingLog(path, self._limits.log_kept_bytes, _LOG_KEEP, redactor)
        log.write(text.encode())
        log.close()
