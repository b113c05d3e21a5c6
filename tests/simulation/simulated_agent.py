"""What does a container do? Coroutines in virtual time that speak the two-file contract on a store in memory."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Literal, TypeAlias

from turnkeel_adapters.sessions import container_inbound, container_outbound
from turnkeel_adapters.sessions.container_outbound import Reply
from turnkeel_adapters.timestamps import iso_utc

Script: TypeAlias = "Callable[[Box], Awaitable[None]]"


class Gone(Exception):
    """The container's program ends like this."""

    def __init__(self, exit_code: int | None, signal: int | None) -> None:
        super().__init__(exit_code, signal)
        self.exit_code = exit_code
        self.signal = signal


class Work:
    """A claimed message."""

    def __init__(self, message_id: str, stamp: str) -> None:
        self.message_id = message_id
        self.stamp = stamp


class Box:
    """One container from the inside. `healthy` is what the checker believes of it: scripts say when they are not."""

    def __init__(self, session, number, store, clock) -> None:
        self.session = session
        self.number = number
        self.healthy = True
        self.ended = None
        self.task: asyncio.Task[None] | None = None
        self.claimed: list[str] = []
        self.settled: list[str] = []
        self._store = store
        self._clock = clock
        self._beating: asyncio.Task[None] | None = None

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        await asyncio.sleep(seconds)

    def beat(self) -> None:
        """One heartbeat."""
        assert self.ended is None, "a dead container beat"
        self._store.beat(self._clock.wall_ms)

    def keep_beating(self, every_s: float = 1.0) -> None:
        """Beat from now to the end of the container."""
        self.stop_beating()

        async def beats() -> None:
            while True:
                self.beat()
                await asyncio.sleep(every_s)

        self._beating = asyncio.get_running_loop().create_task(beats())

    def stop_beating(self) -> None:
        """No heartbeat from now on."""
        if self._beating is not None:
            self._beating.cancel()

    def claim(self) -> Work | None:
        """Take the oldest due message that has no ack."""
        assert self.ended is None, "a dead container looked for work"
        now_ms = self._clock.wall_ms
        with self._store.inbound() as db:
            seen = [row.message_id for row in container_inbound.read_candidates(db, now_ms) if row.due and row.triggers]
        if not seen:
            return None
        with self._writing() as db:
            acked = container_outbound.acked_of(db, seen)
            free = [message_id for message_id in seen if message_id not in acked]
            if not free:
                return None
            container_outbound.put_acks(db, free[:1], "processing", iso_utc(now_ms))
            container_outbound.stamp_progress(db, now_ms)
        self.claimed.append(free[0])
        return Work(free[0], iso_utc(now_ms))

    def settle(self, work: Work, outcome: Literal["completed", "failed"] = "completed", reply: bool = True) -> None:
        """Ack and reply in one transaction, as the kit does."""
        with self._store.inbound() as db:
            top_seq = container_inbound.read_top_seq(db)
        with self._writing() as db:
            container_outbound.require_claim(db, work.message_id, work.stamp)
            container_outbound.put_acks(db, (work.message_id,), outcome, iso_utc(self._clock.wall_ms))
            if reply:
                answer = Reply(text="answer", in_reply_to=work.message_id)
                container_outbound.insert_reply(db, answer, top_seq, self._clock.wall_ms)
            container_outbound.drop_tool(db, self._clock.wall_ms)
        self.settled.append(work.message_id)

    def progress(self) -> None:
        """Show that the work moves."""
        with self._writing() as db:
            container_outbound.stamp_progress(db, self._clock.wall_ms)

    def tool(self, name: str, timeout_ms: int) -> None:
        """Declare a tool."""
        now_ms = self._clock.wall_ms
        with self._writing() as db:
            container_outbound.put_tool(db, name, timeout_ms, now_ms, now_ms)

    def waiting(self, reason: str, until_at_ms: int | None) -> None:
        """Declare a wait."""
        value = json.dumps({"reason": reason, "until_at_ms": until_at_ms})
        with self._writing() as db:
            db.execute(
                "INSERT OR REPLACE INTO session_state (key, value, updated_at) VALUES (?, ?, ?)",
                (container_outbound.WAITING_KEY, value, iso_utc(self._clock.wall_ms)),
            )

    def end_wait(self) -> None:
        """The wait is over."""
        with self._writing() as db:
            container_outbound.drop_state(db, container_outbound.WAITING_KEY)

    def clear_leftovers(self) -> None:
        """What the kit does at its start: forget a tool and a wait of an earlier container."""
        with self._writing() as db:
            db.execute("UPDATE container_state SET current_tool = NULL, tool_declared_timeout_ms = NULL")
            container_outbound.drop_state(db, container_outbound.WAITING_KEY)

    def _writing(self):
        assert self.ended is None, "a dead container wrote"
        return self._store.outbound()


