"""Which scenarios of the field does a whole host live through? Hours of virtual time, containers with a script."""

import asyncio
import re
import time
from pathlib import Path

import pytest
from attrs import evolve

from turnkeel.events import (
    Charged,
    Died,
    HostStopped,
    MessageFailed,
    NotStopped,
    Settled,
    Stopping,
    StrayStopped,
    WakeFailed,
    Woke,
)
from turnkeel_adapters.sessions.container_outbound import ClaimLost, require_claim
from turnkeel_core import KillNoProgress, KillOverRunLimit, KillStaleClaim, StartPolicy, StopIdle

A, B = "main/a", "main/b"
README = Path(__file__).parents[2] / "README.md"


def kills(world, session=None):
    """Stops that blame a container."""
    stops = [told.event for told in world.events(Stopping, session)]
    return [event for event in stops if not isinstance(event.because, StopIdle)]


def pass_without_host(world, for_ms):
    """Time goes by, containers go on, and no host is there."""
    world.kill_host()
    world.loop.run_until_complete(asyncio.sleep(for_ms / 1000))


def claimed(world, count=1):
    """Have so many containers claimed something?"""
    return lambda: sum(bool(box.claimed) for box in world.runner.boxes) >= count


# --- false kills


def test_FK_01_FK_02_two_hours_after_a_crash_the_successor_is_not_held_to_what_was_left(world, lab, agents):
    world.add(A, agents.crashes(after_s=5), agents.kit(start_s=50))
    world.send(A, "m1")
    world.play(3 * lab.SECOND)
    pass_without_host(world, 2 * lab.HOUR)
    assert world.sessions.stores[A].heartbeat_at_ms() is not None
    world.play(5 * lab.MINUTE)
    assert (kills(world), len(world.runner.spawns), world.status(A, "m1")) == ([], 2, ("completed", 1))
    assert world.broken_laws() == []


@pytest.mark.parametrize("zone", ["UTC", "Europe/Madrid", "America/Los_Angeles"])
def test_FK_03_FK_04_in_any_zone_a_retry_for_later_waits_and_a_fresh_claim_is_fresh(
    world, lab, agents, zone, monkeypatch
):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        world.add(A, agents.kit(think_s=50))
        world.play(lab.SECOND)
        world.send(A, "m1", due_at_ms=world.clock.wall_ms + lab.HOUR)
        with world.sessions.stores[A].inbound() as db:
            db.execute("UPDATE messages_in SET tries = 1, process_after = datetime(process_after)")
            due = db.execute("SELECT process_after FROM messages_in").fetchall()
        world.play(50 * lab.MINUTE)
        with world.sessions.stores[A].inbound() as db:
            assert db.execute("SELECT process_after FROM messages_in").fetchall() == due
        assert (world.runner.spawns, world.status(A, "m1")) == ([], ("pending", 1))
        world.play(15 * lab.MINUTE)
        assert (kills(world), world.status(A, "m1")) == ([], ("completed", 1))
    finally:
        monkeypatch.undo()
        time.tzset()


def declares_a_wait(agents, until_ms=None, *, beats_on=False, first="beat"):
    """Waits for 45 min, then works on for two more; `first`: what the container does first when the wait is over."""

    async def script(box):
        box.beat()
        if beats_on:
            box.keep_beating()
        work = await agents.next_work(box)
        box.waiting("rate limit", None if until_ms is None else box._clock.wall_ms + until_ms)
        await box.sleep(2_700)
        if first == "beat":
            box.beat()
        box.progress()
        box.end_wait()
        await box.sleep(0.01)
        box.keep_beating()
        await box.sleep(120)
        box.settle(work)
        await agents.serve(box)

    return script


WAITS = {
    "with an end, beating": {"until_ms": 2_700_000, "beats_on": True},
    "with an end, silent": {"until_ms": 2_700_000},
    "without an end, beating": {"beats_on": True},
    "without an end, silent": {},
}


