"""What does one pass over a session do, in which order, and when must it be looked at again?"""

import pytest
from attrs import evolve

from turnkeel_core import (
    Ack,
    ChargeAttempt,
    ChargeMark,
    Claim,
    CloneRecurrence,
    ContainerUnknown,
    Death,
    DelayRetry,
    FailMessage,
    FenceSession,
    HoldWake,
    KillIgnoringDue,
    KillOverCeiling,
    KillStaleClaim,
    NoContainer,
    OpenMessage,
    ParkRecurrence,
    Recurring,
    ReleaseClaims,
    SettleAck,
    StopContainer,
    StopIdle,
    StuckSnapshot,
    SweepSnapshot,
    Wake,
    explain_sweep,
    plan_sweep,
    work_left,
)

NOW = 1_776_686_400_000
S, MIN = 1_000, 60_000
GONE = "container gone"


def message(message_id="m1", **facts):
    return OpenMessage(message_id=message_id, **facts)


def claim(message_id="m1", age_ms=10 * MIN):
    return Claim(message_id=message_id, claimed_at_ms=NOW - age_ms)


def mark(tries, incarnation=3, message_id="m1"):
    return ChargeMark(message_id=message_id, incarnation=incarnation, tries=tries)


def gone(*orphans, **facts):
    return NoContainer(orphans=tuple(claim(orphan) for orphan in orphans), **facts)


def running(**facts):
    return StuckSnapshot(now_ms=0, **facts)


def session(*messages, container, **facts):
    return SweepSnapshot(now_ms=NOW, incarnation=3, messages=messages, container=container, **facts)


def charged(tries, retry_at_ms=None, message_id="m1", reason=GONE):
    return ChargeAttempt(message_id, 3, tries, retry_at_ms, reason)


def released(*message_ids):
    return ReleaseClaims(3, message_ids or ("m1",))


def woken(*due, if_failed=()):
    return Wake(4, due, if_failed)


DEATH = Death(spawned_at_ms=NOW - 2 * S, died_at_ms=NOW - S, progressed=False)
LATER = NOW + MIN

