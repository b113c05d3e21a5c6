"""Is every message answered once or visibly failed, whoever is killed, at whatever instant?"""

import asyncio
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from contextlib import contextmanager

import apsw
import pytest
from attrs import define, evolve, frozen

from turnkeel.events import Adopted, Charged, Died, FaultSeen, Settled, Stopping, Woke
from turnkeel_adapters.config.records import AgentConfig
from turnkeel_adapters.runners.census import take_census
from turnkeel_adapters.runners.guard.processes import read_process, signal_process
from turnkeel_adapters.state.store import HostState
from turnkeel_adapters.system.install import install_id
from turnkeel_core import StartPolicy

CLAIMED = "SELECT 1 FROM processing_ack WHERE status = 'processing'"


@frozen(kw_only=True)
class Outcome:
    """The closing figures of a trial."""

    messages: int
    answered_once: int
    visibly_failed: int
    lost: int
    answered_twice: int
    charges: int
    double_charges: int
    most_tries: int


@define
class Census:
    """How often the processes were looked at, and whether a session ever had two containers at once."""

    looks: int = 0
    most: int = 0
    doubles: list = []


@contextmanager
def watched(lab):
    """Meanwhile no session may have a second container."""
    seen, over = Census(doubles=[]), threading.Event()

    def look():
        while not over.wait(0.1):
            found = take_census(install_id(lab.data))
            sessions = Counter(session for session, _ in found)
            seen.looks += 1
            seen.most = max(seen.most, len(found))
            for session in [session for session, count in sessions.items() if count > 1]:
                both = {key: one for key, one in found.items() if key[0] == session}
                # A look takes a while: one may have ended before the other began.
                alive = {
                    key for key, one in both.items() if any(_runs(process) for process in (*one.agents, *one.guards))
                }
                if len(alive) > 1:
                    seen.doubles.append(both)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()
    assert seen.looks > 0 and not seen.doubles


def _runs(process):
    now = read_process(process.pid)
    return now is not None and now.started == process.started


def closing(lab, names, sent):
    """What became of all messages: none lost, none answered twice, none charged twice."""
    fates = {(name, key): fate for name in names for key, fate in lab.fates(name).items()}
    assert {key for _, key in fates} == set(sent)
    double = 0
    with HostState(lab.data, read_only=True) as state:
        for name in names:
            marks = state.database.rows("SELECT message_id, incarnation FROM charge WHERE session = ?", f"main/{name}")
            # One message is in hand at a time, so that one death charges one message at most.
            double += len(marks) - len({incarnation for _, incarnation in marks})
            charged = Counter(message for message, _ in marks)
            double += sum(max(fate.tries - charged[key], 0) for (of, key), fate in fates.items() if of == name)
            assert all(fate.tries == charged[key] for (of, key), fate in fates.items() if of == name)
    every = fates.values()
    outcome = Outcome(
        messages=len(fates),
        answered_once=sum(fate.answered_once for fate in every),
        visibly_failed=sum(fate.visibly_failed for fate in every),
        lost=sum(not (fate.answered_once or fate.visibly_failed) for fate in every),
        answered_twice=sum(fate.replies > 1 for fate in every),
        charges=sum(fate.tries for fate in every),
        double_charges=double,
        most_tries=max(fate.tries for fate in every),
    )
    bad = {key: fate for key, fate in fates.items() if not (fate.answered_once or fate.visibly_failed)}
    assert (outcome.lost, outcome.answered_twice, outcome.double_charges) == (0, 0, 0), (outcome, bad)
    return outcome


