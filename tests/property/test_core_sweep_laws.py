"""Which laws hold for every pass over a session? Small limits make the instants meet often."""

from attrs import evolve, fields, has
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from turnkeel_core import (
    Ack,
    Backoff,
    ChargeMark,
    Claim,
    ContainerUnknown,
    Death,
    DeclaredTool,
    DelayRetry,
    HoldWake,
    LimitPolicy,
    NoContainer,
    OpenMessage,
    Recurring,
    RetryPolicy,
    Run,
    RunLater,
    Sleep,
    SpawnLater,
    SpawnPolicy,
    SpawnSnapshot,
    StopContainer,
    StopIdle,
    StuckPolicy,
    StuckSnapshot,
    SweepPolicy,
    SweepSnapshot,
    Waiting,
    Wake,
    decide_run,
    decide_spawn,
    explain_run,
    explain_spawn,
    explain_sweep,
    plan_sweep,
)
from turnkeel_core.sweep_plan import runs_of
from turnkeel_core.sweep_time import outline

BASE, SPAN = 10_000, 120
HOUR, YEAR = 3_600_000, 365 * 24 * 3_600_000
IDS = ("a", "b", "c", "d")

LAW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)
MANY = settings(LAW, max_examples=120)

instants = st.integers(BASE, BASE + SPAN)
maybe = st.none() | instants
names = st.sampled_from(IDS)
claims = st.builds(Claim, message_id=names, claimed_at_ms=maybe, resolution_ms=st.sampled_from([1, 10]))
some_claims = st.lists(claims, max_size=3, unique_by=lambda claim: claim.message_id).map(tuple)
deaths = st.tuples(instants, st.integers(0, 40), st.booleans()).map(
    lambda t: Death(spawned_at_ms=t[0] - t[1], died_at_ms=t[0], progressed=t[2])
)
histories = st.lists(deaths, max_size=6).map(lambda found: tuple(sorted(found, key=lambda death: death.died_at_ms)))
tools = st.builds(
    DeclaredTool, name=st.sampled_from(["Bash", "Web"]), timeout_ms=st.none() | st.integers(0, 60), started_at_ms=maybe
)
running = st.builds(
    StuckSnapshot,
    now_ms=st.just(0),
    heartbeat_at_ms=maybe,
    claims=some_claims,
    tool=st.none() | tools,
    spawned_at_ms=maybe,
    outbound_at_ms=maybe,
    progress_at_ms=maybe,
    waiting=st.none() | st.builds(Waiting, reason=st.just("approval"), since_at_ms=instants, until_at_ms=maybe),
    last_activity_at_ms=maybe,
    sleeps=st.lists(st.builds(Sleep, resumed_at_ms=instants, gap_ms=st.integers(0, 30)), max_size=2).map(tuple),
    place_wanted=st.booleans(),
)
absent = st.builds(
    NoContainer,
    orphans=some_claims,
    deaths=histories,
    blocked=st.sampled_from([None, None, None, "slot", "draining", "paused", "fenced"]),
)
containers = running | absent | st.builds(ContainerUnknown, st.just("no answer"))


# Runs that leave the hour, and runs that the clock has yet to reach, both within the span of the other instants.
ended_runs = st.lists(
    st.builds(
        Run,
        message_id=names,
        at_ms=instants | instants.map(lambda at_ms: at_ms - HOUR),
        incarnation=st.none() | st.integers(1, 2),
    ),
    max_size=5,
).map(tuple)


@st.composite
def messages(draw, message_id):
    due_at_ms = draw(maybe)
    return OpenMessage(
        message_id=message_id,
        status=draw(st.sampled_from(["pending", "pending", "pending", "paused", "failed"])),
        tries=draw(st.none() | st.integers(0, 4)),
        due_at_ms=due_at_ms,
        never_due=due_at_ms is None and draw(st.booleans()) and draw(st.booleans()),
        triggers=draw(st.sampled_from([True, True, False])),
        first_poll_only=draw(st.sampled_from([False, False, True])),
        since_at_ms=due_at_ms if due_at_ms is not None else draw(maybe),
    )


