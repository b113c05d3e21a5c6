"""What stands around a host in virtual time? Its sessions in memory, a runner of coroutines, and a way to die."""

import asyncio
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

from simulation_agent import Box, Gone

from turnkeel_adapters.runners.errors import RuntimeUnavailable, SpawnFailed
from turnkeel_adapters.runners.records import Alive, Ended, Handle, SpawnOrder, StillThere, Stopped, Unknown
from turnkeel_adapters.sessions.memory import MemorySessionStore
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.sessions.records import FileStamp, FolderSignature
from turnkeel_adapters.sessions.tree import FolderFault, FoundSession, TreeListing


class HostGone(BaseException):
    """The host was killed: none of its code runs on."""


class Life:
    """One host process. `step` is called around everything it does to the world; it may be its last."""

    def __init__(self, die_after: int | None = None) -> None:
        self.alive = True
        self.steps = 0
        self.died_at = ""
        self._die_after = die_after

    def step(self, what: str) -> None:
        """Go on, or be killed here."""
        self.steps += 1
        if self._die_after is not None and self.steps > self._die_after and self.alive:
            self.alive, self.died_at = False, what
        if not self.alive:
            raise HostGone(what)


class HostSide:
    """Something as the host sees it: each call is counted, may find a fault, and may be the host's last."""

    def __init__(self, inner, life: Life, faults: "Callable[[str], BaseException | None]") -> None:
        self._inner = inner
        self._life = life
        self._faults = faults

    def __getattr__(self, name: str):
        wanted = getattr(self._inner, name)
        if not callable(wanted):
            return wanted

        def call(*args, **kwargs):
            self._life.step(f"before {name}")
            if (fault := self._faults(name)) is not None:
                raise fault
            given = wanted(*args, **kwargs)
            self._life.step(f"after {name}")
            return given

        return call


class DatabaseSide:
    """turnkeel.db as the host has it: it may be killed around a transaction or find that nothing can be written."""

    def __init__(self, database, life: Life, fault: "Callable[[], BaseException | None]") -> None:
        self._begin = database.transaction
        self._rows = database.rows
        self._life = life
        self._fault = fault

    @contextmanager
    def transaction(self):
        """As the database's."""
        self._life.step("before begin")
        if (fault := self._fault()) is not None:
            raise fault
        with self._begin() as db:
            yield db
            self._life.step("before commit")
        self._life.step("after commit")

    def rows(self, sql, *bindings):
        """As the database's."""
        self._life.step("rows")
        return self._rows(sql, *bindings)


class Session(MemorySessionStore):
    """One session's files; `fault` is raised by whatever the host does with them."""

    def __init__(self, name: str, clock) -> None:
        super().__init__()
        self.name = name
        self.reads = 0
        self.fault: BaseException | None = None
        self._clock = clock
        self._written_at_ms = clock.wall_ms

    @contextmanager
    def outbound(self):
        with super().outbound() as db:
            yield db
        self._written_at_ms = self._clock.wall_ms

    def signature(self) -> FolderSignature:
        """As on a disk: the outbound stamp is the time of the container's last write."""
        seen = super().signature()
        assert seen.outbound is not None
        stamp = FileStamp(inode=2, size=seen.outbound.mtime_ns, mtime_ns=self._written_at_ms * 1_000_000)
        return FolderSignature(inbound=seen.inbound, outbound=stamp, heartbeat_at_ms=seen.heartbeat_at_ms)

    def host_fault(self, call: str) -> BaseException | None:
        """What the host finds when it makes this call."""
        self.reads += call == "read"
        return self.fault if call in ("read", "write_inbound", "release_claims", "prepare") else None


class Sessions:
    """The tree of a data directory."""

    def __init__(self) -> None:
        self.stores: dict[str, Session] = {}
        self.closed: frozenset[str] = frozenset()
        self.unusable: dict[str, str] = {}

    def host_side(self, life: Life) -> "_SessionsSeen":
        """For the ports of one host."""
        return _SessionsSeen(self, life)


class _SessionsSeen:
    def __init__(self, sessions: Sessions, life: Life) -> None:
        self._sessions = sessions
        self._life = life

    def find(self) -> TreeListing:
        self._life.step("find")
        unusable = self._sessions.unusable
        names = [SessionName.parse(name) for name in self._sessions.stores if name not in unusable]
        return TreeListing(
            sessions=tuple(FoundSession(name=n, folder=Path(str(n))) for n in sorted(names)),
            faults=tuple(FolderFault(folder=Path("/data") / name, detail=why) for name, why in unusable.items()),
        )

    def closed_in_registry(self) -> frozenset[str]:
        return self._sessions.closed

    def store(self, session: str) -> HostSide:
        store = self._sessions.stores[session]
        return HostSide(store, self._life, store.host_fault)


class Launcher:
    """Orders that say nothing: the runner knows the scripts."""

    def order(self, session: str, incarnation: int) -> SpawnOrder:
        """An order."""
        return SpawnOrder(
            session=session,
            incarnation=incarnation,
            folder=Path(session),
            argv=("agent",),
            environment={},
            log_path=self.log_path(session),
        )

    def log_path(self, session: str) -> Path:
        """Where nothing is ever written."""
        return Path("agent.log")


