"""Do the promises hold whatever containers, hosts and runtimes do? Short random lives, each from its seed."""

import asyncio
import random

import pytest

from turnkeel_adapters.runners.records import Ended


def script_of(draw, agents):
    """One container's behaviour under the quick policy; the healthy ones keep what they declare."""
    return draw.choice(
        (
            lambda: agents.kit(draw.uniform(0, 100)),
            lambda: agents.kit(draw.uniform(0, 5), limit=draw.randint(1, 2)),
            lambda: agents.works_long(draw.uniform(30, 600), draw.uniform(5, 100)),
            lambda: agents.runs_tool(draw.uniform(1, 250), 260_000, draw.random() < 0.5),
            lambda: agents.waits(draw.uniform(1, 250), draw.choice((None, 260_000))),
            lambda: agents.crashes(claim=draw.random() < 0.7, after_s=draw.uniform(0, 20), reply=draw.random() < 0.3),
            lambda: agents.exits_idle(draw.choice((0, 1, 137)), draw.uniform(0, 5)),
            agents.hangs_silently,
            agents.hangs_beating,
            agents.never_starts,
            agents.ignores_work,
        )
    )()


def populate(world, draw, agents, sessions):
    for number in range(sessions):
        name = f"main/s{number}"
        scripts = [script_of(draw, agents) for _ in range(draw.randint(0, 5))]
        world.add(name, *scripts, agents.kit(draw.uniform(0, 10)))
        world.runner.refusals[name] = draw.choice((0, 0, 0, 2))
    return tuple(world.sessions.stores)


def weather(world, draw, names):
    """Something happens to the machine."""
    session = draw.choice(names)
    match draw.randrange(8):
        case 0:
            world.runner.unknown[session] = "no answer"
        case 1:
            world.runner.unknown.clear()
        case 2:
            world.runner.unstoppable.add(session)
        case 3:
            world.runner.unstoppable.clear()
        case 4:
            world.sessions.stores[session].fault = draw.choice((OSError("made by a test"), ValueError("odd row")))
        case 5:
            world.sessions.stores[session].fault = None
        case 6:
            world.send(session, f"w{len(world.sent)}", ring=draw.random() < 0.5)
        case _:
            world.runner.stop_takes_ms = draw.choice((0, 0, 300, 5_000))


def fair_weather(world):
    world.runner.unknown.clear()
    world.runner.unstoppable.clear()
    for store in world.sessions.stores.values():
        store.fault = None


def unsettled_claims(world, session, message_id):
    boxes = [box for box in world.runner.boxes if box.session == session]
    return sum(message_id in box.claimed and message_id not in box.settled for box in boxes)


def check(world, lab):
    """Every message came to its end, answered at most once, each started attempt charged exactly once."""
    assert world.settled(), [(sent, world.status(*sent)) for sent in world.sent]
    assert world.broken_laws() == []
    limit = world.policies.sweep.retry.max_tries
    for session, message_id in world.sent:
        status, tries = world.status(session, message_id)
        unsettled = unsettled_claims(world, session, message_id)
        assert tries == min(unsettled, limit), (session, message_id, status)
        if status == "failed":
            assert unsettled == limit + 1, (session, message_id)
        else:
            assert world.replies(session, message_id) == 1


def stormy_life(new_world, lab, agents, seed):
    draw = random.Random(seed)
    world = new_world(lab.QUICK, seed)
    world.latency_s = draw.choice((0.0, 0.0, 0.05, 0.4))
    names = populate(world, draw, agents, draw.randint(1, 4))
    for _ in range(draw.randint(1, 6)):
        world.send(draw.choice(names), f"m{len(world.sent)}", ring=draw.random() < 0.7)
        for _ in range(draw.randint(0, 3)):
            world.play(round(draw.uniform(0, 40) * lab.SECOND))
            weather(world, draw, names)
    fair_weather(world)
    world.play_until(world.settled, 3 * lab.HOUR, every_ms=10 * lab.SECOND)
    check(world, lab)


def life_of_many_hosts(new_world, lab, agents, seed):
    draw = random.Random(seed)
    world = new_world(lab.QUICK, seed)
    names = populate(world, draw, agents, draw.randint(1, 3))
    for _ in range(draw.randint(1, 5)):
        world.send(draw.choice(names), f"m{len(world.sent)}")
    for _ in range(draw.randint(3, 12)):
        world.start(die_after=draw.choice((draw.randint(1, 120), draw.randint(1, 3_000))))
        world.play_until(lambda: world.died, 5 * lab.MINUTE, every_ms=lab.SECOND)
        world.kill_host()
        for box in world.runner.living():
            if draw.random() < 0.6:
                world.runner.end(box, None, 9)
        world.loop.run_until_complete(asyncio.sleep(draw.uniform(0, 20)))
    world.play_until(world.settled, 3 * lab.HOUR, every_ms=10 * lab.SECOND)
    check(world, lab)


LIVES = {"one host in all weathers": stormy_life, "hosts that are killed at any step": life_of_many_hosts}


@pytest.mark.parametrize("life", LIVES.values(), ids=LIVES.keys())
@pytest.mark.parametrize("first", range(0, 60, 10))
def test_a_random_life_breaks_no_law(new_world, lab, agents, life, first):
    for seed in range(first, first + 10):
        print(f"seed {seed}")
        life(new_world, lab, agents, seed)


@pytest.mark.long
@pytest.mark.parametrize("life", LIVES.values(), ids=LIVES.keys())
@pytest.mark.parametrize("first", range(1_000, 1_400, 50))
def test_many_random_lives_break_no_law(new_world, lab, agents, life, first):
    for seed in range(first, first + 50):
        print(f"seed {seed}")
        life(new_world, lab, agents, seed)


def test_the_checker_sees_a_second_container_a_second_answer_and_an_uncharged_attempt(world, lab, agents):
    world.add("main/a", agents.kit(think_s=30))
    world.send("main/a", "m1")
    world.play(10 * lab.SECOND)
    box = world.runner.boxes[0]
    world.runner.spawn(world.host._ports.launcher.order("main/a", 2))
    assert "two containers of main/a at once" in world.broken_laws()
    box.settled.clear()
    with world.sessions.stores["main/a"].outbound() as db:
        for number in (1, 3):
            db.execute(
                "INSERT INTO messages_out (id, seq, in_reply_to, timestamp, kind, content)"
                " VALUES (?, ?, 'm1', '2027-01-15 08:00:00', 'chat', '{}')",
                (f"o{number}", number),
            )
    with world.sessions.stores["main/a"].inbound() as db:
        db.execute("UPDATE messages_in SET status = 'failed', tries = 9")
    said = " | ".join(world.broken_laws())
    for law in ("answered 2 times", "charged 9 tries", "without a dead record", "answered and failed"):
        assert law in said
    box.ended = Ended(exit_code=None, signal=9, ended_at_ms=0)
    with pytest.raises(AssertionError, match="a dead container"):
        box.claim()
