"""Who may start, who waits for what, and who is asked to leave?"""

import pytest
from attrs import evolve

from turnkeel_core import (
    BackingOff,
    Claim,
    EndRun,
    GroupPlacesTaken,
    HoldStart,
    HostDraining,
    OpenMessage,
    PlacesTaken,
    RunningPlace,
    SetTimer,
    StartNow,
    StartPolicy,
    StartRequest,
    StartSnapshot,
    StuckSnapshot,
    SweepPolicy,
    SweepSnapshot,
    Waiting,
    WorkClaimed,
    YieldPlace,
    explain_starts,
    plan_starts,
)
from turnkeel_core.queue_facts import place_of, request_of

NOW = 1_776_686_400_000
TWO = StartPolicy(max_running=2)
ONE = StartPolicy(max_running=1)
ONE_EACH = StartPolicy(max_running=5, max_running_per_group=1)


def runs(session, **facts):
    return RunningPlace(session=session, **facts)


def asks(session, **facts):
    return StartRequest(session=session, **facts)


def task(session, *work, **facts):
    return StartRequest(session=session, kind="task", work=work, **facts)


def idles(session, for_ms=5_000, **facts):
    return RunningPlace(session=session, idle_since_ms=NOW - for_ms, **facts)


def held(session, ahead, running, places):
    return HoldStart(session, ahead, PlacesTaken(running, places))


STARTS = [
    ("nobody waits", (), (), TWO, ()),
    (
        "free places are given first come first served",
        (),
        (asks("a"), asks("b")),
        TWO,
        (StartNow("a"), StartNow("b")),
    ),
    (
        "those beyond the last place wait, with their place in the queue",
        (runs("r"),),
        (asks("a"), asks("b"), asks("c")),
        TWO,
        (StartNow("a"), held("b", 0, 2, 2), held("c", 1, 2, 2)),
    ),
    (
        "with all places taken the first waits too",
        (runs("r"), runs("s")),
        (asks("a"),),
        TWO,
        (held("a", 0, 2, 2),),
    ),
    (
        "with more running than allowed nobody starts",
        (runs("r"), runs("s"), runs("t")),
        (asks("a"), asks("b")),
        TWO,
        (held("a", 0, 3, 2), held("b", 1, 3, 2)),
    ),
    ("a session that runs already never starts again", (runs("a"),), (asks("a"), asks("b")), TWO, (StartNow("b"),)),
    ("a session that waits twice is answered once", (), (asks("a"), asks("a")), TWO, (StartNow("a"),)),
    ("a session listed twice as running takes one place", (runs("r"), runs("r")), (asks("a"),), TWO, (StartNow("a"),)),
    (
        "turns go round the groups, however many of one came first",
        (),
        (asks("g/1"), asks("g/2"), asks("g/3"), asks("h/1")),
        TWO,
        (StartNow("g/1"), StartNow("h/1"), held("g/2", 0, 2, 2), held("g/3", 1, 2, 2)),
    ),
    (
        "of a group tasks go first, in their order",
        (),
        (asks("g/1"), task("g/2"), task("g/3")),
        TWO,
        (StartNow("g/2"), StartNow("g/3"), held("g/1", 0, 2, 2)),
    ),
    (
        "a task goes before no message of another group that came first",
        (runs("r"),),
        (asks("g/1"), task("h/1")),
        TWO,
        (StartNow("g/1"), held("h/1", 0, 2, 2)),
    ),
    (
        "a group whose places are taken waits, and nobody behind it for it",
        (runs("g/0"),),
        (asks("g/1"), asks("h/1"), asks("h/2")),
        ONE_EACH,
        (
            StartNow("h/1"),
            HoldStart("g/1", 0, GroupPlacesTaken("g", 1, 1)),
            HoldStart("h/2", 1, GroupPlacesTaken("h", 1, 1)),
        ),
    ),
    (
        "a task that runs is not started again, in whichever group",
        (runs("g/1", work=("t1", "t2")),),
        (task("h/1", "t2"), task("h/2", "t3")),
        TWO,
        (StartNow("h/2"), HoldStart("h/1", 0, WorkClaimed("t2", "g/1"))),
    ),
    (
        "of two that wait with the same task the first one starts",
        (),
        (task("g/1", "t1"), task("h/1", "t1")),
        TWO,
        (StartNow("g/1"), HoldStart("h/1", 0, WorkClaimed("t1", "g/1"))),
    ),
    (
        "the same task waits behind the first of the two that wait with it",
        (runs("r"),),
        (task("g/1", "t1"), task("h/1", "t1")),
        ONE,
        (held("g/1", 0, 1, 1), HoldStart("h/1", 1, WorkClaimed("t1", "g/1"))),
    ),
    (
        "after a start the turn decides who of those with the same work is first",
        (),
        (asks("g/0"), asks("g/1", work=("t1",)), asks("h/1", work=("t1",))),
        ONE,
        (StartNow("g/0"), held("h/1", 0, 1, 1), HoldStart("g/1", 1, WorkClaimed("t1", "h/1"))),
    ),
    (
        "one that backs off is passed over; of a group's timers the first counts",
        (),
        (*(asks(f"g/{n}", not_before_ms=NOW + n) for n in (9, 5, 7)), asks("g/3"), asks("h/1")),
        TWO,
        (
            StartNow("g/3"),
            StartNow("h/1"),
            HoldStart("g/9", 0, BackingOff(NOW + 9)),
            HoldStart("g/5", 1, BackingOff(NOW + 5)),
            HoldStart("g/7", 2, BackingOff(NOW + 7)),
            SetTimer("g", NOW + 5),
        ),
    ),
    ("a backoff ends at its instant", (), (asks("a", not_before_ms=NOW),), TWO, (StartNow("a"),)),
    (
        "a backoff holds though more work has come for the same session",
        (),
        (asks("a", not_before_ms=NOW + 5), asks("a")),
        TWO,
        (HoldStart("a", 0, BackingOff(NOW + 5)), SetTimer("a", NOW + 5)),
    ),
]


