"""Who of those that wait is next, and what holds the others?

Turns go round the groups: a group that was served goes behind all others that wait, with everything it still has. Of a
group tasks go first. A group whose run has just ended may put a task before the groups that wait, but only so many in a
row as the policy says; so whoever waits is served after a known number of starts.
"""

from collections import Counter
from collections.abc import Iterator

from attrs import evolve

from turnkeel_core.policy import StartPolicy
from turnkeel_core.queue_records import (
    BackingOff,
    GroupPlacesTaken,
    HoldReason,
    HoldStart,
    HostDraining,
    PlacesTaken,
    RunningPlace,
    StartNow,
    StartRequest,
    StartSnapshot,
    WorkClaimed,
    YieldPlace,
)


class Queue:
    """The queue of one snapshot, started from as far as places are free."""

    def __init__(self, seen: StartSnapshot, policy: StartPolicy) -> None:
        self._seen = seen
        self._policy = policy
        self._running = {place.session: place for place in seen.running}
        self._groups = Counter(place.group for place in self._running.values())
        self._taken = {work: place.session for place in self._running.values() for work in place.work}
        self._waiting = _distinct(seen, self._running)
        self._first = _first_of(self._waiting)
        self._overtakes: dict[str, int] = {}
        self.started: list[StartRequest] = []
        self._fill()
        taken = PlacesTaken(self.places, policy.max_running)
        self._held: list[tuple[StartRequest, HoldReason]] = [(r, self._holds(r) or taken) for r in self._waiting]

    @property
    def places(self) -> int:
        """How many are taken, by those started here too."""
        return sum(self._groups.values())

    def starts(self) -> tuple[StartNow, ...]:
        """Who starts, in order. Nobody is overtaken where no other group waits for a place."""
        waiting = {request.group for request, because in self._held if isinstance(because, PlacesTaken)}
        return tuple(
            StartNow(request.session, self._overtakes.get(request.session, 0) if waiting - {request.group} else 0)
            for request in self.started
        )

    def holds(self) -> tuple[HoldStart, ...]:
        """Who waits, in the order of their turns, and why."""
        return tuple(HoldStart(request.session, n, because) for n, (request, because) in enumerate(self._held))

    def yields(self) -> tuple[YieldPlace, ...]:
        """Of those that idle the longest idle first, one for each that waits for a place it could use."""
        idle = sorted(
            (place for place in self._running.values() if place.idle_since_ms is not None and not place.asked),
            key=lambda place: place.idle_since_ms or 0,
        )
        if not idle:
            return ()
        leaving = [place for place in self._running.values() if place.asked and place.idle_since_ms is not None]
        found: list[YieldPlace] = []
        for request, because in self._held:
            if not isinstance(because, PlacesTaken | GroupPlacesTaken):
                continue
            own = isinstance(because, GroupPlacesTaken)
            if (gone := _usable(leaving, request, own=own)) is not None:
                leaving.remove(gone)
            elif (place := _usable(idle, request, own=own)) is not None:
                idle.remove(place)
                idle_ms = max(0, self._seen.now_ms - (place.idle_since_ms or 0))
                found.append(YieldPlace(place.session, idle_ms, request.session))
        return tuple(found)

    def backing_off(self) -> tuple[StartRequest, ...]:
        """Those that wait for an instant."""
        return tuple(request for request, because in self._held if isinstance(because, BackingOff))

    def _fill(self) -> None:
        ended: dict[str, int] = {}
        for place in self._seen.ended:
            ended[place.group] = max(place.ahead, ended.get(place.group, 0))
        # Before turns are asked: after them nobody remembers whose run made room.
        for group, ahead in ended.items():
            task = next((request for request in self._of(group) if request.kind == "task"), None)
            if task is not None and ahead < self._policy.tasks_ahead and self._is_free():
                self._overtakes[task.session] = ahead + 1
                self._start(task)
        while self._is_free() and (request := self._next()) is not None:
            self._start(request)

    def _is_free(self) -> bool:
        return self.places < self._policy.max_running

    def _next(self) -> StartRequest | None:
        first = next((request for request in self._waiting if self._holds(request) is None), None)
        if first is None or first.kind == "task":
            return first
        return next((request for request in self._of(first.group) if request.kind == "task"), first)

    def _of(self, group: str) -> Iterator[StartRequest]:
        return (r for r in self._waiting if r.group == group and self._holds(r) is None)

    def _start(self, request: StartRequest) -> None:
        self.started.append(request)
        self._groups[request.group] += 1
        self._taken |= dict.fromkeys(request.work, request.session)
        rest = [other for other in self._waiting if other is not request]
        # Behind all others: stable, so that of one group who came first goes first.
        self._waiting = sorted(rest, key=lambda other: other.group == request.group)
        self._first = _first_of(self._waiting)

    def _holds(self, request: StartRequest) -> HoldReason | None:
        """What holds a request beside the number of places."""
        policy, running = self._policy, self._groups[request.group]
        if self._seen.draining:
            return HostDraining()
        if request.not_before_ms is not None and request.not_before_ms > self._seen.now_ms:
            return BackingOff(request.not_before_ms)
        for work in request.work:
            holder = self._taken.get(work, self._first[work])
            if holder != request.session:
                return WorkClaimed(work, holder)
        if policy.max_running_per_group is not None and running >= policy.max_running_per_group:
            return GroupPlacesTaken(request.group, running, policy.max_running_per_group)
        return None


def _distinct(seen: StartSnapshot, running: dict[str, RunningPlace]) -> list[StartRequest]:
    """One request a session, at its first place; its longest backoff holds, whatever came since."""
    found: dict[str, StartRequest] = {}
    for request in seen.waiting:
        if request.session in running:
            continue
        first = found.setdefault(request.session, request)
        if first is not request:
            later = max((r.not_before_ms for r in (first, request) if r.not_before_ms is not None), default=None)
            found[request.session] = evolve(first, not_before_ms=later)
    return list(found.values())


def _first_of(waiting: list[StartRequest]) -> dict[str, str]:
    """Of those that wait with the same work, whose turn comes first."""
    return {work: request.session for request in reversed(waiting) for work in request.work}


def _usable(places: list[RunningPlace], request: StartRequest, *, own: bool) -> RunningPlace | None:
    return next((place for place in places if not own or place.group == request.group), None)
