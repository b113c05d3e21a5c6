"""What became of a turn, and does the store take a message now?"""

import asyncio
from typing import Final

from attrs import frozen

from turnkeel.ingress.ports import IngressPorts
from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.lifecycle.port import LifecycleStore
from turnkeel_core.lifecycle_states import TurnStatus

_PROBE: Final = "probe:ingress"  # no encoded identity begins like this
_FRESH_MS: Final = 1_000


@frozen(kw_only=True)
class TurnSeen:
    """How a turn stands."""

    status: TurnStatus
    reason: str | None
    error: str | None


def turn_status(store: LifecycleStore, turn_id: str) -> TurnSeen | None:
    """None if no such turn is kept. AdapterError."""
    with store.reading() as work:
        turn = work.tables.turns.get(turn_id)
        note = work.tables.turns.note(turn_id)
    if turn is None:
        return None
    return TurnSeen(status=turn.status, reason=turn.reason, error=None if note is None else note.error)


def probe(store: LifecycleStore, now_ms: int) -> None:
    """Write to the store as a message would, and leave nothing behind. AdapterError."""
    with store.transaction() as work:
        work.tables.identities.keep(_PROBE, _PROBE, now_ms)
        work.tables.identities.forget(_PROBE)


class Health:
    """Whether the store can be written; asked often, it writes once a second."""

    def __init__(self, ports: IngressPorts) -> None:
        self._ports = ports
        self._lock = asyncio.Lock()
        self._seen: tuple[int, bool] | None = None

    async def check(self) -> bool:
        """As of now, or of a moment ago."""
        async with self._lock:
            now_ms = self._ports.now_ms()
            if self._seen is None or not 0 <= now_ms - self._seen[0] < _FRESH_MS:
                self._seen = now_ms, await self._probe(now_ms)
            return self._seen[1]

    async def _probe(self, now_ms: int) -> bool:
        try:
            await self._ports.executor.run(probe, self._ports.store, now_ms)
        except AdapterError:
            return False
        return True
