"""Who holds a place to run, and who waits for one, first come first served?"""

from collections.abc import Callable

from turnkeel_core import StartNow, StartPolicy, StartSnapshot, plan_starts


class Slots:
    """The host's memory of starts; `plan_starts` decides. `poke(session)` is called when a place became free."""

    def __init__(self, policy: StartPolicy, poke: Callable[[str], None]) -> None:
        self._policy = policy
        self._poke = poke
        self._running: list[str] = []
        self._waiting: list[str] = []

    def take(self, session: str, now_ms: int) -> bool:
        """A place for `session`, or its turn in the queue."""
        if session in self._running:
            return True
        if session not in self._waiting:
            self._waiting.append(session)
        if session not in self._startable(now_ms):
            for running in self._running:
                self._poke(running)  # one that idles gives its place
            return False
        self._waiting.remove(session)
        self._running.append(session)
        return True

    def keep(self, session: str) -> None:
        """`session` runs, however that came about."""
        if session not in self._running:
            self._running.append(session)

    def give_back(self, session: str, now_ms: int) -> None:
        """`session` neither runs nor can start now: the next in the queue is told."""
        if session not in self._waiting and session not in self._running:
            return
        for places in (self._waiting, self._running):
            if session in places:
                places.remove(session)
        for waiting in self._startable(now_ms):
            self._poke(waiting)

    @property
    def wanted(self) -> bool:
        """Does anybody wait for a place?"""
        return bool(self._waiting)

    @property
    def running(self) -> tuple[str, ...]:
        """Who holds a place."""
        return tuple(self._running)

    def _startable(self, now_ms: int) -> list[str]:
        seen = StartSnapshot(now_ms=now_ms, running=tuple(self._running), waiting=tuple(self._waiting))
        return [action.session for action in plan_starts(seen, self._policy) if isinstance(action, StartNow)]
