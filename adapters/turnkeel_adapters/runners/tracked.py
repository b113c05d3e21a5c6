"""What does a runner know of a container whose guard works for it?"""

import threading
import time
from collections.abc import Callable

from attrs import Factory, define

from turnkeel_adapters.runners.census import ContainerKey, end_container
from turnkeel_adapters.runners.guard.report import Report
from turnkeel_adapters.runners.guarded import GuardLink
from turnkeel_adapters.runners.records import Ended, Handle, StillThere, StopOutcome, Stopped
from turnkeel_adapters.runners.rundir import RunFolder


@define(kw_only=True)
class Tracked:
    """A container, the link to its guard, and how it ended once that is verified."""

    handle: Handle
    link: GuardLink
    run: RunFolder
    past: Stopped | None = None
    _lock: threading.Lock = Factory(threading.Lock)

    def conclude(self, now_ms: Callable[[], int], *, kill_ms: int) -> StopOutcome:
        """Read back that nothing is left, and keep the answer; what a killed guard left behind is killed."""
        if self.past is None:
            ending = end_container(self.run.install_id, key_of(self.handle), 0, kill_ms)
            if ending.left or not self.link.wait(kill_ms):
                return still_there(ending.left)
            return self._keep(self._past(now_ms(), ending.forced, ending.killed))
        return self.past

    def _keep(self, past: Stopped) -> Stopped:
        with self._lock:  # two threads may get here at once: the first one's answer stays
            if self.past is None:
                self.past = past
            return self.past

    def _past(self, now_ms: int, forced: bool, killed: int) -> Stopped:
        report = self.link.report()
        if report is None:
            return stopped(self.run.report(key_of(self.handle)), now_ms, forced=forced, killed=killed)
        ago_ms = max(0, time.monotonic_ns() // 1_000_000 - report.ended_mono_ms)
        return stopped(report._replace(ended_at_ms=now_ms - ago_ms), now_ms, forced=forced, killed=killed)


def key_of(handle: Handle) -> ContainerKey:
    """By what a container is told from all others of its install."""
    return handle.session, handle.incarnation


def stopped(report: Report | None, now_ms: int, *, forced: bool, killed: int) -> Stopped:
    """The end of a container by its guard's report, if there is one, and by what it took this runner to end it."""
    if report is None:
        return Stopped(ended=how_ended(None, now_ms), forced=forced, survivors_killed=killed)
    survivors = report.survivors_killed + killed
    return Stopped(ended=how_ended(report, now_ms), forced=report.forced or forced, survivors_killed=survivors)


def how_ended(report: Report | None, now_ms: int) -> Ended:
    """Nothing of it runs; without a report nobody saw how it ended. Never later than now."""
    if report is None:
        return Ended(exit_code=None, signal=None, ended_at_ms=now_ms)
    ended_at_ms = min(report.ended_at_ms, now_ms)
    return Ended(exit_code=report.exit_code, signal=report.signal, ended_at_ms=ended_at_ms)


def still_there(pids: tuple[int, ...]) -> StillThere:
    """The answer for processes that outlived KILL."""
    reason = "they outlived KILL (a disk that hangs?) or belong to another user; end them by hand"
    return StillThere(reason=reason, pids=pids)
