"""Does one session ever cost another anything, and who goes first when places are few?"""

from pathlib import Path

import pytest
from attrs import evolve

from turnkeel.events import (
    Adopted,
    Died,
    FaultCleared,
    FaultSeen,
    Held,
    HostStopped,
    NotStopped,
    Settled,
    Stopping,
    Woke,
)
from turnkeel_adapters.errors import SessionFault
from turnkeel_adapters.state.database import StateFault
from turnkeel_core import StartPolicy

TWELVE = tuple(f"main/s{number:02d}" for number in range(12))


def test_twelve_sessions_share_three_places_first_come_first_served(new_world, lab, agents):
    world = new_world(evolve(lab.BRISK, start=StartPolicy(max_running=3)))
    for session in TWELVE:
        world.add(session, agents.kit(think_s=30, limit=1))
    world.play(lab.SECOND)
    for session in reversed(TWELVE):
        world.send(session, "m1")
        world.play(lab.SECOND)
    most = 0
    while not world.settled():
        world.play(lab.SECOND)
        most = max(most, len(world.runner.living()))
    assert most == 3
    assert [session for _, session, _ in world.runner.spawns] == list(reversed(TWELVE))
    assert {told.event.hold.reason for told in world.events(Held)} == {"slot"}
    world.play(lab.MINUTE)
    assert world.state.notes.holds() == ()
    assert world.broken_laws() == []


def test_a_place_is_given_on_within_a_poll_of_a_death(new_world, lab, agents):
    world = new_world(evolve(lab.BRISK, start=StartPolicy(max_running=1)))
    world.add("main/a", agents.kit(think_s=30, limit=1))
    world.add("main/b")
    world.send("main/a", "m1")
    world.play(lab.SECOND)
    world.send("main/b", "m2")
    world.play(2 * lab.MINUTE)
    [died, second] = world.events(Died, "main/a")[0], world.events(Woke, "main/b")[0]
    assert second.at_ms - died.at_ms <= 100
    assert world.settled()


def test_a_waiting_session_whose_messages_are_settled_elsewhere_leaves_the_queue(new_world, lab, agents):
    world = new_world(evolve(lab.BRISK, start=StartPolicy(max_running=1)))
    world.add("main/a", agents.kit(think_s=300, limit=1))
    world.add("main/b")
    world.add("main/c")
    world.send("main/a", "m1")
    world.play(lab.SECOND)
    world.send("main/b", "m2")
    world.play(lab.SECOND)
    world.send("main/c", "m3")
    world.play(lab.SECOND)
    with world.sessions.stores["main/b"].inbound() as db:
        db.execute("UPDATE messages_in SET status = 'completed'")
    world.sent.remove(("main/b", "m2"))
    world.play(10 * lab.MINUTE)
    assert world.settled()
    assert [session for _, session, _ in world.runner.spawns] == ["main/a", "main/c"]


def test_a_broken_session_is_looked_at_ever_more_seldom_and_the_others_go_on(world, lab):
    broken = world.add("main/broken")
    world.add("main/b")
    world.play(lab.SECOND)
    broken.fault = SessionFault(Path("inbound.db"), "corrupt", "made by a test")
    world.send("main/broken", "m1")
    reads: list[int] = []
    for second in range(170):
        before = broken.reads
        world.play(lab.SECOND)
        reads += [second] * (broken.reads - before)
        if second % 20 == 0:
            world.send("main/b", f"b{second}")
    gaps = [after - before for before, after in zip(reads, reads[1:], strict=False)]
    assert gaps[:4] == pytest.approx([2, 4, 8, 16], abs=2)
    assert max(gaps) <= 60
    assert all(world.status("main/b", f"b{second}") == ("completed", 0) for second in range(0, 160, 20))
    assert [(t.event.subject, t.event.kind) for t in world.events(FaultSeen)] == [("inbound.db", "corrupt")]
    assert [fault.session for fault in world.state.notes.faults()] == ["main/broken"]
    broken.fault = None
    world.play(61 * lab.SECOND)
    assert world.status("main/broken", "m1") == ("completed", 0)
    assert (len(world.events(FaultCleared)), world.state.notes.faults()) == (1, ())
    assert world.broken_laws() == []


def test_a_lock_that_goes_by_itself_is_not_worth_a_report(world, lab):
    store = world.add("main/a")
    world.play(lab.SECOND)
    store.fault = SessionFault(Path("inbound.db"), "busy", "made by a test")
    world.send("main/a", "m1")
    world.play(lab.SECOND)
    store.fault = None
    world.play(10 * lab.SECOND)
    assert world.events(FaultSeen) == []
    assert world.status("main/a", "m1") == ("completed", 0)


def test_a_store_of_the_host_that_cannot_be_written_for_a_while_loses_nothing(world, lab, agents):
    world.add("main/a", agents.crashes(after_s=5), agents.kit())
    world.send("main/a", "m1")
    world.play(3 * lab.SECOND)
    world.state_fault = StateFault(Path("turnkeel.db"), "disk full")
    world.play(5 * lab.MINUTE)
    assert world.status("main/a", "m1") == ("pending", 0)
    assert world.events(FaultSeen) != []
    world.state_fault = None
    world.play(3 * lab.MINUTE)
    assert world.status("main/a", "m1") == ("completed", 1)
    assert world.broken_laws() == []