@st.composite
def sessions(draw, container=containers):
    ids = draw(st.lists(names, unique=True))
    acked = draw(st.lists(names, unique=True, max_size=2))
    marks = draw(st.lists(st.tuples(names, st.integers(1, 2)), unique=True, max_size=3))
    recurring = [
        Recurring(message_id=f"r{i}", cron="@daily", next_at_ms=at_ms)
        for i, at_ms in enumerate(draw(st.lists(maybe, max_size=2)))
    ]
    rows = tuple(draw(messages(name)) for name in ids)
    # Waits that the host noted: most of them as the row says, some that somebody changed since.
    noted = [row for row in rows if row.due_at_ms is not None and draw(st.booleans())]
    waits = [(row.message_id, draw(st.sampled_from([row.due_at_ms, row.due_at_ms, BASE + SPAN]))) for row in noted]
    return SweepSnapshot(
        now_ms=draw(instants),
        incarnation=2,
        messages=rows,
        acks=tuple(Ack(message_id=name, outcome=draw(st.sampled_from(["completed", "failed"]))) for name in acked),
        container=draw(container),
        marks=tuple(ChargeMark(message_id=n, incarnation=i, tries=draw(st.integers(1, 4))) for n, i in marks),
        recurring=tuple(recurring),
        random_permille=draw(st.sampled_from([0, 1000])),
        runs=draw(ended_runs),
        backoffs=tuple(Backoff(message_id=n, tries=draw(st.integers(1, 4)), retry_at_ms=t) for n, t in waits),
    )


spawn_policies = st.builds(
    SpawnPolicy, base_ms=st.integers(0, 20), max_delay_ms=st.integers(0, 60), healthy_ms=st.integers(0, 40)
)
policies = st.builds(
    SweepPolicy,
    stuck=st.builds(
        StuckPolicy,
        ceiling_ms=st.integers(20, 40),
        claim_tolerance_ms=st.integers(0, 10),
        startup_deadline_ms=st.integers(0, 20),
        progress_silence_ms=st.integers(10, 40),
        unclaimed_limit_ms=st.integers(10, 40),
        run_limit_ms=st.none() | st.integers(0, 40),
        idle_stop_ms=st.integers(0, 20),
        waiting_limit_ms=st.integers(0, 50),
    ),
    retry=st.builds(RetryPolicy, max_tries=st.integers(0, 4), base_ms=st.integers(0, 30)),
    spawn=spawn_policies,
    limit=st.builds(LimitPolicy, runs_per_hour=st.sampled_from([None, None, 1, 2, 3])),
    due_resolution_ms=st.sampled_from([1, 10]),
)


def look(seen, now_ms, policy):
    return outline(plan_sweep(evolve(seen, now_ms=now_ms), policy).actions)


@MANY
@given(sessions(), policies, st.data())
def test_the_plan_changes_at_its_instant_and_not_before(seen, policy, data):
    plan = plan_sweep(seen, policy)
    now, change_ms = outline(plan.actions), plan.next_change_at_ms

    if change_ms is None:
        for later_ms in (1, data.draw(st.integers(0, 2 * SPAN)), HOUR, YEAR):
            assert look(seen, seen.now_ms + later_ms, policy) == now
    else:
        between_ms = data.draw(st.integers(seen.now_ms, change_ms - 1))
        assert look(seen, between_ms, policy) == look(seen, change_ms - 1, policy) == now
        assert look(seen, change_ms, policy) != now


@LAW
@given(sessions(), policies)
def test_the_explanation_names_the_actions_of_the_plan(seen, policy):
    plan, why = plan_sweep(seen, policy), explain_sweep(seen, policy)

    assert why.answer == (", ".join(type(action).__name__ for action in plan.actions) or "nothing to do")
    assert why.flip_at_ms == plan.next_change_at_ms
    assert (why.flip_to is None) == (why.flip_at_ms is None)
    if plan.actions and isinstance(plan.actions[-1], StopContainer):
        assert why.parts[0].answer == type(plan.actions[-1].because).__name__


@LAW
@given(st.builds(SpawnSnapshot, now_ms=instants, deaths=histories), spawn_policies)
def test_a_start_turns_at_the_named_instant_and_not_before(seen, policy):
    action, why = decide_spawn(seen, policy), explain_spawn(seen, policy)

    def at(now_ms):
        return type(decide_spawn(evolve(seen, now_ms=now_ms), policy))

    assert why.answer == type(action).__name__
    if why.flip_at_ms is None:
        assert at(seen.now_ms + 1) is at(seen.now_ms + YEAR) is type(action)
    else:
        assert at(why.flip_at_ms - 1) is type(action)
        assert at(why.flip_at_ms) is not type(action)
    if isinstance(action, SpawnLater):
        assert why.flip_at_ms is not None
        # A death that the clock has yet to reach may prolong the wait; what lies in the past decides exactly.
        if all(death.died_at_ms <= seen.now_ms for death in seen.deaths):
            assert why.flip_at_ms == action.at_ms


