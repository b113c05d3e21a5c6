"""Is every message answered once or visibly failed, whoever is killed, at whatever instant?"""

import asyncio
import random
import signal
import subprocess
import time

import apsw
import pytest
from attrs import evolve

from turnkeel.host.events import Charged, Died, FaultSeen, Settled, Stopping, Woke
from turnkeel_adapters.config.records import AgentConfig
from turnkeel_adapters.state.store import HostState
from turnkeel_core import StartPolicy

CLAIMED = "SELECT 1 FROM processing_ack WHERE status = 'processing'"


@pytest.mark.parametrize("kills", [12, pytest.param(50, marks=pytest.mark.long)])
def test_an_agent_killed_at_random_instants_answers_each_message_once_or_visibly_fails_it(
    lab, quick, agent, seed, kills
):
    rng = random.Random(seed)
    config = evolve(quick, agent=agent("echo", WORK_MS="120"))
    sent = lab.send("a", *(f"m{n}" for n in range(kills)))
    killed = 0

    async def script(live):
        nonlocal killed
        for n in range(kills):
            sent.extend(lab.send("a", f"late {n}"))
            if n % 2:  # at work, or wherever it is by then
                await live.until(lambda: lab.sql("a", CLAIMED, file="outbound.db"))
            await asyncio.sleep(rng.uniform(0.0, 0.1 if n % 2 else 0.5))
            await live.until(lambda: lab.kill_agent("main/a"))
            killed += 1
        await live.until(lambda: lab.open_rows("a") == 0, limit_s=60)

    live = lab.run(config, script)
    fates = lab.fates("a")
    assert fates.keys() == set(sent)
    bad = {key: fate for key, fate in fates.items() if not (fate.answered_once or fate.visibly_failed)}
    assert not bad, live.told[-20:]
    died = live.of(Died)
    assert sum(end.signal == signal.SIGKILL for end in died) == killed == kills
    # Each charge belongs to one death, and a death charges at most the one message that was in hand.
    charged = live.of(Charged)
    assert len(charged) == len({event.charge.incarnation for event in charged}) <= kills
    assert not live.of(Stopping) and not [f for f in live.of(FaultSeen) if f.kind != "hot_journal"]
    print(f"kills {kills}: {len(sent)} messages, {len(charged)} charges, faults seen {live.of(FaultSeen)}")


def test_a_journal_left_hot_by_a_killed_agent_is_rolled_back_and_the_message_answered(lab, quick, agent):
    folder = lab.session("a")
    [sent] = lab.send("a", "hello")

    async def script(live):
        await live.until((folder / "half-written").exists)
        assert lab.kill_agent("main/a")
        await live.until(lambda: lab.open_rows("a") == 0)

    with pytest.raises(apsw.ReadOnlyError):
        _read_killed_in_a_write(lab, quick, agent)
    live = lab.run(evolve(quick, agent=agent("half_written")), script)
    assert lab.fates("a")[sent].answered_once
    assert len(live.of(Charged)) == 1
    assert not (folder / "outbound.db-journal").exists()
    assert not lab.faults()


