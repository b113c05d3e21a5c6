"""How is one session kept? Look, plan, act, and sleep until something can have changed."""

import asyncio

from attrs import evolve, frozen

from turnkeel.events import FaultCleared, FaultSeen
from turnkeel.followed import Followed, earliest
from turnkeel.host.act import act
from turnkeel.host.clock_watch import ClockWatch
from turnkeel.host.look import Situation, View, look, may_run
from turnkeel.host.ports import HostPolicies, HostPorts
from turnkeel.host.record import record, record_starts
from turnkeel.starts import QUEUED, Starts
from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.sessions.records import FolderSignature
from turnkeel_core import (
    ContainerUnknown,
    HoldWake,
    NoContainer,
    ParkRecurrence,
    StopContainer,
    StuckSnapshot,
    SweepPlan,
    Wake,
    plan_sweep,
    work_left,
)
from turnkeel_core.queue_facts import place_of, request_of

_PASSING = frozenset({"busy", "hot_journal"})


@frozen(kw_only=True)
class Rest:
    """How the last pass left the session. `quiet`: nothing is due, claimed or waiting for another try."""

    quiet: bool = False
    faulty: bool = False


class Keeper:
    """One session's passes, one at a time. A fault in it stays in it: looked at again with backoff."""

    def __init__(
        self, session: str, ports: HostPorts, policies: HostPolicies, starts: Starts, clock: ClockWatch
    ) -> None:
        self.session = session
        self.rest = Rest()
        self.busy = True
        self.doubt: str | None = None
        self._clock = clock
        self._ports = ports
        self._policies = policies
        self._starts = starts
        self._poked = asyncio.Event()
        self._closing = False
        self._prepared = False
        self._signature: FolderSignature | None = None
        self._faults: dict[str, tuple[str, str]] = {}
        self._held: HoldWake | None = None
        self._followed = Followed()
        self._retry_ms = 0
        self._failures = self._ineffective = 0

    def poke(self) -> None:
        """Something may have changed: look soon."""
        self.busy = True
        self._poked.set()

    def recheck(self, noted: frozenset[str]) -> None:
        """What an operator cleared, so that `noted` lacks it, is looked at again at once and told anew."""
        if self.session not in noted and (self._faults or self._ineffective or self._held):
            self._faults, self._held = dict.fromkeys(self._faults, ("", "")), None
            self._retry_ms = self._failures = self._ineffective = 0
            self.poke()

    def close(self) -> None:
        """End `keep` after the pass under way."""
        self._closing = True
        self._poked.set()

    def differs(self, signature: FolderSignature) -> bool:
        """Did a file change since the last pass? A heartbeat alone changes nothing before its time."""
        seen = self._signature
        return seen is None or (seen.inbound, seen.outbound) != (signature.inbound, signature.outbound)

    async def keep(self) -> None:
        """Pass after pass, until closed."""
        while not self._closing:
            self._poked.clear()
            next_look_ms = await self.look_once()
            self.busy = self._poked.is_set()
            if not self._closing:
                await self._ports.clock.wait(self._poked, next_look_ms)
            self.busy = True

    async def look_once(self) -> int | None:
        """One pass; the monotonic instant of the next one, if nothing happens before."""
        try:
            return await self._pass()
        except AdapterError as error:
            return await self._failed(error.subject, error.category, str(error))
        except Exception as error:  # one session's fault, whatever it is, must not end the others
            detail = f"{error!r}; this is a fault of the host: report it"
            return await self._failed("pass", type(error).__name__, detail)

    async def _pass(self) -> int | None:
        ports, run = self._ports, self._ports.executor.run
        store = await run(ports.sessions.store, self.session)
        self._signature = await run(store.signature)
        now_ms = self._clock.read().wall_ms
        clock, limited = self._clock, self._policies.sweep.limit.runs_per_hour is not None
        situation = Situation(now_ms=now_ms, doubt=self.doubt, place_wanted=self._starts.is_wanted(self.session))
        situation = evolve(situation, count_runs=limited, sleeps=clock.sleeps, set_back=clock.set_back)
        view = await run(look, self.session, ports, situation)
        if not self._prepared:
            await run(store.prepare)
            self._prepared = True
        self._followed = await run(ports.follow, self.session, view.reading, now_ms)
        view = evolve(view, snapshot=evolve(view.snapshot, aborted=self._followed.aborted))
        view, plan = self._plan(view)
        self._slot(view, plan)
        fresh = tuple(action for action in plan.actions if action != self._held)
        effective = True
        if fresh:
            queue = self._starts.facts(self.session, now_ms)
            await run(record, view, plan, ports, self._policies)
            await run(record_starts, view, plan, queue, ports, self._policies)
            # What waits for a container has threads of its own: one that starts slowly holds up no other session.
            effective = await ports.patient.run(act, view, fresh, ports, self._policies)
        acted = any(isinstance(action, Wake | StopContainer) for action in fresh)
        if acted:
            self._ineffective = 0 if effective else self._ineffective + 1
            if not effective and isinstance(view.snapshot.container, NoContainer):
                self._starts.give_back(self.session, now_ms)  # the others need not wait for its next try
        self._failures = 0
        self._retry_ms = self._longer() if acted and not effective else 0
        await self._remember(view, plan)
        return self._next_look(view, plan)

    def _plan(self, view: View) -> tuple[View, SweepPlan]:
        plan, seen = plan_sweep(view.snapshot, self._policies.sweep), view.snapshot
        if not any(isinstance(action, Wake) for action in plan.actions) or not isinstance(seen.container, NoContainer):
            return view, plan
        held = self._starts.take(request_of(self.session, seen, self._policies.sweep), seen.now_ms)
        if held is None:
            return view, plan
        view = evolve(view, snapshot=evolve(seen, container=evolve(seen.container, blocked=held)))
        return view, plan_sweep(view.snapshot, self._policies.sweep)

    def _slot(self, view: View, plan: SweepPlan) -> None:
        seen = view.snapshot
        if isinstance(seen.container, StuckSnapshot):
            self._starts.keep(place_of(self.session, seen, seen.container, self._policies.sweep), seen.now_ms)
        elif not any(isinstance(a, Wake) or (isinstance(a, HoldWake) and a.reason in QUEUED) for a in plan.actions):
            self._starts.give_back(self.session, seen.now_ms)

    def _next_look(self, view: View, plan: SweepPlan) -> int | None:
        now = self._ports.clock.read()
        if self._retry_ms:
            return now.mono_ms + self._retry_ms
        if any(isinstance(action, Wake | StopContainer) for action in plan.actions):
            # What was started must be judged, and what was stopped may be owed a retry: look again.
            return now.mono_ms + self._policies.host.running_poll_ms
        if isinstance(view.snapshot.container, ContainerUnknown):
            return now.mono_ms + self._policies.host.fault_retry_ms
        change_ms = earliest(plan.next_change_at_ms, self._followed.next_look_at_ms)
        next_ms = None if change_ms is None else now.mono_ms + max(change_ms - view.snapshot.now_ms, 1)
        if self._just_written(view.snapshot.now_ms):
            soon_ms = now.mono_ms + self._policies.host.running_poll_ms
            return soon_ms if next_ms is None else min(soon_ms, next_ms)
        return next_ms

    def _just_written(self, now_ms: int) -> bool:
        """Two writes within one tick of the file system's clock look like one: a fresh file is read once more."""
        written_at_ms = 0 if self._signature is None else self._signature.written_at_ms
        return 0 <= now_ms - written_at_ms < self._policies.host.running_poll_ms

    async def _remember(self, view: View, plan: SweepPlan) -> None:
        holds = [action for action in plan.actions if isinstance(action, HoldWake)]
        if self._held is not None and not holds:
            await self._ports.executor.run(self._ports.state.notes.release_hold, self.session)
        self._held = holds[0] if holds else None
        rows = {f"{f.table}.{f.column} of {f.message_id}": ("bad_row", f.detail) for f in view.reading.row_faults}
        rows |= {f"cron {note.message_id}": ("bad_cron", note.reason) for note in view.parked}
        rows |= {f"cron {a.message_id}": ("bad_cron", a.reason) for a in plan.actions if isinstance(a, ParkRecurrence)}
        await self._faults_are(rows, view.snapshot.now_ms)
        acts = self._followed.busy or any(isinstance(action, Wake | StopContainer) for action in plan.actions)
        hopeless = self._ineffective >= self._policies.host.passing_faults
        self.rest = Rest(
            quiet=hopeless or not (acts or view.reading.claims or work_left(view.snapshot)),
            faulty=bool(rows) or self._ineffective > 0,
        )

    async def _failed(self, subject: str, kind: str, detail: str) -> int:
        """A lock, or a journal that its dead writer left, goes by itself: told only when it is seen again."""
        now, policy = self._ports.clock.read(), self._policies.host
        passing = kind in _PASSING and self._failures < policy.passing_faults
        self._failures += 1
        if passing:
            self.rest = evolve(self.rest, quiet=False)
            return now.mono_ms + policy.running_poll_ms
        self._retry_ms = self._longer()
        self.rest = evolve(self.rest, quiet=True, faulty=True)
        try:
            await self._faults_are({subject: (kind, detail)}, now.wall_ms)
            if not await self._ports.executor.run(may_run, self.session, self._ports):
                self._starts.give_back(self.session, now.wall_ms)  # the others need not wait for its repair
        except AdapterError as error:
            self._ports.report(FaultSeen(self.session, "turnkeel.db", "state", str(error)))
        return now.mono_ms + self._retry_ms

    async def forget(self) -> None:
        """The session is no more: nothing of it is reported any longer."""
        await self._faults_are({}, self._ports.clock.read().wall_ms)
        self._starts.give_back(self.session, self._ports.clock.read().wall_ms)

    def _longer(self) -> int:
        policy = self._policies.host
        return min(max(self._retry_ms * 2, policy.fault_retry_ms), policy.fault_retry_max_ms)

    async def _faults_are(self, faults: dict[str, tuple[str, str]], now_ms: int) -> None:
        """Tell and keep what is new, clear what is gone; the same again costs nothing."""
        gone = frozenset(self._faults.keys() - faults.keys())
        come = {subject: fault for subject, fault in faults.items() if self._faults.get(subject) != fault}
        for subject in gone:
            self._ports.report(FaultCleared(self.session, subject))
        for subject, (kind, detail) in come.items():
            self._ports.report(FaultSeen(self.session, subject, kind, detail))
        if gone or come:
            await self._ports.executor.run(self._ports.state.notes.turn_faults, self.session, gone, come, now_ms)
        self._faults = faults
