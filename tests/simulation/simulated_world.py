"""How does a test play a host through hours? A world holds the machine, one host after another, and what happened."""

import asyncio
import random
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import Self

from attrs import evolve, frozen
from simulation_agent import kit
from simulation_machine import (
    DatabaseSide,
    Doorbell,
    HostGone,
    HostSide,
    Launcher,
    Life,
    Session,
    Sessions,
    VirtualRunner,
)
from simulation_time import NothingCanHappen, VirtualClock, VirtualLoop

from turnkeel.events import HostEvent, Stopping
from turnkeel.host.host import Host, RunSummary
from turnkeel.host.ports import HostPolicies, HostPorts
from turnkeel_adapters.sessions.records import NewMessage
from turnkeel_adapters.state.store import FILE_NAME, HostState
from turnkeel_core import HostPolicy, StartPolicy, StopIdle, StuckPolicy, SweepPolicy

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE

USUAL = HostPolicies()
# Polls a little seldomer than usual: what costs a test its time is the host's own polling.
BRISK = HostPolicies(host=HostPolicy(doorbell_poll_ms=500, running_poll_ms=1_000))
# A calm host polls seldom: for scenarios that last days and do not ask when something was seen.
CALM = HostPolicies(host=HostPolicy(doorbell_poll_ms=20_000, running_poll_ms=20_000, idle_scan_ms=60_000))
# Everything ten times sooner: for hundreds of short lives.
QUICK = HostPolicies(
    sweep=SweepPolicy(
        stuck=StuckPolicy(
            ceiling_ms=180_000,
            claim_tolerance_ms=6_000,
            startup_deadline_ms=12_000,
            progress_silence_ms=120_000,
            unclaimed_limit_ms=120_000,
            idle_stop_ms=60_000,
            waiting_limit_ms=300_000,
        )
    ),
    start=StartPolicy(max_running=2),
    host=HostPolicy(doorbell_poll_ms=500, running_poll_ms=500, idle_scan_ms=5_000, fallback_scan_ms=30_000),
)


@frozen
class Told:
    """An event and the monotonic instant at which the host told it."""

    at_ms: int
    event: HostEvent


class VirtualExecutor:
    """Calls happen at once; what they would have taken passes afterwards. `delay` lets others in before a call.

    With `threads` only so many calls are under way at a time.
    """

    def __init__(
        self, runner: VirtualRunner, life: Life, delay: Callable[[], float], threads: int | None = None
    ) -> None:
        self._runner = runner
        self._life = life
        self._delay = delay
        self._free = None if threads is None else asyncio.Semaphore(threads)

    async def run(self, fn, *args, **kwargs):
        """The call's result."""
        if self._free is None:
            return await self._run(fn, *args, **kwargs)
        async with self._free:
            return await self._run(fn, *args, **kwargs)

    async def _run(self, fn, *args, **kwargs):
        self._life.step("run")
        if (delay_s := self._delay()) > 0:
            await asyncio.sleep(delay_s)
            self._life.step("run later")
        result = fn(*args, **kwargs)
        owed_ms, self._runner.owed_ms = self._runner.owed_ms, 0
        if owed_ms:
            await asyncio.sleep(owed_ms / 1000)
        return result


