"""Do groups share the places of a running host as `plan_starts` says?"""

from collections import Counter

import pytest
from attrs import evolve

from turnkeel.events import Died, Held, Stopping, Woke
from turnkeel_adapters.wire import dumps_all, loads
from turnkeel_core import HoldStart, PlacesTaken, StartPolicy, StartSnapshot, YieldPlace, plan_starts


def woken(world):
    return [told.event.session for told in world.events(Woke)]


def play_out(world, lab):
    """Play until all is settled; returns how many of each group ran at most, and how many in all."""
    most, in_all = Counter[str](), 0
    for _ in range(3_600):
        if world.settled():
            return most, in_all
        world.play(lab.SECOND)
        living = world.runner.living()
        in_all = max(in_all, len(living))
        most |= Counter(box.session.partition("/")[0] for box in living)
    raise AssertionError(f"not settled after an hour; woken: {woken(world)}")


def send(world, lab, *sessions, agent, kind="chat"):
    for session in sessions:
        world.add(session, agent)
    world.play(lab.SECOND)
    for number, session in enumerate(sessions):
        world.send(session, f"{kind}-{session}-{number}", kind=kind)
        world.play(lab.SECOND)


def test_a_group_that_floods_the_host_leaves_the_others_their_turn(new_world, lab, agents):
    world = new_world(evolve(lab.BRISK, start=StartPolicy(max_running=2)))
    flood = [f"flood/{number}" for number in range(6)]
    send(world, lab, *flood, "late/1", "later/1", agent=agents.kit(think_s=30, limit=1))
    most, in_all = play_out(world, lab)
    assert in_all == 2
    assert set(woken(world)[2:5]) >= {"late/1", "later/1"}
    assert sorted(woken(world)) == sorted([*flood, "late/1", "later/1"])
    assert {told.event.hold.reason for told in world.events(Held)} == {"slot"}
    assert world.broken_laws() == []
    [line] = world.state.journal.of_session("later/1", limit=9, decision="plan_starts")
    seen = loads(line.input, StartSnapshot)
    assert len(seen.running) == 2 and {request.session for request in seen.waiting} >= {"later/1"}
    assert line.actions == dumps_all(plan_starts(seen, world.policies.start))
    assert HoldStart("later/1", 2, PlacesTaken(2, 2)) in plan_starts(seen, world.policies.start)
    world.play(lab.MINUTE)
    assert world.state.notes.holds() == ()


def test_a_limit_per_group_keeps_places_free_for_the_others(new_world, lab, agents):
    world = new_world(evolve(lab.BRISK, start=StartPolicy(max_running=3, max_running_per_group=2)))
    send(world, lab, "g/1", "g/2", "g/3", "g/4", "h/1", agent=agents.kit(think_s=30, limit=1))
    assert [told.event.hold.reason for told in world.events(Held)] == ["group", "group"]
    assert woken(world) == ["g/1", "g/2", "h/1"]
    most, in_all = play_out(world, lab)
    assert (most["g"], most["h"], in_all) == (2, 1, 3)
    assert world.broken_laws() == []


def test_of_a_group_that_waits_a_task_goes_before_the_messages(new_world, lab, agents):
    world = new_world(evolve(lab.BRISK, start=StartPolicy(max_running=1)))
    send(world, lab, "h/1", "g/1", "g/2", agent=agents.kit(think_s=30, limit=1))
    send(world, lab, "g/3", agent=agents.kit(think_s=30, limit=1), kind="task")
    play_out(world, lab)
    assert woken(world) == ["h/1", "g/3", "g/1", "g/2"]


def test_the_same_task_in_two_sessions_is_never_worked_on_twice_at_a_time(new_world, lab, agents):
    world = new_world(evolve(lab.BRISK, start=StartPolicy(max_running=3)))
    for session in ("g/1", "h/1"):
        world.add(session, agents.kit(think_s=60))
    world.play(lab.SECOND)
    for session in ("g/1", "h/1"):
        world.send(session, "task-1", kind="task")
        world.play(lab.SECOND)
    assert [(told.event.session, told.event.hold.reason) for told in world.events(Held)] == [("h/1", "claimed")]
    world.play(2 * lab.MINUTE)
    assert woken(world) == ["g/1", "h/1"]
    assert world.status("g/1", "task-1") == ("completed", 0)
    world.play(2 * lab.MINUTE)
    assert world.settled()


