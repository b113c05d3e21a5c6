"""What does a durable message cost? `python tests/benchmarks/lifecycle.py [PART|all] [COUNT] [ROUNDS]`

PART is accepts, cycle, files or recovery; AT_ONCE=64 in the environment asks for more at once than 16. Operations per
second, median of the rounds. In each round every variant works on COUNT messages, all variants a few each in a random
order, so that a noisy machine is noisy for all of them; the ratios, medians of those of each round, are what counts.
Every database has the journal mode of `turnkeel.db` and synchronous=FULL, read back before the first round: a commit is
an fsync for all. (By itself persist-queue opens its file with WAL and FULL, litequeue with NORMAL, DBOS with the rollback
journal.) Competitors that are not installed are named as absent; they go into an environment of their own:

    python -m venv bench && bench/bin/pip install -e . persist-queue litequeue dbos

accepts: one message stored, so that the channel may be told.
    plain        apsw: BEGIN IMMEDIATE, one INSERT with the same bytes (ids and identity unique), COMMIT
    turnkeel     LifecycleStore: identity and id looked up, `accept_turn`, turn, identity and its life stored
    persist-q.   SQLiteAckQueue.put, pickled as it does;  litequeue: put;  dbos: a workflow of one step, to its end
cycle: a message's whole life in the store, each arrow a commit.
    turnkeel     accept -> claim -> final enqueued and its send claimed -> settled. Of those at once each is accepted and
                 settled by a task of its own in one event loop, which store together as a host's senders do; a host's
                 passes (claim, enqueue) are for all that is open, as they are there
    threads      the same with a thread instead of each task
    persist-q.   put -> get -> ack;  litequeue: put -> pop -> done;  dbos: the same workflow of one step
files: the same life through a session's two files, step by step, with the agent's kit and a channel in memory.
recovery: one look at everything open (turns, deliveries, expiry) beside 1,000 and 1,000,000 finished rows.
"""

import asyncio
import atexit
import importlib
import os
import random
import shutil
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2] / part) for part in ("core", "adapters", "shell")]

import apsw

from turnkeel.delivery.claiming import Standing, look
from turnkeel.delivery.evidence import LastContainer
from turnkeel.delivery.follow import Follower
from turnkeel.delivery.intake import Accepted, Intake
from turnkeel.delivery.mailboxes import FileMailboxes
from turnkeel.delivery.outcomes import reflect, settle
from turnkeel.delivery.parcel import parcel_of
from turnkeel.delivery.ports import DeliveryPolicies, DeliveryPorts
from turnkeel.delivery.together import Together
from turnkeel_adapters import wire
from turnkeel_adapters.channels import MemoryChannel
from turnkeel_adapters.lifecycle.payloads import Incoming, Outgoing
from turnkeel_adapters.lifecycle.store import StateLifecycle
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.sessions.container_side import ContainerFiles
from turnkeel_adapters.sessions.container_side import Reply as KitReply
from turnkeel_adapters.sessions.records import InboundChanges, NewMessage
from turnkeel_adapters.state.store import HostState
from turnkeel_adapters.system.clock import SystemClock
from turnkeel_adapters.system.executor import InlineExecutor, ThreadExecutor
from turnkeel_core import (
    AcceptSnapshot,
    ChannelFacts,
    DeliverySnapshot,
    EnqueueSnapshot,
    MessageIdentity,
    OutboxPolicy,
    Receipt,
    Reply,
    RunFacts,
    Sent,
    accept_turn,
    claim_turn,
    encode_identity,
    finalize_turn_from_outbox,
    plan_deliveries,
    plan_enqueue,
    plan_expiry,
    plan_turn_recovery,
    redact,
    redactions_of,
    settle_delivery,
)

THREADS = int(os.environ.get("AT_ONCE", "16"))
SLICE = 4 * THREADS
OPEN = 100
FINISHED = (1_000, 1_000_000)
PARTS = ("accepts", "cycle", "files", "recovery")
TEXT = "Could you look at the report of last week and tell me which of the numbers changed since? " * 3
HIDE = partial(redact, redactions=redactions_of(()))
"""What a host takes out of every text before it is stored; no competitor does, and it is part of the price."""
AT_ONCE = OutboxPolicy(channel_limit=THREADS, pass_limit=THREADS)
CHANNELS = (ChannelFacts(channel="webhook", idempotent=True),)

