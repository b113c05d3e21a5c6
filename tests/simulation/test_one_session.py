"""What does the host do with one session, hour after hour? Every instant here is virtual."""

from pathlib import Path
from unittest.mock import Mock

import pytest
from attrs import evolve

from turnkeel.events import (
    Charged,
    Died,
    FaultCleared,
    FaultSeen,
    MessageFailed,
    NotStopped,
    Resumed,
    Settled,
    Stopping,
    WakeFailed,
    Woke,
)
from turnkeel_adapters.state.database import StateFault
from turnkeel_core import KillIgnoringDue, KillNeverStarted, KillNoProgress, KillOverCeiling, KillStaleClaim, StopIdle

A = "main/a"


def test_a_day_without_messages_costs_looks_but_no_write(new_world, lab):
    world = new_world(lab.CALM)
    world.add(A)
    world.play(lab.MINUTE)
    commits, passes = world.commits(), world.passes(A)
    world.play(24 * lab.HOUR)
    fallbacks = 24 * lab.HOUR // world.policies.host.fallback_scan_ms
    assert world.commits() == commits
    assert fallbacks - 1 <= world.passes(A) - passes <= fallbacks + 1


def test_an_idle_host_reads_no_file_between_two_fallback_scans(new_world, lab):
    world = new_world(lab.USUAL)
    world.add(A)
    world.play(1 * lab.SECOND)
    commits, passes = world.commits(), world.passes(A)
    world.play(58 * lab.SECOND)
    assert (world.commits(), world.passes(A)) == (commits, passes)


def test_a_rung_message_is_claimed_within_a_poll_and_answered_once(new_world, lab):
    world = new_world(lab.USUAL)
    world.add(A)
    world.play(10 * lab.SECOND)
    sent_ms = world.clock.mono_ms
    world.send(A, "m1")
    world.play(10 * lab.SECOND)
    [woke] = world.events(Woke)
    assert woke.at_ms - sent_ms <= world.policies.host.doorbell_poll_ms
    assert (world.status(A, "m1"), world.replies(A, "m1")) == (("completed", 0), 1)
    assert world.broken_laws() == []


def test_a_lost_doorbell_is_made_good_by_the_idle_scan(world, lab):
    world.add(A)
    world.play(10 * lab.SECOND)
    sent_ms = world.clock.mono_ms
    world.send(A, "m1", ring=False)
    world.play(30 * lab.SECOND)
    [woke] = world.events(Woke)
    policy = world.policies.host
    assert policy.doorbell_poll_ms < woke.at_ms - sent_ms <= policy.idle_scan_ms + policy.doorbell_poll_ms


def test_an_answer_is_taken_over_within_a_running_poll(world, lab, agents):
    world.add(A, agents.kit(think_s=20))
    world.send(A, "m1")
    assert world.play_until(lambda: world.replies(A, "m1") == 1, lab.MINUTE, every_ms=10)
    answered_ms = world.clock.mono_ms
    world.play(lab.SECOND)
    [settled] = world.events(Settled)
    policy = world.policies.host
    assert settled.at_ms - answered_ms <= policy.running_poll_ms + policy.doorbell_poll_ms


KILLS = {
    "a silent hang is killed at the claim tolerance": ("hangs_silently", KillStaleClaim, 60_000, "claim"),
    "a hang that beats is killed at the limit of progress": ("hangs_beating", KillNoProgress, 1_800_000, "claim"),
    "no sign of life is killed at the start-up deadline": ("never_starts", KillNeverStarted, 120_000, "spawn"),
    "beating without taking due work is killed at its limit": ("ignores_work", KillIgnoringDue, 1_800_000, "spawn"),
}


