"""Which laws hold for every container, whatever its facts? Small limits make the instants meet often."""

from attrs import asdict, evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from turnkeel_core import (
    Claim,
    DeclaredTool,
    KillNoProgress,
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

BASE, SPAN = 10_000, 120
HOUR, YEAR = 3_600_000, 365 * 24 * 3_600_000
RULE_OF = {
    "KillOverCeiling": "ceiling",
    "KillNeverStarted": "startup",
    "KillStaleClaim": "claim",
    "KillNoProgress": "progress",
    "KillOverRunLimit": "run",
    "KillIgnoringDue": "unclaimed",
    "StopIdle": "idle",
}

LAW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
MANY = settings(LAW, max_examples=250)

instants = st.integers(BASE, BASE + SPAN)
maybe = st.none() | instants
claims = st.builds(
    Claim,
    message_id=st.sampled_from(["a", "b", "c"]),
    claimed_at_ms=maybe,
    resolution_ms=st.sampled_from([1, 10]),
)
tools = st.builds(
    DeclaredTool,
    name=st.sampled_from(["Bash", "Web"]),
    timeout_ms=st.none() | st.integers(-1, 60),
    started_at_ms=maybe,
    resolution_ms=st.sampled_from([1, 10]),
)
waits = st.builds(Waiting, reason=st.just("rate limit"), since_at_ms=instants, until_at_ms=maybe)
containers = st.builds(
    StuckSnapshot,
    now_ms=instants,
    heartbeat_at_ms=maybe,
    claims=st.lists(claims, max_size=3, unique_by=lambda claim: claim.message_id).map(tuple),
    tool=st.none() | tools,
    spawned_at_ms=maybe,
    outbound_at_ms=maybe,
    progress_at_ms=maybe,
    waiting=st.none() | waits,
    due_since_ms=maybe,
    last_activity_at_ms=maybe,
    sleeps=st.lists(st.builds(Sleep, resumed_at_ms=instants, gap_ms=st.integers(0, 30)), max_size=2).map(tuple),
    place_wanted=st.booleans(),
    run_held=st.booleans(),
)
policies = st.builds(
    StuckPolicy,
    ceiling_ms=st.integers(20, 40),
    claim_tolerance_ms=st.integers(0, 10),
    startup_deadline_ms=st.integers(0, 20),
    progress_silence_ms=st.integers(10, 40),
    unclaimed_limit_ms=st.integers(10, 40),
    run_limit_ms=st.none() | st.integers(0, 40),
    idle_stop_ms=st.integers(0, 20),
    waiting_limit_ms=st.integers(0, 50),
    timeout_tools=st.sampled_from([None, (), ("Bash",)]),
)


def verdict(action):
    """What was decided, without the ages that grow with the clock."""
    subject = getattr(action, "message_id", None)
    return type(action).__name__, subject


def at(seen, now_ms, policy):
    return verdict(decide_stuck_action(evolve(seen, now_ms=now_ms), policy))


@MANY
@given(containers, policies)
def test_the_explanation_and_the_decision_agree(seen, policy):
    action, why = decide_stuck_action(seen, policy), explain_stuck_action(seen, policy)
    fired = [rule for rule in why.rules if rule.result == "fired"]

    assert why.answer == type(action).__name__
    if isinstance(action, LeaveAlone):
        assert fired == []
        assert why.flip_at_ms == action.until_ms
    else:
        assert fired == [why.rules[-1]]
        assert (fired[0].rule, fired[0].subject) == (RULE_OF[why.answer], verdict(action)[1])
        assert fired[0].fires_after_ms < seen.now_ms


@MANY
@given(containers, policies, st.data())
def test_the_answer_flips_at_its_instant_and_not_before(seen, policy, data):
    why, now = explain_stuck_action(seen, policy), verdict(decide_stuck_action(seen, policy))

    if why.flip_at_ms is None:
        assert why.flip_to is None
        for later_ms in (1, SPAN, HOUR, YEAR):
            assert at(seen, seen.now_ms + later_ms, policy) == now
    else:
        between_ms = data.draw(st.integers(seen.now_ms, why.flip_at_ms - 1))
        assert at(seen, between_ms, policy) == at(seen, why.flip_at_ms - 1, policy) == now
        assert at(seen, why.flip_at_ms, policy) != now
        assert at(seen, why.flip_at_ms, policy)[0] == why.flip_to


@LAW
@given(containers, policies, st.integers(-BASE, 10**12))
def test_shifting_all_times_shifts_nothing_but_the_times(seen, policy, by_ms):
    action, moved = decide_stuck_action(seen, policy), decide_stuck_action(shifted(seen, by_ms), policy)

    assert moved == shifted(action, by_ms)


def shifted(record, by_ms):
    """The same facts or the same answer, told `by_ms` later."""
    instants_of = {"now_ms", "due_since_ms", "until_ms"}
    changes = {}
    for name, value in asdict(record, recurse=False).items():
        if value is not None and (name.endswith("_at_ms") or name in instants_of):
            changes[name] = value + by_ms
        elif isinstance(value, tuple) and name in {"claims", "sleeps"}:
            changes[name] = tuple(shifted(claim, by_ms) for claim in value)
        elif isinstance(value, DeclaredTool | Waiting):
            changes[name] = shifted(value, by_ms)
    return evolve(record, **changes)


@LAW
@given(containers, policies, st.randoms(use_true_random=False))
def test_the_order_of_the_claims_decides_whom_it_names_and_nothing_else(seen, policy, random):
    mixed = evolve(seen, claims=tuple(random.sample(seen.claims, len(seen.claims))))

    action, other = decide_stuck_action(seen, policy), decide_stuck_action(mixed, policy)

    assert type(action) is type(other)
    if not isinstance(action, KillStaleClaim | KillNoProgress | KillOverRunLimit):
        assert action == other


@MANY
@given(containers, policies, instants, st.data())
def test_evidence_of_an_earlier_incarnation_changes_no_kill(seen, policy, spawned_ms, data):
    before = st.integers(BASE - SPAN, spawned_ms - 11)
    seen = evolve(seen, spawned_at_ms=spawned_ms, heartbeat_at_ms=None, tool=None)
    stale = evolve(
        seen,
        heartbeat_at_ms=data.draw(st.none() | before),
        tool=data.draw(st.none() | before.map(lambda t: DeclaredTool(name="Bash", timeout_ms=60, started_at_ms=t))),
        waiting=seen.waiting or data.draw(st.none() | before.map(lambda t: Waiting(reason="approval", since_at_ms=t))),
        outbound_at_ms=seen.outbound_at_ms or data.draw(st.none() | before),
    )

    assert decide_stuck_action(stale, policy) == decide_stuck_action(seen, policy)


@MANY
@given(containers, policies, instants)
def test_a_newly_due_message_never_saves_a_container_from_a_kill(seen, policy, due_since_ms):
    nothing_due = evolve(seen, due_since_ms=None)
    earlier_due = due_since_ms if seen.due_since_ms is None else min(due_since_ms, seen.due_since_ms)

    for less in (nothing_due, seen):
        action = decide_stuck_action(less, policy)
        more = decide_stuck_action(evolve(seen, due_since_ms=earlier_due), policy)
        if not isinstance(action, LeaveAlone | StopIdle):
            assert type(more) is type(action)


@LAW
@given(containers, policies, instants)
def test_a_heartbeat_now_excuses_all_silence_but_not_standing_still(seen, policy, now_ms):
    beating = evolve(seen, now_ms=now_ms, heartbeat_at_ms=now_ms, spawned_at_ms=None)
    younger = tuple(c for c in seen.claims if c.claimed_at_ms is not None and c.claimed_at_ms < now_ms)

    action = decide_stuck_action(evolve(beating, claims=younger), policy)

    assert isinstance(action, LeaveAlone | KillNoProgress | KillOverRunLimit | StopIdle)
