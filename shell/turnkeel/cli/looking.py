"""What is true of each session now, seen without changing anything? The host's own look, with hands that cannot act."""

import os
from collections.abc import Callable
from datetime import UTC, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve

from turnkeel.cli.errors import CommandFailed
from turnkeel.cli.reading import Reading, patiently
from turnkeel.events import HostEvent
from turnkeel.host.look import Situation, View, look
from turnkeel.host.ports import HostPorts, Runner
from turnkeel.host.ports import Sessions as SessionsPort
from turnkeel_adapters.runners.errors import RunnerError
from turnkeel_adapters.runners.records import Alive, Ended, Handle, LookOutcome, SpawnOrder, StopOutcome, Unknown
from turnkeel_adapters.sessions.evidence import running_facts
from turnkeel_adapters.sessions.records import OutboundMark
from turnkeel_adapters.state.incarnations import Ending, Incarnations
from turnkeel_adapters.state.pauses import Pauses
from turnkeel_adapters.state.store import HostState
from turnkeel_adapters.system.clock import SystemClock
from turnkeel_adapters.system.doorbell import Doorbell
from turnkeel_adapters.system.executor import InlineExecutor
from turnkeel_adapters.system.install import INSTALL_ID_NAME, InstallIdUnreadable, install_id
from turnkeel_adapters.system.lock import Holder

if TYPE_CHECKING:
    from turnkeel.cli.seen_containers import SeenContainers


class Looker:
    """Takes a View of any session of a data directory."""

    def __init__(self, reading: Reading, zone: tzinfo = UTC) -> None:
        """`zone` is the zone of recurrences."""
        reading.state.incarnations = _FixedIncarnations(reading.state.database)
        reading.state.pauses = _FixedPauses(reading.state.database)
        runner = SeenProcesses(reading.data_dir, reading.host)
        self._ports = ports_for(
            reading.data_dir, state=reading.state, sessions=reading.sessions, runner=runner, zone=zone, report=_silent
        )

    def look(self, session: str) -> View:
        """The session now; SessionFault if its files cannot be read."""
        return patiently(lambda: look(session, self._ports, Situation(now_ms=self._ports.clock.read().wall_ms)))


class SeenProcesses:
    """A runner that only looks: at the processes of this install that this user can see, and at containers."""

    def __init__(self, data_dir: Path, host: Holder | None) -> None:
        self._data_dir = data_dir
        self._host = host
        self._running: frozenset[tuple[str, int]] | None = None
        self._blind: str | None = None
        self._containers: SeenContainers | None = None

    def look(self, handle: Handle) -> LookOutcome:
        """Does it run? Unknown where this user could not see it."""
        now_ms = SystemClock().read().wall_ms
        if handle.runtime != "process":
            # Loaded only where it is needed: `turnkeel status` is quick.
            from turnkeel.cli.seen_containers import SeenContainers

            self._containers = self._containers or SeenContainers()
            return self._containers.look(handle, now_ms)
        if self._running is None:
            self._running, self._blind = self._see()
        if (handle.session, handle.incarnation) in self._running:
            return Alive()
        if self._blind is not None:
            return Unknown(reason=self._blind)
        return Ended(exit_code=None, signal=None, ended_at_ms=now_ms)

    def any_running(self) -> bool:
        """Does any container of this install run?"""
        if self._running is None:
            self._running, self._blind = self._see()
        return bool(self._running)

    def runs(self, session: str) -> bool:
        """Is a process of any of its containers seen?"""
        if self._running is None:
            self._running, self._blind = self._see()
        return any(name == session for name, _ in self._running)

    def spawn(self, order: SpawnOrder) -> Handle:
        """Refuse."""
        raise RunnerError(f"a reading command starts nothing ({order.session})")

    def stop(self, handle: Handle, grace_ms: int) -> StopOutcome:
        """Refuse."""
        raise RunnerError(f"a reading command stops nothing ({handle.session}, grace {grace_ms} ms)")

    def list_own(self) -> tuple[Handle, ...]:
        """Nothing is this command's own."""
        return ()

    def adopt(self, handle: Handle, log_path: Path) -> None:
        """Refuse."""
        raise RunnerError(f"a reading command takes over nothing ({handle.session}, {log_path})")

    def trouble(self) -> str | None:
        """None: each look says for itself what it could not see."""
        return None

    def forget(self, handle: Handle) -> None:
        """Nothing is remembered."""

    def _see(self) -> tuple[frozenset[tuple[str, int]], str | None]:
        nothing: frozenset[tuple[str, int]] = frozenset()
        if not os.path.exists("/proc/self/environ"):
            return nothing, "this system has no /proc: its processes cannot be seen"
        if not (self._data_dir / INSTALL_ID_NAME).exists():
            return nothing, None
        # Loaded only where an incarnation is said to run: `turnkeel status` is quick.
        from turnkeel_adapters.runners.census import take_census

        try:
            running = frozenset(take_census(install_id(self._data_dir)))
        except (InstallIdUnreadable, OSError) as error:
            return nothing, str(error)
        return running, self._why_blind()

    def _why_blind(self) -> str | None:
        """The environment of another user's processes cannot be read, so not seeing them says nothing."""
        if self._host is None or os.geteuid() == 0:
            return None
        try:
            mine = self._host.pid is not None and os.stat(f"/proc/{self._host.pid}").st_uid == os.geteuid()
        except OSError:
            mine = False
        return None if mine else "the host runs as another user: its processes cannot be seen from here"


def ports_for(
    data_dir: Path,
    *,
    state: HostState,
    sessions: SessionsPort,
    runner: Runner,
    zone: tzinfo,
    report: Callable[[HostEvent], None],
    new_id: Callable[[str], str] = str,
) -> HostPorts:
    """Ports for single passes from a command: everything inline, no jitter, and nothing is ever started."""
    return HostPorts(
        clock=SystemClock(),
        executor=InlineExecutor(),
        runner=runner,
        sessions=sessions,
        state=state,
        launcher=_NoLauncher(),
        doorbell=Doorbell(data_dir),
        zone=zone,
        random_permille=lambda: 0,
        new_id=new_id,
        report=report,
    )


def assume_running(view: View) -> View:
    """The same session, taken as running in a container of unknown age: all evidence counts (DESIGN §4.1)."""
    now_ms, files = view.snapshot.now_ms, view.store.signature()
    container = running_facts(now_ms, None, view.reading, files)
    return evolve(view, snapshot=evolve(view.snapshot, container=container))


class _FixedIncarnations(Incarnations):
    """The end of a container that this look is the first to see stays unrecorded: recording it is the host's part."""

    def begin(self, session: str, number: int, spawned_at_ms: int, mark: OutboundMark) -> None:
        raise CommandFailed(f"a reading command starts nothing ({session})")

    def ended(
        self,
        session: str,
        number: int,
        *,
        at_ms: int,
        ending: Ending,
        exit_code: int | None,
        exit_signal: int | None,
        progressed: bool,
        oom: bool = False,
    ) -> None:
        return


class _FixedPauses(Pauses):
    """So does the pause that such an end can call for."""

    def pause(self, session: str | None, reason: str | None, at_ms: int) -> bool:
        return False


class _NoLauncher:
    def order(self, session: str, incarnation: int) -> SpawnOrder:
        raise RunnerError(f"this command starts no container ({session}, {incarnation})")

    def log_path(self, session: str) -> Path:
        return Path("logs") / f"{session}.log"


def _silent(event: HostEvent) -> None:
    """What a look sees is told by whoever asked for it."""
