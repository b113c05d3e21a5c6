"""The delivery loop: which replies are sent now, and when must the outbox be looked at again?

It sleeps until the next instant at which time alone changes something, until somebody pokes it, or until a send ends;
a bounded fallback covers what nobody announced. No limit is decided here.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Mapping

from turnkeel.delivery.claiming import Pass, Standing, look, may_advance
from turnkeel.delivery.mirror import mirror
from turnkeel.delivery.pacing import Pacing
from turnkeel.delivery.ports import DeliveryPolicies, DeliveryPorts
from turnkeel.delivery.pruning import prune
from turnkeel.delivery.sending import Job, Sending
from turnkeel.delivery.tell import tell_failures
from turnkeel.delivery.together import Together
from turnkeel.events import FaultCleared, FaultSeen, ReplyHeld
from turnkeel_adapters.channels import Channel
from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.system.clock import Instant


def call_workers(channels: Mapping[str, Channel], policies: DeliveryPolicies) -> int:
    """How many threads the channels' calls need, so that none of them ever waits for another channel's."""
    # Sends and questions are limited apart: in the worst case each channel has all of both under way.
    return max(len(channels), 1) * policies.settle.outbox.channel_limit * 2


class Sender:
    """Sends what is open, as the core plans it. One per process; several processes may share one store."""

    def __init__(self, ports: DeliveryPorts, policies: DeliveryPolicies = DeliveryPolicies()) -> None:
        self._ports = ports
        self._policies = policies
        self._pacing = Pacing(ports.channels)
        self._together = Together(ports.lifecycle, ports.executor)
        self._running: dict[asyncio.Task[None], Sending] = {}
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._held: frozenset[str] = frozenset()
        self._fault = ""
        self._retry_ms = 0
        self._prune_mono_ms = 0

    def poke(self) -> None:
        """There may be something to send: look now. From any thread."""
        if self._loop is None:
            self._woken.set()
        else:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody sends any more
                self._loop.call_soon_threadsafe(self._woken.set)

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop`; then no new claims, and calls under way have a grace to end."""
        self._loop = asyncio.get_running_loop()
        self._prune_mono_ms = self._ports.clock.read().mono_ms + self._policies.delivery.prune_ms
        ringing = asyncio.create_task(self._stop_with(stop))
        try:
            while not self._stopping.is_set():
                self._woken.clear()
                next_mono_ms = await self._pass_safely()
                if not self._stopping.is_set():
                    await self._ports.clock.wait(self._woken, next_mono_ms)
            await self._drain()
        finally:
            ringing.cancel()

    async def drained(self, within_ms: int = 0) -> bool:
        """Whether nothing happens within that time unless a person or a new reply makes it happen."""
        if self._running or self._woken.is_set():
            return False
        try:
            standing = self._standing(self._ports.clock.read())
            return not await self._ports.executor.run(may_advance, standing, self._ports, self._policies, within_ms)
        except AdapterError:
            return False

    async def _stop_with(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._stopping.set()
        self._woken.set()

    async def _pass_safely(self) -> int:
        """One pass; the monotonic instant of the next. A fault of the store is told once and waited out."""
        policy = self._policies.delivery
        try:
            next_mono_ms = await self._pass()
        except Exception as error:  # whatever it is, what is open must be looked at again
            self._trouble(error)
        else:
            if self._fault:
                self._ports.report(FaultCleared("", "delivery"))
            self._fault, self._retry_ms = "", 0
            return next_mono_ms
        self._retry_ms = min(max(self._retry_ms * 2, policy.retry_ms), policy.retry_max_ms)
        return self._ports.clock.read().mono_ms + self._retry_ms

    async def _pass(self) -> int:
        now, policy, run = self._ports.clock.read(), self._policies.delivery, self._ports.executor.run
        seen = await run(look, self._standing(now), self._ports, self._policies)
        self._begin(seen, now)
        for row in seen.ended:
            with contextlib.suppress(AdapterError, OSError):  # done again when the session is followed
                await run(mirror, self._ports, row, (), now.wall_ms)
        left = await run(tell_failures, self._ports, self._policies) if seen.notices else False
        if now.mono_ms >= self._prune_mono_ms:
            more = await run(prune, self._ports, self._policies)
            self._prune_mono_ms = now.mono_ms + (policy.retry_ms if more else policy.prune_ms)
        if seen.again or (seen.notices and not left):
            return now.mono_ms
        instants = [now.mono_ms + policy.fallback_ms, self._prune_mono_ms]
        instants += [now.mono_ms + policy.retry_ms] if left else []
        return min(*instants, _mono_of(seen, self._ports.clock.read(), instants[0]))

    def _standing(self, now: Instant) -> Standing:
        """What the store does not know. A call that hangs for too long keeps its lease no longer."""
        policy, limit = self._policies.delivery, self._policies.settle.outbox.channel_limit
        busy = Counter(one.job.row.channel for one in self._running.values())
        full = [channel for channel, count in busy.items() if count >= limit]
        alive = (one for one in self._running.values() if not one.hangs(now.mono_ms) and not one.job.asks)
        return Standing(
            now=now,
            channels=self._pacing.facts(now, full, policy.fallback_ms),
            ours=tuple((one.job.row.row_id, one.job.token) for one in alive),
        )

    def _begin(self, seen: Pass, now: Instant) -> None:
        for event in seen.events:
            self._ports.report(event)
        for row, until_ms in seen.held:
            if row.row_id not in self._held:
                self._ports.report(ReplyHeld(row.session, row.row_id, row.channel, until_ms))
        self._held = frozenset(row.row_id for row, _ in seen.held)
        for job in seen.jobs:
            if not job.asks or self._may_ask(job):
                self._start(job, now)

    def _may_ask(self, job: Job) -> bool:
        """A question is asked once at a time, and a channel gets only so many."""
        asked = [one.job for one in self._running.values() if one.job.asks and one.job.row.channel == job.row.channel]
        known = any(one.row.row_id == job.row.row_id for one in asked)
        return not known and len(asked) < self._policies.settle.outbox.channel_limit

    def _start(self, job: Job, now: Instant) -> None:
        if not job.asks and not job.fresh:
            self._pacing.backlog_sent(job.row.channel, now.mono_ms)
        sending = Sending(job, self._ports, self._policies, self._pacing, self._stopping, self._together, self._trouble)
        task = asyncio.create_task(sending.run())
        self._running[task] = sending
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task)
        self._woken.set()
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._trouble(error)  # the row's lease runs out, and it is unknown then

    def _trouble(self, error: BaseException) -> None:
        """Told once; the same again, by whichever send, is no news."""
        known = isinstance(error, AdapterError)
        text = str(error) if known else f"{error!r}; this is a fault of the host: report it"
        if text != self._fault:
            category = error.category if isinstance(error, AdapterError) else type(error).__name__
            self._ports.report(FaultSeen("", "delivery", category, text))
        self._fault = text

    async def _drain(self) -> None:
        """Let calls under way end; what has not ended then stays `sending`, and its lease tells the next host."""
        clock = self._ports.clock
        end_mono_ms = clock.read().mono_ms + self._policies.delivery.stop_grace_ms
        while self._running and (now := clock.read()).mono_ms < end_mono_ms:
            self._woken.clear()
            seen = Pass()
            with contextlib.suppress(AdapterError):
                standing = self._standing(now)
                seen = await self._ports.executor.run(look, standing, self._ports, self._policies, claims=False)
            if self._running:
                await clock.wait(self._woken, min(_mono_of(seen, clock.read(), end_mono_ms), end_mono_ms))
        left = tuple(self._running)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._together.ended()


def _mono_of(seen: Pass, now: Instant, otherwise_mono_ms: int) -> int:
    """The monotonic instant at which time alone changes something."""
    if seen.next_at_ms is None:
        return otherwise_mono_ms
    return now.mono_ms + max(seen.next_at_ms - now.wall_ms, 1)
