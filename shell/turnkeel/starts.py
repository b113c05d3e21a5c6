"""Who holds a place to run, who waits for one, and who is asked to give its place? `plan_starts` decides."""

from collections.abc import Callable
from typing import Final

from attrs import evolve

from turnkeel_core import (
    BackingOff,
    Blocked,
    EndRun,
    GroupPlacesTaken,
    HoldReason,
    HoldStart,
    HostDraining,
    PlacesTaken,
    RunningPlace,
    SetTimer,
    StartNow,
    StartPolicy,
    StartRequest,
    StartSnapshot,
    WorkClaimed,
    YieldPlace,
    plan_starts,
)

QUEUED: Final = frozenset[Blocked]({"slot", "group", "claimed"})
"""What holds a session that waits in the queue."""


class Starts:
    """The host's memory of starts. `poke(session)` is called where something new holds for another session."""

    def __init__(self, policy: StartPolicy, poke: Callable[[str], None]) -> None:
        self._policy = policy
        self._poke = poke
        self._running: dict[str, RunningPlace] = {}
        self._waiting: dict[str, StartRequest] = {}
        self._holds: dict[str, HoldReason] = {}
        self._yields: frozenset[str] = frozenset()
        self._draining = False

    def take(self, request: StartRequest, now_ms: int) -> Blocked | None:
        """None if its session has a place; else what it waits for, in its turn."""
        if self._draining:
            return "draining"
        if request.session in self._running:
            return None
        if self._waiting.get(request.session) != request:
            self._waiting[request.session] = request
            self._decide(now_ms, asking=request.session)
        hold = self._holds.get(request.session)
        return None if hold is None else _word(hold)

    def keep(self, place: RunningPlace, now_ms: int) -> None:
        """Its session runs, however that came about; what it works on and whether it idles is news."""
        known = self._running.get(place.session)
        place = place if known is None else evolve(place, ahead=known.ahead)
        if place == known:
            return
        self._running[place.session] = place
        if self._waiting:
            self._decide(now_ms)

    def give_back(self, session: str, now_ms: int) -> None:
        """`session` neither runs nor can start now: whoever gets its place is told."""
        waited, ended = self._waiting.pop(session, None), self._running.pop(session, None)
        if waited is not None or ended is not None:
            self._decide(now_ms, ended=() if ended is None else (ended,))

    def is_wanted(self, session: str) -> bool:
        """Is its place wanted by one that waits, should it idle?"""
        return session in self._yields

    def drain(self, now_ms: int) -> tuple[str, ...]:
        """The host ends: nothing starts from now on; whom to ask to end."""
        self._draining = True
        seen = StartSnapshot(now_ms=now_ms, running=tuple(self._running.values()), draining=True)
        return tuple(action.session for action in plan_starts(seen, self._policy) if isinstance(action, EndRun))

    def facts(self, session: str, now_ms: int) -> StartSnapshot:
        """What the journal keeps of the queue about `session`: who runs, the first of those that wait, and itself."""
        first = list(self._waiting)[: len(self._running)]
        waiting = tuple(request for name, request in self._waiting.items() if name in first or name == session)
        return StartSnapshot(now_ms=now_ms, running=tuple(self._running.values()), waiting=waiting)

    @property
    def running(self) -> tuple[str, ...]:
        """Who holds a place."""
        return tuple(self._running)

    def _decide(self, now_ms: int, *, ended: tuple[RunningPlace, ...] = (), asking: str = "") -> None:
        seen = StartSnapshot(
            now_ms=now_ms,
            running=tuple(self._running.values()),
            waiting=tuple(self._waiting.values()),
            ended=ended,
            draining=self._draining,
        )
        waiting, news = self._waiting, set[str]()
        self._waiting, self._holds, yields = {}, {}, set[str]()
        for action in plan_starts(seen, self._policy):
            match action:
                case StartNow(session, ahead):
                    request = waiting[session]
                    self._running[session] = RunningPlace(session=session, work=request.work, ahead=ahead)
                    news.add(session)
                case HoldStart(session, _, because):
                    self._waiting[session], self._holds[session] = waiting[session], because
                case YieldPlace(session):
                    yields.add(session)
                case EndRun() | SetTimer():
                    pass  # the host drains by `drain`; its sessions wait out their backoffs before they ask
        for session in (news | (yields - self._yields)) - {asking}:
            self._poke(session)
        self._yields = frozenset(yields)


def _word(why: HoldReason) -> Blocked:
    match why:
        case PlacesTaken() | BackingOff():
            return "slot"
        case GroupPlacesTaken():
            return "group"
        case WorkClaimed():
            return "claimed"
        case HostDraining():
            return "draining"