@pytest.mark.parametrize("how", WAITS.values(), ids=WAITS.keys())
def test_FK_05_FK_15_a_declared_wait_for_a_limit_or_an_approval_is_no_hang(world, lab, agents, how):
    world.add(A, declares_a_wait(agents, **how))
    world.send(A, "m1")
    assert world.play_until(world.settled, lab.HOUR)
    assert (kills(world), len(world.runner.spawns)) == ([], 1)


def test_bug_a_container_that_withdrew_its_wait_before_it_beat_was_killed_for_the_silence_of_the_wait(
    world, lab, agents
):
    world.add(A, declares_a_wait(agents, first="withdraw"))
    world.send(A, "m1")
    assert world.play_until(world.settled, lab.HOUR)
    assert (kills(world), len(world.runner.spawns)) == ([], 1)


def test_FK_15_a_wait_that_never_ends_has_a_limit_of_its_own(world, lab, agents):
    async def waits_for_ever(box):
        box.beat()
        await agents.next_work(box)
        box.waiting("approval", None)
        box.healthy = False
        await agents.forever(box)

    world.add(A, waits_for_ever, agents.kit())
    world.send(A, "m1")
    world.play(lab.HOUR)
    assert kills(world) == []
    world.play(2 * lab.MINUTE)
    assert len(kills(world)) == 1
    assert world.settled()


@pytest.mark.parametrize("at_s", [1, 20, 55, 59])
def test_FK_07_a_sleep_of_the_machine_is_charged_to_nobody(world, lab, agents, at_s):
    world.add(A, agents.kit(think_s=100))
    world.add(B, agents.runs_tool(100, 120_000, beats=False))
    world.send(A, "m1")
    world.send(B, "m2")
    world.play(at_s * lab.SECOND)
    world.clock.step(2 * lab.HOUR)
    assert world.play_until(world.settled, 5 * lab.MINUTE)
    assert (kills(world), len(world.runner.spawns)) == ([], 2)
    assert [world.status(*sent) for sent in world.sent] == [("completed", 0)] * 2


@pytest.mark.parametrize("call", ["look", "read"])
def test_FK_08_a_clock_that_jumps_in_the_middle_of_a_pass_kills_nobody(world, lab, agents, call):
    store = world.add(A, agents.kit(think_s=400))
    world.send(A, "m1")
    world.play(10 * lab.SECOND)
    owner = world.runner if call == "look" else store
    before, jumps = getattr(owner, call), []

    def jumping(*arguments):
        if not jumps:
            jumps.append(world.clock.step(2 * lab.HOUR))
        return before(*arguments)

    setattr(owner, call, jumping)
    world.play(6 * lab.MINUTE)
    assert jumps and kills(world) == []
    assert world.play_until(world.settled, 5 * lab.MINUTE)


def test_FK_10_a_long_run_is_never_started_a_second_time(world, lab, agents):
    world.add(A, agents.works_long(7_200, 600))
    world.send(A, "m1")
    assert world.play_until(world.settled, 3 * lab.HOUR)
    assert (len(world.runner.spawns), world.replies(A, "m1"), world.status(A, "m1")) == (1, 1, ("completed", 0))


def test_FK_10_who_lost_the_claim_cannot_commit_any_more(world, lab, agents):
    works = []

    async def claims_and_hangs(box):
        works.append(await agents.next_work(box))
        box.healthy = False
        await agents.forever(box)

    store = world.add(A, claims_and_hangs, agents.kit(think_s=100))
    world.send(A, "m1")
    assert world.play_until(claimed(world, 2), 5 * lab.MINUTE)
    with pytest.raises(ClaimLost), store.outbound() as db:
        require_claim(db, "m1", works[0].stamp)
    assert world.play_until(world.settled, 5 * lab.MINUTE)
    assert world.replies(A, "m1") == 1


