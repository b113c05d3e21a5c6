"""What does a wall clock that is set by hours do to a host? Steps in every phase of a message's life, virtual time."""

import random

import pytest

from turnkeel.events import Charged, Stopping
from turnkeel_core import StopIdle

A = "main/a"
STEPS_H = [3, -3, 26, -26, 0.4, -0.4]


def stops_for_silence(world):
    return [told.event for told in world.events(Stopping) if not isinstance(told.event.because, StopIdle)]


@pytest.mark.parametrize("step_h", STEPS_H)
def test_a_retry_waits_no_longer_than_its_backoff_whatever_the_clock_is_set_to(world, lab, agents, step_h):
    world.add(A, agents.hangs_silently(), agents.kit())
    world.send(A, "m1")
    world.play_until(lambda: bool(world.events(Charged)), 5 * lab.MINUTE, every_ms=100)
    world.clock.step(round(step_h * lab.HOUR))
    stepped_ms = world.clock.mono_ms
    assert world.play_until(world.settled, 5 * lab.HOUR, every_ms=lab.SECOND)
    waited_ms = world.clock.mono_ms - stepped_ms
    backoff_ms = world.policies.sweep.retry.base_ms
    assert waited_ms <= world.policies.host.fallback_scan_ms + backoff_ms + 10 * lab.SECOND
    assert (world.status(A, "m1"), world.replies(A, "m1")) == (("completed", 1), 1)
    assert world.broken_laws() == []


