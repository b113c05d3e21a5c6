"""What time is it, and how does a host wait?"""

import asyncio
import time

from attrs import frozen


@frozen(kw_only=True)
class Instant:
    """One reading of both clocks. On Linux `mono_ms` stands still while the machine sleeps, `wall_ms` does not."""

    wall_ms: int
    mono_ms: int


class SystemClock:
    """The machine's clocks."""

    def read(self) -> Instant:
        """Both clocks now."""
        return Instant(wall_ms=time.time_ns() // 1_000_000, mono_ms=_mono_ms())

    async def wait(self, event: asyncio.Event | None, until_mono_ms: int | None) -> None:
        """Return when the event is set or the instant is reached; lets other tasks run at least once.

        ValueError if both are None: such a wait would never end.
        """
        if event is None and until_mono_ms is None:
            raise ValueError("a wait needs an event or an instant")
        await asyncio.sleep(0)
        waited_for = event or asyncio.Event()
        while not waited_for.is_set():
            left_ms = None if until_mono_ms is None else until_mono_ms - _mono_ms()
            if left_ms is not None and left_ms <= 0:
                return
            try:
                async with asyncio.timeout(None if left_ms is None else left_ms / 1000):
                    await waited_for.wait()
            except TimeoutError:
                pass  # the loop's timer may ring a moment early: look at the clock again


def _mono_ms() -> int:
    return time.monotonic_ns() // 1_000_000