def test_FK_11_a_set_up_of_100_seconds_before_the_first_sign_of_life_is_waited_for(world, lab, agents):
    world.add(A, agents.kit(start_s=100))
    world.send(A, "m1")
    assert world.play_until(world.settled, 5 * lab.MINUTE)
    assert (kills(world), len(world.runner.spawns)) == ([], 1)


def test_FK_14_while_a_container_cannot_be_asked_it_is_neither_ended_nor_replaced(world, lab, agents):
    world.add(A, agents.works_long(1_200, 60))
    world.send(A, "m1")
    world.play(10 * lab.SECOND)
    world.runner.unknown[A] = "timed out"
    world.play(15 * lab.MINUTE)
    assert (world.runner.stops, len(world.runner.spawns), world.events(Charged)) == ([], 1, [])
    del world.runner.unknown[A]
    assert world.play_until(world.settled, 10 * lab.MINUTE)
    assert (len(world.runner.spawns), world.status(A, "m1")) == (1, ("completed", 0))


# --- missed hangs


def test_MH_02_MH_04_a_hang_that_looks_alive_is_ended_and_each_step_of_it_recorded(world, lab, agents):
    world.add(A, agents.hangs_beating(), agents.kit())
    world.send(A, "m1")
    world.play(33 * lab.MINUTE)
    [stop] = kills(world)
    assert isinstance(stop.because, KillNoProgress)
    steps = [type(told.event) for told in world.told if isinstance(told.event, Woke | Stopping | Charged | Died)]
    assert steps[:5] == [Woke, Stopping, Charged, Died, Woke]
    first = world.state.incarnations.history(A, limit=9)[-1]
    assert (first.intent, first.ending) == ("KillNoProgress", "stopped")
    assert world.status(A, "m1") == ("completed", 1)


def test_MH_03_CR_01_CR_07_a_stop_without_effect_is_never_told_as_done_and_is_asked_for_again(world, lab, agents):
    world.add(A, agents.hangs_silently(), agents.kit())
    world.runner.unstoppable.add(A)
    world.send(A, "m1")
    world.play(10 * lab.MINUTE)
    assert len(world.events(NotStopped)) == len(world.runner.stops) >= 5
    assert [world.events(kind) for kind in (Died, Charged, Settled)] == [[], [], []]
    assert [fault.kind for fault in world.state.notes.faults(A)] == ["fenced"]
    assert (world.state.incarnations.latest(A).state, len(world.runner.spawns)) == ("running", 1)
    world.runner.unstoppable.clear()
    world.play(3 * lab.MINUTE)
    assert (world.status(A, "m1"), world.state.notes.faults(A)) == (("completed", 1), ())


def test_MH_05_a_tool_that_never_returns_ends_its_turn_and_the_next_message_runs(world, lab, agents):
    async def stuck_in_a_tool(box):
        box.keep_beating()
        await agents.next_work(box)
        box.tool("Bash", 600_000)
        box.healthy = False
        await agents.forever(box)

    world.add(A, stuck_in_a_tool, agents.kit())
    world.send(A, "m1")
    world.play(lab.MINUTE)
    world.send(A, "m2")
    world.play(29 * lab.MINUTE)
    assert kills(world) == []
    world.play(3 * lab.MINUTE)
    assert [world.status(A, key) for key in ("m1", "m2")] == [("completed", 1), ("completed", 0)]
    assert world.broken_laws() == []


def test_MH_11_a_notification_that_nobody_got_costs_seconds(world, lab):
    world.add(A)
    world.play(10 * lab.SECOND)
    world.send(A, "m1", ring=False)
    world.play(10 * lab.SECOND)
    assert world.status(A, "m1") == ("completed", 0)


EXITS = {"an error": (1, None), "a signal": (None, 11), "no complaint": (0, None), "an end nobody saw": (None, None)}


