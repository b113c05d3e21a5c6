"""What counts as evidence against a container, and at which instant does it tip?

Boundaries come in pairs: at the limit the container is left alone, one millisecond later it is not.
"""

import pytest
from attrs import evolve

from turnkeel_core import (
    Claim,
    DeclaredTool,
    KillIgnoringDue,
    KillNeverStarted,
    KillNoProgress,
    KillOverCeiling,
    KillOverRunLimit,
    KillStaleClaim,
    LeaveAlone,
    Sleep,
    StopIdle,
    StuckPolicy,
    StuckSnapshot,
    Waiting,
    decide_stuck_action,
    explain_stuck_action,
)

NOW = 1_776_686_400_000
S, MIN = 1_000, 60_000
DEFAULT = StuckPolicy()
RUN_LIMIT = StuckPolicy(run_limit_ms=10 * MIN)
ANY_TOOL = StuckPolicy(timeout_tools=None)
NO_TOOL = StuckPolicy(timeout_tools=())


def seen(**facts):
    return StuckSnapshot(now_ms=NOW, **facts)


def claim(age_ms, message_id="m1", resolution_ms=1):
    return Claim(message_id=message_id, claimed_at_ms=NOW - age_ms, resolution_ms=resolution_ms)


def tool(timeout_ms, name="Bash", age_ms=0, resolution_ms=1):
    return DeclaredTool(name=name, timeout_ms=timeout_ms, started_at_ms=NOW - age_ms, resolution_ms=resolution_ms)


def ago(age_ms):
    return NOW - age_ms