def test_a_drain_settles_what_was_finished_and_charges_nobody(world, lab, agents):
    world.add("main/a", agents.kit(think_s=300))
    world.add("main/b")
    world.add("main/c")
    world.send("main/a", "m1")
    world.send("main/b", "m2")
    world.play(20 * lab.SECOND)
    world.send("main/c", "m3")
    summary = world.finish()
    assert (world.runner.living(), summary.faulty) == ([], ())
    assert world.events(HostStopped)[0].event.running == 2
    assert (world.status("main/b", "m2"), world.status("main/c", "m3")) == (("completed", 0), ("pending", 0))
    assert all(
        row.state == "dead" for s in ("main/a", "main/b") for row in world.state.incarnations.history(s, limit=9)
    )
    assert len(world.runner.spawns) == 2
    world.play(10 * lab.MINUTE)
    assert world.settled()
    assert world.broken_laws() == []


def test_a_drain_waits_for_a_stop_that_is_under_way(world, lab, agents):
    world.add("main/a", agents.hangs_silently(), agents.kit())
    world.add("main/b", agents.kit())
    world.runner.stop_takes_ms = 5_000
    world.send("main/a", "m1")
    world.send("main/b", "m2")
    assert world.play_until(lambda: bool(world.events(Stopping)), 2 * lab.MINUTE, every_ms=100)
    began_ms = world.clock.mono_ms
    world.finish()
    assert 5_000 <= world.clock.mono_ms - began_ms <= 11_000
    assert [session for _, session, _ in world.runner.stops] == ["main/a", "main/b"]
    assert (world.runner.living(), len(world.runner.spawns)) == ([], 2)
    assert world.status("main/a", "m1") == ("pending", 1)
    assert world.broken_laws() == []


def test_a_drain_stops_containers_side_by_side(new_world, lab, agents):
    world = new_world(evolve(lab.BRISK, start=StartPolicy(max_running=12)))
    for session in TWELVE:
        world.add(session, agents.kit(think_s=3_000))
        world.send(session, "m1")
    world.play(10 * lab.SECOND)
    world.runner.stop_takes_ms = 5_000
    began_ms = world.clock.mono_ms
    world.finish()
    assert len(world.runner.stops) == 12
    assert world.clock.mono_ms - began_ms <= 10_000


def test_a_drain_stops_containers_even_if_nothing_can_be_noted(world, lab, agents):
    for session in ("main/a", "main/b"):
        world.add(session, agents.kit(think_s=3_000))
        world.send(session, "m1")
    world.play(10 * lab.SECOND)
    world.state_fault = StateFault(Path("turnkeel.db"), "disk full")
    world.finish()
    assert world.runner.living() == []
    assert {told.event.subject for told in world.events(FaultSeen)} == {"turnkeel.db"}
    world.state_fault = None
    world.play(2 * lab.MINUTE)
    assert [row.ending for row in world.state.incarnations.history("main/a", limit=9)] == [None, "exited"]


def test_a_container_that_outlives_the_drain_is_taken_over_and_not_doubled_by_the_next_host(world, lab, agents):
    world.add("main/a", agents.kit(think_s=1_200), agents.kit())
    world.send("main/a", "m1")
    world.play(10 * lab.SECOND)
    world.runner.unstoppable.add("main/a")
    world.finish()
    assert len(world.events(NotStopped)) == 1
    world.play(10 * lab.MINUTE)
    world.runner.unstoppable.clear()
    assert [told.event.incarnation for told in world.events(Adopted)] == [1]
    world.play(12 * lab.MINUTE)
    assert (world.status("main/a", "m1"), world.replies("main/a", "m1")) == (("completed", 0), 1)
    assert len(world.runner.spawns) == 1
    assert world.broken_laws() == []


def test_run_until_idle_ends_when_every_session_is_at_rest(world, lab, agents):
    world.add("main/a", agents.crashes(), agents.kit())
    world.add("main/b", agents.hangs_silently(), agents.kit())
    world.add("main/c")
    for session in ("main/a", "main/b"):
        world.send(session, "m1")
    world.send("main/b", "m2")
    summary = world.wait_idle()
    assert (summary.sessions, summary.faulty, summary.failed_messages) == (3, (), 0)
    assert world.settled()
    assert world.runner.living() == []
    assert len(world.events(Settled)) == 3


def test_run_until_idle_ends_although_a_session_stays_broken(world, lab):
    store = world.add("main/a")
    world.add("main/b")
    store.fault = SessionFault(Path("inbound.db"), "corrupt", "made by a test")
    world.send("main/a", "m1")
    world.send("main/b", "m2")
    assert world.wait_idle().faulty == ("main/a",)
    assert world.status("main/b", "m2") == ("completed", 0)


def test_a_closed_session_is_left_alone(world, lab):
    world.add("main/a")
    world.state.registry.close("main/a", 1)
    world.send("main/a", "m1")
    world.play(2 * lab.MINUTE)
    assert world.runner.spawns == []


def test_a_session_that_appears_later_is_found_by_the_idle_scan(world, lab):
    world.play(10 * lab.SECOND)
    world.add("main/new")
    world.send("main/new", "m1", ring=False)
    world.play(10 * lab.SECOND)
    assert world.status("main/new", "m1") == ("completed", 0)