@pytest.mark.parametrize(("code", "signal"), EXITS.values(), ids=EXITS.keys())
def test_MH_13_however_a_container_ends_without_a_word_its_message_is_tried_again_at_once(
    world, lab, agents, code, signal
):
    async def ends(box):
        box.keep_beating()
        await agents.next_work(box)
        raise agents.Gone(code, signal)

    world.add(A, ends, agents.kit())
    world.send(A, "m1")
    world.play(10 * lab.SECOND)
    assert world.status(A, "m1") == ("completed", 1)


def test_MH_14_a_turn_without_text_is_done_and_the_next_message_need_not_wait(world, lab, agents):
    async def says_nothing(box):
        box.keep_beating()
        while True:
            box.settle(await agents.next_work(box), reply=False)

    world.add(A, says_nothing)
    world.send(A, "m1")
    world.play(5 * lab.SECOND)
    world.send(A, "m2")
    world.play(5 * lab.SECOND)
    assert [world.status(A, key) for key in ("m1", "m2")] == [("completed", 0), ("completed", 0)]
    assert len(world.runner.spawns) == 1


def test_MH_15_what_came_in_behind_a_hung_run_is_taken_on_by_its_successor_in_order(world, lab, agents):
    world.add(A, agents.hangs_silently(), agents.kit())
    for key in ("m1", "m2", "m3"):
        world.send(A, key)
        world.play(5 * lab.SECOND)
    assert world.play_until(world.settled, 5 * lab.MINUTE)
    settled = [told.event.message_id for told in world.events(Settled)]
    assert settled == ["m2", "m3", "m1"]  # m1 waits out the delay of its second try
    assert [world.status(A, key)[1] for key in ("m1", "m2", "m3")] == [1, 0, 0]
    assert world.broken_laws() == []


def test_MH_16_retries_inside_a_turn_end_at_its_whole_budget_and_in_the_end_visibly(new_world, lab, agents):
    async def retries_for_ever(box):
        box.keep_beating()
        await agents.next_work(box)
        box.healthy = False
        while True:
            await box.sleep(60)
            box.progress()

    stuck = evolve(lab.BRISK.sweep.stuck, run_limit_ms=20 * lab.MINUTE)
    world = new_world(evolve(lab.BRISK, sweep=evolve(lab.BRISK.sweep, stuck=stuck)))
    world.add(A, retries_for_ever)
    world.send(A, "m1")
    assert world.play_until(world.settled, 3 * lab.HOUR)
    assert {type(stop.because) for stop in kills(world)} == {KillOverRunLimit}
    assert (world.status(A, "m1"), len(world.runner.spawns)) == (("failed", 5), 6)
    assert len(world.state.dead.of_message(A, "m1")) == len(world.events(MessageFailed)) == 1


def test_MH_18_a_scheduled_run_that_ends_empty_is_charged_and_in_the_end_recorded_as_failed(world, lab, agents):
    async def ends_empty(box):
        box.beat()
        await agents.next_work(box)
        raise agents.Gone(0, None)

    world.add(A, ends_empty)
    world.send(A, "m1", kind="task", recurrence="0 0 1 1 *")
    world.play(lab.HOUR)
    assert world.status(A, "m1") == ("failed", 5)
    [record] = world.state.dead.of_message(A, "m1")
    assert (record.reason, record.tries) == ("container gone", 5)
    assert len(world.events(MessageFailed)) == 1


def test_MH_20_a_start_that_fails_is_tried_again_however_often_it_failed(world, lab):
    world.add(A)
    world.runner.refusals[A] = 20
    world.send(A, "m1")
    assert world.play_until(world.settled, 3 * lab.HOUR)
    failed = [told.at_ms for told in world.events(WakeFailed)]
    assert len(failed) == 20
    assert max(after - before for before, after in zip(failed, failed[1:], strict=False)) <= 6 * lab.MINUTE
    assert world.status(A, "m1") == ("completed", 0)