WITHOUT_A_CONTAINER = [
    ("nothing is open", session(container=gone()), ()),
    ("a due message wakes", session(message(), container=gone()), (woken("m1"),)),
    (
        "a dead attempt is charged, then its claim released, then the spawn is the retry",
        session(message(tries=1), container=gone("m1")),
        (charged(2), released(), woken("m1", if_failed=(DelayRetry("m1", NOW + 10 * S),))),
    ),
    (
        "a NULL count is charged as the first try",
        session(message(tries=None), container=gone("m1")),
        (charged(1), released(), woken("m1", if_failed=(DelayRetry("m1", NOW + 5 * S),))),
    ),
    (
        "a message that was due but not claimed is not charged",
        session(message("m1"), message("m2"), container=gone("m1")),
        (charged(1), released(), woken("m1", "m2", if_failed=(DelayRetry("m1", NOW + 5 * S),))),
    ),
    (
        "one try below the limit is charged once more",
        session(message(tries=4), container=gone("m1")),
        (charged(5), released(), woken("m1", if_failed=(DelayRetry("m1", NOW + 80 * S),))),
    ),
    (
        "at the limit the message fails, and with nothing else due nothing starts",
        session(message(tries=5), container=gone("m1")),
        (FailMessage("m1", 3, 5, 5, GONE), released()),
    ),
    (
        "at the limit the message fails while another still wakes",
        session(message(tries=5), message("m2"), container=gone("m1")),
        (FailMessage("m1", 3, 5, 5, GONE), released(), woken("m2")),
    ),
    (
        "a message at its limit that nobody claimed is tried again",
        session(message(tries=5), container=gone()),
        (woken("m1"),),
    ),
    (
        "a noted charge that the row shows is not made again",
        session(message(tries=2), container=gone("m1"), marks=(mark(2),)),
        (released(), woken("m1", if_failed=(DelayRetry("m1", NOW + 10 * S),))),
    ),
    (
        "a noted charge that the row does not show is completed, not raised",
        session(message(tries=1), container=gone("m1"), marks=(mark(2),)),
        (charged(2), released(), woken("m1", if_failed=(DelayRetry("m1", NOW + 10 * S),))),
    ),
    (
        "a row that fell far behind its noted charge is brought up to it",
        session(message(tries=0), container=gone("m1"), marks=(mark(3),)),
        (charged(3), released(), woken("m1", if_failed=(DelayRetry("m1", NOW + 20 * S),))),
    ),
    (
        "the last charge of a message is no failure when the pass is repeated",
        session(message(tries=5), container=gone("m1"), marks=(mark(5),)),
        (released(), woken("m1", if_failed=(DelayRetry("m1", NOW + 80 * S),))),
    ),
    (
        "a charge noted for an earlier incarnation says nothing of this one",
        session(message(tries=2), container=gone("m1"), marks=(mark(2, incarnation=2),)),
        (charged(3), released(), woken("m1", if_failed=(DelayRetry("m1", NOW + 20 * S),))),
    ),
    (
        "a claimed message already scheduled for later has been charged",
        session(message(tries=1, due_at_ms=LATER), container=gone("m1")),
        (released(),),
    ),
    (
        "a claimed message scheduled for this very millisecond is charged",
        session(message(due_at_ms=NOW), container=gone("m1")),
        (charged(1), released(), woken("m1", if_failed=(DelayRetry("m1", NOW + 5 * S),))),
    ),
    (
        "without a spawn the usual backoff is set with the charge",
        session(message(triggers=False), container=gone("m1")),
        (charged(1, NOW + 5 * S), released()),
    ),
    (
        "without a spawn a charge made already is only delayed",
        session(message(tries=2, triggers=False), container=gone("m1"), marks=(mark(2),)),
        (DelayRetry("m1", NOW + 10 * S), released()),
    ),
    (
        "jitter lengthens the backoff of a charge",
        session(message(triggers=False), container=gone("m1"), random_permille=1000),
        (charged(1, NOW + 6 * S), released()),
    ),
    (
        "a paused message keeps its tries though its claim goes",
        session(message(status="paused"), container=gone("m1")),
        (released(),),
    ),
    (
        "a failed message is left as it is though its claim goes",
        session(message(status="failed"), container=gone("m1")),
        (released(),),
    ),
    ("a claim of a message nobody knows is released", session(container=gone("ghost")), (released("ghost"),)),
    (
        "a claim listed twice is charged once",
        session(message(triggers=False), container=gone("m1", "m1")),
        (charged(1, NOW + 5 * S), released("m1", "m1")),
    ),
    (
        "an acknowledged message is settled, not charged and not due",
        session(message(), container=gone("m1"), acks=(Ack(message_id="m1", outcome="failed"),)),
        (SettleAck("m1", "failed"), released()),
    ),
    (
        "acks come first, recurrences last",
        session(
            message(),
            message("m2", tries=1),
            container=gone("m2"),
            acks=(Ack(message_id="m1", outcome="completed"),),
            recurring=(Recurring(message_id="r1", cron="@daily", next_at_ms=LATER),),
        ),
        (
            SettleAck("m1", "completed"),
            charged(2, message_id="m2"),
            released("m2"),
            woken("m2", if_failed=(DelayRetry("m2", NOW + 10 * S),)),
            CloneRecurrence("r1", LATER),
        ),
    ),
    (
        "an ack of a message that is not open says nothing",
        session(container=gone(), acks=(Ack(message_id="done", outcome="completed"),)),
        (),
    ),
    (
        "a refused cron text is parked with what is wrong with it",
        session(
            container=gone(),
            recurring=(Recurring(message_id="r1", cron="x y", next_at_ms=None, refusal="2 fields instead of five"),),
        ),
        (ParkRecurrence("r1", "x y", "2 fields instead of five"),),
    ),
    (
        "a cron text without a next run is parked even without a reason",
        session(container=gone(), recurring=(Recurring(message_id="r1", cron="x", next_at_ms=None),)),
        (ParkRecurrence("r1", "x", "no next run"),),
    ),
    (
        "a context message does not wake",
        session(message(triggers=False), container=gone()),
        (),
    ),
    ("a message with an unreadable due time never wakes", session(message(never_due=True), container=gone()), ()),
    ("a paused message does not wake", session(message(status="paused"), container=gone()), ()),
    (
        "a message for a first poll wakes",
        session(message(first_poll_only=True), container=gone()),
        (woken("m1"),),
    ),
    (
        "the second in which a message is due is due as a whole, as the container's own query sees it",
        session(message(due_at_ms=NOW + 999), container=gone()),
        (woken("m1"),),
    ),
    ("the next second is not due yet", session(message(due_at_ms=NOW + 1000), container=gone()), ()),
    (
        "one fruitless death does not delay the start",
        session(message(), container=gone(deaths=(DEATH,))),
        (woken("m1"),),
    ),
    (
        "the second one does",
        session(message(), container=gone("m1", deaths=(DEATH, DEATH))),
        (charged(1), released(), HoldWake("backoff", NOW + 9 * S, ("m1",))),
    ),
    (
        "nothing is started on behalf of nothing, though a container died often",
        session(container=gone(deaths=(DEATH, DEATH))),
        (),
    ),
]