@pytest.mark.parametrize(
    ("running", "waiting", "policy", "answer"), [row[1:] for row in STARTS], ids=[row[0] for row in STARTS]
)
def test_who_may_start_now(running, waiting, policy, answer):
    assert plan_starts(StartSnapshot(now_ms=NOW, running=running, waiting=waiting), policy) == answer


AHEAD = [
    (
        "a task follows the run of its own group before one that waits",
        ONE,
        (runs("g/0"),),
        (asks("h/1"), task("g/1")),
        (StartNow("g/1", 1), held("h/1", 0, 1, 1)),
    ),
    (
        "a second one in a row waits its turn",
        ONE,
        (runs("g/0", ahead=1),),
        (asks("h/1"), task("g/1")),
        (StartNow("h/1"), held("g/1", 0, 1, 1)),
    ),
    (
        "where no other group waits nobody was overtaken",
        ONE,
        (runs("g/0"),),
        (task("g/1"), asks("g/2")),
        (StartNow("g/1"), held("g/2", 0, 1, 1)),
    ),
    (
        "a task that had the first turn counts as the one ahead all the same",
        ONE,
        (runs("g/0"),),
        (task("g/1"), task("g/2"), asks("h/1")),
        (StartNow("g/1", 1), held("h/1", 0, 1, 1), held("g/2", 1, 1, 1)),
    ),
    (
        "a message never goes ahead",
        ONE,
        (runs("g/0"),),
        (asks("h/1"), asks("g/1")),
        (StartNow("h/1"), held("g/1", 0, 1, 1)),
    ),
    (
        "a group of which two runs ended puts one task ahead",
        TWO,
        (runs("g/0"), runs("g/9")),
        (asks("h/1"), asks("i/1"), task("g/1"), task("g/2")),
        (StartNow("g/1", 1), StartNow("h/1"), held("i/1", 0, 2, 2), held("g/2", 1, 2, 2)),
    ),
    (
        "with none allowed ahead turns alone count",
        evolve(ONE, tasks_ahead=0),
        (runs("g/0"),),
        (asks("h/1"), task("g/1")),
        (StartNow("h/1"), held("g/1", 0, 1, 1)),
    ),
]


