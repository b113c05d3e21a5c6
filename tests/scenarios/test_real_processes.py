"""Which scenarios of the field hang on the system itself: locks, signals, processes that outlive each other?"""

import os
import signal
import time

import pytest
from attrs import evolve

from turnkeel_adapters.system.lock import LOCK_NAME, probe

CLAIMED = "SELECT 1 FROM processing_ack WHERE status = 'processing'"


def until(true, limit_s=60):
    """Wait for it."""
    ends = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < ends, "waited in vain"
        time.sleep(0.02)


def answered(bench, name="a"):
    """Was every message of the session answered, each once?"""
    return bench.open_rows(name) == 0 and all(fate.answered_once for fate in bench.fates(name).values())


def end(*hosts):
    """Ask them to stop."""
    for host in hosts:
        host.terminate()
    assert [host.wait(60) for host in hosts] == [0] * len(hosts)


def test_LO_04_CR_12_of_hosts_that_start_at_the_same_instant_one_serves_and_the_others_say_why_not(bench, quick):
    bench.send("a", "hello")
    hosts = [bench.serve(quick) for _ in range(4)]
    try:
        until(lambda: sum(host.poll() == 3 for host in hosts) == 3)
        until(lambda: answered(bench))
        [serving] = [host for host in hosts if host.poll() is None]
        assert bench.served().count("served by another host") == 3
        assert probe(bench.data).pid == serving.pid
    finally:
        end(*(host for host in hosts if host.poll() is None))
    [fate] = bench.fates("a").values()
    assert (fate.tries, fate.replies) == (0, 1)


def test_CR_20_a_start_that_is_refused_leaves_the_running_host_everything_it_has(bench, quick):
    bench.send("a", "hello")
    host = bench.serve(quick)
    try:
        until(lambda: answered(bench))
        time.sleep(0.5)
        before = {path: path.read_bytes() for path in bench.data.rglob("*") if path.is_file()}
        second = bench.serve(quick)
        assert second.wait(60) == 3
        after = {path: path.read_bytes() for path in bench.data.rglob("*") if path.is_file()}
        assert before == after
        assert probe(bench.data).pid == host.pid
        bench.send("a", "hello again")
        until(lambda: answered(bench))
    finally:
        end(host)


def test_LO_15_a_killed_host_keeps_nobody_from_starting_although_its_lock_file_stays(bench, quick):
    bench.send("a", "hello")
    for _ in range(3):
        host = bench.serve(quick)
        until(lambda host=host: (holder := probe(bench.data)) is not None and holder.pid == host.pid)
        host.kill()
        host.wait(60)
        assert (bench.data / LOCK_NAME).exists()
    live = bench.run(quick)
    assert live.summary is not None and live.summary.faulty == ()
    assert answered(bench)


@pytest.mark.long
def test_LO_17_a_host_that_still_drains_is_waited_for_and_not_served_beside(bench, quick, agent):
    slow = evolve(quick, agent=agent("silent"), host=evolve(quick.host, shutdown_grace_ms=2_500))
    bench.send("a", "hello")
    old = bench.serve(slow)
    until(lambda: bench.sql("a", CLAIMED, file="outbound.db"))
    old.send_signal(signal.SIGTERM)
    beside = bench.serve(quick)
    assert beside.wait(60) == 3
    assert old.poll() is None and bench.agent_pids("main/a"), "it must still have been draining"
    assert old.wait(60) == 0
    assert not bench.agent_pids()
    bench.run(quick)
    [fate] = bench.fates("a").values()
    assert fate.answered_once and fate.tries == 1


def test_LO_21_a_killed_agent_leaves_no_lock_behind_and_the_next_message_need_not_wait(bench, quick):
    async def script(live):
        bench.send("a", "first")
        await live.until(lambda: answered(bench))
        assert bench.kill_agent("main/a")
        await live.until(lambda: not bench.agent_pids("main/a"))
        asked = time.monotonic()
        bench.send("a", "second")
        await live.until(lambda: answered(bench))
        assert time.monotonic() - asked < 10  # no lock's patience; a fresh interpreter takes some tenths

    bench.run(quick, script)
    left = os.listdir(bench.session("a"))
    assert not [name for name in left if "lock" in name or "pid" in name], left
