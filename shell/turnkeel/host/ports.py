"""What does the host need from outside? Small protocols; adapters fit them by shape."""

import asyncio
from collections.abc import Callable
from datetime import tzinfo
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

from attrs import Factory, field, frozen

from turnkeel.events import HostEvent
from turnkeel.followed import Follow, follow_nothing
from turnkeel_adapters.runners.records import Handle, LookOutcome, SpawnOrder, StopOutcome
from turnkeel_adapters.sessions.records import FolderSignature, InboundChanges, OutboundMark, SessionReading
from turnkeel_adapters.sessions.tree import TreeListing
from turnkeel_adapters.state.store import HostState
from turnkeel_adapters.system.clock import Instant
from turnkeel_core import AdoptionPolicy, HostPolicy, Run, StartPolicy, SuspendPolicy, SweepPolicy

P = ParamSpec("P")
T = TypeVar("T")


class Clock(Protocol):
    """Both clocks, and every wait of the host."""

    def read(self) -> Instant: ...
    async def wait(self, event: asyncio.Event | None, until_mono_ms: int | None) -> None: ...


class Executor(Protocol):
    """Every blocking call of the host."""

    async def run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T: ...


class Runner(Protocol):
    """Starts and stops containers; a stop is verified before it is reported.

    `list_own` raises RuntimeUnavailable while the runtime does not answer; `trouble` says what was wrong last.
    """

    def spawn(self, order: SpawnOrder) -> Handle: ...
    def look(self, handle: Handle) -> LookOutcome: ...
    def stop(self, handle: Handle, grace_ms: int) -> StopOutcome: ...
    def list_own(self) -> tuple[Handle, ...]: ...
    def adopt(self, handle: Handle, log_path: Path) -> None: ...
    def trouble(self) -> str | None: ...
    def forget(self, handle: Handle) -> None: ...


class SessionStore(Protocol):
    """One session's files, opened and closed by each call."""

    def prepare(self) -> None: ...
    def read(self, now_ms: int, since: OutboundMark | None = None) -> SessionReading: ...
    def runs(self, since_ms: int, charged: tuple[Run, ...]) -> tuple[Run, ...]: ...
    def write_inbound(self, changes: InboundChanges) -> None: ...
    def release_claims(self) -> tuple[str, ...]: ...
    def roll_back(self, *, inbound_only: bool = False) -> None: ...
    def clone_recurrence(self, message_id: str, new_id: str, next_at_ms: int, now_ms: int) -> bool: ...
    def payload(self, message_id: str) -> str | None: ...
    def error_note(self, message_id: str) -> str | None: ...
    def signature(self) -> FolderSignature: ...
    def remove_heartbeat(self) -> None: ...


class Sessions(Protocol):
    """The sessions of a data directory."""

    def find(self) -> TreeListing: ...
    def closed_in_registry(self) -> frozenset[str]: ...
    def store(self, session: str) -> SessionStore: ...


class Launcher(Protocol):
    """Says how a session's container is started."""

    def order(self, session: str, incarnation: int) -> SpawnOrder: ...
    def log_path(self, session: str) -> Path: ...


class Doorbell(Protocol):
    """Rung by whoever wrote a message: a hint, never the only way to find it."""

    def rung(self) -> bool: ...


def _executor(ports: "HostPorts") -> Executor:
    return ports.executor


@frozen(kw_only=True)
class HostPorts:
    """Everything outside that the host uses. `patient` runs what waits for a container: starts and stops."""

    clock: Clock
    executor: Executor
    runner: Runner
    sessions: Sessions
    state: HostState
    launcher: Launcher
    doorbell: Doorbell
    zone: tzinfo
    random_permille: Callable[[], int]
    new_id: Callable[[str], str]
    report: Callable[[HostEvent], None]
    follow: Follow = follow_nothing
    patient: Executor = field(default=Factory(_executor, takes_self=True))


@frozen(kw_only=True)
class HostPolicies:
    """All limits of one host."""

    sweep: SweepPolicy = SweepPolicy()
    start: StartPolicy = StartPolicy()
    suspend: SuspendPolicy = SuspendPolicy()
    adoption: AdoptionPolicy = AdoptionPolicy()
    host: HostPolicy = HostPolicy()