@pytest.mark.parametrize(
    ("snapshot", "actions"), [row[1:] for row in WITHOUT_A_CONTAINER], ids=[row[0] for row in WITHOUT_A_CONTAINER]
)
def test_without_a_container(snapshot, actions):
    assert plan_sweep(snapshot).actions == actions


@pytest.mark.parametrize("blocked", ["slot", "draining", "paused", "fenced"])
def test_a_session_that_may_not_start_is_charged_and_held(blocked):
    plan = plan_sweep(session(message(), container=gone("m1", blocked=blocked, deaths=(DEATH, DEATH))))

    assert plan.actions == (charged(1), released(), HoldWake(blocked, None, ("m1",)))


def stopped(because, if_stopped):
    name = type(because).__name__
    return (StopContainer(3, because, if_stopped, (FenceSession(3, f"could not be stopped after {name}"),)),)


def stale(message_id="m1"):
    return KillStaleClaim(message_id, 10 * MIN, MIN)


CEILING = KillOverCeiling(31 * MIN, 30 * MIN)

WITH_A_CONTAINER = [
    ("a healthy container is left alone", session(message(), container=running(heartbeat_at_ms=NOW)), ()),
    (
        "a stuck container is stopped; only when it is gone its attempt is charged and its claim released",
        session(message(tries=1), container=running(claims=(claim(),))),
        stopped(stale(), (charged(2, NOW + 10 * S, reason="KillStaleClaim"), released())),
    ),
    (
        "all claims are charged, not only the one that was stuck",
        session(message(), message("m2", tries=5), container=running(claims=(claim(), claim("m2", 0)))),
        stopped(
            stale(),
            (
                charged(1, NOW + 5 * S, reason="KillStaleClaim"),
                FailMessage("m2", 3, 5, 5, "KillStaleClaim"),
                released("m1", "m2"),
            ),
        ),
    ),
    (
        "a container without claims is stopped and nothing charged",
        session(message(), container=running(heartbeat_at_ms=NOW - 31 * MIN)),
        stopped(CEILING, ()),
    ),
    (
        "an idle container is stopped and nothing charged",
        session(container=running(heartbeat_at_ms=NOW, last_activity_at_ms=NOW - 16 * MIN)),
        stopped(StopIdle(16 * MIN, 15 * MIN), ()),
    ),
    (
        "a context message does not keep an idle container",
        session(message(triggers=False), container=running(heartbeat_at_ms=NOW, last_activity_at_ms=NOW - 16 * MIN)),
        stopped(StopIdle(16 * MIN, 15 * MIN), ()),
    ),
    (
        "a message for a first poll does not keep an idle container",
        session(
            message(first_poll_only=True), container=running(heartbeat_at_ms=NOW, last_activity_at_ms=NOW - 16 * MIN)
        ),
        stopped(StopIdle(16 * MIN, 15 * MIN), ()),
    ),
    (
        "an idle container with a due message is left to take it",
        session(message(), container=running(heartbeat_at_ms=NOW, last_activity_at_ms=NOW - 16 * MIN)),
        (),
    ),
    (
        "a container that ignores the oldest due message is stopped",
        session(
            message(since_at_ms=NOW - MIN),
            message("m2", since_at_ms=NOW - 31 * MIN),
            container=running(heartbeat_at_ms=NOW, spawned_at_ms=NOW - 60 * MIN),
        ),
        stopped(KillIgnoringDue(31 * MIN, 30 * MIN), ()),
    ),
    (
        "work of unknown age is ignored since the spawn",
        session(message(), container=running(heartbeat_at_ms=NOW, spawned_at_ms=NOW - 60 * MIN)),
        stopped(KillIgnoringDue(60 * MIN, 30 * MIN), ()),
    ),
    (
        "the due time stands in for an unknown age",
        session(
            message(due_at_ms=NOW - 31 * MIN), container=running(heartbeat_at_ms=NOW, spawned_at_ms=NOW - 60 * MIN)
        ),
        stopped(KillIgnoringDue(31 * MIN, 30 * MIN), ()),
    ),
    (
        "acks are settled and recurrences go on beside a judged container",
        session(
            message("m0"),
            message(),
            container=running(claims=(claim(),)),
            acks=(Ack(message_id="m0", outcome="completed"),),
            recurring=(Recurring(message_id="r1", cron="@daily", next_at_ms=LATER),),
        ),
        (
            SettleAck("m0", "completed"),
            *stopped(stale(), (charged(1, NOW + 5 * S, reason="KillStaleClaim"), released())),
            CloneRecurrence("r1", LATER),
        ),
    ),
    (
        "of an unknown container nothing is decided; acks and recurrences go on",
        session(
            message(),
            message("m2"),
            container=ContainerUnknown("no answer"),
            acks=(Ack(message_id="m1", outcome="completed"),),
            recurring=(Recurring(message_id="r1", cron="@daily", next_at_ms=LATER),),
        ),
        (SettleAck("m1", "completed"), CloneRecurrence("r1", LATER)),
    ),
]


