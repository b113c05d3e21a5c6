"""Which running containers are kept, which go, and which records are closed?"""

import random

import pytest
from attrs import evolve

from turnkeel_core import (
    AdoptContainer,
    AdoptionPolicy,
    AdoptionSnapshot,
    CloseRecord,
    LookAgain,
    OpenIncarnation,
    RunningContainer,
    StopStray,
    explain_adoption,
    plan_adoption,
)

A, B = "main/a", "main/b"


def runs(session, incarnation, container_id="c1"):
    return RunningContainer(session=session, incarnation=incarnation, container_id=container_id)


def record(session, incarnation, state="running"):
    return OpenIncarnation(session=session, incarnation=incarnation, state=state)


def seen(*running, records=(), served=(A, B), booting=True):
    return AdoptionSnapshot(now_ms=1, running=running, records=records, served=served, booting=booting)


TABLE = {
    "nothing runs and nothing is recorded": (seen(), ()),
    "its record names it": (seen(runs(A, 3), records=(record(A, 3),)), (AdoptContainer(A, 3, "c1"),)),
    "its start was not recorded to the end": (
        seen(runs(A, 3), records=(record(A, 3, "starting"),)),
        (AdoptContainer(A, 3, "c1"),),
    ),
    "later on its own container is watched already": (
        seen(runs(A, 3), records=(record(A, 3),), booting=False),
        (),
    ),
    "later on a start under way is left alone": (
        seen(runs(A, 3), records=(record(A, 3, "starting"),), booting=False),
        (),
    ),
    "the record is at another number": (
        seen(runs(A, 2), records=(record(A, 3),)),
        (StopStray(A, 2, "c1", "stale"), CloseRecord(A, 3)),
    ),
    "a number above the record's is no less stale": (
        seen(runs(A, 4), records=(record(A, 3),), booting=False),
        (StopStray(A, 4, "c1", "stale"), LookAgain(A, 3)),
    ),
    "no record speaks of it": (seen(runs(A, 3)), (StopStray(A, 3, "c1", "untracked"),)),
    "no record speaks of it, later": (seen(runs(A, 3), booting=False), (StopStray(A, 3, "c1", "untracked"),)),
    "two of one number": (
        seen(runs(A, 3, "c2"), runs(A, 3, "c1"), records=(record(A, 3),)),
        (StopStray(A, 3, "c2", "second"), AdoptContainer(A, 3, "c1")),
    ),
    "nobody keeps its session": (
        seen(runs(A, 3), records=(record(A, 3),), served=(B,)),
        (StopStray(A, 3, "c1", "unserved"), CloseRecord(A, 3)),
    ),
    "a record without a container, at the start": (seen(records=(record(A, 3),)), (CloseRecord(A, 3),)),
    "a start without a container, at the start": (seen(records=(record(A, 3, "starting"),)), (CloseRecord(A, 3),)),
    "a record without a container, later": (seen(records=(record(A, 3),), booting=False), (LookAgain(A, 3),)),
    "a start without a container, later": (seen(records=(record(A, 3, "starting"),), booting=False), ()),
    "strays of all sessions go before anything is taken over": (
        seen(runs(A, 3, "c1"), runs(B, 1, "c2"), runs(B, 2, "c3"), records=(record(A, 3), record(B, 2))),
        (StopStray(B, 1, "c2", "stale"), AdoptContainer(A, 3, "c1"), AdoptContainer(B, 2, "c3")),
    ),
}


@pytest.mark.parametrize(("snapshot", "wanted"), TABLE.values(), ids=TABLE.keys())
def test_the_runtime_and_the_records_are_brought_together(snapshot, wanted):
    assert plan_adoption(snapshot) == wanted
    why = explain_adoption(snapshot)
    assert why.answer == (", ".join(type(action).__name__ for action in wanted) or "nothing to do")
    assert sum(rule.result == "fired" for rule in why.rules) == sum(
        not isinstance(action, AdoptContainer) for action in wanted
    )


def test_a_policy_may_adopt_nothing_at_the_start_and_still_leaves_what_it_started():
    own = seen(runs(A, 3), records=(record(A, 3),))
    never = AdoptionPolicy(adopt=False)
    assert plan_adoption(own, never) == (StopStray(A, 3, "c1", "not_adopted"), CloseRecord(A, 3))
    assert plan_adoption(evolve(own, booting=False), never) == ()


@pytest.mark.parametrize("seed", range(200))
def test_order_does_not_matter_and_no_session_keeps_two_containers(seed):
    draw = random.Random(seed)
    running = [runs(draw.choice((A, B)), draw.randint(1, 3), f"c{n}") for n in range(draw.randint(0, 5))]
    records = [record(s, draw.randint(1, 3), draw.choice(("starting", "running"))) for s in (A, B)]
    records = [one for one in records if draw.random() < 0.8]
    snapshot = seen(*running, records=tuple(records), booting=draw.random() < 0.5)
    plan = plan_adoption(snapshot)
    shuffled = evolve(snapshot, running=tuple(draw.sample(running, len(running))), records=tuple(records[::-1]))
    assert plan_adoption(shuffled) == plan
    stopped = {action.container_id for action in plan if isinstance(action, StopStray)}
    kept = [one.session for one in running if one.container_id not in stopped]
    assert len(kept) == len(set(kept))
    after = evolve(snapshot, running=tuple(one for one in running if one.container_id not in stopped))
    assert not [action for action in plan_adoption(after) if isinstance(action, StopStray)]