def _read_killed_in_a_write(lab, quick, agent):
    """The control: without a host that rolls it back, such a file cannot be read."""
    folder = lab.session("control")
    lab.send("control", "hello")
    order = evolve(quick, agent=agent("half_written")).agent
    environment = {"TURNKEEL_SESSION_DIR": str(folder), "TURNKEEL_INCARNATION": "1"}
    writer = subprocess.Popen(order.argv, env=environment)
    while not (folder / "half-written").exists():
        time.sleep(0.01)
    writer.kill()
    writer.wait()
    lab.sql("control", "UPDATE messages_in SET status = 'completed'")
    db = apsw.Connection(str(folder / "outbound.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        db.execute("SELECT count(*) FROM processing_ack").fetchall()
    finally:
        db.close()


@pytest.mark.parametrize("rounds", [3, pytest.param(30, marks=pytest.mark.long)])
def test_a_host_killed_at_random_instants_leaves_no_agent_and_its_successor_loses_nothing(
    lab, quick, agent, seed, rounds
):
    rng = random.Random(seed)
    config = evolve(quick, agent=agent("echo", WORK_MS="150"))
    sent = []
    for n in range(rounds):
        sent += lab.send("a", f"a{n}", f"a{n}+") + lab.send("b", f"b{n}")
        host = lab.serve(config)
        time.sleep(rng.uniform(0.4, 1.6))
        host.kill()
        host.wait()
        ends = time.monotonic() + 4
        while lab.agent_pids() and time.monotonic() < ends:
            time.sleep(0.02)
        assert not lab.agent_pids(), f"round {n}: agents outlived the host by 4 s"
    live = lab.run(config)
    fates = lab.fates("a") | lab.fates("b")
    assert fates.keys() == set(sent)
    bad = {key: fate for key, fate in fates.items() if not (fate.answered_once or fate.visibly_failed)}
    assert not bad
    assert live.summary.faulty == () and not lab.faults()
    with HostState(lab.data, read_only=True) as state:
        for session in ("main/a", "main/b"):
            marks = state.database.rows("SELECT message_id, incarnation FROM charge WHERE session = ?", session)
            assert len({incarnation for _, incarnation in marks}) == len(marks), "one death charged two messages"
            for key, fate in lab.fates(session).items():
                assert fate.tries == sum(message == key for message, _ in marks), "a charge was counted twice or lost"
    tries = [fate.tries for fate in fates.values()]
    print(f"host kills {rounds}: {len(sent)} messages, {sum(tries)} charges, most for one message {max(tries)}")


@pytest.mark.parametrize("spawns", [40, pytest.param(200, marks=pytest.mark.long)])
def test_a_healthy_agent_that_claims_in_the_second_of_its_spawn_is_never_killed(lab, quick, agent, spawns):
    # Whole-second stamps, as existing runners write them, look older than the spawn by up to 999 ms. Slots go round:
    # an idle container is stopped at once, so that every message needs a spawn.
    stuck = evolve(quick.stuck, claim_tolerance_ms=3_000, idle_stop_ms=0)
    names = [f"s{n}" for n in range(spawns // 10)]
    config = evolve(quick, agent=agent("newest_ten"), stuck=stuck, start=StartPolicy(max_running=4))
    sent = {name: [] for name in names}

    async def script(live):
        for n in range(spawns // len(names)):
            for name in names:
                sent[name] += lab.send(name, f"{n}")
            await live.until(lambda: not any(lab.open_rows(name) for name in names), limit_s=60)
            await live.until(lambda: len(live.of(Died)) == len(live.of(Woke)), limit_s=60)

    live = lab.run(config, script, limit_s=60)
    assert len(live.of(Woke)) >= spawns
    assert {type(event.because).__name__ for event in live.of(Stopping)} <= {"StopIdle"}
    assert not live.of(Charged)
    for name in names:
        fates = lab.fates(name)
        assert fates.keys() == set(sent[name])
        assert all(fate.answered_once and fate.tries == 0 for fate in fates.values())
    print(f"{len(live.of(Woke))} spawns, {len(live.of(Stopping))} stops, {len(live.of(Settled))} settled")


def test_a_message_in_hand_at_a_graceful_stop_is_not_lost(lab, quick, agent):
    config = evolve(quick, agent=AgentConfig(argv=("sh", "-c", "read -r line; sleep 0.4; echo $line")))
    for number in (signal.SIGTERM, signal.SIGINT):
        sent = lab.send("a", f"first {number}", f"second {number}")
        host = lab.serve(config)
        ends = time.monotonic() + 20
        while not lab.sql("a", CLAIMED, file="outbound.db"):
            assert time.monotonic() < ends, lab.served()
            time.sleep(0.02)
        asked = time.monotonic()
        host.send_signal(number)
        assert host.wait(20) == 0, lab.served()
        assert time.monotonic() - asked < 8
        assert not lab.agent_pids()
        assert any(fate.status == "pending" for key, fate in lab.fates("a").items() if key in sent)
    assert "Traceback" not in lab.served()
    lab.run(config)
    fates = lab.fates("a")
    assert all(fate.answered_once for fate in fates.values()), fates
    assert not lab.holds()