class World:
    """A data directory, its sessions, and a host that can be started, stopped and killed."""

    def __init__(self, data_dir: Path, policies: HostPolicies = USUAL, seed: int = 0) -> None:
        self.data_dir = data_dir
        self.policies = policies
        self.random = random.Random(seed)
        self.loop = VirtualLoop()
        self.loop.set_exception_handler(self._unhandled)
        self.clock = VirtualClock(self.loop)
        self.sessions = Sessions()
        self.runner = VirtualRunner(self.loop, self.clock, self.sessions)
        self.doorbell = Doorbell()
        self.told: list[Told] = []
        self.sent: list[tuple[str, str]] = []
        self.latency_s = 0.0
        self.threads: int | None = None
        self.state_fault: BaseException | None = None
        self.state = HostState(data_dir)
        self._host_state: HostState | None = None
        self.life = Life()
        self.host: Host | None = None
        self._task: asyncio.Task[RunSummary] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End everything; once is enough."""
        if self.loop.is_closed():
            return
        self.kill_host()
        for box in self.runner.living():
            self.runner.end(box, None, 9)
        self._reap(asyncio.all_tasks(self.loop))
        self.loop.close()
        for store in self.sessions.stores.values():
            store.close()
        self.state.close()

    def add(self, session: str, *scripts) -> Session:
        """A session whose containers follow these scripts, one after another, the last one for ever."""
        store = self.sessions.stores[session] = Session(session, self.clock)
        self.runner.scripts[session] = list(scripts) or [kit()]
        return store

    def send(self, session: str, message_id: str, *, ring: bool = True, **fields) -> str:
        """A message arrives."""
        message = NewMessage(message_id=message_id, content='{"text": "hello"}', **fields)
        self.sessions.stores[session].insert(message, self.clock.wall_ms)
        self.sent.append((session, message_id))
        self.doorbell.is_rung |= ring
        return message_id

    def start(self, *, until_idle: bool = False, die_after: int | None = None) -> None:
        """A host begins; `die_after` steps it is killed."""
        assert self._task is None, "one host at a time"
        self.life = Life(die_after)
        self.doorbell.is_rung = False
        self.host = Host(self._ports(), self.policies)
        self._task = self.loop.create_task(self.host.run(until_idle=until_idle), name="host")

    def play(self, for_ms: int) -> None:
        """Let virtual time pass, with a host."""
        if self._task is None:
            self.start()
        self.loop.run_until_complete(asyncio.sleep(for_ms / 1000))
        self._check()

    def play_until(self, condition: Callable[[], bool], limit_ms: int, every_ms: int = SECOND) -> bool:
        """Let time pass until it is so; False if it never was."""
        end_ms = self.clock.mono_ms + limit_ms
        while not condition():
            if self.clock.mono_ms >= end_ms:
                return False
            self.play(every_ms)
        return True

    def finish(self) -> RunSummary:
        """Ask the host to stop, or wait for it to find nothing left; returns its summary."""
        assert self._task is not None and self.host is not None
        task, self._task = self._task, None
        self.host.stop()
        summary = self.loop.run_until_complete(task)
        self.kill_host()
        return summary

    def wait_idle(self, limit_ms: int = HOUR) -> RunSummary:
        """Play `run(until_idle=True)` to its end."""
        self.start(until_idle=True)
        task, self._task = self._task, None
        assert task is not None
        summary = self.loop.run_until_complete(asyncio.wait_for(task, limit_ms / 1000))
        self.kill_host()
        return summary

    def kill_host(self) -> None:
        """SIGKILL: nothing of the host runs on; its containers do."""
        self.life.alive = False
        if self._task is not None:
            kept = {box.task for box in self.runner.boxes} | {box._beating for box in self.runner.boxes}
            self._reap(task for task in asyncio.all_tasks(self.loop) if task not in kept)
            self._task = None
        if self._host_state is not None:
            self._host_state.close()
            self._host_state = None

    @property
    def died(self) -> bool:
        """Was the host killed by its own step count?"""
        return not self.life.alive

    def events(self, kind: type, session: str | None = None) -> list[Told]:
        """What the host told of one kind."""
        return [
            t for t in self.told if isinstance(t.event, kind) and session in (None, getattr(t.event, "session", None))
        ]

    def status(self, session: str, message_id: str) -> tuple[str, int]:
        """Status and tries of a row."""
        with self.sessions.stores[session].inbound() as db:
            [row] = db.execute("SELECT status, tries FROM messages_in WHERE id = ?", (message_id,)).fetchall()
        return row

    def replies(self, session: str, message_id: str) -> int:
        """How often a message was answered."""
        with self.sessions.stores[session].outbound() as db:
            sql = "SELECT count(*) FROM messages_out WHERE in_reply_to = ?"
            [(count,)] = db.execute(sql, (message_id,)).fetchall()
        return count

    def settled(self) -> bool:
        """Has every message that was sent come to its end?"""
        return all(self.status(*sent)[0] in ("completed", "failed") for sent in self.sent)

    def passes(self, session: str) -> int:
        """How often the host read the session's files."""
        return self.sessions.stores[session].reads

    def commits(self) -> int:
        """The file's own count of its write transactions (bytes 24 to 27 of its header)."""
        return int.from_bytes((self.data_dir / FILE_NAME).read_bytes()[24:28], "big")

    def broken_laws(self) -> list[str]:
        """What must never happen and did (DESIGN §6, §4.6, §4.7); empty if all is well."""
        broken = list(self.runner.violations)
        boxes = {(box.session, box.number): box for box in self.runner.boxes}
        for told in self.events(Stopping):
            event = told.event
            box = boxes.get((event.session, event.incarnation))
            if box is not None and box.healthy and not isinstance(event.because, StopIdle):
                broken.append(f"a healthy container was killed: {event}")
        for session, message_id in self.sent:
            status, tries = self.status(session, message_id)
            attempts = sum(message_id in box.claimed for box in self.runner.boxes if box.session == session)
            if self.replies(session, message_id) > 1:
                broken.append(f"{session} {message_id} was answered {self.replies(session, message_id)} times")
            if tries > attempts:
                broken.append(f"{session} {message_id} was charged {tries} tries, {attempts} containers claimed it")
            if status == "failed" and not self.state.dead.of_message(session, message_id):
                broken.append(f"{session} {message_id} failed without a dead record")
            if status == "failed" and self.replies(session, message_id):
                broken.append(f"{session} {message_id} was answered and failed")
            settled = any(message_id in box.settled for box in self.runner.boxes if box.session == session)
            if status == "completed" and not settled:
                broken.append(f"{session} {message_id} is completed and nobody settled it")
        return broken

    def _ports(self) -> HostPorts:
        life = self.life
        runner = HostSide(self.runner, life, lambda call: None)
        state = self._host_state = HostState(self.data_dir)
        database = DatabaseSide(state.database, life, lambda: self.state_fault)
        for family in (state.incarnations, state.charges, state.dead, state.notes, state.journal, state.registry):
            family._database = database
        state.database.transaction = database.transaction
        return HostPorts(
            clock=_LivingClock(self.clock, life),
            executor=VirtualExecutor(self.runner, life, self._delay, self.threads),
            patient=VirtualExecutor(self.runner, life, self._delay),
            runner=runner,
            sessions=self.sessions.host_side(life),
            state=state,
            launcher=Launcher(),
            doorbell=self.doorbell,
            zone=UTC,
            random_permille=lambda: 0,
            new_id=lambda prefix: f"{prefix}-{self.random.randrange(10**9)}",
            report=lambda event: self.told.append(Told(self.clock.mono_ms, event)),
        )

    def _unhandled(self, loop: object, context: dict[str, object]) -> None:
        if not isinstance(context.get("exception"), HostGone):
            self.runner.violations.append(f"nobody handled {context}")

    def _delay(self) -> float:
        return self.random.uniform(0, self.latency_s) if self.latency_s else 0.0

    def _check(self) -> None:
        if self._task is not None and self._task.done() and not self.died:
            self._task.result()
            raise AssertionError("the host ended by itself")

    def _reap(self, tasks) -> None:
        waiting = list(tasks)
        for task in waiting:
            task.cancel()
        if waiting:
            self.loop.run_until_complete(asyncio.gather(*waiting, return_exceptions=True))


class _LivingClock:
    def __init__(self, clock: VirtualClock, life: Life) -> None:
        self._clock = clock
        self._life = life

    def read(self):
        return self._clock.read()

    async def wait(self, event: asyncio.Event | None, until_mono_ms: int | None) -> None:
        self._life.step("wait")
        await self._clock.wait(event, until_mono_ms)
        self._life.step("woken")


__all__ = [
    "BRISK",
    "CALM",
    "HOUR",
    "MINUTE",
    "QUICK",
    "SECOND",
    "USUAL",
    "HostGone",
    "NothingCanHappen",
    "World",
    "evolve",
]