@pytest.mark.parametrize("hang", ["hangs_silently", "hangs_beating", "never_starts", "ignores_work"])
def test_MH_22_a_host_that_did_not_start_a_container_finds_its_hang_all_the_same(world, lab, agents, hang):
    world.add(A, getattr(agents, hang)(), agents.kit())
    world.send(A, "m1")
    world.play(10 * lab.SECOND)
    world.kill_host()
    assert world.play_until(world.settled, 33 * lab.MINUTE)
    assert len(kills(world)) == 1
    assert world.broken_laws() == []


# --- loops


def test_LO_01_wherever_a_host_dies_around_a_kill_the_claim_goes_and_one_attempt_is_charged(new_world, lab, agents):
    def play(die_after):
        world = new_world(lab.QUICK)
        world.add(A, agents.hangs_silently(), agents.kit())
        world.send(A, "m1")
        world.start(die_after=die_after)
        return world

    world = play(None)
    world.play_until(lambda: bool(world.events(Stopping)), lab.MINUTE, every_ms=500)
    told = world.life.steps
    world.play_until(lambda: bool(world.events(Died)), lab.MINUTE, every_ms=10)
    last = world.life.steps
    for die_after in range(told - 25, last + 8, 2):
        world = play(die_after)
        world.play_until(lambda: world.died, lab.MINUTE, every_ms=500)
        assert world.died
        world.kill_host()
        assert world.play_until(world.settled, lab.MINUTE, every_ms=500), world.life.died_at
        assert world.status(A, "m1") == ("completed", 1), world.life.died_at
        assert world.broken_laws() == []
        world.close()


def test_LO_05_a_message_whose_run_takes_the_host_down_each_time_is_put_aside_and_the_host_stays_up(world, lab, agents):
    world.add(A, agents.kit(think_s=3_000))
    world.add(B)
    world.send(A, "m1")
    crashes = 0
    while world.status(A, "m1")[0] == "pending":
        assert world.play_until(lambda: bool(world.runner.living(A) and world.runner.living(A)[0].claimed), lab.HOUR)
        world.kill_host()  # the machine goes down, and everything on it
        for box in world.runner.living():
            world.runner.end(box, None, 9)
        crashes += 1
        world.play(5 * lab.SECOND)
        assert crashes < 10
    assert crashes == world.policies.sweep.retry.max_tries + 1
    assert len(world.state.dead.of_message(A, "m1")) == 1
    world.send(B, "m2")
    world.send(A, "m3")
    world.play(6 * lab.MINUTE)
    assert world.status(B, "m2") == ("completed", 0)
    assert len(world.runner.living(A)) == 1  # the session itself goes on


def test_LO_07_a_series_whose_occurrence_ran_twice_has_one_next_occurrence(world, lab, agents):
    world.add(A, agents.hangs_silently(), agents.crashes(), agents.kit())
    world.send(A, "m1", recurrence="0 0 1 1 *")
    world.play(10 * lab.MINUTE)
    assert world.status(A, "m1") == ("completed", 2)
    with world.sessions.stores[A].inbound() as db:
        rows = db.execute("SELECT status, recurrence IS NULL FROM messages_in ORDER BY seq").fetchall()
    assert rows == [("completed", 1), ("pending", 0)]


def test_LO_12_LO_13_what_died_while_no_host_was_there_is_eligible_at_once_whatever_its_row_lacks(world, lab, agents):
    async def takes_three_and_dies(box):
        for _ in range(3):
            await agents.next_work(box)
        await box.sleep(60)
        raise agents.Gone(None, 9)

    store = world.add(A, takes_three_and_dies, agents.kit())
    world.send(A, "m1", thread_id="t", channel_type="c", platform_id="p")
    world.send(A, "m2")
    world.send(A, "m3", thread_id="t")
    with store.inbound() as db:
        db.execute("UPDATE messages_in SET tries = NULL, series_id = NULL WHERE id = 'm2'")
    assert world.play_until(lambda: any(len(box.claimed) == 3 for box in world.runner.boxes), lab.MINUTE)
    pass_without_host(world, 10 * lab.MINUTE)
    world.play(2 * lab.SECOND)
    assert len(world.runner.spawns) == 2
    world.play(10 * lab.SECOND)
    assert [told.event.message_id for told in world.events(Settled)] == ["m1", "m2", "m3"]
    assert {world.status(A, key) for key in ("m1", "m2", "m3")} == {("completed", 1)}