# name, facts at the limit, policy, the answer one millisecond later
BOUNDARIES = [
    (
        "the ceiling counts from the last heartbeat",
        seen(heartbeat_at_ms=ago(30 * MIN), spawned_at_ms=ago(50 * MIN)),
        DEFAULT,
        KillOverCeiling(30 * MIN + 1, 30 * MIN, "heartbeat"),
    ),
    (
        "without a heartbeat the ceiling counts from the spawn, a write having met the start-up deadline",
        seen(spawned_at_ms=ago(30 * MIN), outbound_at_ms=ago(30 * MIN)),
        DEFAULT,
        KillOverCeiling(30 * MIN + 1, 30 * MIN, "spawn"),
    ),
    (
        "a trusted tool's timeout lifts the ceiling",
        seen(heartbeat_at_ms=ago(45 * MIN), tool=tool(45 * MIN)),
        DEFAULT,
        KillOverCeiling(45 * MIN + 1, 45 * MIN),
    ),
    (
        "a short tool timeout does not lower the ceiling",
        seen(heartbeat_at_ms=ago(30 * MIN), tool=tool(1)),
        DEFAULT,
        KillOverCeiling(30 * MIN + 1, 30 * MIN),
    ),
    (
        "no sign of life since the spawn meets the start-up deadline",
        seen(spawned_at_ms=ago(2 * MIN)),
        DEFAULT,
        KillNeverStarted(2 * MIN + 1, 2 * MIN),
    ),
    (
        "a write of an earlier incarnation does not meet the start-up deadline",
        seen(spawned_at_ms=ago(2 * MIN), outbound_at_ms=ago(2 * MIN) - 1),
        DEFAULT,
        KillNeverStarted(2 * MIN + 1, 2 * MIN),
    ),
    (
        "a claim without a heartbeat is tolerated for one tolerance",
        seen(claims=(claim(MIN),)),
        DEFAULT,
        KillStaleClaim("m1", MIN + 1, MIN),
    ),
    (
        "a heartbeat at the very instant of the claim is none since the claim",
        seen(claims=(claim(MIN),), heartbeat_at_ms=ago(MIN)),
        DEFAULT,
        KillStaleClaim("m1", MIN + 1, MIN),
    ),
    (
        "a trusted tool's timeout widens the tolerance",
        seen(claims=(claim(5 * MIN),), tool=tool(5 * MIN)),
        DEFAULT,
        KillStaleClaim("m1", 5 * MIN + 1, 5 * MIN),
    ),
    (
        "the first stale claim in the store's order is named, not the oldest",
        seen(claims=(claim(MIN, "younger"), claim(2 * MIN - 1, "older"))),
        StuckPolicy(claim_tolerance_ms=2 * MIN - 1),
        KillStaleClaim("older", 2 * MIN, 2 * MIN - 1),
    ),
    (
        "a beating container whose work stands still is a hang",
        seen(claims=(claim(40 * MIN),), heartbeat_at_ms=NOW, progress_at_ms=ago(30 * MIN)),
        DEFAULT,
        KillNoProgress("m1", 30 * MIN + 1, 30 * MIN),
    ),
    (
        "progress before the claim does not shorten its time",
        seen(claims=(claim(30 * MIN),), heartbeat_at_ms=NOW, progress_at_ms=ago(55 * MIN)),
        DEFAULT,
        KillNoProgress("m1", 30 * MIN + 1, 30 * MIN),
    ),
    (
        "a trusted tool may be silent for as long as it declared",
        seen(claims=(claim(50 * MIN),), heartbeat_at_ms=NOW, progress_at_ms=ago(40 * MIN), tool=tool(40 * MIN)),
        DEFAULT,
        KillNoProgress("m1", 40 * MIN + 1, 40 * MIN),
    ),
    (
        "a run limit counts from the claim, progress or not",
        seen(claims=(claim(10 * MIN),), heartbeat_at_ms=NOW, progress_at_ms=NOW),
        RUN_LIMIT,
        KillOverRunLimit("m1", 10 * MIN + 1, 10 * MIN),
    ),
    (
        "due work that nobody takes is waited for from the moment it was due",
        seen(heartbeat_at_ms=NOW, spawned_at_ms=ago(50 * MIN), due_since_ms=ago(30 * MIN)),
        DEFAULT,
        KillIgnoringDue(30 * MIN + 1, 30 * MIN),
    ),
    (
        "a container is not blamed for work that was due before its spawn",
        seen(heartbeat_at_ms=NOW, spawned_at_ms=ago(30 * MIN), due_since_ms=ago(50 * MIN)),
        DEFAULT,
        KillIgnoringDue(30 * MIN + 1, 30 * MIN),
    ),
    (
        "progress postpones the blame for untaken work",
        seen(
            heartbeat_at_ms=NOW,
            spawned_at_ms=ago(50 * MIN),
            due_since_ms=ago(50 * MIN),
            progress_at_ms=ago(30 * MIN),
        ),
        DEFAULT,
        KillIgnoringDue(30 * MIN + 1, 30 * MIN),
    ),
    (
        "an idle container is stopped after its warm time",
        seen(heartbeat_at_ms=NOW, last_activity_at_ms=ago(15 * MIN)),
        DEFAULT,
        StopIdle(15 * MIN + 1, 15 * MIN),
    ),
    (
        "a whole-second claim of the spawn's own second belongs to this incarnation",
        seen(claims=(claim(MIN + 999, resolution_ms=1000),), spawned_at_ms=ago(MIN)),
        StuckPolicy(claim_tolerance_ms=MIN + 999),
        KillStaleClaim("m1", MIN + 1000, MIN + 999),
    ),
    (
        "a declared wait ends at its own instant, then one tolerance is given",
        seen(
            claims=(claim(20 * MIN),),
            waiting=Waiting(reason="rate limit", since_at_ms=ago(19 * MIN), until_at_ms=ago(MIN)),
        ),
        DEFAULT,
        KillStaleClaim("m1", 20 * MIN + 1, MIN),
    ),
    (
        "a wait without an end is believed for the waiting limit and one tolerance",
        seen(claims=(claim(90 * MIN),), waiting=Waiting(reason="approval", since_at_ms=ago(61 * MIN))),
        DEFAULT,
        KillStaleClaim("m1", 90 * MIN + 1, MIN),
    ),
    (
        "a wait may not outlast the waiting limit, whatever it declares",
        seen(
            claims=(claim(90 * MIN),),
            waiting=Waiting(reason="approval", since_at_ms=ago(61 * MIN), until_at_ms=NOW + 90 * MIN),
        ),
        DEFAULT,
        KillStaleClaim("m1", 90 * MIN + 1, MIN),
    ),
    (
        "a machine that slept gives one tolerance from the moment it woke",
        seen(heartbeat_at_ms=ago(8 * 60 * MIN), sleeps=(Sleep(resumed_at_ms=ago(MIN), gap_ms=0),)),
        DEFAULT,
        KillOverCeiling(8 * 60 * MIN + 1, 30 * MIN),
    ),
    (
        "a running tool lengthens the grace after a sleep",
        seen(
            claims=(claim(60 * MIN),),
            sleeps=(Sleep(resumed_at_ms=ago(5 * MIN), gap_ms=0),),
            tool=tool(5 * MIN, age_ms=60 * MIN),
        ),
        DEFAULT,
        KillStaleClaim("m1", 60 * MIN + 1, 5 * MIN),
    ),
    (
        "a sleep postpones the run limit too",
        seen(claims=(claim(60 * MIN),), heartbeat_at_ms=NOW, sleeps=(Sleep(resumed_at_ms=ago(MIN), gap_ms=0),)),
        RUN_LIMIT,
        KillOverRunLimit("m1", 60 * MIN + 1, 10 * MIN),
    ),
]


