"""Does the host end what hangs, in time and whole, stop what idles, and give up what always fails?"""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest
from attrs import evolve

from turnkeel.events import Charged, Died, Held, MessageFailed, Settled, Stopping, WakeFailed, Woke
from turnkeel_adapters.config.records import AgentConfig
from turnkeel_adapters.state.store import HostState
from turnkeel_core import KillNoProgress, KillStaleClaim, SpawnPolicy, StartPolicy, StopIdle

SECONDS_PAST = 2.0


def test_a_silent_hang_is_killed_within_two_seconds_past_its_tolerance_with_all_its_processes(lab, quick, agent):
    config = evolve(quick, agent=agent("silent"), stuck=evolve(quick.stuck, claim_tolerance_ms=1_500))
    late = []
    for name in ("a", "b", "c"):  # on a machine with too much to do, the best of three
        late.append(_killed_silent(lab, config, name))
        if late[-1] < SECONDS_PAST:
            return
    raise AssertionError(f"gone {late} s past the tolerance")


def _killed_silent(lab, config, name) -> float:
    [sent] = lab.send(name, "hello")
    family: list[int] = []

    async def script(live):
        await live.until(lambda: live.of(Woke, f"main/{name}"))
        await live.until(lambda: len(lab.agent_pids(f"main/{name}")) >= 4)  # itself, a detached shell, two sleeps
        family.extend(lab.agent_pids(f"main/{name}"))
        await live.until(lambda: live.of(Died, f"main/{name}"))
        lab.sql(name, "UPDATE messages_in SET status = 'completed'")

    live = lab.run(config, script)
    stop = live.of(Stopping, f"main/{name}")[0]
    assert isinstance(stop.because, KillStaleClaim)
    assert stop.because.message_id == sent
    late_s = (stop.because.claim_age_ms - stop.because.tolerance_ms) / 1000
    gone_s = late_s + live.at(Died) - live.at(Stopping)
    print(f"asked to stop {late_s:.3f} s past the tolerance, gone {gone_s:.3f} s past it (grace 1 s, TERM ignored)")
    assert late_s > 0
    assert not [pid for pid in family if Path(f"/proc/{pid}/stat").exists()]
    assert [event.charge.message_id for event in live.of(Charged, f"main/{name}")][:1] == [sent]
    return gone_s


def test_agent_exec_around_a_program_that_sleeps_for_ever_is_killed_at_its_progress_limit_though_it_beats(lab, quick):
    stuck = evolve(quick.stuck, progress_silence_ms=1_500)
    config = evolve(quick, agent=AgentConfig(argv=("sleep", "infinity")), stuck=stuck)
    [sent] = lab.send("a", "hello")
    folder, beats, family = lab.session("a"), [], []

    async def script(live):
        await live.until(lambda: len(lab.agent_pids("main/a")) >= 2)
        family.extend(lab.agent_pids("main/a"))
        await live.until(lambda: live.of(Stopping))
        beats.append(time.time() - os.stat(folder / ".heartbeat").st_mtime)
        await live.until(lambda: live.of(Died))

    live = lab.run(config, script)
    stop = live.of(Stopping)[0].because
    assert isinstance(stop, KillNoProgress)
    late_s = (stop.silent_ms - stop.limit_ms) / 1000
    gone_s = late_s + live.at(Died) - live.at(Stopping)
    print(f"stopped {late_s:.3f} s past the limit, gone {gone_s:.3f} s past it; the heartbeat was {beats[0]:.2f} s old")
    assert beats[0] < 1.5, "the heartbeat must be fresh for this test to mean something"
    assert gone_s < SECONDS_PAST
    assert not [pid for pid in family if Path(f"/proc/{pid}/stat").exists()]
    assert live.of(Charged)[0].charge.message_id == sent


def test_a_stopped_process_is_found_by_its_heartbeat_and_ended(lab, quick, agent):
    stuck = evolve(quick.stuck, ceiling_ms=1_500)
    config = evolve(quick, agent=AgentConfig(argv=("sh", "-c", "sleep 0.5; cat")), stuck=stuck)
    lab.send("a", "hello")

    async def script(live):
        claimed = "SELECT 1 FROM processing_ack"
        await live.until(lambda: lab.sql("a", claimed, file="outbound.db"))
        assert lab.kill_agent("main/a", signal.SIGSTOP)
        await live.until(lambda: live.of(Died))
        assert type(live.of(Stopping)[0].because).__name__ == "KillOverCeiling"
        await live.until(lambda: live.of(Settled))

    lab.run(config, script)
    [fate] = lab.fates("a").values()
    assert fate.answered_once and fate.tries == 1


def test_an_idle_agent_is_stopped_at_no_charge_and_the_next_message_wakes_it_again(lab, quick):
    config = evolve(quick, stuck=evolve(quick.stuck, idle_stop_ms=500))
    lab.send("a", "first")

    async def script(live):
        await live.until(lambda: live.of(Died))
        lab.send("a", "second")
        await live.until(lambda: lab.open_rows("a") == 0)

    live = lab.run(config, script)
    assert isinstance(live.of(Stopping)[0].because, StopIdle)
    assert (live.of(Died)[0].exit_code, live.of(Died)[0].intent) == (0, "StopIdle")
    assert not live.of(Charged) and not live.of(Held)
    assert all(fate.answered_once and fate.tries == 0 for fate in lab.fates("a").values())