def test_of_two_idle_containers_only_the_longest_idle_makes_room_for_one_that_waits(new_world, lab, agents):
    world = new_world(evolve(lab.BRISK, start=StartPolicy(max_running=2)))
    send(world, lab, "g/1", "g/2", agent=agents.kit())
    world.play(lab.MINUTE)
    send(world, lab, "h/1", agent=agents.kit())
    play_out(world, lab)
    world.play(lab.MINUTE)
    [stop] = world.events(Stopping)
    assert (stop.event.session, stop.event.because.reason) == ("g/1", "place")
    assert stop.event.because.idle_ms > stop.event.because.limit_ms
    [line] = world.state.journal.of_session("g/1", limit=9, decision="plan_starts")
    plan = plan_starts(loads(line.input, StartSnapshot), world.policies.start)
    wishes = [(wish.session, wish.wanted_by) for wish in plan if isinstance(wish, YieldPlace)]
    assert wishes == [("g/1", "h/1")]
    assert {box.session for box in world.runner.living()} == {"g/2", "h/1"}


def test_a_container_with_work_is_never_asked_to_leave(new_world, lab, agents):
    world = new_world(evolve(lab.BRISK, start=StartPolicy(max_running=2)))
    send(world, lab, "g/1", "g/2", agent=agents.kit(think_s=600, limit=1))
    send(world, lab, "h/1", agent=agents.kit(limit=1))
    world.play(5 * lab.MINUTE)
    assert (world.events(Stopping), world.status("h/1", "chat-h/1-0")) == ([], ("pending", 0))
    play_out(world, lab)
    assert world.events(Stopping) == []


def test_slow_starts_hold_up_no_other_session_even_with_a_single_thread(new_world, lab, agents):
    world = new_world(evolve(lab.BRISK, start=StartPolicy(max_running=4)))
    world.threads = 1
    slow = ("g/1", "g/2", "g/3")
    world.runner.start_takes_ms = dict.fromkeys(slow, 5 * lab.MINUTE)
    for session in (*slow, "h/1"):
        world.add(session, agents.kit(think_s=20 if session in slow else 2))
    world.play(lab.SECOND)
    for session in (*slow, "h/1"):
        world.send(session, "m1")
    world.play(10 * lab.SECOND)
    assert world.status("h/1", "m1") == ("completed", 0)
    assert [world.status(session, "m1") for session in slow] == [("pending", 0)] * 3
    world.play(5 * lab.MINUTE)
    assert world.settled() and world.broken_laws() == []


def test_a_session_whose_start_fails_leaves_its_place_to_one_that_waits(new_world, lab, agents):
    world = new_world(evolve(lab.BRISK, start=StartPolicy(max_running=1)))
    world.runner.refusals["g/1"] = 3
    for session in ("g/1", "h/1"):
        world.add(session, agents.kit(think_s=30, limit=1))
    world.play(lab.SECOND)
    world.send("g/1", "m1")
    world.send("h/1", "m2")
    world.play(2 * lab.SECOND)
    assert woken(world) == ["h/1"]
    play_out(world, lab)
    assert world.broken_laws() == []


@pytest.mark.parametrize("seed", range(3))
def test_whatever_comes_and_ends_no_limit_is_passed_and_all_is_settled(new_world, lab, agents, seed):
    world = new_world(evolve(lab.QUICK, start=StartPolicy(max_running=3, max_running_per_group=2)), seed=seed)
    names = [f"{group}/{number}" for group in "ghi" for number in range(3)]
    for name in names:
        limit = world.random.choice([None, 1])
        world.add(name, agents.kit(think_s=world.random.uniform(1, 20), limit=limit))
    for number in range(18):
        name, kind = world.random.choice(names), world.random.choice(["chat", "task"])
        world.send(name, f"{kind}-{number}", kind=kind)
        world.play(world.random.randrange(5 * lab.SECOND))
    most, in_all = play_out(world, lab)
    assert in_all <= 3 and max(most.values()) <= 2
    assert world.broken_laws() == []
    assert len(world.events(Died)) >= len({box.session for box in world.runner.boxes}) - in_all