async def serve(box: Box, think_s: float = 2.0, limit: int | None = None, poll_s: float = 1.0) -> None:
    """Answer message after message; end with 0 after `limit` of them."""
    while limit is None or limit > 0:
        work = box.claim()
        if work is None:
            await box.sleep(poll_s)
            continue
        await box.sleep(think_s)
        box.settle(work)
        limit = None if limit is None else limit - 1


async def forever(box: Box) -> None:
    """Do nothing at all."""
    while True:
        await box.sleep(3_600)


async def next_work(box: Box, poll_s: float = 0.5) -> Work:
    """Wait for a message."""
    while (work := box.claim()) is None:
        await box.sleep(poll_s)
    return work


def kit(think_s: float = 2.0, limit: int | None = None, start_s: float = 0.5) -> Script:
    """A healthy agent: starts, beats every second, answers."""

    async def script(box: Box) -> None:
        await box.sleep(start_s)
        box.clear_leftovers()
        box.keep_beating()
        await serve(box, think_s, limit)

    return script


def fails_visibly() -> Script:
    """A healthy agent that gives its message up."""

    async def script(box: Box) -> None:
        box.keep_beating()
        while True:
            box.settle(await next_work(box), "failed", reply=False)

    return script


def crashes(claim: bool = True, after_s: float = 1.0, reply: bool = False) -> Script:
    """Dies by SIGKILL: before it claims, with a claim, or right after an answer."""

    async def script(box: Box) -> None:
        box.keep_beating()
        work = await next_work(box) if claim else None
        await box.sleep(after_s)
        if reply and work is not None:
            box.settle(work)
        raise Gone(None, 9)

    return script


def exits_idle(exit_code: int = 0, after_s: float = 1.0) -> Script:
    """Ends by itself and has done nothing."""

    async def script(box: Box) -> None:
        box.beat()
        await box.sleep(after_s)
        raise Gone(exit_code, None)

    return script


def hangs_silently(after_s: float = 0.0) -> Script:
    """Claims, and neither beats nor answers from then on."""

    async def script(box: Box) -> None:
        await box.sleep(after_s)
        await next_work(box)
        box.healthy = False
        await forever(box)

    return script


def hangs_beating() -> Script:
    """Claims, beats, and its work stands still."""

    async def script(box: Box) -> None:
        box.keep_beating()
        await next_work(box)
        box.healthy = False
        await forever(box)

    return script


def never_starts() -> Script:
    """Gives no sign of life."""

    async def script(box: Box) -> None:
        box.healthy = False
        await forever(box)

    return script


def ignores_work() -> Script:
    """Beats, and takes nothing."""

    async def script(box: Box) -> None:
        box.healthy = False
        box.keep_beating()
        await forever(box)

    return script


def works_long(seconds: float, show_every_s: float) -> Script:
    """Healthy: one answer takes long, with progress shown on the way."""

    async def script(box: Box) -> None:
        box.keep_beating()
        work = await next_work(box)
        left_s = seconds
        while left_s > 0:
            await box.sleep(min(show_every_s, left_s))
            left_s -= show_every_s
            box.progress()
        box.settle(work)
        await serve(box)

    return script


def runs_tool(seconds: float, declared_ms: int, beats: bool = True) -> Script:
    """Healthy: a declared tool keeps the agent silent for a while."""

    async def script(box: Box) -> None:
        box.beat()
        if beats:
            box.keep_beating()
        work = await next_work(box)
        box.tool("Bash", declared_ms)
        await box.sleep(seconds)
        box.settle(work)
        box.keep_beating()
        await serve(box)

    return script


def waits(seconds: float, declared_ms: int | None) -> Script:
    """Healthy: it waits for a declared reason, silent meanwhile, then answers."""

    async def script(box: Box) -> None:
        box.beat()
        work = await next_work(box)
        until_ms = None if declared_ms is None else box._clock.wall_ms + declared_ms
        box.waiting("rate limit", until_ms)
        await box.sleep(seconds)
        box.end_wait()
        box.settle(work)
        box.keep_beating()
        await serve(box)

    return script