@pytest.mark.parametrize(
    ("at_limit", "policy", "past"), [row[1:] for row in BOUNDARIES], ids=[row[0] for row in BOUNDARIES]
)
def test_at_the_limit_tolerated_one_millisecond_later_not(at_limit, policy, past):
    tolerated = decide_stuck_action(at_limit, policy)
    later = decide_stuck_action(evolve(at_limit, now_ms=NOW + 1), policy)

    assert (type(tolerated), later) == (LeaveAlone, past)
    assert tolerated.until_ms == NOW + 1


HEALTHY, STARTING = "healthy", "no_evidence_yet"
LONG_AGO = 600 * MIN

LEFT_ALONE = [
    ("nothing is known of the container", seen(), DEFAULT, HEALTHY, None),
    (
        "a heartbeat older than the spawn says nothing",
        seen(heartbeat_at_ms=ago(MIN) - 1, spawned_at_ms=ago(MIN)),
        DEFAULT,
        STARTING,
        NOW + MIN + 1,
    ),
    (
        "a heartbeat at the instant of the spawn is the newcomer's",
        seen(heartbeat_at_ms=ago(3 * MIN), spawned_at_ms=ago(3 * MIN)),
        DEFAULT,
        HEALTHY,
        NOW + 27 * MIN + 1,
    ),
    (
        "a claim older than the spawn accuses nobody and meets no deadline",
        seen(claims=(claim(LONG_AGO),), spawned_at_ms=ago(MIN)),
        DEFAULT,
        STARTING,
        NOW + MIN + 1,
    ),
    (
        "a whole-second claim is older than the spawn when all of its second is",
        seen(claims=(claim(MIN + 1000, resolution_ms=1000),), spawned_at_ms=ago(MIN)),
        DEFAULT,
        STARTING,
        NOW + MIN + 1,
    ),
    (
        "a claim meets the start-up deadline",
        seen(claims=(claim(0),), spawned_at_ms=ago(3 * MIN)),
        DEFAULT,
        HEALTHY,
        NOW + MIN + 1,
    ),
    (
        "a claim whose time nobody can read meets the start-up deadline and is not judged",
        seen(
            claims=(Claim(message_id="m1", claimed_at_ms=None),),
            spawned_at_ms=ago(20 * MIN),
            progress_at_ms=ago(LONG_AGO),
        ),
        RUN_LIMIT,
        HEALTHY,
        NOW + 10 * MIN + 1,
    ),
    (
        "a write at the instant of the spawn meets the start-up deadline",
        seen(spawned_at_ms=ago(3 * MIN), outbound_at_ms=ago(3 * MIN)),
        DEFAULT,
        HEALTHY,
        NOW + 27 * MIN + 1,
    ),
    (
        "a heartbeat after the claim ends the claim rule",
        seen(claims=(claim(20 * MIN),), heartbeat_at_ms=ago(20 * MIN) + 1),
        DEFAULT,
        HEALTHY,
        NOW + 10 * MIN + 2,
    ),
    (
        "a claim from before the epoch was shown by no clock",
        seen(claims=(Claim(message_id="m1", claimed_at_ms=-1),)),
        DEFAULT,
        HEALTHY,
        None,
    ),
    (
        "with the last progress unknown no hang is seen",
        seen(claims=(claim(LONG_AGO),), heartbeat_at_ms=NOW),
        DEFAULT,
        HEALTHY,
        NOW + 30 * MIN + 1,
    ),
    (
        "no run limit is set by default",
        seen(claims=(claim(LONG_AGO),), heartbeat_at_ms=NOW, progress_at_ms=NOW),
        DEFAULT,
        HEALTHY,
        NOW + 30 * MIN + 1,
    ),
    (
        "a container that holds a claim is not blamed for other due work",
        seen(claims=(claim(MIN),), heartbeat_at_ms=NOW, spawned_at_ms=ago(LONG_AGO), due_since_ms=ago(LONG_AGO)),
        DEFAULT,
        HEALTHY,
        NOW + 30 * MIN + 1,
    ),
    (
        "due work accuses nobody while the spawn is unknown",
        seen(heartbeat_at_ms=NOW, due_since_ms=ago(LONG_AGO)),
        DEFAULT,
        HEALTHY,
        NOW + 30 * MIN + 1,
    ),
    (
        "with due work nobody is idle",
        seen(heartbeat_at_ms=NOW, last_activity_at_ms=ago(LONG_AGO), due_since_ms=NOW),
        DEFAULT,
        HEALTHY,
        NOW + 30 * MIN + 1,
    ),
    (
        "with a claim nobody is idle",
        seen(claims=(claim(MIN),), heartbeat_at_ms=NOW, last_activity_at_ms=ago(LONG_AGO)),
        DEFAULT,
        HEALTHY,
        NOW + 30 * MIN + 1,
    ),
    (
        "with the last activity unknown nobody is idle",
        seen(heartbeat_at_ms=NOW, spawned_at_ms=ago(LONG_AGO)),
        DEFAULT,
        HEALTHY,
        NOW + 30 * MIN + 1,
    ),
    (
        "a declared wait is not silence",
        seen(claims=(claim(20 * MIN),), waiting=Waiting(reason="rate limit", since_at_ms=ago(19 * MIN))),
        DEFAULT,
        "waiting",
        NOW + 42 * MIN + 1,
    ),
    (
        "a wait that is not needed leaves the reason healthy",
        seen(claims=(claim(MIN),), waiting=Waiting(reason="rate limit", since_at_ms=NOW)),
        DEFAULT,
        HEALTHY,
        NOW + 61 * MIN + 1,
    ),
    (
        "a machine that slept excuses a silent night",
        seen(heartbeat_at_ms=ago(LONG_AGO), sleeps=(Sleep(resumed_at_ms=NOW, gap_ms=0),)),
        DEFAULT,
        "resumed",
        NOW + MIN + 1,
    ),
    (
        "an excuse counts to its last millisecond",
        seen(heartbeat_at_ms=ago(LONG_AGO), sleeps=(Sleep(resumed_at_ms=ago(MIN), gap_ms=0),)),
        DEFAULT,
        "resumed",
        NOW + 1,
    ),
    (
        "of a wait and a sleep the longer excuse counts",
        seen(
            claims=(claim(20 * MIN),),
            waiting=Waiting(reason="rate limit", since_at_ms=ago(19 * MIN), until_at_ms=NOW + MIN),
            sleeps=(Sleep(resumed_at_ms=NOW, gap_ms=0),),
        ),
        DEFAULT,
        "waiting",
        NOW + 2 * MIN + 1,
    ),
]


