"""How do the host, the delivery of its replies and its door for messages live together, and end in the right order?"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Protocol

from turnkeel.delivery.ports import DeliveryPolicies, DeliveryPorts
from turnkeel.delivery.recover import recover_joins, stopped_sessions
from turnkeel.delivery.sender import Sender
from turnkeel.events import FaultCleared, FaultSeen
from turnkeel.host.host import Host, RunSummary
from turnkeel.host.ports import Doorbell
from turnkeel_adapters.errors import AdapterError


class Door(Protocol):
    """Where messages come in from outside, until `stop` is set."""

    async def serve(self, stop: asyncio.Event) -> None: ...


class Timetable(Protocol):
    """What makes messages of schedules as their times come, as a door does of what comes from outside."""

    async def look(self) -> object: ...
    async def serve(self, stop: asyncio.Event) -> None: ...
    def poke(self) -> None: ...


class Station:
    """One data directory served whole: messages in, containers at work, replies out."""

    def __init__(
        self,
        *,
        host: Host,
        sender: Sender,
        ports: DeliveryPorts,
        policies: DeliveryPolicies,
        doorbell: Doorbell,
        poll_ms: int,
        doors: tuple[Door, ...] = (),
        timetable: Timetable | None = None,
    ) -> None:
        """`doorbell` is looked at every `poll_ms`; its ring may mean a stop, something to send, or another schedule."""
        self._host = host
        self._sender = sender
        self._ports = ports
        self._policies = policies
        self._doorbell = doorbell
        self._poll_ms = poll_ms
        self._doors: tuple[Door, ...] = doors if timetable is None else (*doors, timetable)
        self._timetable = timetable
        self._fault = ""
        self._unmade: dict[str, str] = {}

    def stop(self) -> None:
        """Ask for a graceful end."""
        self._host.stop()

    async def run(self, *, until_idle: bool = False) -> RunSummary:
        """Serve until `stop()`, or until nothing is left to do and to send; whatever fails ends all of it."""
        shut, done = asyncio.Event(), asyncio.Event()
        await self._safely(self._recover)
        if self._timetable is not None:
            await self._timetable.look()  # what came due meanwhile is work that is left to do
        doors = [asyncio.create_task(door.serve(shut)) for door in self._doors]
        behind = [asyncio.create_task(self._sender.run(done)), asyncio.create_task(self._watch(done))]
        host = asyncio.create_task(self._serve(until_idle))
        try:
            await asyncio.wait({host, *doors, *behind}, return_when=asyncio.FIRST_COMPLETED)
            self._host.stop()
            shut.set()  # nothing is accepted any more; what was accepted is on the disk
            summary = await host
        finally:
            shut.set()
            done.set()
            ended = await asyncio.gather(*doors, *behind, return_exceptions=True)
        for outcome in ended:
            if isinstance(outcome, BaseException):
                raise outcome
        return summary

    async def _serve(self, until_idle: bool) -> RunSummary:
        summary = await self._host.run(until_idle=until_idle)
        # A reply that will be tried again is not done; one that waits for a person is.
        while until_idle and not await self._sender.drained(self._policies.settle.outbox.expiry_ms):
            self._sender.poke()
            await self._ports.clock.wait(None, self._ports.clock.read().mono_ms + self._poll_ms)
        return summary

    async def _watch(self, done: asyncio.Event) -> None:
        """What other processes wrote into turnkeel.db changes no file of a session: it is told by the doorbell."""
        fallback_ms = self._policies.delivery.fallback_ms
        next_ms = self._ports.clock.read().mono_ms + fallback_ms
        while not done.is_set():
            now_ms = self._ports.clock.read().mono_ms
            rung = await self._ports.executor.run(self._doorbell.rung)
            if rung or now_ms >= next_ms:
                next_ms = now_ms + fallback_ms
                self._sender.poke()
                if self._timetable is not None:
                    self._timetable.poke()
                await self._safely(self._look)
            await self._ports.clock.wait(done, self._ports.clock.read().mono_ms + self._poll_ms)

    async def _look(self) -> None:
        await self._recover()
        for session in await self._ports.executor.run(stopped_sessions, self._ports):
            self._host.poke(session)

    async def _recover(self) -> None:
        faults = await self._ports.executor.run(recover_joins, self._ports, self._ports.clock.read().wall_ms)
        for session in self._unmade.keys() - faults.keys():
            self._ports.report(FaultCleared(session, "inbox"))
        for session, fault in faults.items():
            if self._unmade.get(session) != fault:
                self._ports.report(FaultSeen(session, "inbox", "unmade", fault))
        self._unmade = faults

    async def _safely(self, look: Callable[[], Coroutine[None, None, None]]) -> None:
        """A fault of the store is told once and waited out."""
        fault = ""
        try:
            await look()
        except AdapterError as error:
            fault = str(error)
            if fault != self._fault:
                self._ports.report(FaultSeen("", "turnkeel.db", "state", fault))
        if self._fault and not fault:
            self._ports.report(FaultCleared("", "turnkeel.db"))
        self._fault = fault