@pytest.mark.parametrize(
    ("snapshot", "actions"), [row[1:] for row in WITH_A_CONTAINER], ids=[row[0] for row in WITH_A_CONTAINER]
)
def test_with_a_container(snapshot, actions):
    assert plan_sweep(snapshot).actions == actions


SPAWNED = NOW - 60 * MIN

NEXT_LOOKS = [
    ("nothing is open", session(container=gone()), None),
    ("a wake is planned: time changes nothing", session(message(), container=gone()), None),
    (
        "a later message wakes with the first millisecond of its second",
        session(message(due_at_ms=NOW + 5_700), container=gone()),
        NOW + 5_000,
    ),
    (
        "of two later messages the earlier counts",
        session(message(due_at_ms=NOW + 9_000), message("m2", due_at_ms=NOW + 5_000), container=gone()),
        NOW + 5_000,
    ),
    (
        "a context message changes nothing when it becomes due",
        session(message(triggers=False, due_at_ms=NOW + 5_000), container=gone()),
        None,
    ),
    (
        "a held start happens when the backoff is over",
        session(message(), container=gone(deaths=(DEATH, DEATH))),
        NOW + 9 * S,
    ),
    (
        "the end of a backoff alone is no reason to look",
        session(container=gone(deaths=(DEATH, DEATH))),
        None,
    ),
    ("a blocked session waits for something else than time", session(message(), container=gone(blocked="slot")), None),
    (
        "an orphaned message scheduled for later would be owed a charge then",
        session(message(triggers=False, due_at_ms=NOW + 5_001), container=gone("m1")),
        NOW + 5_001,
    ),
    (
        "a healthy container is judged one millisecond after its nearest limit",
        session(container=running(heartbeat_at_ms=NOW)),
        NOW + 30 * MIN + 1,
    ),
    (
        "a message that becomes due saves an idle container, so the ceiling comes next",
        session(
            message(due_at_ms=NOW + 5 * S),
            container=running(heartbeat_at_ms=NOW, spawned_at_ms=SPAWNED, last_activity_at_ms=NOW),
        ),
        NOW + 30 * MIN + 1,
    ),
    (
        "a message that becomes due takes back the stop of an idle container",
        session(
            message(due_at_ms=NOW + 5 * S),
            container=running(heartbeat_at_ms=NOW, last_activity_at_ms=NOW - 16 * MIN),
        ),
        NOW + 5 * S,
    ),
    ("an unknown container is asked again, not waited for", session(message(), container=ContainerUnknown("?")), None),
]


