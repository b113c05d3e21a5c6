"""How does a test play senders through hours? An office holds a store, sessions, channels, and what was told."""

import asyncio
import itertools
from contextlib import contextmanager

from office_time import VirtualClock, VirtualLoop

from turnkeel.delivery.mailboxes import FileMailboxes
from turnkeel.delivery.ports import DeliveryPolicies, DeliveryPorts
from turnkeel.delivery.sender import Sender
from turnkeel_adapters.channels import Capabilities, MemoryChannel
from turnkeel_adapters.lifecycle import whole_life
from turnkeel_adapters.lifecycle.payloads import Incoming, Outgoing
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.sessions.records import NewMessage
from turnkeel_adapters.system.executor import InlineExecutor
from turnkeel_adapters.wire import dumps
from turnkeel_core import (
    AcceptSnapshot,
    DeliveryPolicy,
    EnqueueSnapshot,
    MessageIdentity,
    Reply,
    SettlePolicy,
    abort_session,
    accept_turn,
    plan_enqueue,
)
from turnkeel_core.turn_identity import encode_parts

S = "main/a"
SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
KEYED = Capabilities(idempotent=True)
ASKABLE = Capabilities(queryable=True)
NEITHER = Capabilities()


class SlowCalls:
    """Channel calls that last: the message is shown at once, the answer comes later, or never (None)."""

    def __init__(self, clock):
        self._clock = clock
        self.lasting = {}
        self.under_way = 0
        self.most = 0

    async def run(self, fn, *args):
        """The call's result after its time."""
        delay_ms = self.lasting.get(id(getattr(fn, "__self__", None)), 0)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            result = fn(*args)
            if delay_ms is None:
                await asyncio.Event().wait()
            elif delay_ms:
                await self._clock.wait(None, self._clock.read().mono_ms + delay_ms)
            return result
        finally:
            self.under_way -= 1


class CountingStore:
    """A lifecycle store that counts its transactions, and refuses them while it is told to."""

    def __init__(self, inner):
        self.inner, self.count, self.refuses = inner, 0, None

    @contextmanager
    def transaction(self):
        """The inner store's, or the fault."""
        if self.refuses is not None:
            raise self.refuses
        self.count += 1
        with self.inner.transaction() as work:
            yield work

    def run(self, step):
        """The same as a call."""
        with self.transaction() as work:
            return step(work)

    def run_each(self, steps):
        """The same for each."""
        return tuple(self._tried(step) for step in steps)

    def _tried(self, step):
        try:
            return self.run(step)
        except Exception as error:
            return error