@pytest.mark.parametrize(("script", "verdict", "limit_ms", "since"), KILLS.values(), ids=KILLS.keys())
def test_a_hang_is_found_within_one_poll_of_its_limit_and_its_message_answered(
    world, lab, agents, script, verdict, limit_ms, since
):
    world.add(A, getattr(agents, script)(), agents.kit())
    world.play(lab.SECOND)
    world.send(A, "m1")
    world.play_until(lambda: bool(world.events(Stopping)), 2 * lab.HOUR)
    world.play(lab.MINUTE)
    [stopping] = world.events(Stopping)
    [first, *_] = world.events(Woke)
    assert isinstance(stopping.event.because, verdict)
    # The scripts claim with their first breath: claim and spawn are one instant here.
    late_ms = stopping.at_ms - first.at_ms - limit_ms
    assert 0 < late_ms <= world.policies.host.running_poll_ms
    tries = 1 if since == "claim" else 0
    assert (world.status(A, "m1"), world.replies(A, "m1")) == (("completed", tries), 1)
    assert world.broken_laws() == []


def test_a_heartbeat_that_stops_before_any_claim_is_killed_at_the_ceiling(world, lab, agents):
    async def beats_once(box):
        box.healthy = False
        box.beat()
        await agents.forever(box)

    sweep = lab.BRISK.sweep
    patient = evolve(sweep, stuck=evolve(sweep.stuck, unclaimed_limit_ms=9_000_000))
    world.policies = evolve(lab.BRISK, sweep=patient)
    world.add(A, beats_once, agents.kit())
    world.send(A, "m1")
    world.play(31 * lab.MINUTE)
    [stopping] = world.events(Stopping)
    assert isinstance(stopping.event.because, KillOverCeiling)
    assert world.status(A, "m1") == ("completed", 0)


def test_an_idle_container_is_stopped_after_15_minutes_and_woken_again_at_nobodys_cost(world, lab):
    world.add(A)
    world.send(A, "m1")
    world.play(14 * lab.MINUTE)
    assert world.events(Stopping) == []
    world.play(2 * lab.MINUTE)
    [stopping] = world.events(Stopping)
    assert isinstance(stopping.event.because, StopIdle)
    assert world.runner.living() == []
    world.play(2 * lab.HOUR)
    sent_ms = world.clock.mono_ms
    world.send(A, "m2")
    world.play(10 * lab.SECOND)
    assert world.events(Woke)[-1].at_ms - sent_ms <= world.policies.host.doorbell_poll_ms
    assert [world.status(A, m) for m in ("m1", "m2")] == [("completed", 0), ("completed", 0)]
    assert world.broken_laws() == []


def test_a_message_whose_every_attempt_dies_is_charged_once_each_and_fails_visibly(world, lab, agents):
    world.add(A, agents.crashes())
    world.send(A, "m1")
    assert world.play_until(world.settled, 2 * lab.HOUR)
    world.play(lab.HOUR)
    limit = world.policies.sweep.retry.max_tries
    assert world.status(A, "m1") == ("failed", limit)
    assert [told.event.charge.tries for told in world.events(Charged)] == list(range(1, limit + 1))
    assert len(world.runner.spawns) == limit + 1
    [record] = world.state.dead.of_message(A, "m1")
    assert (record.payload, record.reason, record.tries) == ('{"text": "hello"}', "container gone", limit)
    assert len(world.events(MessageFailed)) == 1
    assert world.broken_laws() == []


def test_a_container_that_keeps_dying_is_started_with_growing_gaps(world, lab, agents):
    world.add(A, agents.exits_idle(exit_code=1, after_s=1))
    world.send(A, "m1")
    world.play(30 * lab.MINUTE)
    starts = [at_ms for at_ms, _, _ in world.runner.spawns]
    gaps_s = [(after - before) / 1000 - 1 for before, after in zip(starts, starts[1:], strict=False)]
    wanted = [0, 10, 20, 40, 80, 160, 300, 300, 300]
    late_s = world.policies.host.running_poll_ms / 1000
    assert len(gaps_s) >= len(wanted)
    for gap_s, want_s in zip(gaps_s, wanted, strict=False):
        assert want_s <= gap_s <= want_s + 2 * late_s, gaps_s
    assert world.status(A, "m1") == ("pending", 0)


def test_progress_or_an_idle_stop_starts_the_spawn_backoff_anew(world, lab, agents):
    world.add(A, *[agents.exits_idle(1)] * 4, agents.crashes(reply=True), agents.kit())
    world.send(A, "m1")
    world.play_until(world.settled, lab.HOUR)
    sent_ms = world.clock.mono_ms
    world.send(A, "m2")
    world.play(10 * lab.SECOND)
    assert world.events(Woke)[-1].at_ms - sent_ms <= 1_000
    assert world.status(A, "m2") == ("completed", 0)