def test_LO_14_a_claim_taken_while_the_host_shuts_down_blocks_nothing_afterwards(world, lab, agents):
    world.add(A, agents.kit(think_s=300), agents.kit())
    world.send(A, "m1")
    world.send(A, "m2")
    world.play(10 * lab.SECOND)
    world.runner.last_words[A] = lambda box: box.claim()
    world.finish()
    assert world.runner.boxes[0].claimed == ["m1", "m2"]
    started_ms = world.clock.mono_ms
    assert world.play_until(world.settled, lab.MINUTE)
    assert world.clock.mono_ms - started_ms <= 15 * lab.SECOND
    assert [told.event.message_id for told in world.events(Settled)] == ["m1", "m2"]


def test_LO_21_a_host_that_died_while_it_started_a_container_leaves_no_lock_on_the_session(new_world, lab, agents):
    def play(die_after):
        world = new_world(lab.QUICK)
        world.add(A)
        world.send(A, "m1")
        world.start(die_after=die_after)
        return world

    world = play(None)
    world.play_until(lambda: bool(world.events(Woke)), 2 * lab.SECOND, every_ms=1)
    last, unfinished = world.life.steps, 0
    for die_after in range(last - 15, last + 5):
        world = play(die_after)
        world.play_until(lambda: world.died, 2 * lab.SECOND, every_ms=100)
        latest = world.state.incarnations.latest(A)
        unfinished += latest is not None and latest.state == "starting"
        world.kill_host()
        assert world.play_until(world.settled, 15 * lab.SECOND), world.life.died_at
        assert world.broken_laws() == []
        world.close()
    assert unfinished > 0


# --- runtime and host process


def test_CR_06_a_running_container_that_no_record_names_is_ended_and_the_real_one_goes_on(world, lab, agents):
    world.add(A, agents.works_long(600, 30))
    world.send(A, "m1")
    world.play(10 * lab.SECOND)
    [real] = world.runner.boxes
    stray = type(real)(A, 0, world.sessions.stores[A], world.clock)
    stray.task = world.loop.create_task(world.runner._live(stray, agents.ignores_work()))
    world.runner.boxes.append(stray)
    world.play(2 * lab.MINUTE)
    assert [told.event.incarnation for told in world.events(StrayStopped)] == [0]
    assert (stray.ended is not None, real.ended) == (True, None)
    assert world.play_until(world.settled, 15 * lab.MINUTE)
    assert (world.status(A, "m1"), len(world.runner.spawns)) == (("completed", 0), 1)


def test_CR_10_memory_that_ran_out_is_told_and_recorded_as_that(world, lab, agents):
    world.add(A, agents.kit(think_s=100))
    world.send(A, "m1")
    world.play(10 * lab.SECOND)
    [box] = world.runner.boxes
    world.runner.end(box, None, 9)
    box.ended = evolve(box.ended, oom=True)
    world.play(10 * lab.SECOND)
    [died] = world.events(Died)
    first = world.state.incarnations.history(A, limit=9)[-1]
    assert (died.event.oom, died.event.intent, first.oom, first.exit_signal, first.ending) == (
        True, None, True, 9, "exited",
    )  # fmt: skip