def test_more_sessions_than_slots_are_served_first_come_first_served_and_the_wait_is_shown(lab, quick, agent, tmp_path):
    gate = tmp_path / "gate"
    config = evolve(
        quick,
        start=StartPolicy(max_running=2),
        stuck=evolve(quick.stuck, idle_stop_ms=100),
        agent=agent("echo", GATE=str(gate), WORK_MS="200"),
    )
    names = ["s3", "s1", "s5", "s2", "s4"]
    shown: dict[str, str] = {}

    async def script(live):
        for name in names:
            lab.send(name, "hello")
            await live.until(lambda name=name: live.of(Woke, f"main/{name}") or live.of(Held, f"main/{name}"))
        shown.update({hold.session: hold.reason for hold in lab.holds()})
        gate.touch()
        await live.until(lambda: not any(lab.open_rows(name) for name in names))

    live = lab.run(config, script)
    woken = [event.session for event in live.of(Woke)]
    # Two that get their places at once may be up in either order.
    assert (woken[:2], sorted(woken[2:])) == (["main/s3", "main/s1"], ["main/s2", "main/s4", "main/s5"])
    assert shown == dict.fromkeys(["main/s5", "main/s2", "main/s4"], "slot")
    running = most = 0
    for _, event in live.told:
        running += isinstance(event, Woke) - isinstance(event, Died)
        most = max(most, running)
    assert most == 2
    assert not lab.holds()


def test_an_idle_container_makes_room_for_a_session_that_waits(lab, quick):
    config = evolve(quick, start=StartPolicy(max_running=1))
    lab.send("a", "hello")
    lab.send("b", "hello")
    lab.run(config, lambda live: live.until(lambda: not lab.open_rows("a") and not lab.open_rows("b")))


def test_a_container_that_keeps_dying_is_started_ever_more_rarely_and_costs_the_message_nothing(lab, quick, agent):
    config = evolve(quick, agent=agent("dies"), spawn=SpawnPolicy(base_ms=300, max_delay_ms=600))
    [sent] = lab.send("a", "hello")

    async def script(live):
        await live.until(lambda: len(live.of(Woke)) == 5)
        assert [(hold.session, hold.reason) for hold in lab.holds()] == [] or lab.holds()[0].reason == "backoff"

    live = lab.run(config, script)
    woke = [at for at, event in live.told if isinstance(event, Woke)]
    gaps = [later - at for at, later in zip(woke, woke[1:], strict=False)]
    print("gaps between starts:", [f"{gap:.2f}" for gap in gaps])
    assert gaps[1] > 0.3 and gaps[2] > 0.6 and gaps[3] > 0.6
    assert {event.hold.reason for event in live.of(Held)} >= {"backoff"}
    # It never took the message: no attempt at it began.
    assert lab.fates("a")[sent].tries == 0
    assert "the model key is not set" in (lab.data / "logs" / "main" / "a.log").read_text("utf-8")


def test_an_agent_that_always_fails_ends_in_a_failed_row_and_a_dead_record_with_the_end_of_stderr(lab, quick):
    argv = ("sh", "-c", "echo no such model: alpha >&2; exit 3")
    config = evolve(quick, agent=AgentConfig(argv=argv), retry=evolve(quick.retry, max_tries=2))
    [sent] = lab.send("a", "hello")
    [fine] = lab.send("b", "hello")
    live = lab.run(config)
    for name, key in (("a", sent), ("b", fine)):
        fate = lab.fates(name)[key]
        assert (fate.status, fate.tries, fate.replies, fate.dead) == ("failed", 2, 0, 1)
    with HostState(lab.data, read_only=True) as state:
        [dead] = state.dead.of_message("main/a", sent)
    assert dead.reason == "exit_3" and "no such model: alpha" in (dead.detail or "")
    assert dead.payload and "hello" in dead.payload
    assert len(live.of(MessageFailed)) == 2 and live.summary.failed_messages == 2
    assert len(live.of(Woke, "main/a")) == 3, "two retries after the first attempt"


def test_a_failed_ack_completes_the_row_and_keeps_a_dead_record(lab, quick):
    [sent] = lab.send("a", "refuse this")
    lab.run(quick)
    assert lab.fates("a")[sent].visibly_failed
    assert lab.fates("a")[sent].status == "completed"
    with HostState(lab.data, read_only=True) as state:
        [dead] = state.dead.of_message("main/a", sent)
    assert dead.reason == "refused" and "I will not do that" in (dead.detail or "")


@pytest.mark.parametrize("contract", [True, False], ids=["a runner of the contract", "a program in agent exec"])
def test_an_agent_command_that_does_not_exist_is_said_and_no_message_is_lost(lab, quick, contract):
    wrong = AgentConfig(argv=("no-such-program-anywhere",), speaks_contract=contract)
    [sent] = lab.send("a", "hello")

    async def script(live):
        if contract:
            await live.until(lambda: len(live.of(WakeFailed)) >= 2)
        else:
            await live.until(lambda: live.of(Charged))
        await asyncio.sleep(0)

    live = lab.run(evolve(quick, agent=wrong), script)
    if contract:
        [fault] = lab.faults("a")
        assert fault.subject == "start" and "no-such-program-anywhere" in fault.detail
        assert lab.fates("a")[sent].tries == 0 and not live.of(Charged)
    else:
        assert "no-such-program-anywhere" in (lab.sessions.store("a").error_note(sent) or "")
    lab.run(quick)
    assert lab.fates("a")[sent].answered_once
    assert not lab.faults()