@pytest.mark.parametrize(
    ("facts", "policy", "reason", "until_ms"), [row[1:] for row in LEFT_ALONE], ids=[row[0] for row in LEFT_ALONE]
)
def test_left_alone_for_a_reason_and_until_an_instant(facts, policy, reason, until_ms):
    assert decide_stuck_action(facts, policy) == LeaveAlone(reason, until_ms)


KILLED = [
    (
        "a wait declared before the spawn excuses nothing",
        seen(
            claims=(claim(2 * MIN),),
            spawned_at_ms=ago(3 * MIN),
            waiting=Waiting(reason="approval", since_at_ms=ago(3 * MIN) - 1),
        ),
        DEFAULT,
        KillStaleClaim("m1", 2 * MIN, MIN),
    ),
    (
        "a wait does not excuse the run limit",
        seen(claims=(claim(11 * MIN),), heartbeat_at_ms=NOW, waiting=Waiting(reason="approval", since_at_ms=NOW)),
        RUN_LIMIT,
        KillOverRunLimit("m1", 11 * MIN, 10 * MIN),
    ),
    (
        "a tool declared before the spawn widens nothing",
        seen(claims=(claim(2 * MIN),), spawned_at_ms=ago(3 * MIN), tool=tool(60 * MIN, age_ms=3 * MIN + 1)),
        DEFAULT,
        KillStaleClaim("m1", 2 * MIN, MIN),
    ),
    (
        "a whole-second tool stamp is older than the spawn when all of its second is",
        seen(
            claims=(claim(2 * MIN),),
            spawned_at_ms=ago(3 * MIN),
            tool=tool(60 * MIN, age_ms=3 * MIN + 1000, resolution_ms=1000),
        ),
        DEFAULT,
        KillStaleClaim("m1", 2 * MIN, MIN),
    ),
    (
        "only the tools of the policy widen anything",
        seen(claims=(claim(2 * MIN),), tool=tool(60 * MIN, name="WebFetch")),
        DEFAULT,
        KillStaleClaim("m1", 2 * MIN, MIN),
    ),
    (
        "tool names are compared exactly",
        seen(claims=(claim(2 * MIN),), tool=tool(60 * MIN, name="bash")),
        DEFAULT,
        KillStaleClaim("m1", 2 * MIN, MIN),
    ),
    (
        "an empty list trusts no tool",
        seen(claims=(claim(2 * MIN),), tool=tool(60 * MIN)),
        NO_TOOL,
        KillStaleClaim("m1", 2 * MIN, MIN),
    ),
    (
        "a tool without a timeout widens nothing",
        seen(claims=(claim(2 * MIN),), tool=tool(None)),
        ANY_TOOL,
        KillStaleClaim("m1", 2 * MIN, MIN),
    ),
    (
        "the ceiling is asked before the claims",
        seen(claims=(claim(LONG_AGO),), heartbeat_at_ms=ago(LONG_AGO)),
        DEFAULT,
        KillOverCeiling(LONG_AGO, 30 * MIN),
    ),
    (
        "the ceiling is asked before the start-up deadline",
        seen(spawned_at_ms=ago(LONG_AGO)),
        DEFAULT,
        KillOverCeiling(LONG_AGO, 30 * MIN, "spawn"),
    ),
    (
        "every claim is asked for a heartbeat before any is asked for progress",
        seen(
            claims=(claim(55 * MIN, "hangs"), claim(2 * MIN, "silent")),
            heartbeat_at_ms=ago(10 * MIN),
            progress_at_ms=ago(50 * MIN),
        ),
        DEFAULT,
        KillStaleClaim("silent", 2 * MIN, MIN),
    ),
    (
        "a hang is named before the run limit",
        seen(claims=(claim(40 * MIN),), heartbeat_at_ms=NOW, progress_at_ms=ago(40 * MIN)),
        RUN_LIMIT,
        KillNoProgress("m1", 40 * MIN, 30 * MIN),
    ),
]


