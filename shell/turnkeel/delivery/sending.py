"""How is one claimed row sent, or its channel asked about it, and what became of that?"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from attrs import evolve, frozen

from turnkeel.delivery.outcomes import Ended, keep_part, reflect, settle
from turnkeel.delivery.pacing import Pacing
from turnkeel.delivery.parcel import BadPayload, Parcel, parcel_of
from turnkeel.delivery.ports import DeliveryPolicies, DeliveryPorts
from turnkeel.delivery.together import Together
from turnkeel_adapters.channels import AskOutcome, Channel, DeliverOutcome, Part, part_key
from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.lifecycle.work import LifecycleWork
from turnkeel_core import LocalFault, OutboxRow, Permanent, RateLimited, Receipt, SendOutcome, Sent, Uncertain

_ERROR_CHARS: Final = 500
T = TypeVar("T")


@frozen(kw_only=True)
class Job:
    """A claimed row whose parts from `first_part` on are to be sent under `token`, or (`asks`) asked about.

    `fresh`: it is a reply of just now, none of the backlog.
    """

    row: OutboxRow
    token: int
    first_part: int
    payload: str | None
    fresh: bool = True
    asks: bool = False


class Sending:
    """One job, from its claim until its outcome is stored. A fault in it is that row's alone."""

    def __init__(
        self,
        job: Job,
        ports: DeliveryPorts,
        policies: DeliveryPolicies,
        pacing: Pacing,
        stopping: asyncio.Event,
        together: Together,
        trouble: Callable[[AdapterError], None],
    ) -> None:
        self.job = job
        self.call_began_mono_ms: int | None = None
        self._ports = ports
        self._policies = policies
        self._pacing = pacing
        self._stopping = stopping
        self._together = together
        self._trouble = trouble

    def hangs(self, mono_ms: int) -> bool:
        """Whether its call lasts longer than any call may."""
        began_ms, limit_ms = self.call_began_mono_ms, self._policies.delivery.call_limit_ms
        return began_ms is not None and mono_ms - began_ms > limit_ms

    async def run(self) -> None:
        """Send or ask, store what became of it, tell it."""
        outcome = await self._outcome()
        if outcome is None:
            return
        if self.job.asks and isinstance(outcome, LocalFault):
            outcome = Uncertain(outcome.error, outcome.receipts)  # nobody was asked: it is as unknown as before
        outcome = evolve(outcome, error=self._ports.redact(outcome.error)[:_ERROR_CHARS])
        ended = await self._stored(partial(self._settle, outcome))
        if ended is not None:
            await self._tell(ended)

    def _settle(self, outcome: SendOutcome, work: LifecycleWork) -> Ended | None:
        now_ms = self._ports.clock.read().wall_ms
        return settle(work, self.job.row.row_id, self.job.token, outcome, now_ms, self._policies)

    async def _tell(self, ended: Ended) -> None:
        for event in ended.events:
            self._ports.report(event)
        try:
            await self._ports.executor.run(reflect, ended, self._ports)
        except (AdapterError, OSError):
            return  # the session's own pass tells what is wrong with its files, and does this again

    async def _outcome(self) -> SendOutcome | None:
        """What became of it; None if there is nothing to store."""
        job = self.job
        try:
            parcel = await self._ports.executor.run(parcel_of, job.row, job.payload, self._ports)
        except BadPayload as error:
            return Permanent(str(error))
        except AdapterError as error:
            return LocalFault(str(error))
        channel = self._ports.channels.get(job.row.channel)
        if channel is None:
            return LocalFault(f"channel {job.row.channel!r} is not configured")
        return await self._each_part(parcel, channel)

    async def _each_part(self, parcel: Parcel, channel: Channel) -> SendOutcome | None:
        """Part after part until one is not sent; the receipts of all. None once the row is another's."""
        receipts: tuple[Receipt, ...] = ()
        for part in parcel.parts[self.job.first_part :]:
            waited = await self._keep_pace()
            if self._stopping.is_set():
                return LocalFault("the host is stopping", receipts)
            if waited and not await self._keep(()):
                return None
            outcome = await self._call(parcel, part, channel)
            receipts += outcome.receipts
            if not isinstance(outcome, Sent):
                return evolve(outcome, receipts=receipts)
            if part.index + 1 < part.count and not await self._keep(outcome.receipts):
                return None
        return Sent(receipts)

    async def _keep_pace(self) -> bool:
        """Wait for the channel's own pace; whether there was anything to wait for."""
        now_ms = self._ports.clock.read().mono_ms
        start_ms = now_ms if self.job.asks else self._pacing.next_start(self.job.row.channel, now_ms)
        if start_ms > now_ms:
            await self._ports.clock.wait(self._stopping, start_ms)
        return start_ms > now_ms

    async def _keep(self, proof: tuple[Receipt, ...]) -> bool:
        """Store a part's receipts; whether the row is this sender's still. A question needs no right."""
        if self.job.asks:
            return True
        return await self._stored(partial(self._keep_part, proof))

    def _keep_part(self, proof: tuple[Receipt, ...], work: LifecycleWork) -> bool:
        return keep_part(work, self.job.row.row_id, self.job.token, proof, self._ports, self._policies)

    async def _call(self, parcel: Parcel, part: Part, channel: Channel) -> DeliverOutcome | AskOutcome:
        """One call. Whatever a channel raises or answers is one row's fault: the call had begun, nobody knows more."""
        key, began = part_key(self.job.row.idempotency_key, part), self._ports.clock.read()
        self.call_began_mono_ms = began.mono_ms
        try:
            if self.job.asks:
                answer: DeliverOutcome | AskOutcome = await self._ports.calls.run(channel.ask, part, key)
            else:
                answer = await self._ports.calls.run(channel.deliver, parcel.dispatch, part, key)
            proof = tuple(receipt for receipt in answer.receipts if receipt.part == part.index)
        except Exception as error:
            return Uncertain(f"{type(error).__name__}: {error}")
        finally:
            self.call_began_mono_ms = None
        now = self._ports.clock.read()
        if isinstance(answer, RateLimited):
            self._pacing.pause(self.job.row.channel, now.mono_ms + answer.retry_after_ms)
        if isinstance(answer, Sent) and not proof:
            proof = (Receipt(part.index, None, now.wall_ms),)
        return evolve(answer, receipts=proof)

    async def _stored(self, step: Callable[[LifecycleWork], T]) -> T:
        """Write into the store, again and again while it cannot be written: what a channel said must not get lost."""
        policy = self._policies.delivery
        wait_ms = policy.retry_ms
        while True:
            try:
                return await self._together.run(step)
            except AdapterError as error:
                self._trouble(error)
            await self._ports.clock.wait(None, self._ports.clock.read().mono_ms + wait_ms)
            wait_ms = min(wait_ms * 2, policy.retry_max_ms)
