"""What does a runner know of a container it started itself?"""

import threading
import time
from collections.abc import Callable

from attrs import Factory, define

from turnkeel_adapters.runners.census import end_container
from turnkeel_adapters.runners.guarded import GuardLink
from turnkeel_adapters.runners.records import Ended, Handle, StillThere, StopOutcome, Stopped


@define(kw_only=True)
class Tracked:
    """A container, the link to its guard, and how it ended once that is verified."""

    handle: Handle
    link: GuardLink
    past: Stopped | None = None
    _lock: threading.Lock = Factory(threading.Lock)

    def conclude(self, install_id: str, now_ms: Callable[[], int], *, kill_ms: int) -> StopOutcome:
        """Read back that nothing is left, and keep the answer; what a killed guard left behind is killed."""
        if self.past is None:
            key = (self.handle.session, self.handle.incarnation)
            ending = end_container(install_id, key, 0, kill_ms)
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
            ended = Ended(exit_code=None, signal=None, ended_at_ms=now_ms)
            return Stopped(ended=ended, forced=forced, survivors_killed=killed)
        ago_ms = max(0, time.monotonic_ns() // 1_000_000 - report.ended_mono_ms)
        ended = Ended(exit_code=report.exit_code, signal=report.signal, ended_at_ms=now_ms - ago_ms)
        return Stopped(ended=ended, forced=report.forced or forced, survivors_killed=report.survivors_killed + killed)


def still_there(pids: tuple[int, ...]) -> StillThere:
    """The answer for processes that outlived KILL."""
    reason = "they outlived KILL (a disk that hangs?) or belong to another user; end them by hand"
    return StillThere(reason=reason, pids=pids)