@pytest.mark.parametrize(("facts", "policy", "action"), [row[1:] for row in KILLED], ids=[row[0] for row in KILLED])
def test_what_excuses_nothing(facts, policy, action):
    assert decide_stuck_action(facts, policy) == action


def test_with_every_tool_trusted_any_name_widens():
    facts = seen(claims=(claim(60 * MIN),), tool=tool(60 * MIN, name="WebFetch"))

    assert decide_stuck_action(facts, ANY_TOOL) == LeaveAlone("healthy", NOW + 1)


@pytest.mark.parametrize(
    ("before_ms", "resolution_ms"), [(0, 1), (999, 1000)], ids=["at the spawn", "in the spawn's own second"]
)
def test_a_tool_whose_stamp_may_lie_after_the_spawn_is_the_newcomers(before_ms, resolution_ms):
    declared = tool(60 * MIN, age_ms=3 * MIN + before_ms, resolution_ms=resolution_ms)
    facts = seen(claims=(claim(2 * MIN),), spawned_at_ms=ago(3 * MIN), tool=declared)

    assert isinstance(decide_stuck_action(facts), LeaveAlone)


def test_a_tool_whose_start_is_unknown_is_believed():
    unknown = DeclaredTool(name="Bash", timeout_ms=60 * MIN)

    facts = seen(claims=(claim(2 * MIN),), spawned_at_ms=ago(3 * MIN), tool=unknown)

    assert isinstance(decide_stuck_action(facts), LeaveAlone)