@pytest.mark.parametrize("kills", [12, pytest.param(200, marks=pytest.mark.long)])
def test_an_agent_killed_at_random_instants_answers_each_message_once_or_visibly_fails_it(
    lab, quick, agent, seed, kills
):
    rng = random.Random(seed)
    config = evolve(quick, agent=agent("echo", WORK_MS="120"))
    names = ("a", "b", "c", "d")[: 1 + kills // 50]
    sent = [message for name in names for message in lab.send(name, *(f"m{n}" for n in range(kills // len(names))))]
    killed = 0

    async def kill_in(name, rounds, live):
        nonlocal killed
        for n in range(rounds):
            sent.extend(lab.send(name, f"late {n}"))
            if n % 2:  # at work, or wherever it is by then
                await live.until(lambda: lab.sql(name, CLAIMED, file="outbound.db"))
            await asyncio.sleep(rng.uniform(0.0, 0.1 if n % 2 else 0.5))
            await live.until(lambda: lab.kill_agent(f"main/{name}"))
            killed += 1
        await live.until(lambda: lab.open_rows(name) == 0, limit_s=120)

    async def script(live):
        await asyncio.gather(*(kill_in(name, kills // len(names), live) for name in names))

    with watched(lab) as census:
        live = lab.run(config, script)
    outcome = closing(lab, names, sent)
    died = live.of(Died)
    assert sum(end.signal == signal.SIGKILL for end in died) == killed == kills
    # Each charge belongs to one death, and a death charges at most the one message that was in hand.
    charged = live.of(Charged)
    assert len(charged) == len({(event.session, event.charge.incarnation) for event in charged}) <= kills
    assert outcome.charges == len(charged)
    assert not live.of(Stopping) and not [f for f in live.of(FaultSeen) if f.kind != "hot_journal"]
    print(f"agent kills {kills}: {outcome}, {census}, faults seen {live.of(FaultSeen)}")


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


ROUNDS = ("at any instant", "with an agent", "in its drain", "with a guard", "in its start", *("at any instant",) * 4)


@pytest.mark.parametrize("rounds", [3, pytest.param(200, marks=pytest.mark.long)])
def test_hosts_killed_at_random_instants_lose_nothing_and_their_agents_work_on(lab, quick, agent, seed, rounds):
    rng = random.Random(seed)
    stuck = evolve(quick.stuck, idle_stop_ms=600)  # so that there are starts and stops to be killed in
    config = evolve(quick, agent=agent("echo", WORK_MS="500"), stuck=stuck, start=StartPolicy(max_running=4))
    names = ("a", "b", "c", "d", "e")
    sent, kinds = [], Counter()
    with watched(lab) as census:
        for n in range(rounds):
            for name in rng.choices(names, k=5) if n else names:
                sent += lab.send(name, f"{n}")
            kind = ROUNDS[n % len(ROUNDS)]
            host = lab.serve(config)
            _kill(lab, host, kind, rng)
            kinds[kind] += 1
        live = lab.run(config, limit_s=120)
    outcome = closing(lab, names, sent)
    adopted = lab.heard("Adopted") + len(live.of(Adopted))
    assert live.summary.faulty == () and not lab.faults() and not lab.holds()
    assert "Traceback" not in lab.served()
    assert adopted > rounds // 4 or rounds < 10
    assert lab.heard("Stopping") == lab.served().count('"type": "StopIdle"')
    print(f"host kills {rounds} ({dict(kinds)}): {outcome}, {adopted} containers adopted, {census}")


def _kill(lab, host, kind, rng):
    """SIGKILL to a host; what else is killed, and when, is the kind of the round."""
    started = lab.heard("HostStarted")
    if kind == "in its start":
        time.sleep(rng.uniform(0.0, 0.7))
    else:
        lab.wait_for(lambda: lab.heard("HostStarted") > started)
        time.sleep(rng.uniform(0.0, 0.8))
    if kind == "in its drain":
        host.terminate()
        time.sleep(rng.uniform(0.0, 0.5))
    if kind in ("with an agent", "with a guard"):
        running = list(take_census(install_id(lab.data)).values())
        found = rng.choice(running) if running else None
        victims = () if found is None else found.agents[:1] if kind == "with an agent" else found.guards
        for victim in victims:
            signal_process(victim, signal.SIGKILL)
    host.kill()
    host.wait()


def test_an_agent_whose_host_has_no_successor_ends_by_itself(lab, quick, agent):
    host_policy = evolve(quick.host, orphan_limit_ms=300)
    config = evolve(quick, host=host_policy, agent=agent("echo", WORK_MS="50"))
    [sent] = lab.send("a", "hello")
    host = lab.serve(config)
    lab.wait_for(lambda: lab.heard("Settled"))
    assert lab.agent_pids()
    host.kill()
    host.wait()
    lab.wait_for(lambda: not lab.agent_pids())
    lab.run(config)
    assert lab.fates("a")[sent].answered_once


@pytest.mark.parametrize("rounds", [2, pytest.param(20, marks=pytest.mark.long)])
def test_a_host_asked_to_stop_under_load_loses_nothing_and_leaves_nothing(lab, quick, agent, seed, rounds):
    rng = random.Random(seed)
    config = evolve(quick, agent=agent("echo", WORK_MS="300"), start=StartPolicy(max_running=4))
    names = ("a", "b", "c", "d", "e", "f")
    sent = []
    for n in range(rounds):
        sent += [message for name in names for message in lab.send(name, f"{n}", f"{n}+")]
        started = lab.heard("HostStarted")
        host = lab.serve(config)
        lab.wait_for(lambda: lab.heard("HostStarted") > started)
        time.sleep(rng.uniform(0.0, 1.2))
        host.terminate()
        sent += lab.send(rng.choice(names), f"{n} while it ends")
        assert host.wait(60) == 0, lab.served()[-2000:]
        assert not lab.agent_pids()
    lab.run(config, limit_s=120)
    outcome = closing(lab, names, sent)
    assert "Traceback" not in lab.served()
    print(f"graceful stops {rounds}: {outcome}")


@pytest.mark.parametrize("rounds", [2, pytest.param(15, marks=pytest.mark.long)])
def test_a_second_host_is_refused_while_the_first_is_killed_and_starts_at_once_after_it(
    lab, quick, agent, seed, rounds
):
    rng = random.Random(seed)
    config = evolve(quick, agent=agent("echo", WORK_MS="100"))
    first = _started(lab, config)
    refused = 0
    for n in range(rounds):
        sent = lab.send("a", f"{n}")
        early = lab.serve(config)
        assert early.wait(60) == 3, lab.served()[-2000:]
        # Another one comes at about the instant at which the first dies: it is refused, or it is the next host.
        started = lab.heard("HostStarted")
        rival = lab.serve(config)
        time.sleep(rng.uniform(0.0, 1.2))
        first.kill()
        first.wait()
        lab.wait_for(lambda: rival.poll() is not None or lab.heard("HostStarted") > started)
        if rival.poll() is not None:
            assert rival.returncode == 3
            refused += 1
            rival = _started(lab, config)
        first = rival
        lab.wait_for(lambda: lab.fates("a")[sent[0]].answered_once)
    first.terminate()
    assert first.wait(60) == 0
    print(f"{rounds} hosts killed beside a rival: {refused} rivals refused, {rounds - refused} took over")


def _started(lab, config):
    started = lab.heard("HostStarted")
    host = lab.serve(config)
    lab.wait_for(lambda: lab.heard("HostStarted") > started)
    return host


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
        ends = time.monotonic() + 60
        while not lab.sql("a", CLAIMED, file="outbound.db"):
            assert time.monotonic() < ends, lab.served()
            time.sleep(0.02)
        host.send_signal(number)
        assert host.wait(60) == 0, lab.served()
        assert not lab.agent_pids()
        assert any(fate.status == "pending" for key, fate in lab.fates("a").items() if key in sent)
    assert "Traceback" not in lab.served()
    lab.run(config)
    fates = lab.fates("a")
    assert all(fate.answered_once for fate in fates.values()), fates
    assert not lab.holds()
