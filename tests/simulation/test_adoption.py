"""What becomes of containers whose host died, and of a host whose runtime does not answer? In virtual time."""

import asyncio

import pytest
from attrs import evolve

from turnkeel.events import (
    Adopted,
    Charged,
    FaultCleared,
    FaultSeen,
    Held,
    NotStopped,
    Stopping,
    StrayStopped,
    WakeFailed,
    Woke,
)
from turnkeel_core import AdoptionPolicy, HoldWake, KillNoProgress

A = "main/a"


def running_world(new_world, lab, agents, policies=None, **kit):
    """A world whose host was killed while main/a's container was at work on m1."""
    world = new_world(policies or lab.BRISK)
    world.add(A, agents.kit(**{"think_s": 60, **kit}), agents.kit())
    world.send(A, "m1")
    world.play(10 * lab.SECOND)
    world.kill_host()
    return world


def test_a_container_goes_on_when_its_host_is_killed_and_the_next_one_takes_it_over(new_world, lab, agents):
    world = running_world(new_world, lab, agents)
    world.play(2 * lab.MINUTE)
    assert [(told.event.session, told.event.incarnation) for told in world.events(Adopted)] == [(A, 1)]
    assert set(world.runner.adopted) == {(A, 1)}
    assert (world.status(A, "m1"), world.replies(A, "m1")) == (("completed", 0), 1)
    assert len(world.runner.spawns) == 1
    assert (world.events(Charged), world.broken_laws()) == ([], [])
    [line] = world.state.journal.of_session(A, limit=9, decision="plan_adoption")
    assert (line.incarnation, "AdoptContainer" in line.actions) == (1, True)


def test_a_container_that_ended_while_no_host_was_there_is_buried_and_its_message_charged_once(new_world, lab, agents):
    world = running_world(new_world, lab, agents)
    world.runner.end(world.runner.boxes[0], 7, None)
    world.play(2 * lab.MINUTE)
    [_, first] = world.state.incarnations.history(A, limit=9)
    assert (first.ending, first.exit_code) == ("exited", 7)
    assert (world.status(A, "m1"), len(world.events(Charged))) == (("completed", 1), 1)
    assert world.broken_laws() == []


def test_a_host_killed_between_a_start_and_its_record_finds_the_container_by_its_number(new_world, lab, agents):
    world = new_world(lab.BRISK)
    world.add(A, agents.kit(think_s=60))
    world.send(A, "m1")
    for die_after in range(1, 200):
        world.start(die_after=die_after)
        world.play_until(lambda: world.died or bool(world.runner.spawns), lab.MINUTE, every_ms=100)
        if world.runner.spawns and world.life.died_at == "after spawn":
            break
        world.kill_host()
        assert not world.runner.spawns, "the spawn was passed by"
    world.kill_host()
    assert [row.state for row in world.state.incarnations.open()] == ["starting"]
    [(_, _, number)] = world.runner.spawns
    world.play(3 * lab.MINUTE)
    assert [told.event.incarnation for told in world.events(Adopted)] == [number]
    assert world.status(A, "m1") == ("completed", 0)
    assert world.broken_laws() == []


def test_an_adopted_container_that_hangs_is_found_by_the_age_of_its_own_evidence(new_world, lab, agents):
    world = new_world(lab.BRISK)
    world.add(A, agents.hangs_beating(), agents.kit())
    world.send(A, "m1")
    world.play(10 * lab.MINUTE)
    world.kill_host()
    world.loop.run_until_complete(_sleep(5 * 60))
    limit_ms = world.policies.sweep.stuck.progress_silence_ms
    world.play(limit_ms - 15 * lab.MINUTE + 10 * lab.SECOND)
    assert [type(stop.event.because) for stop in world.events(Stopping)] == [KillNoProgress]
    world.play(2 * lab.MINUTE)
    assert world.status(A, "m1") == ("completed", 1)
    assert world.broken_laws() == []


def test_a_policy_that_adopts_nothing_stops_what_was_left_and_tries_its_message_again(new_world, lab, agents):
    policies = evolve(lab.BRISK, adoption=AdoptionPolicy(adopt=False))
    world = running_world(new_world, lab, agents, policies)
    world.play(2 * lab.MINUTE)
    assert [told.event.reason for told in world.events(StrayStopped)] == ["not_adopted"]
    assert world.status(A, "m1") == ("completed", 1)
    assert world.broken_laws() == []


def test_a_container_of_a_session_that_was_closed_meanwhile_is_stopped(new_world, lab, agents):
    world = running_world(new_world, lab, agents)
    world.state.registry.close(A, 1)
    world.play(lab.MINUTE)
    assert [told.event.reason for told in world.events(StrayStopped)] == ["unserved"]
    assert (world.runner.living(), world.state.incarnations.open()) == ([], ())