@LAW
@given(sessions(), policies, st.integers(-900, 10**10))
def test_shifting_all_times_shifts_all_decisions(seen, policy, steps):
    by_ms = steps * policy.due_resolution_ms

    assert plan_sweep(shifted(seen, by_ms), policy) == shifted(plan_sweep(seen, policy), by_ms)


def shifted(value, by_ms):
    """The same records with every instant moved; durations stay."""
    if isinstance(value, tuple):
        return tuple(shifted(item, by_ms) for item in value)
    if not has(type(value)):
        return value
    changes = {}
    for field in fields(type(value)):
        inner, instant = getattr(value, field.name), field.name in {"now_ms", "due_since_ms", "until_ms", "at_ms"}
        if isinstance(inner, int) and (instant or field.name.endswith("_at_ms")):
            changes[field.name] = inner + by_ms
        elif not isinstance(inner, int):
            changes[field.name] = shifted(inner, by_ms)
    return evolve(value, **changes)


@LAW
@given(sessions(), policies, st.randoms(use_true_random=False))
def test_the_order_of_rows_marks_and_acks_changes_only_the_order_of_the_plan(seen, policy, random):
    def mixed(items):
        return tuple(random.sample(items, len(items)))

    other = evolve(
        seen,
        messages=mixed(seen.messages),
        acks=mixed(seen.acks),
        marks=mixed(seen.marks),
        recurring=mixed(seen.recurring),
        runs=mixed(seen.runs),
        backoffs=mixed(seen.backoffs),
    )

    plan, mixed_plan = plan_sweep(seen, policy), plan_sweep(other, policy)

    assert unordered(mixed_plan.actions) == unordered(plan.actions)
    assert mixed_plan.next_change_at_ms == plan.next_change_at_ms


def unordered(actions):
    return sorted(repr(evolve(a, due=tuple(sorted(a.due))) if isinstance(a, Wake | HoldWake) else a) for a in actions)


@LAW
@given(sessions(absent), policies, histories)
def test_how_earlier_containers_died_decides_about_the_start_alone(seen, policy, deaths):
    other = evolve(seen, container=evolve(seen.container, deaths=deaths))

    def without_start(snapshot):
        return [a for a in plan_sweep(snapshot, policy).actions if not isinstance(a, Wake | HoldWake)]

    assert without_start(other) == without_start(seen)


@MANY
@given(sessions(running), policies, messages("new"))
def test_one_more_message_never_saves_a_stuck_container(seen, policy, message):
    more = plan_sweep(evolve(seen, messages=(*seen.messages, message)), policy)

    for stop in (a for a in plan_sweep(seen, policy).actions if isinstance(a, StopContainer)):
        stops = [a for a in more.actions if isinstance(a, StopContainer)]
        assert isinstance(stop.because, StopIdle) or [type(a.because) for a in stops] == [type(stop.because)]


@LAW
@given(sessions(absent), policies)
def test_a_start_is_planned_only_for_due_work_and_only_when_allowed(seen, policy):
    actions = plan_sweep(seen, policy).actions
    starts = [a for a in actions if isinstance(a, Wake)]
    spawn = decide_spawn(SpawnSnapshot(now_ms=seen.now_ms, deaths=seen.container.deaths), policy.spawn)

    assert all(a.due and a.incarnation == seen.incarnation + 1 for a in starts)
    run = decide_run(runs_of(seen), policy.limit)
    if seen.container.blocked is not None or isinstance(spawn, SpawnLater) or isinstance(run, RunLater):
        assert starts == []


@LAW
@given(sessions(), policies)
def test_without_a_limit_no_run_changes_any_answer(seen, policy):
    unlimited = evolve(policy, limit=LimitPolicy())

    assert plan_sweep(seen, unlimited) == plan_sweep(evolve(seen, runs=()), unlimited)


