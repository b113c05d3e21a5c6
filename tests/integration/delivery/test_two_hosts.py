"""Two senders on one store, neither alone: is a row ever sent under two live tokens, or changed by a stale one?"""

import asyncio
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from attrs import evolve

from turnkeel_adapters.lifecycle import whole_life
from turnkeel_adapters.lifecycle.payloads import Outgoing
from turnkeel_adapters.lifecycle.store import StateLifecycle
from turnkeel_adapters.state.database import StateDatabase
from turnkeel_adapters.wire import dumps
from turnkeel_core import DeliveryPolicy, EnqueueSnapshot, Reply, plan_enqueue

PROCESS = Path(__file__).with_name("two_hosts_process.py")
ROOT = Path(__file__).parents[3]
PATHS = os.pathsep.join(str(ROOT / part) for part in ("core", "adapters", "shell"))
RELEASED = {"RetryRow", "DeferRow", "MarkUnknown"}


def _load():
    spec = importlib.util.spec_from_file_location("two_hosts_process", PROCESS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


host = _load()


@pytest.fixture
def data(tmp_path):
    (tmp_path / "chat" / "shown").mkdir(parents=True)
    (tmp_path / "chat" / "calls").touch()
    return tmp_path


@contextmanager
def opened(data):
    database = StateDatabase(data / "turnkeel.db")
    try:
        yield StateLifecycle(database)
    finally:
        database.close()


def queue(data, *row_ids, parts=1):
    now_ms = time.time_ns() // 1_000_000
    with opened(data) as store, store.transaction() as work:
        for number, row_id in enumerate(row_ids):
            lane = f"lane {number % 8}"
            reply = Reply(
                row_id=row_id,
                kind="final",
                channel="chat",
                lane=lane,
                ordinal=work.next_ordinal(lane, now_ms),
                parts=parts,
            )
            said = Outgoing(parts=tuple(f"{row_id}/{part}" for part in range(parts)))
            asked = EnqueueSnapshot(now_ms=now_ms, owner="test", replies=(reply,))
            assert work.apply(plan_enqueue(work.enqueue(asked, None)), now_ms, {row_id: dumps(said)}) == ()


def row(data, row_id):
    with opened(data) as store, store.transaction() as work:
        return work.tables.outbox.get(row_id)


def life(data, row_id):
    with opened(data) as store, store.transaction() as work:
        return [line.what for line in whole_life.life_of_row(work.tables, row_id)]


def log(data, what):
    return [line.split() for line in (data / "chat" / "calls").read_text().splitlines() if line.startswith(what)]


def shown(data):
    return sorted(path.name for path in (data / "chat" / "shown").iterdir())


def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def require_one_live_token(data, row_id):
    """Between two claims of a row the first was released; after its end nothing but evidence follows."""
    held = False
    for what in life(data, row_id):
        assert not (held and what == "ClaimRow"), life(data, row_id)
        held = what == "ClaimRow" or (held and what not in RELEASED)


@contextmanager
def process(data, owner, lease_ms, **settings):
    argv = [sys.executable, str(PROCESS), str(data), owner, json.dumps(settings), str(lease_ms)]
    started = subprocess.Popen(argv, env={**os.environ, "PYTHONPATH": PATHS})
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def test_D6_two_senders_in_threads_send_every_row_once(data):
    ids = [f"r{number}" for number in range(40)]
    queue(data, *ids, parts=2)
    limits, loops = host.policies(10_000), {}

    def run(owner):
        async def life():
            stop = asyncio.Event()
            loops[owner] = (asyncio.get_running_loop(), stop)
            await host.send(data, owner, host.FolderChannel(data / "chat", owner, lasts_ms=3), limits, stop)

        asyncio.run(life())

    threads = [threading.Thread(target=run, args=(owner,)) for owner in ("one", "two")]
    for thread in threads:
        thread.start()
    try:
        until(lambda: len(log(data, "answer")) == 80 and row(data, "r39").status == "delivered")
        until(lambda: all(row(data, row_id).status == "delivered" for row_id in ids))
    finally:
        for loop, stop in loops.values():
            loop.call_soon_threadsafe(stop.set)
        for thread in threads:
            thread.join()
    keys = [line[-1] for line in log(data, "call")]
    assert len(keys) == len(set(keys)) == 80
    for row_id in ids:
        require_one_live_token(data, row_id)
        assert life(data, row_id).count("ClaimRow") == 1


@pytest.mark.parametrize(
    ("settings", "calls", "end"),
    [
        ({"idempotent": True}, 2, "delivered"),
        ({"queryable": True}, 1, "delivered"),
        ({}, 1, "unknown"),
    ],
    ids=["keyed", "askable", "neither"],
)
def test_D3_a_sender_killed_in_a_call_is_followed_up_by_what_the_channel_can(data, settings, calls, end):
    queue(data, "r1")
    with process(data, "one", 700, lasts_ms=60_000, **settings) as first:
        until(lambda: log(data, "call"))
        first.send_signal(signal.SIGKILL)
        first.wait()
    with process(data, "two", 700, **settings):
        until(lambda: row(data, "r1").status == end)
        time.sleep(0.3)  # nothing more may come of it
    assert row(data, "r1").status == end
    assert len(log(data, "call")) == calls
    assert len({line[-1] for line in log(data, "call")}) == 1
    assert shown(data) == ["r1.0"]
    require_one_live_token(data, "r1")


def test_a_sender_that_slept_through_its_lease_has_no_effect_when_it_wakes(data):
    queue(data, "r1", parts=3)
    with process(data, "one", 900, lasts_ms=300, idempotent=True) as first:
        until(lambda: log(data, "call one"))
        first.send_signal(signal.SIGSTOP)
        with process(data, "two", 900, idempotent=True):
            until(lambda: row(data, "r1").status == "delivered")
            before, lived = row(data, "r1"), life(data, "r1")
            first.send_signal(signal.SIGCONT)
            until(lambda: log(data, "answer one"))
            until(lambda: len(life(data, "r1")) > len(lived))
    assert row(data, "r1") == before
    assert set(life(data, "r1")[len(lived) :]) == {"RecordReceipts"}  # what it learned is kept as evidence
    assert len(log(data, "call one")) == 1  # the first part; it begins no other
    assert shown(data) == ["r1.0", "r1.1", "r1.2"]
    require_one_live_token(data, "r1")


def test_a_poke_from_another_thread_wakes_a_sleeping_sender(data):
    queue(data, "warm")
    limits = evolve(host.policies(10_000), delivery=DeliveryPolicy(fallback_ms=3_600_000))
    senders, stops = [], []

    async def life():
        stops.append((asyncio.get_running_loop(), asyncio.Event()))
        channel = host.FolderChannel(data / "chat", "one")
        await host.send(data, "one", channel, limits, stops[0][1], made=senders.append)

    thread = threading.Thread(target=lambda: asyncio.run(life()))
    thread.start()
    try:
        until(lambda: row(data, "warm").status == "delivered")
        queue(data, "r1")
        senders[0].poke()
        until(lambda: row(data, "r1").status == "delivered")
    finally:
        loop, stop = stops[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join()
    senders[0].poke()  # a sender that has ended hears nothing, and says so to nobody
