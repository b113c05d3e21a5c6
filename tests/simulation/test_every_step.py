"""Is there an instant at which a host must not be killed? One scenario after another, killed at each of its steps."""

import pytest
from attrs import evolve

from turnkeel_core import RetryPolicy

A = "main/a"
SCENARIOS = {
    "a container crashed with a claim": ("crashes", 5, ("completed", 1)),
    "a container hangs and is stopped": ("hangs_silently", 5, ("completed", 1)),
    "the last try crashed": ("crashes", 0, ("failed", 0)),
    "the agent gives the message up": ("fails_visibly", 5, ("completed", 0)),
}


def play_through(world, lab, agents, script, die_after):
    """Play with a host that dies after so many steps and one that follows; where it died, "" if it did not."""
    world.add(A, getattr(agents, script)(), agents.kit())
    world.send(A, "m1")
    world.start(die_after=die_after)
    world.play_until(lambda: world.died or world.settled(), 10 * lab.MINUTE, every_ms=500)
    died = world.life.died_at
    world.kill_host()
    world.play_until(world.settled, 10 * lab.MINUTE, every_ms=500)
    return died


@pytest.mark.parametrize(("script", "tries", "wanted"), SCENARIOS.values(), ids=SCENARIOS.keys())
def test_a_host_killed_at_any_step_leaves_the_same_end(new_world, lab, agents, script, tries, wanted):
    # Seldom polls: what is of interest are the steps of the passes.
    calm = evolve(lab.QUICK.host, doorbell_poll_ms=2_000, running_poll_ms=2_000)
    policies = evolve(lab.QUICK, host=calm, sweep=evolve(lab.QUICK.sweep, retry=RetryPolicy(max_tries=tries)))
    for die_after in range(1, 2_000):
        with new_world(policies) as world:
            died = play_through(world, lab, agents, script, die_after)
            at = f"killed at step {die_after}: {died}"
            assert world.settled(), at
            assert world.broken_laws() == [], at
            status, charged = world.status(A, "m1")
            # A kit that was stopped together with its host had begun an attempt too.
            unsettled = sum("m1" in box.claimed and "m1" not in box.settled for box in world.runner.boxes)
            assert charged == min(unsettled, tries), at
            assert (status, charged) == wanted or died, at
            assert status == "completed" or unsettled == tries + 1, at
            assert len(world.state.dead.of_message(A, "m1")) == (status == "failed" or script == "fails_visibly"), at
            if not died:
                return
    raise AssertionError("the scenario never came to its end")