@pytest.mark.parametrize("minutes", [1, 60])
def test_CR_14_a_runtime_that_is_not_up_yet_is_waited_for_and_no_message_pays(world, lab, minutes):
    world.add(A)
    world.runner.down = "connection refused"
    world.send(A, "m1")
    world.play(minutes * lab.MINUTE)
    world.send(A, "m2")
    assert (world.runner.spawns, world.status(A, "m1"), world.status(A, "m2")) == ([], ("pending", 0), ("pending", 0))
    shown = [(fault.subject, fault.kind) for fault in world.state.notes.faults()]
    assert shown == [("runtime", "down")]
    world.runner.down = None
    assert world.play_until(world.settled, 2 * lab.MINUTE)
    assert world.state.notes.faults() == ()
    assert [world.status(A, key) for key in ("m1", "m2")] == [("completed", 0), ("completed", 0)]


def test_CR_16_the_same_exit_code_is_a_crash_or_a_stop_by_what_the_host_had_intended(world, lab, agents):
    async def dies_with_143(box):
        box.keep_beating()
        await agents.next_work(box)
        raise agents.Gone(143, None)

    end = world.runner.end
    world.runner.end = lambda box, code, signal: end(box, 143, None)
    world.add(A, dies_with_143, agents.kit())
    world.send(A, "m1")
    world.play(20 * lab.MINUTE)
    idle, crashed = world.state.incarnations.history(A, limit=9)
    assert (crashed.exit_code, crashed.intent, crashed.ending) == (143, None, "exited")
    assert (idle.exit_code, idle.intent, idle.ending) == (143, "StopIdle", "stopped")
    assert [told.event.charge.incarnation for told in world.events(Charged)] == [1]


def test_CR_17_a_drain_ends_within_its_grace_and_the_documented_unit_allows_for_more(new_world, lab, agents):
    world = new_world(evolve(lab.BRISK, start=StartPolicy(max_running=12)))
    for number in range(12):
        world.add(f"main/s{number}", agents.kit(think_s=3_000))
        world.send(f"main/s{number}", "m1")
    world.play(10 * lab.SECOND)
    grace_ms = world.policies.host.shutdown_grace_ms
    world.runner.stop_takes_ms = grace_ms
    began_ms = world.clock.mono_ms
    world.finish()
    assert world.events(HostStopped)[0].event.running == len(world.runner.stops) == 12
    took_ms = world.clock.mono_ms - began_ms
    [allowed] = re.findall(r"^TimeoutStopSec=(\d+)$", README.read_text("utf-8"), re.MULTILINE)
    assert took_ms <= grace_ms + 5 * lab.SECOND
    assert 2 * grace_ms <= int(allowed) * lab.SECOND


def test_CR_24_what_a_restarted_runtime_does_not_know_is_tried_again_once_and_only_when_it_answers(world, lab, agents):
    world.add(A, agents.works_long(600, 30), agents.kit())
    world.send(A, "m1")
    world.play(10 * lab.SECOND)
    [box] = world.runner.boxes
    world.runner.unknown[A] = "inspect timed out"
    world.runner.end(box, 255, None)
    world.play(5 * lab.MINUTE)
    assert (len(world.runner.spawns), world.status(A, "m1")) == (1, ("pending", 0))
    del world.runner.unknown[A]
    world.play(2 * lab.MINUTE)
    assert (len(world.runner.spawns), world.status(A, "m1"), world.replies(A, "m1")) == (2, ("completed", 1), 1)


def test_MH_22_LO_12_a_silent_hang_is_judged_by_its_claim_not_by_who_watches_it(world, lab, agents):
    world.add(A, agents.hangs_silently(), agents.kit())
    world.send(A, "m1")
    world.play(10 * lab.SECOND)
    spawned_ms = world.runner.spawns[0][0]
    pass_without_host(world, 20 * lab.SECOND)
    world.play(2 * lab.MINUTE)
    [stop] = world.events(Stopping)
    assert isinstance(stop.event.because, KillStaleClaim)
    assert 60_000 < stop.at_ms - spawned_ms <= 62_000
    assert world.status(A, "m1") == ("completed", 1)
