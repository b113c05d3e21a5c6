"""The loop: who must be looked at now?

Sessions sleep until the next instant at which their plan would change; in between, cheap stats notice what other
processes wrote: one doorbell, the files of running sessions, and now and then all folders. No limit is decided here.
"""

import asyncio

from attrs import frozen

from turnkeel.events import FaultCleared, FaultSeen, HostStarted, HostStopped
from turnkeel.host.clock_watch import ClockWatch
from turnkeel.host.keeper import Keeper
from turnkeel.host.look import may_run
from turnkeel.host.ports import HostPolicies, HostPorts
from turnkeel.host.reconcile import Census, reconcile, stop_for_shutdown
from turnkeel.starts import Starts
from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.runners.errors import RuntimeUnavailable
from turnkeel_adapters.state.pauses import Pause
from turnkeel_adapters.system.clock import Instant
from turnkeel_core import RunningPlace

_UNREACHED = "the container runtime has not said yet what runs"
_FENCED = "a stray container of this session could not be stopped"


@frozen(kw_only=True)
class RunSummary:
    """How the host left its sessions; `failed_messages` failed for good while it ran."""

    sessions: int
    faulty: tuple[str, ...]
    failed_messages: int


class Host:
    """One host on one data directory, whose lock its caller holds."""

    def __init__(self, ports: HostPorts, policies: HostPolicies) -> None:
        self._ports = ports
        self._policies = policies
        self._keepers: dict[str, Keeper] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._starts = Starts(policies.start, self.poke)
        self._listing_faults: dict[str, str] = {}
        self._clock = ClockWatch(ports.clock, policies.suspend, ports.report)
        self._fault = ""
        self._pauses: tuple[Pause, ...] = ()
        self._census: Census | None = None
        self._trouble: str | None = None
        self._due: dict[str, int] = {}
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Ask for a graceful end: no new starts, running containers stopped, what they finished settled."""
        self._stop.set()

    async def run(self, *, until_idle: bool = False) -> RunSummary:
        """Keep all sessions until `stop()`, or until nothing is left to do."""
        ports, policies = self._ports, self._policies
        dead = sum((await ports.executor.run(ports.state.dead.counts)).values())
        await ports.executor.run(ports.state.notes.clear)
        await self._compare(await self._served())
        await self._scan()
        ports.report(HostStarted(len(self._keepers), len(self._starts.running)))
        try:
            while not self._stop.is_set():
                if await self._watch_safely(until_idle):
                    break
                await ports.clock.wait(self._stop, ports.clock.read().mono_ms + policies.host.doorbell_poll_ms)
        finally:
            running = await self._drain()
        ports.report(HostStopped(running))
        faulty = {keeper.session for keeper in self._keepers.values() if keeper.rest.faulty}
        return RunSummary(
            sessions=len(self._keepers),
            faulty=tuple(sorted(faulty | self._listing_faults.keys())),
            failed_messages=sum((await ports.executor.run(ports.state.dead.counts)).values()) - dead,
        )

    def poke(self, session: str) -> None:
        """Something of this session may have changed: look soon."""
        if session in self._keepers:
            self._keepers[session].poke()

    def _poke_all(self) -> None:
        for keeper in self._keepers.values():
            keeper.poke()

    async def _watch_safely(self, until_idle: bool) -> bool:
        """A fault of the data directory or of turnkeel.db is told once and waited out; sessions that work go on.

        True once nothing is left to do, if that is to be the end.
        """
        fault, done, scanned = "", False, False
        try:
            scanned = await self._watch()
            done = until_idle and await self._nothing_left()
        except (AdapterError, OSError) as error:
            fault = str(error)
            if fault != self._fault:
                self._ports.report(FaultSeen("", "data directory", type(error).__name__, fault))
        if self._fault and not fault:
            if not scanned:
                return done  # nothing has been asked that could have failed
            self._ports.report(FaultCleared("", "data directory"))
        self._fault = fault
        return done

    async def _watch(self) -> bool:
        """One round of cheap checks, each kind with its own period; whether the directory and turnkeel.db were read."""
        policy, slept = self._policies.host, self._clock.sleeps
        now = self._clock.read()
        if self._clock.sleeps != slept:
            self._poke_all()
        await self._watch_runtime(now)
        rung = await self._ports.executor.run(self._ports.doorbell.rung)
        if self._is_due("fallback", policy.fallback_scan_ms, now):
            await self._scan()
            self._poke_all()
            return True
        if rung or self._is_due("idle", policy.idle_scan_ms, now):
            await self._scan()
            return True
        if self._is_due("running", policy.running_poll_ms, now):
            await self._check(tuple(s for s in self._starts.running if s in self._keepers))
        return False

    async def _watch_runtime(self, now: Instant) -> None:
        """The runtime's list beside the records: now and then, and while it does not answer, soon again."""
        policy, trouble = self._policies.host, self._ports.runner.trouble()
        if (trouble is None) != (self._trouble is None):
            seen = frozenset({"runtime"}), dict[str, tuple[str, str]]()
            if trouble is None:
                self._ports.report(FaultCleared("", "runtime"))
            else:
                self._ports.report(FaultSeen("", "runtime", "down", trouble))
                seen = frozenset[str](), {"runtime": ("down", trouble)}
            self._trouble = trouble
            await self._ports.executor.run(self._ports.state.notes.turn_faults, "", *seen, now.wall_ms)
            self._poke_all()
        waits = trouble is not None or self._census is None
        if (
            self._is_due("probe", policy.fault_retry_ms, now)
            and waits
            or self._is_due("reconcile", policy.reconcile_ms, now)
        ):
            await self._compare(tuple(self._keepers))

    async def _compare(self, served: tuple[str, ...]) -> None:
        """Until the runtime has answered once, nothing is known of any container and none is started."""
        ports, booting = self._ports, self._census is None
        # A folder that cannot be used now is no reason to end the container that works in it.
        served += tuple("/".join(path.split("/")[-2:]) for path in self._listing_faults)
        try:
            census = await ports.executor.run(reconcile, ports, self._policies, served, booting=booting)
        except RuntimeUnavailable:
            return  # the runner's `trouble` tells it
        self._census = census
        for session in census.adopted:
            if session not in self._starts.running:
                self._starts.keep(RunningPlace(session=session), ports.clock.read().wall_ms)
        for session, keeper in self._keepers.items():
            doubt = self._doubt(session)
            if keeper.doubt != doubt or session in census.gone:
                keeper.doubt = doubt
                keeper.poke()

    def _doubt(self, session: str) -> str | None:
        if self._census is None:
            return _UNREACHED
        return _FENCED if session in self._census.fenced else None

    def _is_due(self, what: str, period_ms: int, now: Instant) -> bool:
        if now.mono_ms < self._due.setdefault(what, now.mono_ms + period_ms):
            return False
        self._due[what] = now.mono_ms + period_ms
        return True

    async def _scan(self) -> None:
        """Find sessions by their folders, keep the new ones, look at the files of all."""
        ports, now_ms = self._ports, self._ports.clock.read().wall_ms
        names = await self._served()
        fresh = tuple(name for name in names if name not in self._keepers)
        await ports.executor.run(ports.state.registry.seen, fresh, now_ms)
        for name in fresh:
            self._keepers[name] = Keeper(name, ports, self._policies, self._starts, self._clock)
            self._keepers[name].doubt = self._doubt(name)
            self._tasks[name] = asyncio.create_task(self._keepers[name].keep(), name=name)
        await self._notice_pauses()
        noted = await ports.executor.run(ports.state.notes.noted)
        for keeper in self._keepers.values():
            keeper.recheck(noted)
        await self._drop(self._keepers.keys() - set(names))
        await self._check(tuple(name for name in names if name in self._keepers and name not in fresh))

    async def _served(self) -> tuple[str, ...]:
        """The sessions that have a folder and are not closed."""
        run = self._ports.executor.run
        listing = await run(self._ports.sessions.find)
        closed = await run(self._ports.state.registry.closed) | await run(self._ports.sessions.closed_in_registry)
        self._tell_listing_faults({str(fault.folder): fault.detail for fault in listing.faults})
        return tuple(name for found in listing.sessions if (name := str(found.name)) not in closed)

    async def _notice_pauses(self) -> None:
        """A pause or its end changes no file of the session."""
        pauses = await self._ports.executor.run(self._ports.state.pauses.paused)
        if pauses != self._pauses:
            self._pauses = pauses
            self._poke_all()

    async def _drop(self, gone: set[str]) -> None:
        """A session whose folder is gone, or that was closed, is kept no longer, once nothing of it runs."""
        for name in gone - set(self._starts.running):
            self._keepers[name].close()
            await self._tasks.pop(name)
            await self._keepers.pop(name).forget()

    def _tell_listing_faults(self, faults: dict[str, str]) -> None:
        for path in self._listing_faults.keys() - faults.keys():
            self._ports.report(FaultCleared(path, "folder"))
        for path in faults.keys() - self._listing_faults.keys():
            self._ports.report(FaultSeen(path, "folder", "not_a_session", faults[path]))
        self._listing_faults = faults

    async def _check(self, sessions: tuple[str, ...]) -> None:
        for session, changed in (await self._ports.executor.run(self._changed, sessions)).items():
            if changed:
                self._keepers[session].poke()

    def _changed(self, sessions: tuple[str, ...]) -> dict[str, bool]:
        """Stats, and for running sessions a look at the process: no file is opened."""
        found: dict[str, bool] = {}
        running = set(self._starts.running)
        for session in sessions:
            try:
                signature = self._ports.sessions.store(session).signature()
            except AdapterError:  # its own pass tells what is wrong; the others are looked at all the same
                found[session] = not self._keepers[session].rest.faulty
                continue
            gone = session in running and not may_run(session, self._ports)
            found[session] = gone or self._keepers[session].differs(signature)
        return found

    async def _nothing_left(self) -> bool:
        if any(keeper.busy or not keeper.rest.quiet for keeper in self._keepers.values()):
            return False
        await self._scan()
        return not any(keeper.busy for keeper in self._keepers.values())

    async def _drain(self) -> int:
        """Passes under way end, containers are stopped side by side, and a last pass settles what they finished."""
        self._starts.drain(self._ports.clock.read().wall_ms)
        for keeper in self._keepers.values():
            keeper.close()
        await asyncio.gather(*self._tasks.values())
        ends = self._starts.drain(self._ports.clock.read().wall_ms)
        running = tuple(session for session in ends if session in self._keepers)
        grace_ms = self._policies.host.shutdown_grace_ms
        run = self._ports.patient.run
        await asyncio.gather(*(run(stop_for_shutdown, session, self._ports, grace_ms) for session in running))
        for session in running:
            await self._keepers[session].look_once()
        return len(running)