@pytest.mark.parametrize(("snapshot", "next_ms"), [row[1:] for row in NEXT_LOOKS], ids=[row[0] for row in NEXT_LOOKS])
def test_when_the_session_must_be_looked_at_again(snapshot, next_ms):
    assert plan_sweep(snapshot).next_change_at_ms == next_ms


def test_the_clock_of_the_pass_judges_the_container_not_the_one_in_its_facts():
    old = session(message(), container=evolve(running(claims=(claim(),)), now_ms=NOW - 10 * MIN, due_since_ms=0))

    assert plan_sweep(old).actions[0].because == stale()


def test_the_explanation_shows_each_step_and_the_decision_about_the_container():
    snapshot = session(message(tries=1), message("m2", due_at_ms=LATER), container=gone("m1", blocked="paused"))

    why = explain_sweep(snapshot)

    assert why.answer == "ChargeAttempt, ReleaseClaims, HoldWake"
    assert [(step.rule, step.result) for step in why.rules] == [
        ("settle acks", "skipped"),
        ("charge and release", "fired"),
        ("wake", "fired"),
        ("judge", "skipped"),
        ("mend waits", "skipped"),
        ("recur", "skipped"),
    ]
    assert {fact.name: fact.value for step in why.rules for fact in step.facts} == {
        "acks": 0,
        "claims": 1,
        "of": "dead",
        "due": 1,
        "first_due": "m1",
        "next_due_at_ms": LATER,
        "container": "none, blocked: paused",
        "waits": 0,
        "recurring": 0,
    }
    assert [part.decision for part in why.parts] == ["decide_spawn"]


@pytest.mark.parametrize(
    ("container", "state", "parts"),
    [
        (running(heartbeat_at_ms=NOW), "incarnation 3 runs", ["decide_stuck_action"]),
        (gone(), "none", ["decide_spawn"]),
        (ContainerUnknown("no answer"), "unknown: no answer", []),
    ],
)
def test_the_explanation_says_what_is_known_of_the_container(container, state, parts):
    why = explain_sweep(session(container=container))

    assert why.rules[3].facts[0].value == state
    assert [part.decision for part in why.parts] == parts
    assert why.answer == "nothing to do"


def test_the_explanation_names_the_plan_that_comes_next():
    why = explain_sweep(session(message(due_at_ms=NOW + 5 * S), container=gone()))

    assert (why.flip_at_ms, why.flip_to) == (NOW + 5 * S, "Wake")


@pytest.mark.parametrize(
    ("message", "left"),
    [
        pytest.param(OpenMessage(message_id="m"), True, id="due at once"),
        pytest.param(OpenMessage(message_id="m", due_at_ms=NOW), True, id="due now"),
        pytest.param(OpenMessage(message_id="m", due_at_ms=NOW + 1), False, id="for later: another day's work"),
        pytest.param(OpenMessage(message_id="m", due_at_ms=NOW + 1, tries=1), True, id="waits for its second try"),
        pytest.param(OpenMessage(message_id="m", never_due=True), False, id="never due"),
        pytest.param(OpenMessage(message_id="m", triggers=False), False, id="context only"),
        pytest.param(OpenMessage(message_id="m", status="failed", tries=5), False, id="failed for good"),
    ],
)
def test_work_is_left_while_a_message_is_due_or_waits_for_another_try(message, left):
    assert work_left(SweepSnapshot(now_ms=NOW, messages=(message,), container=NoContainer())) is left