class Doorbell:
    """A bell in memory."""

    def __init__(self) -> None:
        self.is_rung = False

    def rung(self) -> bool:
        """Since the last question."""
        was, self.is_rung = self.is_rung, False
        return was


class VirtualRunner:
    """Containers are tasks. What happened to them is kept: `spawns`, `stops`, and the most that ran side by side."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock, sessions: Sessions) -> None:
        self.boxes: list[Box] = []
        self.scripts: dict[str, list] = {}
        self.spawns: list[tuple[int, str, int]] = []
        self.stops: list[tuple[int, str, int]] = []
        self.adopted: list[tuple[str, int]] = []
        self.down: str | None = None
        self.violations: list[str] = []
        self.unknown: dict[str, str] = {}
        self.unstoppable: set[str] = set()
        self.refusals: dict[str, int] = {}
        self.last_words: dict[str, Callable[[Box], None]] = {}
        self.stop_takes_ms = 0
        self.start_takes_ms: dict[str, int] = {}
        self.owed_ms = 0
        self._loop = loop
        self._clock = clock
        self._sessions = sessions

    def spawn(self, order: SpawnOrder) -> Handle:
        """Start the session's next script; the last one is used again and again. May take its time, by session."""
        if self.down is not None:
            raise SpawnFailed(order.session, self.down, "start the runtime")
        if self.refusals.get(order.session, 0) > 0:
            self.refusals[order.session] -= 1
            raise SpawnFailed(order.session, "refused", "nothing to do: a test said so")
        if self.living(order.session):
            self.violations.append(f"two containers of {order.session} at once")
        at_ms = self._clock.wall_ms
        box = Box(order.session, order.incarnation, self._sessions.stores[order.session], self._clock)
        script = self.scripts[order.session]
        box.task = self._loop.create_task(self._live(box, script.pop(0) if len(script) > 1 else script[0]))
        self.boxes.append(box)
        self.spawns.append((self._clock.mono_ms, order.session, order.incarnation))
        self.owed_ms += self.start_takes_ms.get(order.session, 0)
        return Handle(
            runtime="virtual",
            container_id=f"{len(self.boxes) - 1}",
            session=order.session,
            incarnation=order.incarnation,
            spawned_at_ms=at_ms,
        )

    def look(self, handle: Handle) -> Alive | Ended | Unknown:
        """As a runtime would say."""
        if self.down is not None:
            return Unknown(reason=self.down)
        if handle.session in self.unknown:
            return Unknown(reason=self.unknown[handle.session])
        ended = self.box(handle).ended
        return Alive() if ended is None else ended

    def stop(self, handle: Handle, grace_ms: int) -> Stopped | StillThere:
        """Ends it at once, after its `last_words`; the call itself may take its time (`stop_takes_ms`)."""
        box = self.box(handle)
        self.stops.append((self._clock.mono_ms, handle.session, handle.incarnation))
        self.owed_ms += self.stop_takes_ms
        if self.down is not None or handle.session in self.unstoppable:
            return StillThere(reason="it ignores SIGKILL", pids=(1,))
        if box.ended is None:
            self.last_words.get(handle.session, lambda box: None)(box)
            self.end(box, None, 9)
        return Stopped(ended=box.ended, forced=True, survivors_killed=0)

    def list_own(self) -> tuple[Handle, ...]:
        """What still runs, whoever started it."""
        if self.down is not None:
            raise RuntimeUnavailable(self.down)
        return tuple(
            Handle(
                runtime="virtual",
                container_id=f"{index}",
                session=box.session,
                incarnation=box.number,
                spawned_at_ms=0,
            )
            for index, box in enumerate(self.boxes)
            if box.ended is None
        )

    def adopt(self, handle: Handle, log_path: Path) -> None:
        """Note it: a container is a task, whoever watches it."""
        self.adopted.append((handle.session, handle.incarnation))

    def trouble(self) -> str | None:
        """What is wrong with the runtime: a test says it."""
        return self.down

    def forget(self, handle: Handle) -> None:
        """Nothing to forget."""

    def box(self, handle: Handle) -> Box:
        """The container of a handle."""
        return self.boxes[int(handle.container_id)]

    def living(self, session: str | None = None) -> list[Box]:
        """The containers that run."""
        return [box for box in self.boxes if box.ended is None and session in (None, box.session)]

    def end(self, box: Box, exit_code: int | None, signal: int | None) -> None:
        """It is dead from here on."""
        box.stop_beating()
        box.ended = Ended(exit_code=exit_code, signal=signal, ended_at_ms=self._clock.wall_ms)
        if box.task is not None:
            box.task.cancel()

    async def _live(self, box: Box, script) -> None:
        exit_code, signal = 0, None
        try:
            await script(box)
        except Gone as gone:
            exit_code, signal = gone.exit_code, gone.signal
        except asyncio.CancelledError:
            if box.ended is None:
                raise
        except BaseException as error:
            self.violations.append(f"script of {box.session} #{box.number}: {error!r}")
        if box.ended is None:
            box.task = None
            self.end(box, exit_code, signal)
