"""When does a host look at its schedules, and what does it do about what it finds?"""

import asyncio
from collections.abc import Mapping

from attrs import frozen

from turnkeel.events import FaultCleared, FaultSeen
from turnkeel.schedules.firing import Started, deliver
from turnkeel.schedules.looking import calls_for_look, look, next_look
from turnkeel.schedules.ports import FiringPorts, SchedulerPorts
from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.schedules.records import LastLook

_SUBJECT = "schedules"


@frozen
class _Looked:
    after_ms: int
    parked: Mapping[str, str]
    broken: Mapping[str, str]


class Scheduler:
    """Sleeps until the next nominal time. Each schedule is looked at in a transaction of its own."""

    def __init__(self, ports: SchedulerPorts) -> None:
        self._ports = ports
        self._woken = asyncio.Event()
        self._fault = ""
        self._broken: Mapping[str, str] = {}

    def poke(self) -> None:
        """A schedule may have changed: look soon. From the loop's own thread."""
        self._woken.set()

    async def serve(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; what is begun is stored, so nothing is left to do then."""
        ending = asyncio.create_task(self._end_with(stop))
        try:
            while not stop.is_set():
                self._woken.clear()
                after_ms = await self.look()
                if not stop.is_set():
                    clock = self._ports.clock
                    await clock.wait(self._woken, clock.read().mono_ms + after_ms)
        finally:
            ending.cancel()

    async def look(self) -> int:
        """One look at all; in how many ms the next is due. A fault of the store is told once and waited out."""
        policy = self._ports.firing.policy
        try:
            looked = await self._ports.executor.run(_look_at_all, self._ports.firing)
        except AdapterError as error:
            if str(error) != self._fault:
                self._ports.report(FaultSeen("", _SUBJECT, error.category, str(error)))
            self._fault = str(error)
            return policy.look_ms
        if self._fault:
            self._ports.report(FaultCleared("", _SUBJECT))
            self._fault = ""
        self._tell(looked)
        return looked.after_ms

    def _tell(self, looked: _Looked) -> None:
        for series, reason in looked.parked.items():
            self._ports.report(FaultSeen("", f"schedule {series}", "parked", reason))
        for series, reason in looked.broken.items():
            if self._broken.get(series) != reason:
                self._ports.report(FaultSeen("", f"schedule {series}", "broken", reason))
        self._broken = looked.broken

    async def _end_with(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._woken.set()


def _look_at_all(ports: FiringPorts) -> _Looked:
    with ports.store.reading() as work:
        now_ms = ports.now_ms()
        wanted = tuple(one.series for one in work.schedules.waiting() if calls_for_look(work, one, now_ms))
    started: list[Started] = []
    parked: dict[str, str] = {}
    broken: dict[str, str] = {}
    for series in wanted:
        try:
            with ports.store.transaction() as work:
                outlook = look(work, ports, series, ports.now_ms())  # the clock is read once the lock is had
        except AdapterError:
            raise
        except Exception as error:  # whatever is wrong with one schedule, the others go on
            broken[series] = f"{error!r}; this is a fault of the host: report it"
            continue
        started += outlook.started
        parked |= {} if outlook.parked is None else {series: outlook.parked}
    deliver(ports, tuple(started), ports.now_ms())
    after_ms = _note_look(ports, broken)
    return _Looked(max(after_ms, ports.policy.queued_look_ms) if broken else after_ms, parked, broken)


def _note_look(ports: FiringPorts, broken: Mapping[str, str]) -> int:
    """Leave word for whoever asks how the schedules are; in how many ms to look again."""
    policy = ports.policy
    with ports.store.transaction() as work:
        now_ms = ports.now_ms()
        if work.schedules.waiting():
            trouble = "; ".join(f"schedule {series}: {why}" for series, why in sorted(broken.items())) or None
            alarm_at_ms = now_ms + policy.missed_looks * policy.look_ms
            work.schedules.looked(LastLook(looked_at_ms=now_ms, alarm_at_ms=alarm_at_ms, trouble=trouble))
        return max(0, next_look(work, policy, now_ms) - now_ms)