def test_the_explanation_names_every_rule_and_stops_at_the_one_that_fired():
    facts = seen(claims=(claim(2 * MIN),), heartbeat_at_ms=ago(3 * MIN), spawned_at_ms=ago(4 * MIN), progress_at_ms=NOW)

    why = explain_stuck_action(facts)

    assert [(rule.rule, rule.subject, rule.result) for rule in why.rules] == [
        ("ceiling", None, "not_yet"),
        ("startup", None, "skipped"),
        ("claim", "m1", "fired"),
    ]
    assert (why.answer, why.flip_at_ms, why.flip_to) == ("KillStaleClaim", NOW + 27 * MIN + 1, "KillOverCeiling")


def test_the_explanation_says_until_when_a_limit_is_held_back():
    facts = seen(heartbeat_at_ms=ago(LONG_AGO), sleeps=(Sleep(resumed_at_ms=NOW, gap_ms=0),))

    ceiling = explain_stuck_action(facts).rules[0]

    assert [(limit.name, limit.value) for limit in ceiling.limits] == [
        ("limit_ms", 30 * MIN),
        ("held_until_ms (resumed)", NOW + MIN),
    ]


@pytest.mark.parametrize("limit", ["ceiling_ms", "claim_tolerance_ms", "startup_deadline_ms", "run_limit_ms"])
def test_a_negative_limit_is_refused_by_name(limit):
    with pytest.raises(ValueError, match=limit):
        StuckPolicy(**{limit: -1})


@pytest.mark.parametrize(
    ("slept_ms", "awake_ms", "silent_ms", "killed"),
    [
        pytest.param(0, 5 * MIN, 30 * MIN + 1, True, id="awake all the time: 30 min and a moment are a hang"),
        pytest.param(120 * MIN, 5 * MIN, 150 * MIN, False, id="two hours slept: 30 min awake are tolerated"),
        pytest.param(120 * MIN, 5 * MIN, 150 * MIN + 1, True, id="two hours slept: one millisecond more is a hang"),
        pytest.param(500 * MIN, 30 * MIN, 40 * MIN, False, id="slept when it was claimed: 30 min awake are tolerated"),
        pytest.param(500 * MIN, 30 * MIN + 1, 40 * MIN, True, id="slept when it was claimed: a moment more is a hang"),
    ],
)
def test_the_time_asleep_is_no_silence(slept_ms, awake_ms, silent_ms, killed):
    facts = seen(
        claims=(claim(silent_ms),),
        heartbeat_at_ms=NOW,
        progress_at_ms=NOW - silent_ms,
        sleeps=(Sleep(resumed_at_ms=NOW - awake_ms, gap_ms=slept_ms),),
    )
    assert isinstance(decide_stuck_action(facts), KillNoProgress) == killed


@pytest.mark.parametrize(
    ("wanted", "idle_ms", "stopped"),
    [
        pytest.param(False, 15 * MIN, False, id="nobody waits: warm for 15 min"),
        pytest.param(True, 1_000, False, id="somebody waits: one second is left alone"),
        pytest.param(True, 1_001, True, id="somebody waits: then the place is given up"),
    ],
)
def test_an_idle_container_gives_its_place_to_one_that_waits(wanted, idle_ms, stopped):
    facts = seen(heartbeat_at_ms=NOW, last_activity_at_ms=NOW - idle_ms, place_wanted=wanted)
    answer = decide_stuck_action(facts)
    assert (isinstance(answer, StopIdle) and answer.reason == "place") == stopped


def test_after_two_sleeps_the_tolerance_counts_from_the_later_one():
    facts = seen(
        claims=(claim(60 * MIN),),
        sleeps=(Sleep(resumed_at_ms=NOW - 20 * MIN, gap_ms=0), Sleep(resumed_at_ms=NOW - 30_000, gap_ms=0)),
    )
    assert decide_stuck_action(facts) == LeaveAlone("resumed", NOW + 30_001)