def test_a_start_that_fails_charges_nothing_and_is_repeated_with_backoff(world, lab):
    world.add(A)
    world.runner.refusals[A] = 3
    world.send(A, "m1")
    world.play(2 * lab.MINUTE)
    failed = [told.at_ms for told in world.events(WakeFailed)]
    gaps_s = [(after - before) / 1000 for before, after in zip(failed, failed[1:], strict=False)]
    assert len(failed) == 3
    assert 0 < gaps_s[0] <= 4 and 10 <= gaps_s[1] <= 14
    assert world.events(Woke)[0].at_ms - failed[2] <= 22_000
    assert world.status(A, "m1") == ("completed", 0)
    assert world.state.notes.faults(A) == ()
    assert world.broken_laws() == []


def test_a_failed_ack_completes_the_row_and_keeps_a_dead_record(world, lab, agents):
    world.add(A, agents.fails_visibly())
    world.send(A, "m1")
    world.play(10 * lab.SECOND)
    [record] = world.state.dead.of_message(A, "m1")
    assert (world.status(A, "m1"), record.reason) == (("completed", 0), "failed by the agent")


HEALTHY = {
    "progress is shown every 20 minutes": ("works_long", (7_200, 1_200)),
    "a declared tool runs for 50 minutes and beats": ("runs_tool", (3_000, 3_600_000)),
    "a declared tool runs for 50 minutes in silence": ("runs_tool", (3_000, 3_600_000, False)),
    "a wait without an end is declared for 55 minutes": ("waits", (3_300, None)),
    "a wait of 40 minutes is declared and kept": ("waits", (2_400, 2_400_000)),
}


@pytest.mark.parametrize(("script", "arguments"), HEALTHY.values(), ids=HEALTHY.keys())
def test_a_healthy_container_is_left_alone_for_as_long_as_it_declares(world, lab, agents, script, arguments):
    world.add(A, getattr(agents, script)(*arguments))
    world.send(A, "m1")
    assert world.play_until(world.settled, 3 * lab.HOUR)
    assert (world.status(A, "m1"), len(world.runner.spawns), world.events(Stopping)) == (("completed", 0), 1, [])


def test_a_declared_wait_without_end_runs_out_after_an_hour_and_one_tolerance(world, lab, agents):
    async def waits_for_ever(box):
        box.beat()
        await agents.next_work(box)
        box.waiting("approval", None)
        box.healthy = False
        await agents.forever(box)

    world.add(A, waits_for_ever, agents.kit())
    world.send(A, "m1")
    world.play_until(world.settled, 2 * lab.HOUR)
    [stopping] = world.events(Stopping)
    age_ms = stopping.at_ms - world.events(Woke)[0].at_ms
    assert 3_660_000 < age_ms <= 3_660_000 + 1_000
    assert world.broken_laws() == []


def test_two_hours_of_sleep_kill_nobody_and_one_tolerance_later_the_rules_apply(world, lab, agents):
    world.add(A, agents.kit(think_s=60), agents.kit())
    world.add("main/b", agents.hangs_silently(), agents.kit())
    world.send(A, "m1")
    world.send("main/b", "m2")
    world.play(30 * lab.SECOND)
    world.clock.step(2 * lab.HOUR)
    world.play(59 * lab.SECOND)
    assert len(world.events(Resumed)) == 1
    assert world.events(Stopping) == []
    world.play(2 * lab.SECOND)
    [stopping] = world.events(Stopping)
    assert stopping.event.session == "main/b"
    world.play(3 * lab.MINUTE)
    assert world.settled()
    assert world.broken_laws() == []


def test_an_agent_that_is_waiting_for_its_model_survives_a_sleep_of_two_hours(world, lab, agents):
    world.add(A, agents.works_long(3_000, 1_500))
    world.send(A, "m1")
    world.play(20 * lab.MINUTE)
    world.clock.step(2 * lab.HOUR)
    world.play(lab.HOUR)
    kills = [told.event for told in world.events(Stopping) if not isinstance(told.event.because, StopIdle)]
    assert kills == []
    assert world.status(A, "m1") == ("completed", 0)