def test_a_due_time_that_a_person_gave_is_kept_whatever_the_clock_is_set_to(new_world, lab, agents):
    world = new_world(lab.CALM)
    world.add(A, agents.hangs_silently(), agents.kit())
    world.add("main/b")
    due_ms = world.clock.wall_ms + 2 * lab.HOUR
    world.send(A, "m1")
    world.send("main/b", "m2", due_at_ms=due_ms)
    world.play_until(lambda: bool(world.events(Charged)), 5 * lab.MINUTE, every_ms=100)
    with world.sessions.stores[A].inbound() as db:  # somebody puts the retry off
        db.execute("UPDATE messages_in SET process_after = datetime(?, 'unixepoch')", (due_ms // 1_000,))
    world.clock.step(-3 * lab.HOUR)
    world.play(4 * lab.HOUR)
    assert [world.status(A, "m1")[0], world.status("main/b", "m2")[0]] == ["pending", "pending"]
    world.play(lab.HOUR + lab.MINUTE)
    assert world.settled() and world.broken_laws() == []


@pytest.mark.parametrize("step_h", STEPS_H)
def test_a_message_due_later_is_taken_once_the_wall_clock_says_so(new_world, lab, step_h):
    world = new_world(lab.CALM)
    world.add(A)
    world.play(lab.SECOND)
    due_ms = world.clock.wall_ms + 2 * lab.HOUR
    world.send(A, "m1", due_at_ms=due_ms)
    world.play(30 * lab.MINUTE)
    world.clock.step(round(step_h * lab.HOUR))
    left_ms = max(due_ms - world.clock.wall_ms, 0)
    if left_ms > lab.MINUTE:
        world.play(left_ms - lab.MINUTE)
        assert world.runner.spawns == []
    # A step forward is seen with the next poll, a step back at the latest with the next full look.
    world.play(2 * lab.MINUTE + world.policies.host.fallback_scan_ms)
    assert (world.status(A, "m1"), len(world.runner.spawns)) == (("completed", 0), 1)


def beats_on_events(agents, think_s, event_every_s):
    """A healthy runner as it exists: no heartbeat but at events, the first a moment after the claim."""

    async def script(box):
        box.beat()
        while True:
            work = await agents.next_work(box)
            left_s = think_s
            await box.sleep(0.2)
            while left_s > 0:
                box.beat()
                await box.sleep(min(event_every_s, left_s))
                left_s -= event_every_s
            box.beat()
            box.settle(work)

    return script


@pytest.mark.parametrize("minutes", [3, 60])
def test_a_container_spawned_before_the_clock_was_set_back_is_judged_by_what_it_did_since(
    new_world, lab, agents, minutes
):
    # Its spawn lies in the future: when the clock is there again, its whole life would look older than itself.
    world = new_world(lab.CALM)
    world.add(A, beats_on_events(agents, 1_500, 1_500))
    world.send(A, "m0")
    world.play(20 * lab.SECOND)
    world.clock.step(-minutes * lab.MINUTE)
    for n in range(1, 10):
        world.send(A, f"m{n}")
    world.play((minutes + 240) * lab.MINUTE)
    assert stops_for_silence(world) == []
    assert len(world.runner.spawns) == 1
    assert world.broken_laws() == []


@pytest.mark.parametrize("step_h", [-3, -0.4])
def test_a_silent_hang_is_found_one_tolerance_after_the_clock_was_set_back(world, lab, agents, step_h):
    world.add(A, agents.hangs_silently(), agents.kit())
    world.send(A, "m1")
    world.play(20 * lab.SECOND)
    world.clock.step(round(step_h * lab.HOUR))
    tolerance_ms = world.policies.sweep.stuck.claim_tolerance_ms
    world.play(tolerance_ms)
    assert world.events(Stopping) == []
    world.play(lab.MINUTE)
    assert [type(event.because).__name__ for event in stops_for_silence(world)] == ["KillStaleClaim"]
    assert world.status(A, "m1") == ("completed", 1)


def test_a_clock_set_forward_and_back_again_holds_no_judgement_and_no_place(new_world, lab, agents):
    # The end of the "sleep" lies in the future then, and so does what the idle container did last.
    world = new_world(lab.QUICK)
    for name in ("main/a", "main/b"):
        world.add(name)
        world.send(name, f"{name[-1]}1")
    world.add("main/c", agents.hangs_silently(), agents.kit())
    world.play(10 * lab.SECOND)
    world.clock.step(5 * lab.HOUR)
    world.play(10 * lab.SECOND)
    world.send("main/a", "a2")
    world.send("main/b", "b2")
    world.play(10 * lab.SECOND)
    world.clock.step(-5 * lab.HOUR)
    world.send("main/c", "c1")
    world.play(2 * lab.MINUTE)
    assert world.settled() and world.broken_laws() == []
    assert world.status("main/c", "c1") == ("completed", 1)


@pytest.mark.parametrize("first", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(3, 60, 3))])
def test_a_healthy_container_survives_any_steps_and_every_message_is_answered(new_world, lab, agents, first):
    for seed in range(first, first + 3):
        draw, world = random.Random(seed), new_world(lab.BRISK, seed)
        healthy = (
            lambda draw=draw: agents.kit(draw.uniform(0, 90)),
            lambda draw=draw: agents.works_long(draw.uniform(60, 900), draw.uniform(20, 200)),
            lambda draw=draw: agents.runs_tool(draw.uniform(1, 900), 1_200_000, draw.random() < 0.5),
            lambda draw=draw: beats_on_events(agents, draw.uniform(1, 900), draw.uniform(1, 900)),
        )
        for name in ("main/a", "main/b", "main/c"):
            world.add(name, draw.choice(healthy)())
        for n in range(12):
            world.send(draw.choice(("main/a", "main/b", "main/c")), f"m{n}")
            world.play(round(draw.uniform(0, 200) * lab.SECOND))
            if draw.random() < 0.6:
                world.clock.step(round(draw.choice((1, -1)) * draw.uniform(0.002, 4) * lab.HOUR))
        world.play_until(world.settled, 3 * lab.HOUR, every_ms=30 * lab.SECOND)
        assert world.settled() and world.broken_laws() == [], f"seed {seed}"
        assert stops_for_silence(world) == [] and world.events(Charged) == [], f"seed {seed}"