def test_a_container_whose_folder_cannot_be_used_at_the_start_goes_on_and_is_watched_once_it_can(
    new_world, lab, agents
):
    world = running_world(new_world, lab, agents, think_s=600)
    world.sessions.unusable[A] = "it is a link"
    world.play(5 * lab.MINUTE)
    assert (world.events(StrayStopped), len(world.runner.living())) == ([], 1)
    world.sessions.unusable.clear()
    world.play(10 * lab.MINUTE)
    assert (world.status(A, "m1"), len(world.runner.spawns)) == (("completed", 0), 1)
    assert world.broken_laws() == []


@pytest.mark.parametrize("when", ["at the start", "later"])
def test_CR_06_a_container_that_no_record_names_any_more_is_found_and_stopped(new_world, lab, agents, when):
    world = running_world(new_world, lab, agents, think_s=3_000)
    if when == "later":
        world.play(10 * lab.SECOND)
    # The record says that the container ended; it did not.
    world.state.incarnations.ended(
        A, 1, at_ms=world.clock.wall_ms, ending="exited", exit_code=None, exit_signal=9, progressed=False
    )
    if when == "at the start":
        world.play(2 * lab.MINUTE)
        assert [told.event.reason for told in world.events(StrayStopped)] == ["untracked"]
    else:
        world.send("main/a", "m2")
        world.play(3 * lab.MINUTE)
        assert {told.event.reason for told in world.events(StrayStopped)} <= {"untracked", "stale"}
        assert world.events(StrayStopped)
    assert world.runner.boxes[0].ended is not None
    world.play_until(world.settled, 10 * lab.MINUTE)
    assert world.settled()


def test_CR_07_a_stray_that_cannot_be_stopped_fences_its_session_until_it_is_gone(new_world, lab, agents):
    world = running_world(new_world, lab, agents, think_s=3_000)
    world.runner.unstoppable.add(A)
    world.state.incarnations.ended(
        A, 1, at_ms=world.clock.wall_ms, ending="exited", exit_code=None, exit_signal=9, progressed=False
    )
    world.play(5 * lab.MINUTE)
    assert len(world.runner.spawns) == 1
    assert world.events(NotStopped)
    assert [(fault.session, fault.kind) for fault in world.state.notes.faults()] == [(A, "fenced")]
    assert world.status(A, "m1") == ("pending", 0)  # nothing is charged while a writer may live
    world.runner.unstoppable.clear()
    world.play(3 * lab.MINUTE)
    assert world.status(A, "m1")[0] == "completed"
    assert world.state.notes.faults() == ()
    assert world.broken_laws() == []


def test_CR_14_a_runtime_that_is_down_at_the_start_is_waited_for_and_nothing_is_charged(new_world, lab, agents):
    world = running_world(new_world, lab, agents)
    world.runner.down = "the daemon cannot be reached"
    world.add("main/b")
    world.send("main/b", "m2")
    world.play(5 * lab.MINUTE)
    assert [told.event.subject for told in world.events(FaultSeen)] == ["runtime"]
    assert [fault.subject for fault in world.state.notes.faults("")] == ["runtime"]
    assert (len(world.runner.spawns), world.events(Charged), world.events(WakeFailed)) == (1, [], [])
    world.runner.down = None
    world.play(10 * lab.SECOND)
    assert [told.event.subject for told in world.events(FaultCleared)] == ["runtime"]
    assert (world.status(A, "m1"), world.status("main/b", "m2")) == (("completed", 0), ("completed", 0))
    assert world.state.notes.faults() == ()
    assert world.broken_laws() == []


def test_CR_25_a_runtime_that_goes_down_defers_wakes_charges_nothing_and_says_so(new_world, lab, agents):
    world = new_world(lab.BRISK)
    world.add(A, agents.kit(think_s=5))
    world.add("main/b")
    world.send(A, "m1")
    world.play(2 * lab.SECOND)
    world.runner.down = "the daemon cannot be reached"
    world.send("main/b", "m2")
    world.play(10 * lab.MINUTE)
    assert world.status("main/b", "m2") == ("pending", 0)
    assert len(world.runner.spawns) == 1
    held = {told.event.hold.reason for told in world.events(Held) if isinstance(told.event.hold, HoldWake)}
    assert held == {"runtime"}
    world.runner.down = None
    world.play(10 * lab.SECOND)
    assert (world.status(A, "m1"), world.status("main/b", "m2")) == (("completed", 0), ("completed", 0))
    assert len(world.events(Woke)) == 2
    assert world.broken_laws() == []


async def _sleep(seconds):
    await asyncio.sleep(seconds)