class Office:
    """Everything that senders share. Each play is the life of one process (or of several)."""

    def __init__(self, store, folder, capabilities=KEYED, *, settle=SettlePolicy(), delivery=DeliveryPolicy()):
        self.loop = VirtualLoop()
        self.clock = VirtualClock(self.loop)
        self.store = CountingStore(store)
        self.told = []
        self.chat = self.channel(capabilities)
        self.channels = {"chat": self.chat}
        self.calls = SlowCalls(self.clock)
        self.policies = DeliveryPolicies(settle=settle, delivery=delivery)
        self.files = FileSessions(folder)
        self.files.tree.create(SessionName.parse(S))
        self._numbers = itertools.count(1)
        self.sender = None
        self.redact = str

    def close(self):
        """The loop's descriptors."""
        self.loop.close()

    def channel(self, capabilities=KEYED):
        """One more channel in memory."""
        return MemoryChannel(lambda: self.clock.wall_ms, capabilities)

    def ports(self, owner, alone):
        """What one process gets."""
        return DeliveryPorts(
            clock=self.clock,
            executor=InlineExecutor(),
            calls=self.calls,
            lifecycle=self.store,
            sessions=FileMailboxes(self.files),
            channels=self.channels,
            owner=owner,
            alone=alone,
            new_id=lambda kind: f"{kind}-{next(self._numbers)}",
            report=self.told.append,
            redact=self.redact,
        )

    def play(self, ms, *, kill=False, owners=None, then=()):
        """The life of a process for so long; `then` are (at, what) for what happens meanwhile. Ends by stop or kill.

        With `owners` several processes share the store, none of which is alone.
        """
        self.loop.run_until_complete(self._play(ms, kill, owners, then))

    async def _play(self, ms, kill, owners, then):
        names = owners or (f"process-{next(self._numbers)}",)
        senders = [Sender(self.ports(name, alone=owners is None), self.policies) for name in names]
        self.sender = senders[0]
        stop, begin_ms = asyncio.Event(), self.clock.mono_ms
        lives = [asyncio.ensure_future(sender.run(stop)) for sender in senders]
        for at_ms, what in (*then, (ms, lambda: None)):
            await self.clock.wait(None, begin_ms + at_ms)
            result = what()
            if asyncio.iscoroutine(result):
                await result
        if kill:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
        else:
            stop.set()
        await asyncio.gather(*lives, return_exceptions=kill)
        await asyncio.sleep(0)

    # What the rest of the host does

    def accept(self, turn_id, *, channel="chat", in_session=False, payload=None):
        """A message from the chat is accepted."""
        message = NewMessage(message_id=turn_id, content='{"text": "my secret question"}')
        incoming = Incoming(message=message, channel=channel, chat="here")
        identity = MessageIdentity(channel=channel, chat="here", message_id=turn_id)
        now_ms = self.clock.wall_ms
        asked = AcceptSnapshot(
            now_ms=now_ms, turn_id=turn_id, session=S, identity=identity, payload_bytes=2, in_session=in_session
        )
        with self.store.inner.transaction() as work:
            answer = accept_turn(work.accept(asked))
            assert work.apply([answer], now_ms, {turn_id: payload or dumps(incoming)}) == ()

    def queue(
        self,
        row_id,
        *texts,
        turn_id=None,
        kind="final",
        channel="chat",
        lane=None,
        payload=None,
        owner="x",
        source=None,
    ):
        """A reply comes into the outbox, in as many parts as there are texts; of a turn, if one is given."""
        texts, lane, now_ms = texts or (f"text of {row_id}",), lane or f"lane of {row_id}", self.clock.wall_ms
        with self.store.inner.transaction() as work:
            reply = Reply(
                row_id=row_id,
                kind=kind,
                channel=channel,
                lane=lane,
                ordinal=work.next_ordinal(lane, now_ms),
                parts=len(texts),
                source=encode_parts(S, source or row_id),
                session=S,
            )
            asked = EnqueueSnapshot(now_ms=now_ms, owner=owner, replies=(reply,))
            actions = plan_enqueue(work.enqueue(asked, turn_id), self.policies.settle)
            said = Outgoing(parts=texts, chat="here", in_reply_to=turn_id)
            assert work.apply(actions, now_ms, {row_id: dumps(said) if payload is None else payload}) == ()
        if self.sender is not None:
            self.sender.poke()

    def abort(self):
        """A person says stop."""
        now_ms = self.clock.wall_ms
        with self.store.inner.transaction() as work:
            actions = abort_session(work.abort((S,), now_ms), self.policies.settle.turn)
            assert work.apply(actions, now_ms) == ()

    # What is to be seen

    def row(self, row_id):
        """The row as it stands."""
        with self.store.inner.transaction() as work:
            return work.tables.outbox.get(row_id)

    def turn(self, turn_id):
        """The turn as it stands."""
        with self.store.inner.transaction() as work:
            return work.tables.turns.get(turn_id)

    def life(self, row_id):
        """What was done to the row, in order."""
        with self.store.inner.transaction() as work:
            return [line.what for line in whole_life.life_of_row(work.tables, row_id)]

    def shown(self, channel=None):
        """The texts that people see."""
        return [one.part.text for one in (channel or self.chat).shown]

    def events(self, kind):
        """What was told of this kind."""
        return [event for event in self.told if isinstance(event, kind)]

    def marks(self):
        """The session's own table of settled replies."""
        with self.files.store(S)._files.read_inbound() as db:
            return db.execute("SELECT message_out_id, platform_message_id, status FROM delivered ORDER BY 1").fetchall()

    def inbox(self):
        """What the session's agent will read: id, trigger, content."""
        with self.files.store(S)._files.read_inbound() as db:
            return db.execute("SELECT id, trigger, content FROM messages_in ORDER BY seq").fetchall()