@pytest.mark.parametrize("step_h", [3, -3], ids=["forward", "back"])
def test_a_clock_set_by_three_hours_kills_no_healthy_container_and_loses_no_message(world, lab, agents, step_h):
    world.add(A, agents.kit(think_s=40))
    world.send(A, "m1")
    world.play(20 * lab.SECOND)
    world.clock.step(step_h * lab.HOUR)
    world.play(lab.MINUTE)
    world.send(A, "m2")
    world.play(3 * lab.MINUTE)
    assert world.settled()
    assert len(world.runner.spawns) == 1
    assert world.broken_laws() == []


def test_a_message_sent_after_the_clock_was_set_back_is_answered_although_a_container_died_before(world, lab, agents):
    world.add(A, agents.crashes(reply=True), agents.kit())
    world.send(A, "m1")
    world.play(20 * lab.SECOND)
    world.clock.step(-3 * lab.HOUR)
    world.send(A, "m2")
    world.play(lab.MINUTE)
    assert world.status(A, "m2") == ("completed", 0)


def test_a_retry_delay_that_the_clock_moved_into_the_far_future_still_comes(world, lab, agents):
    world.add(A, agents.hangs_silently(), agents.kit())
    world.send(A, "m1")
    world.play_until(lambda: bool(world.events(Charged)), 5 * lab.MINUTE, every_ms=100)
    world.clock.step(-3 * lab.HOUR)
    world.play(4 * lab.HOUR)
    assert world.status(A, "m1")[0] == "completed"


def test_a_silent_hang_is_found_at_the_latest_when_a_clock_that_was_set_back_is_there_again(world, lab, agents):
    # A claim in the future is judged by nobody: to kill on it could kill a healthy one.
    world.add(A, agents.hangs_silently(), agents.kit())
    world.send(A, "m1")
    world.play(20 * lab.SECOND)
    world.clock.step(-3 * lab.HOUR)
    world.play(3 * lab.HOUR + 10 * lab.MINUTE)
    assert world.settled()


def test_a_container_that_cannot_be_stopped_fences_its_session_until_it_can(world, lab, agents):
    world.add(A, agents.hangs_silently(), agents.kit())
    world.runner.unstoppable.add(A)
    world.send(A, "m1")
    world.play(20 * lab.MINUTE)
    asked = [at_ms for at_ms, _, _ in world.runner.stops]
    gaps = [after - before for before, after in zip(asked, asked[1:], strict=False)]
    assert len(world.runner.spawns) == 1
    assert len(world.events(NotStopped)) == len(asked) >= 5
    assert gaps[0] < gaps[1] < gaps[2] and max(gaps) <= 61_000
    assert [fault.kind for fault in world.state.notes.faults(A)] == ["fenced"]
    assert [hold.reason for hold in world.state.notes.holds()] == ["fenced"]
    world.runner.unstoppable.clear()
    world.play(3 * lab.MINUTE)
    assert (world.status(A, "m1"), world.state.notes.faults(A), world.state.notes.holds()) == (("completed", 1), (), ())
    assert world.broken_laws() == []


def test_while_the_runtime_gives_no_answer_nothing_is_decided(world, lab, agents):
    world.add(A, agents.hangs_silently(), agents.kit())
    world.send(A, "m1")
    world.play(10 * lab.SECOND)
    world.runner.unknown[A] = "the runtime does not answer"
    world.play(30 * lab.MINUTE)
    assert (world.runner.stops, len(world.runner.spawns)) == ([], 1)
    del world.runner.unknown[A]
    world.play(3 * lab.MINUTE)
    assert world.status(A, "m1") == ("completed", 1)
    assert world.broken_laws() == []