@pytest.mark.parametrize(
    ("policy", "ended", "waiting", "answer"), [row[1:] for row in AHEAD], ids=[row[0] for row in AHEAD]
)
def test_how_far_a_group_may_go_before_those_that_wait(policy, ended, waiting, answer):
    assert plan_starts(StartSnapshot(now_ms=NOW, ended=ended, waiting=waiting), policy) == answer


YIELDS = [
    ("nobody is asked where nobody waits", TWO, (idles("a"), idles("b")), (), ()),
    ("nobody is asked where places are free", TWO, (idles("a"),), (asks("c"),), ()),
    ("nobody is asked who works", TWO, (runs("a"), runs("b")), (asks("c"),), ()),
    (
        "the longest idle is asked, one for each that waits",
        TWO,
        (idles("a", 5_000), idles("b", 7_000)),
        (asks("c"),),
        (YieldPlace("b", 7_000, "c"),),
    ),
    (
        "two are asked for two",
        TWO,
        (idles("a", 5_000), idles("b", 7_000)),
        (asks("c"), asks("d"), asks("e")),
        (YieldPlace("b", 7_000, "c"), YieldPlace("a", 5_000, "d")),
    ),
    (
        "one that leaves already is waited for",
        TWO,
        (idles("a", asked=True), idles("b", 7_000)),
        (asks("c"),),
        (),
    ),
    (
        "one that was asked and works again does not count as leaving",
        TWO,
        (runs("a", asked=True), idles("b", 7_000)),
        (asks("c"),),
        (YieldPlace("b", 7_000, "c"),),
    ),
    (
        "for a place of a group its own idle container is asked, not another's",
        ONE_EACH,
        (idles("g/1", 3_000), idles("h/1", 9_000)),
        (asks("g/2"),),
        (YieldPlace("g/1", 3_000, "g/2"),),
    ),
    ("nobody is asked for one that backs off", ONE, (idles("a"),), (asks("c", not_before_ms=NOW + 1),), ()),
    (
        "one is asked for two that wait with the same task",
        TWO,
        (idles("a"), idles("b", 4_000)),
        (task("c", "t"), task("d", "t")),
        (YieldPlace("a", 5_000, "c"),),
    ),
    (
        "an idle instant in the future is no negative time",
        ONE,
        (idles("a", -5),),
        (asks("c"),),
        (YieldPlace("a", 0, "c"),),
    ),
]


@pytest.mark.parametrize(
    ("policy", "running", "waiting", "answer"), [row[1:] for row in YIELDS], ids=[row[0] for row in YIELDS]
)
def test_which_idle_containers_are_asked_to_leave(policy, running, waiting, answer):
    plan = plan_starts(StartSnapshot(now_ms=NOW, running=running, waiting=waiting), policy)
    assert tuple(action for action in plan if isinstance(action, YieldPlace)) == answer


def test_a_host_that_ends_starts_nothing_sets_no_timer_and_asks_each_container_to_end_once():
    seen = StartSnapshot(
        now_ms=NOW,
        running=(runs("a"), idles("b"), runs("c", asked=True)),
        waiting=(asks("d"), asks("e", not_before_ms=NOW + 5)),
        draining=True,
    )
    assert plan_starts(seen, StartPolicy()) == (
        HoldStart("d", 0, HostDraining()),
        HoldStart("e", 1, HostDraining()),
        EndRun("a"),
        EndRun("b"),
    )


def test_by_default_five_may_run_and_groups_have_no_limit_of_their_own():
    waiting = tuple(asks(f"g/{number}") for number in range(6))
    plan = plan_starts(StartSnapshot(now_ms=NOW, waiting=waiting))
    assert plan[4:] == (StartNow("g/4"), held("g/5", 0, 5, 5))