@MANY
@given(sessions(), st.integers(1, 3))
def test_a_run_turns_at_the_named_instant_and_not_before(seen, limit):
    seen, policy = runs_of(seen), LimitPolicy(runs_per_hour=limit)
    action, why = decide_run(seen, policy), explain_run(seen, policy)

    def at(now_ms):
        return type(decide_run(evolve(seen, now_ms=now_ms), policy))

    assert why.answer == type(action).__name__
    if why.flip_at_ms is None:
        assert at(seen.now_ms + 1) is at(seen.now_ms + YEAR) is type(action)
    else:
        assert at(why.flip_at_ms - 1) is type(action)
        assert at(why.flip_at_ms) is not type(action)
    # A run that the clock has yet to reach may prolong the wait; what lies in the past decides exactly.
    if isinstance(action, RunLater) and all(run.at_ms <= seen.now_ms for run in seen.runs):
        assert why.flip_at_ms == action.at_ms


@MANY
@given(sessions(running), policies)
def test_a_limit_of_runs_ends_no_work_in_hand_and_excuses_no_hang(seen, policy):
    limited = plan_sweep(seen, policy).actions
    free = plan_sweep(seen, evolve(policy, limit=LimitPolicy())).actions
    stops, others = ([a for a in plan if isinstance(a, StopContainer)] for plan in (limited, free))

    for stop in stops:
        if isinstance(stop.because, StopIdle) and stop.because.reason == "rate":
            # What it holds, if anything, is what an earlier container left.
            spawned_ms = seen.container.spawned_at_ms
            assert all(c.claimed_at_ms + c.resolution_ms <= spawned_ms for c in seen.container.claims)
            assert decide_run(runs_of(seen), policy.limit).runs >= policy.limit.runs_per_hour
    for stop in others:
        assert isinstance(stop.because, StopIdle) or stop in stops


@MANY
@given(sessions(absent | running), policies)
def test_a_wait_that_the_host_set_is_never_longer_than_one_it_would_set_now(seen, policy):
    mended = {a.message_id: a.retry_at_ms for a in plan_sweep(seen, policy).actions if isinstance(a, DelayRetry)}
    step, acked = policy.due_resolution_ms, {ack.message_id for ack in seen.acks}
    rows = {row.message_id: row for row in seen.messages}

    for noted in seen.backoffs:
        row = rows[noted.message_id]
        if row.status != "pending" or row.message_id in acked or row.due_at_ms // step != noted.retry_at_ms // step:
            assert row.message_id not in mended or row.due_at_ms <= seen.now_ms
            continue
        doubled_ms = policy.retry.base_ms * 2 ** (noted.tries - 1)
        longest_ms = doubled_ms * (1_000 + policy.retry.jitter_permille) // 1_000
        assert mended.get(row.message_id, row.due_at_ms) <= seen.now_ms + longest_ms
        assert mended.get(row.message_id, seen.now_ms) >= seen.now_ms
    for message_id in (key for key in mended if rows[key].due_at_ms is not None and rows[key].due_at_ms > seen.now_ms):
        again = evolve(rows[message_id], due_at_ms=mended[message_id])
        others = tuple(row for row in seen.messages if row.message_id != message_id)
        noted = tuple(
            evolve(one, retry_at_ms=mended[message_id]) if one.message_id == message_id else one
            for one in seen.backoffs
        )
        settled = plan_sweep(evolve(seen, messages=(*others, again), backoffs=noted), policy)
        assert message_id not in {a.message_id for a in settled.actions if isinstance(a, DelayRetry)}


@LAW
@given(sessions(st.builds(ContainerUnknown, st.just("no answer"))), policies)
def test_of_an_unknown_container_nothing_is_decided_at_any_time(seen, policy):
    names = {type(action).__name__ for action in plan_sweep(seen, policy).actions}

    assert names <= {"SettleAck", "CloneRecurrence", "ParkRecurrence"}
    assert plan_sweep(seen, policy).next_change_at_ms is None


@LAW
@given(sessions(), policies)
def test_no_message_is_acted_on_twice_in_one_plan(seen, policy):
    def about(actions):
        return [action.message_id for action in actions if hasattr(action, "message_id")]

    plan = plan_sweep(seen, policy)
    branches = [a.if_failed for a in plan.actions if isinstance(a, Wake)]
    branches += [a.if_stopped for a in plan.actions if isinstance(a, StopContainer)]

    for actions in (plan.actions, *branches):
        assert len(about(actions)) == len(set(about(actions)))
