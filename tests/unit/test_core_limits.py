"""How many runs may begin in an hour, what happens at the limit, and which replies are refused?"""

import pytest
from attrs import evolve

from turnkeel_core import (
    ChargeAttempt,
    Claim,
    HoldWake,
    KillOverCeiling,
    LimitPolicy,
    NoContainer,
    OpenMessage,
    OutputPolicy,
    OutputSnapshot,
    RefuseOutput,
    ReleaseClaims,
    Run,
    RunLater,
    RunNow,
    RunSnapshot,
    StopContainer,
    StopIdle,
    StuckSnapshot,
    SweepPolicy,
    SweepSnapshot,
    TakeOutput,
    Wake,
    decide_output,
    decide_run,
    explain_output,
    explain_run,
    explain_sweep,
    plan_sweep,
)

NOW = 1_776_686_400_000
MIN, HOUR = 60_000, 3_600_000
TWO = LimitPolicy(runs_per_hour=2)
LIMITED = SweepPolicy(limit=TWO)


def run(message_id, ago_ms, incarnation=None):
    return Run(message_id=message_id, at_ms=NOW - ago_ms, incarnation=incarnation)


RUNS = {
    "none": ((), 0, RunNow(0)),
    "one below the limit": ((run("a", MIN),), 0, RunNow(1)),
    "at the limit, until the oldest leaves": ((run("a", 50 * MIN), run("b", MIN)), 0, RunLater(NOW + 10 * MIN, 2, 2)),
    "far over the limit, until enough of them left": (
        (run("a", 50 * MIN), run("b", 40 * MIN), run("c", 30 * MIN)),
        0,
        RunLater(NOW + 20 * MIN, 3, 2),
    ),
    "one an hour ago has left": ((run("a", HOUR), run("b", MIN)), 0, RunNow(1)),
    "one a millisecond short of an hour ago has not": (
        (run("a", HOUR - 1), run("b", MIN)),
        0,
        RunLater(NOW + 1, 2, 2),
    ),
    "one under way counts": ((run("a", 50 * MIN),), 1, RunLater(NOW + 10 * MIN, 2, 2)),
    "all under way: no instant is known": ((), 2, RunLater(None, 2, 2)),
    "a message marked twice counts once, and later": ((run("a", 50 * MIN), run("a", MIN)), 0, RunNow(1)),
    "each charged attempt of one message counts": (
        (run("a", 50 * MIN, 1), run("a", 40 * MIN, 2)),
        0,
        RunLater(NOW + 10 * MIN, 2, 2),
    ),
    "a charged attempt and the answer that followed": (
        (run("a", 50 * MIN, 1), run("a", 40 * MIN)),
        0,
        RunLater(NOW + 10 * MIN, 2, 2),
    ),
    "a clock that was set back: what lies ahead does not count": ((run("a", -MIN), run("b", -HOUR)), 0, RunNow(0)),
}


@pytest.mark.parametrize(("runs", "held", "answer"), RUNS.values(), ids=RUNS)
def test_the_runs_of_an_hour_are_counted(runs, held, answer):
    seen = RunSnapshot(now_ms=NOW, runs=runs, held=held)

    assert decide_run(seen, TWO) == answer
    assert explain_run(seen, TWO).answer == type(answer).__name__
    assert decide_run(seen) == RunNow(answer.runs), "off by default"


def test_a_limit_of_no_run_at_all_is_a_pause_and_is_refused():
    with pytest.raises(ValueError, match="runs_per_hour"):
        LimitPolicy(runs_per_hour=0)


DUE = OpenMessage(message_id="m", due_at_ms=NOW - MIN, since_at_ms=NOW - MIN)
SPENT = (run("a", 50 * MIN), run("b", 40 * MIN))


def session(container, **changes):
    fields = {"now_ms": NOW, "incarnation": 4, "messages": (DUE,), "container": container, "runs": SPENT}
    return SweepSnapshot(**{**fields, **changes})


def test_a_wake_beyond_the_limit_is_held_until_the_oldest_run_has_left_the_hour():
    seen = session(NoContainer())
    plan = plan_sweep(seen, LIMITED)

    assert plan.actions == (HoldWake("rate", NOW + 10 * MIN, ("m",)),)
    assert plan.next_change_at_ms == NOW + 10 * MIN
    assert plan_sweep(evolve(seen, now_ms=NOW + 10 * MIN), LIMITED).actions == (Wake(5, ("m",), ()),)
    assert plan_sweep(seen).actions == (Wake(5, ("m",), ()),), "without a limit nothing is held"
    why = explain_sweep(seen, LIMITED)
    assert [part.decision for part in why.parts] == ["decide_spawn", "decide_run"]
    assert why.parts[1].flip_at_ms == NOW + 10 * MIN


