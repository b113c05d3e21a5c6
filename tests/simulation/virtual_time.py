"""How does an event loop live through hours at once? Its time jumps to the next timer; nothing ever waits."""

import asyncio
import contextlib
import selectors
from collections.abc import Mapping

from turnkeel_adapters.system.clock import Instant

START_WALL_MS = 1_800_000_000_000
START_MONO_MS = 1_000_000


class NothingCanHappen(RuntimeError):
    """Every task waits for something that no timer and no other task will bring."""


class _JumpingSelector(selectors.BaseSelector):
    """Tells the loop that its wait is over, and its clock that it has lasted."""

    def __init__(self) -> None:
        self._inner = selectors.DefaultSelector()
        self.now_s = START_MONO_MS / 1000

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NothingCanHappen
        self.now_s += max(timeout, 0.0)
        return []

    def register(self, fileobj, events, data=None):
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj):
        return self._inner.unregister(fileobj)

    def get_map(self) -> Mapping[object, selectors.SelectorKey]:
        return self._inner.get_map()

    def close(self) -> None:
        self._inner.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while nobody has anything to do."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds."""
        return self._jumping.now_s


class VirtualClock:
    """Both clocks of one machine, read off the loop; the wall clock can run ahead or be set."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._offset_ms = START_WALL_MS - START_MONO_MS

    @property
    def mono_ms(self) -> int:
        """The monotonic clock."""
        return round(self._loop.time() * 1000)

    @property
    def wall_ms(self) -> int:
        """The wall clock."""
        return self.mono_ms + self._offset_ms

    def step(self, by_ms: int) -> None:
        """Set the wall clock; a step forward is also what a machine sees that slept so long."""
        self._offset_ms += by_ms

    def read(self) -> Instant:
        """Both clocks now."""
        return Instant(wall_ms=self.wall_ms, mono_ms=self.mono_ms)

    async def wait(self, event: asyncio.Event | None, until_mono_ms: int | None) -> None:
        """As the system clock's."""
        if event is None and until_mono_ms is None:
            raise ValueError("a wait needs an event or an instant")
        await asyncio.sleep(0)
        waited_for = event or asyncio.Event()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(None if until_mono_ms is None else until_mono_ms / 1000):
                await waited_for.wait()