def test_an_unexpected_error_in_one_pass_is_told_and_passes(world, lab):
    store = world.add(A)
    world.add("main/b")
    store.fault = ZeroDivisionError("made by a test")
    world.send(A, "m1")
    world.send("main/b", "m2")
    world.play(30 * lab.SECOND)
    assert [told.event.kind for told in world.events(FaultSeen, A)] == ["ZeroDivisionError"]
    assert world.status("main/b", "m2") == ("completed", 0)
    store.fault = None
    world.play(2 * lab.MINUTE)
    assert world.status(A, "m1") == ("completed", 0)
    assert len(world.events(FaultCleared, A)) == 1
    assert world.state.notes.faults(A) == ()


def test_a_damaged_store_is_told_once_and_once_when_it_works_again(world, lab, monkeypatch):
    world.add(A)
    world.play(10 * lab.SECOND)
    refuse = Mock(side_effect=StateFault(Path("turnkeel.db"), "damaged"))
    with monkeypatch.context() as patched:
        patched.setattr(world._host_state.registry, "seen", refuse)
        world.play(5 * lab.MINUTE)
    assert refuse.call_count > 3
    told = [told.event for told in world.events(FaultSeen) if told.event.subject == "data directory"]
    assert len(told) == 1 and "damaged" in told[0].detail
    assert not world.events(FaultCleared)
    world.play(2 * lab.MINUTE)
    assert [told.event.subject for told in world.events(FaultCleared)] == ["data directory"]


def test_an_end_is_noticed_within_a_running_poll(world, lab, agents):
    world.add(A, agents.crashes(after_s=10.05), agents.kit())
    world.send(A, "m1")
    world.play(30 * lab.SECOND)
    [died] = world.events(Died)
    ended_ms = world.runner.boxes[0].ended.ended_at_ms - world.clock.wall_ms + world.clock.mono_ms
    policy = world.policies.host
    assert died.at_ms - ended_ms <= policy.running_poll_ms + policy.doorbell_poll_ms
    assert world.status(A, "m1") == ("completed", 1)


def test_what_a_container_settles_while_it_is_being_stopped_is_not_charged(world, lab, agents):
    async def holds_two(box):
        box.works = [await agents.next_work(box), await agents.next_work(box)]
        box.healthy = False
        await agents.forever(box)

    world.add(A, holds_two, agents.kit())
    world.send(A, "m1")
    world.send(A, "m2")
    world.runner.last_words[A] = lambda box: box.settle(box.works[0])
    world.play(5 * lab.MINUTE)
    assert [world.status(A, m) for m in ("m1", "m2")] == [("completed", 0), ("completed", 1)]
    assert [told.event.charge.message_id for told in world.events(Charged)] == ["m2"]
    assert world.broken_laws() == []


def test_what_a_crashed_container_had_settled_is_taken_over_and_only_the_rest_charged(world, lab, agents):
    async def answers_one_of_two(box):
        box.keep_beating()
        first, _ = await agents.next_work(box), await agents.next_work(box)
        box.settle(first)
        raise agents.Gone(None, 11)

    world.add(A, answers_one_of_two, agents.kit())
    world.send(A, "m1")
    world.send(A, "m2")
    world.play(lab.MINUTE)
    assert [world.status(A, m) for m in ("m1", "m2")] == [("completed", 0), ("completed", 1)]
    assert world.broken_laws() == []


def test_a_message_for_later_is_answered_at_its_time_and_not_before(world, lab):
    world.add(A)
    world.play(lab.SECOND)
    world.send(A, "m1", due_at_ms=world.clock.wall_ms + 6 * lab.HOUR)
    world.play(6 * lab.HOUR - 5 * lab.SECOND)
    assert world.runner.spawns == []
    world.play(10 * lab.SECOND)
    assert world.status(A, "m1") == ("completed", 0)
    assert len(world.runner.spawns) == 1


def test_a_recurring_message_is_answered_every_hour_of_a_day(new_world, lab):
    world = new_world(lab.CALM)
    world.add(A)
    world.send(A, "m1", recurrence="0 * * * *")
    world.play(24 * lab.HOUR + lab.MINUTE)
    with world.sessions.stores[A].inbound() as db:
        rows = db.execute("SELECT status, count(*) FROM messages_in GROUP BY status ORDER BY status").fetchall()
    assert rows == [("completed", 25), ("pending", 1)]
    assert world.broken_laws() == []