def test_an_orphaned_attempt_is_charged_and_counts_but_is_tried_again_only_after_the_hour():
    orphan = NoContainer(orphans=(Claim(message_id="m", claimed_at_ms=NOW - 2 * HOUR),))
    seen = session(orphan, runs=(run("a", 50 * MIN),))

    first = plan_sweep(seen, LIMITED).actions
    assert first == (
        ChargeAttempt("m", 4, 1, None, "container gone"),
        ReleaseClaims(4, ("m",)),
        HoldWake("rate", NOW + 10 * MIN, ("m",)),
    )
    # Carried out: the charge takes the place of the claim, and the count stays what it was.
    after = session(NoContainer(), runs=(run("a", 50 * MIN), run("m", 0, 4)))
    assert plan_sweep(after, LIMITED).actions == first[-1:]


def test_the_same_attempt_seen_as_claim_and_as_charge_counts_once():
    orphan = NoContainer(orphans=(Claim(message_id="m", claimed_at_ms=NOW - MIN),))
    assert any(isinstance(a, Wake) for a in plan_sweep(session(orphan, runs=(run("m", 0, 4),)), LIMITED).actions)


def container(**facts):
    fields = {"now_ms": 0, "spawned_at_ms": NOW - HOUR, "heartbeat_at_ms": NOW - 500, "last_activity_at_ms": NOW - 9}
    return StuckSnapshot(**{**fields, **facts})


def test_a_running_container_with_nothing_in_hand_is_stopped_at_the_limit_as_a_stop_on_purpose():
    plan = plan_sweep(session(container()), LIMITED)
    [stop] = plan.actions
    assert stop.because == StopIdle(9, 0, "rate")
    assert stop.if_stopped == (), "nothing is charged"
    assert plan_sweep(session(container())).actions == ()
    nothing_due = plan_sweep(session(container(), messages=()), LIMITED)
    assert nothing_due.actions[0].because == StopIdle(9, 0, "rate"), "it would take whatever comes"


def test_a_running_container_with_a_message_in_hand_may_finish_it():
    busy = container(claims=(Claim(message_id="m", claimed_at_ms=NOW - MIN),))
    assert plan_sweep(session(busy), LIMITED).actions == ()


def test_a_hang_is_killed_at_the_limit_as_everywhere():
    silent = container(heartbeat_at_ms=NOW - HOUR)
    [stop] = plan_sweep(session(silent), LIMITED).actions
    assert isinstance(stop, StopContainer) and isinstance(stop.because, KillOverCeiling)


def test_a_row_of_context_that_a_message_takes_along_is_no_run_of_its_own():
    context = OpenMessage(message_id="c", triggers=False)
    claims = tuple(Claim(message_id=key, claimed_at_ms=NOW - MIN) for key in ("c", "m"))
    seen = session(NoContainer(orphans=claims), messages=(context, DUE), runs=())
    assert any(isinstance(action, Wake) for action in plan_sweep(seen, LIMITED).actions)


SMALL = OutputPolicy(output_limit_bytes=10, attachment_limit_bytes=100)
OUTPUTS = {
    "small": ((1, 0, None), None),
    "both at their limits": ((10, 100, None), None),
    "a text one byte over": ((11, 0, None), "text of 11 bytes, the limit is 10"),
    "attachments one byte over": ((1, 101, None), "attachments of 101 bytes, the limit is 100"),
    "a link among the attachments": ((1, 1, "x is a link"), "x is a link"),
    "everything wrong: the text is named": ((11, 101, "x is a link"), "text of 11 bytes, the limit is 10"),
}


@pytest.mark.parametrize(("facts", "refusal"), OUTPUTS.values(), ids=OUTPUTS)
def test_a_reply_over_a_limit_is_refused_with_the_figures(facts, refusal):
    seen = OutputSnapshot(now_ms=NOW, text_bytes=facts[0], attachment_bytes=facts[1], odd=facts[2])

    answer, why = decide_output(seen, SMALL), explain_output(seen, SMALL)

    assert answer == (TakeOutput() if refusal is None else RefuseOutput(refusal))
    assert why.answer == type(answer).__name__
    assert [rule.because for rule in why.rules if rule.result == "fired"] == ([] if refusal is None else [refusal])
