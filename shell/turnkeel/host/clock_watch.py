"""What time is it, and did the machine sleep since the last look?"""

from collections.abc import Callable

from turnkeel.events import HostEvent, Resumed
from turnkeel.host.ports import Clock
from turnkeel_adapters.system.clock import Instant
from turnkeel_core import ClockSnapshot, GiveGrace, Sleep, SuspendPolicy, decide_grace
from turnkeel_core.suspend import SetBack, after_set_back


class ClockWatch:
    """Every pass reads the clock here, once: no pass can judge across a sleep that nobody noticed."""

    def __init__(self, clock: Clock, policy: SuspendPolicy, report: Callable[[HostEvent], None]) -> None:
        self._clock = clock
        self._policy = policy
        self._report = report
        self._before = clock.read()
        self.set_back: SetBack | None = None
        self.sleeps: tuple[Sleep, ...] = ()

    def read(self) -> Instant:
        """Both clocks; `sleeps` are the latest times the machine was found to have slept."""
        now, before = self._clock.read(), self._before
        self._before = now
        seen = ClockSnapshot(
            previous_wall_ms=before.wall_ms,
            previous_mono_ms=before.mono_ms,
            now_ms=now.wall_ms,
            now_mono_ms=now.mono_ms,
        )
        grace = decide_grace(seen, self._policy)
        if isinstance(grace, GiveGrace):
            sleep = Sleep(resumed_at_ms=grace.resumed_at_ms, gap_ms=grace.gap_ms)
            self.sleeps = (*self.sleeps, sleep)[-self._policy.remembered :]
            self._report(Resumed(grace.gap_ms))
        if now.wall_ms < before.wall_ms:
            would_be_ms = before.wall_ms + now.mono_ms - before.mono_ms
            until_ms = would_be_ms if self.set_back is None else max(would_be_ms, self.set_back.until_ms)
            self.set_back = SetBack(at_ms=now.wall_ms, until_ms=until_ms)
            self.sleeps = after_set_back(self.sleeps, now.wall_ms, would_be_ms - now.wall_ms)
        return now