Variant = Callable[[int, int], None]
"""Do the messages from the first number on, so many of them."""


def main() -> None:
    part, count, rounds = (*sys.argv[1:], *("all", "500", "5")[len(sys.argv) - 1 :])[:3]
    for name in PARTS if part == "all" else (part,):
        {"accepts": accepts, "cycle": cycle, "files": files, "recovery": recovery}[name](int(count), int(rounds))


def accepts(count: int, rounds: int) -> None:
    with ExitStack() as stack:
        variants = {"plain": Plain(stack).accept, "turnkeel": Turnkeel(stack).accept} | competitors(stack, "accept")
        table("accepts, one thread", "plain", variants, count, rounds)
        many = {f"plain x{THREADS}": Plain(stack).accept, f"turnkeel x{THREADS}": Turnkeel(stack).accept}
        many |= {f"{name} x{THREADS}": one for name, one in competitors(stack, "accept", threads=True).items()}
        many = {"plain": Plain(stack).accept} | {name: threaded(stack, one) for name, one in many.items()}
        table(f"accepts, {THREADS} threads (plain: one)", "plain", many, count, rounds)


def cycle(count: int, rounds: int) -> None:
    with ExitStack() as stack:
        variants = {"turnkeel": Turnkeel(stack).cycle} | competitors(stack, "cycle")
        table("whole cycle, one message at a time", "turnkeel", variants, count // 2, rounds)
        rivals = competitors(stack, "cycle", threads=True)
        base = f"turnkeel x{THREADS}"
        many = {base: Turnkeel(stack).crowd, f"threads x{THREADS}": Turnkeel(stack).threads}
        many |= {f"{name} x{THREADS}": threaded(stack, one) for name, one in rivals.items()}
        table(f"whole cycle, {THREADS} messages at once", base, many, count // 2, rounds)


def table(title: str, base: str, variants: dict[str, Variant], count: int, rounds: int) -> None:
    """Run all variants in turn, slice by slice, and print their median rates and ratios to `base` of the same round."""
    rates: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(rounds + 1):  # the first warms up and does not count
        taken = dict.fromkeys(variants, 0.0)
        for first in range(number * count, (number + 1) * count, SLICE):
            # What one leaves for the disk to do, not always the same other pays for.
            for name in random.sample(list(variants), len(variants)):
                begun = time.perf_counter()
                variants[name](first, min(SLICE, (number + 1) * count - first))
                taken[name] += time.perf_counter() - begun
        for name, seconds in taken.items():
            rates[name].append(count / seconds)
    print(f"\n{title}: {count} a round, {rounds} rounds")
    for name, found in rates.items():
        ratio = statistics.median(one / other for one, other in zip(found[1:], rates[base][1:], strict=True))
        spread = f"{min(found[1:]):.0f}..{max(found[1:]):.0f}"
        print(f"{name:<18}{statistics.median(found[1:]):>9.0f}/s{spread:>16}{ratio:>8.3f} x {base}")


def threaded(stack: ExitStack, variant: Variant) -> Variant:
    """The same messages by several threads at once."""
    pool = stack.enter_context(ThreadPoolExecutor(THREADS))

    def spread(first: int, count: int) -> None:
        shares = shares_of(range(first, first + count))
        list(pool.map(lambda share: variant(share.start, len(share)), shares))

    return spread


def shares_of(numbers: range) -> list[range]:
    """What each of the threads does of them, one after the other."""
    size = -(-len(numbers) // THREADS)
    return [numbers[begin : begin + size] for begin in range(0, len(numbers), size)]


def folder(stack: ExitStack) -> Path:
    place = Path(tempfile.mkdtemp(prefix="turnkeel-bench-"))
    stack.callback(shutil.rmtree, place)
    return place


def payload(number: int) -> str:
    message = NewMessage(message_id=f"turn-{number:08d}", content=f'{{"text": "{TEXT}"}}', sent_at_ms=10**12)
    return wire.dumps(Incoming(message=message, channel="webhook", chat=f"chat-{number % 50}"))


def identity(number: int) -> MessageIdentity:
    return MessageIdentity(channel="webhook", chat=f"chat-{number % 50}", message_id=f"message-{number:08d}")


class Turnkeel:
    """The real store; threads that wait for each other share a commit."""

    def __init__(self, stack: ExitStack) -> None:
        self.state = stack.enter_context(HostState(folder(stack)))
        assert self.state.database.rows("PRAGMA synchronous") == [(2,)], "turnkeel.db is not synchronous=FULL"
        self.lifecycle = StateLifecycle(self.state.database, HIDE)
        self.pool = stack.enter_context(ThreadPoolExecutor(THREADS))
        self.loop = asyncio.new_event_loop()
        stack.callback(self.loop.close)
        executor = ThreadExecutor(THREADS)
        stack.callback(executor.close)
        self.together = Together(self.lifecycle, executor)

    def run(self, act):
        """One durable transaction."""
        return self.lifecycle.run(act)

    def accept(self, first: int, count: int) -> None:
        for number in range(first, first + count):
            self.accepted(number)

    def cycle(self, first: int, count: int) -> None:
        """One message after the other."""
        for number in range(first, first + count):
            self.accepted(number)
            [token] = self.passed((number,))
            self.settled(number, token)

    def crowd(self, first: int, count: int) -> None:
        """As a host does it under load: doors and channels are tasks of its loop, a pass is for all that is open."""
        shares = shares_of(range(first, first + count))
        self.loop.run_until_complete(self.tasks(acceptance, shares))
        sends = self.passes(range(first, first + count))
        self.loop.run_until_complete(self.tasks(lambda number: partial(settle_send, number, sends[number]), shares))

    def threads(self, first: int, count: int) -> None:
        """The same with doors and channels that have threads of their own."""
        shares = shares_of(range(first, first + count))
        list(self.pool.map(lambda share: self.accept(share.start, len(share)), shares))
        sends = self.passes(range(first, first + count))
        list(self.pool.map(lambda share: [self.settled(number, sends[number]) for number in share], shares))

    async def tasks(self, step_of, shares) -> None:
        async def one(share):
            for number in share:
                await self.together.run(step_of(number))

        await asyncio.gather(*map(one, shares))

    def passes(self, numbers) -> dict[int, int]:
        limit, sends = AT_ONCE.pass_limit, {}
        for begin in range(0, len(numbers), limit):
            some = numbers[begin : begin + limit]
            sends |= zip(some, self.passed(some), strict=True)
        return sends

    def accepted(self, number: int) -> None:
        self.run(acceptance(number))

    def passed(self, numbers) -> list[int]:
        """Run, answered, claimed for the send: for all of the messages; the tokens of the sends.

        Between the answer and the claim nothing happens outside: both are one transaction.
        """
        tokens = self.run(partial(claim, numbers))
        return self.run(partial(answer, numbers, tokens))

    def settled(self, number: int, token: int) -> None:
        self.run(partial(settle_send, number, token))


def acceptance(number):
    turn_id, text, now = f"turn-{number:08d}", payload(number), now_ms()

    def accept(work):
        asked = AcceptSnapshot(
            now_ms=now,
            turn_id=turn_id,
            session=session_of(number),
            identity=identity(number),
            payload_bytes=len(text),
        )
        assert work.apply([accept_turn(work.accept(asked))], now, {turn_id: text}) == ()

    return accept


def claim(numbers, work):
    now = now_ms()
    claims = [claim_turn(work.claim(f"turn-{number:08d}", "run", now)) for number in numbers]
    assert work.apply(claims, now) == ()
    return [one.token for one in claims]


def finish(numbers, tokens, work):
    now = now_ms()
    for number, token in zip(numbers, tokens, strict=True):
        turn_id, row_id = f"turn-{number:08d}", f"row-{number:08d}"
        text = wire.dumps(Outgoing(parts=(TEXT,), chat=f"chat-{number % 50}"))
        reply = Reply(row_id=row_id, kind="final", channel="webhook", lane=f"lane-{number}", ordinal=1)
        asked = EnqueueSnapshot(now_ms=now, owner="run", replies=(reply,), token=token)
        assert work.apply(plan_enqueue(work.enqueue(asked, turn_id)), now, {row_id: text}) == ()
        facts = RunFacts(finals_attempted=1, finals_queued=True, token=token)
        work.apply(finalize_turn_from_outbox(work.turn(turn_id, now, run=facts)), now)


def answer(numbers, tokens, work):
    finish(numbers, tokens, work)
    return begin_sends(numbers, work)


def begin_sends(numbers, work):
    now = now_ms()
    rows = tuple(work.tables.outbox.get(f"row-{number:08d}") for number in numbers)
    claims = plan_deliveries(DeliverySnapshot(now_ms=now, owner="send", rows=rows, channels=CHANNELS), AT_ONCE)
    assert work.apply(claims, now) == ()
    tokens = {one.row_id: one.token for one in claims}
    return [tokens[row.row_id] for row in rows]


def settle_send(number, token, work):
    now, row_id = now_ms(), f"row-{number:08d}"
    outcome = Sent((Receipt(0, f"platform-{number}", now),))
    assert work.apply(settle_delivery(work.settle(row_id, token, outcome, now)), now) == ()
    assert work.tables.turns.get(f"turn-{number:08d}").status == "delivered"


@cache
def journal_mode() -> str:
    """That of `turnkeel.db` where the databases of this benchmark lie."""
    with ExitStack() as stack:
        [[mode]] = Turnkeel(stack).state.database.rows("PRAGMA journal_mode")
        return mode


class Plain:
    """The least that can be durable and knows a message again: one table, one INSERT, one COMMIT."""

    def __init__(self, stack: ExitStack) -> None:
        self.path = folder(stack) / "plain.db"
        self.stack, self.mine = stack, threading.local()
        self.open().execute(
            "CREATE TABLE message (id TEXT PRIMARY KEY, session TEXT NOT NULL, identity TEXT NOT NULL UNIQUE,"
            " accepted_at_ms INTEGER NOT NULL, status TEXT NOT NULL, payload TEXT NOT NULL) STRICT"
        )

    def open(self) -> apsw.Connection:
        connection = apsw.Connection(str(self.path))
        connection.set_busy_timeout(60_000)
        mode = journal_mode()
        assert connection.execute(f"PRAGMA journal_mode = {mode}").fetchall() == [(mode,)]
        connection.execute("PRAGMA synchronous = FULL").fetchall()
        assert connection.execute("PRAGMA synchronous").fetchall() == [(2,)]
        self.stack.callback(connection.close)
        return connection

    def accept(self, first: int, count: int) -> None:
        if not hasattr(self.mine, "connection"):
            self.mine.connection = self.open()
        connection = self.mine.connection
        for number in range(first, first + count):
            values = (
                f"turn-{number:08d}",
                session_of(number),
                encode_identity(identity(number)),
                now_ms(),
                "accepted",
                payload(number),
            )
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO message VALUES (?, ?, ?, ?, ?, ?)", values)
            connection.execute("COMMIT")


def competitors(stack: ExitStack, what: str, *, threads: bool = False) -> dict[str, Variant]:
    """Those that are installed, at equal durability; litequeue's one connection takes no second thread."""
    found: dict[str, Variant] = {}
    for name, make in {"persist-q.": persist_queue, "litequeue": litequeue, "dbos": dbos}.items():
        if threads and make is litequeue:
            continue
        try:
            found[name] = make(stack, threads)[what]
        except ImportError as absent:
            print(f"{name}: absent ({absent})")
    return found


def persist_queue(stack: ExitStack, threads: bool) -> dict[str, Variant]:
    queue_class = importlib.import_module("persistqueue").SQLiteAckQueue
    queue = queue_class(str(folder(stack)), multithreading=threads, auto_commit=True)
    for connection in {id(one): one for one in (queue._putter, queue._getter)}.values():
        durable(connection)

    def accept(first: int, count: int) -> None:
        for number in range(first, first + count):
            queue.put(payload(number))

    def cycle(first: int, count: int) -> None:
        for number in range(first, first + count):
            queue.put(payload(number))
            queue.ack(queue.get(block=False))

    return {"accept": accept, "cycle": cycle}


def litequeue(stack: ExitStack, threads: bool) -> dict[str, Variant]:
    queue = importlib.import_module("litequeue").LiteQueue(str(folder(stack) / "queue.db"))
    durable(queue.conn)

    def accept(first: int, count: int) -> None:
        for number in range(first, first + count):
            queue.put(payload(number))

    def cycle(first: int, count: int) -> None:
        for number in range(first, first + count):
            queue.put(payload(number))
            queue.done(queue.pop().message_id)

    return {"accept": accept, "cycle": cycle}


def durable(connection: sqlite3.Connection) -> None:
    """Bring a competitor's connection to the journal mode and durability of `turnkeel.db`, and read them back."""
    mode = journal_mode()
    assert connection.execute(f"PRAGMA journal_mode = {mode}").fetchone()[0] == mode
    connection.execute("PRAGMA synchronous = FULL")
    assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2


_DBOS: dict[str, Variant] = {}


def dbos(stack: ExitStack, threads: bool) -> dict[str, Variant]:
    """One workflow of one step on SQLite; the library is one per process, so it is started once."""
    if _DBOS:
        return _DBOS
    library, events = importlib.import_module("dbos"), importlib.import_module("sqlalchemy").event
    mode = journal_mode()

    @events.listens_for(importlib.import_module("sqlalchemy").engine.Engine, "connect")
    def connected(connection, _):
        connection.execute(f"PRAGMA journal_mode = {mode}").fetchall()
        connection.execute("PRAGMA synchronous = FULL")
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2

    place = Path(tempfile.mkdtemp(prefix="turnkeel-bench-"))
    atexit.register(shutil.rmtree, place)
    atexit.register(library.DBOS.destroy)
    url = f"sqlite:///{place}/dbos.sqlite"
    library.DBOS(config={"name": "bench", "system_database_url": url, "log_level": "ERROR"})

    @library.DBOS.step()
    def answer(text: str) -> str:
        return TEXT

    @library.DBOS.workflow()
    def turn(text: str) -> str:
        return answer(text)

    library.DBOS.launch()

    def run(first: int, count: int) -> None:
        for number in range(first, first + count):
            turn(payload(number))

    _DBOS.update(accept=run, cycle=run)
    return _DBOS


def files(count: int, rounds: int) -> None:
    """One message after the other through the folders of 50 sessions, each step on the disk before the next."""
    with ExitStack() as stack:
        house = House(stack)
        steps = (house.accept, house.claim, house.answer, house.follow)
        steps = (*steps, house.begin, house.settle, house.mark, house.sync)
        taken: dict[str, list[float]] = {step.__name__: [] for step in steps}
        for number in range(count * (rounds + 1) // 5):
            for step in steps:
                begun = time.perf_counter()
                step(number)
                taken[step.__name__].append((time.perf_counter() - begun) * 1e3)
    medians = {name: statistics.median(found[count // 5 :]) for name, found in taken.items()}
    print(f"\nwhole cycle through session files: {1e3 / sum(medians.values()):.0f}/s, of which, in ms (median)")
    print("".join(f"{name:>9}" for name in medians) + "\n" + "".join(f"{ms:>9.2f}" for ms in medians.values()))


class House:
    """A data directory with all that serves it, but for the loop: each step is what the host does in it."""

    def __init__(self, stack: ExitStack) -> None:
        data = folder(stack)
        state = stack.enter_context(HostState(data))
        inline = InlineExecutor()
        self.sessions, self.stack = FileSessions(data), stack
        self.containers: dict[str, ContainerFiles] = {}
        self.channel = MemoryChannel(now_ms)
        self.policies = DeliveryPolicies()
        self.ports = DeliveryPorts(
            clock=SystemClock(),
            executor=inline,
            calls=inline,
            lifecycle=StateLifecycle(state.database, HIDE),
            sessions=FileMailboxes(self.sessions),
            channels={"webhook": self.channel},
            owner="host",
            alone=True,
            new_id=lambda prefix: f"{prefix}-{uuid.uuid4().hex}",
            report=lambda event: None,
        )
        last = LastContainer(incarnation=1, running=True)
        self.follower = Follower(self.ports, self.policies, container=lambda session: last, poke=lambda: None)
        self.intake = Intake(
            store=self.ports.lifecycle,
            sessions=self.ports.sessions,
            closed=frozenset,
            new_id=self.ports.new_id,
            now_ms=now_ms,
            owner="host",
        )

    def accept(self, number: int) -> None:
        """Durable as a turn, and in the session's inbox."""
        message = NewMessage(message_id=f"turn-{number:08d}", content=f'{{"text": "{TEXT}"}}', sent_at_ms=now_ms())
        asked = Incoming(message=message, channel="webhook", chat=f"chat-{number % 50}")
        answer = self.intake.accept(session_of(number), asked, identity(number))
        assert isinstance(answer, Accepted) and answer.waits is None

    def claim(self, number: int) -> None:
        """The agent's kit takes the message."""
        self.work = self.container(number).claim_next(now_ms(), False)
        assert self.work is not None

    def answer(self, number: int) -> None:
        """The agent's kit writes reply and ack together."""
        reply = KitReply(text=TEXT, in_reply_to=self.work.message.message_id)
        self.container(number).settle(self.work, "completed", reply, now_ms())

    def follow(self, number: int) -> None:
        """The host takes the reply into the outbox."""
        session, now = session_of(number), now_ms()
        self.follower.follow(session, self.sessions.store(session).read(now), now)

    def begin(self, number: int) -> None:
        """The sender claims the row."""
        facts = (self.channel.capabilities.facts("webhook"),)
        (self.job,) = look(Standing(now=self.ports.clock.read(), channels=facts), self.ports, self.policies).jobs

    def settle(self, number: int) -> None:
        """The channel shows it; the receipt, the row's end and the turn's."""
        parcel = parcel_of(self.job.row, self.job.payload, self.ports)
        outcome = self.channel.deliver(parcel.dispatch, parcel.parts[0], self.job.row.idempotency_key)
        row_id, token, at_ms = self.job.row.row_id, self.job.token, now_ms()
        self.ended = self.ports.lifecycle.run(lambda work: settle(work, row_id, token, outcome, at_ms, self.policies))
        assert self.ended is not None and self.ended.row.status == "delivered"

    def mark(self, number: int) -> None:
        """The mark in the session's own file."""
        reflect(self.ended, self.ports)

    def sync(self, number: int) -> None:
        """The host completes the inbound row."""
        store = self.sessions.store(session_of(number))
        acks = store.read(now_ms()).acks
        store.write_inbound(InboundChanges(settled=tuple(ack.message_id for ack in acks)))

    def container(self, number: int) -> ContainerFiles:
        session = session_of(number)
        if session not in self.containers:
            self.containers[session] = ContainerFiles(self.sessions.store(session).folder)
            self.stack.callback(self.containers[session].close)
        return self.containers[session]


def session_of(number: int) -> str:
    return f"main/s{number % 50}"


def recovery(count: int, rounds: int) -> None:
    """The same open turns and rows beside few and many finished ones."""
    looks = rounds * 20
    with ExitStack() as stack:
        stores = {f"{finished:,} finished": beside(stack, finished) for finished in FINISHED}
        taken: dict[str, list[float]] = {name: [] for name in stores}
        for _ in range(looks):
            for name in random.sample(list(stores), len(stores)):
                begun = time.perf_counter()
                stores[name].run(recover)
                taken[name].append((time.perf_counter() - begun) * 1e3)
    print(f"\nrecovery pass over {OPEN} open turns and {OPEN} open rows, {looks} looks")
    base, *_ = taken.values()
    for name, found in taken.items():
        ratio = statistics.median(one / other for one, other in zip(found, base, strict=True))
        print(f"{name:<20}{statistics.median(found):>8.2f} ms, least {min(found):.2f} ms{ratio:>8.2f} x the first")


def recover(work) -> None:
    now = now_ms()
    plan_turn_recovery(work.recovery("w", now, {}))
    plan_deliveries(work.deliveries("w", now, CHANNELS))
    plan_expiry(work.expiry(now))


def beside(stack: ExitStack, finished: int) -> Turnkeel:
    """A store with so many turns that ended, each with its delivered row, and `OPEN` that did not."""
    store = Turnkeel(stack)
    store.cycle(0, 1)
    for table in ("turn", "outbox"):
        copy_row(store.state, table, finished)
    for number in range(10**7, 10**7 + OPEN):
        store.accepted(number)
        store.run(partial(finish, (number,), store.run(partial(claim, (number,)))))
        store.accepted(number + OPEN)
    return store


def copy_row(state: HostState, table: str, copies: int) -> None:
    """The table's one row again and again under other ids, with all that the real store wrote into it."""
    columns = [name for _, name, *_ in state.database.rows(f"PRAGMA table_info({table})")]
    unique = ("turn_id", "row_id", "identity", "idempotency_key", "lane", "source")
    values = [f"{one} || '-' || n.value" if one in unique else one for one in columns]
    with state.database.transaction() as connection:
        connection.execute(
            "WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < ?)"
            f" INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} FROM n CROSS JOIN {table}"
            " WHERE completed_at_ms IS NOT NULL",
            (copies,),
        )


def now_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    main()