@pytest.mark.parametrize(("session", "group"), [("g/s", "g"), ("s", "s"), ("g/s/t", "g"), ("", "")])
def test_the_group_is_the_first_part_of_a_session(session, group):
    assert (asks(session).group, runs(session).group) == (group, group)
    assert asks(session, group="other").group == "other"


def test_the_explanation_says_for_each_session_what_it_waits_for_and_when_the_answer_turns():
    seen = StartSnapshot(
        now_ms=NOW,
        running=(idles("g/0", work=("t0",)), runs("r")),
        waiting=(
            asks("g/1"),
            task("i/1", "t0"),
            asks("j/1", not_before_ms=NOW + 9),
            asks("k/1"),
            asks("l/1"),
        ),
    )
    why = explain_starts(seen, StartPolicy(max_running=3, max_running_per_group=1))

    assert [(rule.rule, rule.subject, rule.result) for rule in why.rules] == [
        ("slot", "k/1", "fired"),
        ("group", "g/1", "not_yet"),
        ("claim", "i/1", "not_yet"),
        ("backoff", "j/1", "not_yet"),
        ("slot", "l/1", "not_yet"),
        ("yield", "g/0", "fired"),
    ]
    assert why.rules[3].fires_after_ms == NOW + 8
    assert why.answer == "StartNow, HoldStart, HoldStart, HoldStart, HoldStart, YieldPlace, SetTimer"
    assert why.flip_at_ms == NOW + 9
    assert why.flip_to == "StartNow, HoldStart, HoldStart, HoldStart, HoldStart, YieldPlace"


@pytest.mark.parametrize("limits", [{"max_running": 0}, {"max_running_per_group": 0}, {"tasks_ahead": -1}])
def test_limits_that_let_nothing_run_are_refused(limits):
    with pytest.raises(ValueError, match=next(iter(limits))):
        StartPolicy(**limits)


def swept(*messages, **facts):
    return SweepSnapshot(now_ms=NOW, incarnation=1, messages=messages, container=StuckSnapshot(now_ms=NOW, **facts))


DUE = OpenMessage(message_id="m1")
TASK = OpenMessage(message_id="t1", task=True)
LATER = OpenMessage(message_id="t2", task=True, due_at_ms=NOW + 60_000)


@pytest.mark.parametrize(
    ("messages", "request_"),
    [
        pytest.param((DUE,), asks("g/s"), id="messages"),
        pytest.param((DUE, TASK, LATER), task("g/s", "t1"), id="a task among them"),
        pytest.param((DUE, LATER), asks("g/s"), id="a task of a later hour"),
    ],
)
def test_what_a_session_asks_for(messages, request_):
    assert request_of("g/s", swept(*messages), SweepPolicy()) == request_


@pytest.mark.parametrize(
    ("messages", "facts", "place"),
    [
        pytest.param((), {}, idles("g/s"), id="nothing to do: it idles"),
        pytest.param((LATER,), {}, idles("g/s"), id="work of a later hour: it idles"),
        pytest.param((DUE,), {}, runs("g/s"), id="a message is due: it works soon"),
        pytest.param((TASK,), {}, runs("g/s", work=("t1",)), id="a task is due: nobody else takes it"),
        pytest.param(
            (LATER,),
            {"claims": (Claim(message_id="t2", claimed_at_ms=NOW - 5),)},
            runs("g/s", work=("t2",)),
            id="a task is claimed",
        ),
        pytest.param((), {"last_activity_at_ms": None}, runs("g/s"), id="its last activity is unknown"),
        pytest.param(
            (),
            {"waiting": Waiting(reason="approval", since_at_ms=NOW - 10)},
            runs("g/s"),
            id="it waits for an approval",
        ),
    ],
)
def test_what_a_running_container_does_for_the_queue(messages, facts, place):
    facts = {"last_activity_at_ms": NOW - 5_000, "spawned_at_ms": NOW - 9_000, **facts}
    seen = swept(*messages, **facts)
    assert place_of("g/s", seen, seen.container, SweepPolicy()) == place
