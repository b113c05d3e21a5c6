"""Which laws hold for every start queue, and how long can anybody wait?"""

from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from turnkeel_core import (
    BackingOff,
    HoldStart,
    PlacesTaken,
    RunningPlace,
    SetTimer,
    StartNow,
    StartPolicy,
    StartRequest,
    StartSnapshot,
    YieldPlace,
    explain_starts,
    plan_starts,
)

NOW, SPAN = 10_000, 20
LAW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=50)
sessions = st.tuples(st.sampled_from("ghij"), st.integers(0, 4)).map(lambda pair: f"{pair[0]}/{pair[1]}")
works = st.lists(st.sampled_from(["t1", "t2", "t3"]), max_size=2, unique=True).map(tuple)
instants = st.none() | st.integers(NOW - SPAN, NOW + SPAN)
requests = st.builds(
    StartRequest, session=sessions, kind=st.sampled_from(["message", "task"]), work=works, not_before_ms=instants
)
places = st.builds(
    RunningPlace,
    session=sessions,
    idle_since_ms=instants,
    asked=st.booleans(),
    ahead=st.integers(0, 2),
)
policies = st.builds(
    StartPolicy,
    max_running=st.integers(1, 5),
    max_running_per_group=st.none() | st.integers(1, 3),
    tasks_ahead=st.integers(0, 2),
)


@st.composite
def snapshots(draw):
    """A queue as a host may have it: whoever runs runs once, and no two work on the same."""
    running = draw(st.lists(places, max_size=5, unique_by=lambda place: place.session))
    given_out = draw(st.permutations(["t1", "t2", "t3", "t4", "t5"]))
    some = draw(st.lists(st.booleans(), min_size=5, max_size=5))
    running = [
        evolve(place, work=(work,) if takes else ())
        for place, work, takes in zip(running, given_out, some, strict=False)
    ]
    return StartSnapshot(
        now_ms=NOW,
        running=tuple(running),
        waiting=tuple(draw(st.lists(requests, max_size=9))),
        ended=tuple(draw(st.lists(places, max_size=2))),
        draining=draw(st.sampled_from([False, False, False, True])),
    )


def started(seen, plan):
    return [action.session for action in plan if isinstance(action, StartNow)]


def after(seen, plan):
    """The same queue once the starts are carried out."""
    asked = {action.session for action in plan if isinstance(action, YieldPlace)}
    by_name = {request.session: request for request in reversed(seen.waiting)}
    new = [
        RunningPlace(session=action.session, work=by_name[action.session].work, ahead=action.ahead)
        for action in plan
        if isinstance(action, StartNow)
    ]
    running = [evolve(place, asked=place.asked or place.session in asked) for place in seen.running]
    longest = {
        request.session: max(r.not_before_ms or 0 for r in seen.waiting if r.session == request.session) or None
        for request in seen.waiting
    }
    held = (action.session for action in plan if isinstance(action, HoldStart))
    return evolve(
        seen,
        running=(*running, *new),
        waiting=tuple(evolve(by_name[session], not_before_ms=longest[session]) for session in held),
        ended=(),
    )


@LAW
@given(seen=snapshots(), policy=policies)
def test_no_limit_is_passed_and_nothing_runs_twice(seen, policy):
    plan = plan_starts(seen, policy)
    new, then = started(seen, plan), after(seen, plan)
    names, ids = [place.session for place in then.running], [work for place in then.running for work in place.work]
    if new:
        assert len(names) <= policy.max_running
        assert not seen.draining
    assert len(set(names)) == len(names)
    assert len(set(ids)) == len(ids)
    for group in {session.partition("/")[0] for session in new}:
        running = sum(place.group == group for place in then.running)
        assert policy.max_running_per_group is None or running <= policy.max_running_per_group
    backing_off = {r.session for r in seen.waiting if r.not_before_ms is not None and r.not_before_ms > NOW}
    assert not backing_off & set(new)


@LAW
@given(seen=snapshots(), policy=policies)
def test_everybody_gets_one_answer_and_no_place_stays_empty_for_want_of_a_turn(seen, policy):
    plan = plan_starts(seen, policy)
    answered = [action.session for action in plan if isinstance(action, StartNow | HoldStart)]
    running = {place.session for place in seen.running}
    assert sorted(answered) == sorted({request.session for request in seen.waiting} - running)
    taken = len(seen.running) + len(started(seen, plan))
    for action in plan:
        if isinstance(action, HoldStart) and isinstance(action.because, PlacesTaken):
            assert taken >= policy.max_running


@LAW
@given(seen=snapshots(), policy=policies)
def test_deciding_again_after_the_starts_gives_nothing_new(seen, policy):
    plan = plan_starts(seen, policy)
    again = plan_starts(after(seen, plan), policy)
    assert not started(seen, again)
    assert not any(isinstance(action, YieldPlace) for action in again)
    holds = [action for action in plan if isinstance(action, HoldStart)]
    assert [action for action in again if isinstance(action, HoldStart)] == holds


@LAW
@given(seen=snapshots(), policy=policies)
def test_who_is_asked_to_leave_idles_and_whoever_it_is_for_waits_for_a_place(seen, policy):
    plan = plan_starts(seen, policy)
    yields = [action for action in plan if isinstance(action, YieldPlace)]
    idle = {place.session for place in seen.running if place.idle_since_ms is not None and not place.asked}
    waits = {action.session for action in plan if isinstance(action, HoldStart)}
    assert {action.session for action in yields} <= idle
    assert len({action.session for action in yields}) == len(yields)
    assert {action.wanted_by for action in yields} <= waits


@LAW
@given(seen=snapshots(), policy=policies)
def test_a_group_has_one_timer_at_its_first_instant(seen, policy):
    plan = plan_starts(seen, policy)
    timers = [action for action in plan if isinstance(action, SetTimer)]
    first: dict[str, int] = {}
    for action in plan:
        if isinstance(action, HoldStart) and isinstance(action.because, BackingOff):
            group = action.session.partition("/")[0]
            first[group] = min(first.get(group, action.because.until_ms), action.because.until_ms)
    assert {action.group: action.at_ms for action in timers} == first
    assert len(timers) == len(first)
    assert explain_starts(seen, policy).flip_at_ms == min(first.values(), default=None)


@LAW
@given(seen=snapshots(), policy=policies, by=st.integers(-NOW, NOW))
def test_moving_all_times_moves_all_answers(seen, policy, by):
    def moved(record, *names):
        return evolve(record, **{n: getattr(record, n) + by for n in names if getattr(record, n) is not None})

    later = StartSnapshot(
        now_ms=seen.now_ms + by,
        running=tuple(moved(place, "idle_since_ms") for place in seen.running),
        waiting=tuple(moved(request, "not_before_ms") for request in seen.waiting),
        ended=seen.ended,
        draining=seen.draining,
    )

    def shifted(action):
        if isinstance(action, SetTimer):
            return moved(action, "at_ms")
        if isinstance(action, HoldStart) and isinstance(action.because, BackingOff):
            return evolve(action, because=moved(action.because, "until_ms"))
        return action

    assert plan_starts(later, policy) == tuple(shifted(action) for action in plan_starts(seen, policy))


@LAW
@given(seen=snapshots(), policy=policies, more=st.lists(requests, max_size=4))
def test_newcomers_take_no_group_its_turn(seen, policy, more):
    """They may come before the second of a group, never before its first."""

    def served(waiting):
        plan = plan_starts(evolve(seen, ended=(), waiting=waiting), policy)
        return {session.partition("/")[0] for session in started(seen, plan)}

    known = {request.session for request in seen.waiting}
    news = tuple(request for request in more if request.session not in known and not request.work)
    assert served(seen.waiting) <= served((*seen.waiting, *news))


@settings(LAW, max_examples=40)
@given(data=st.data(), places_=st.integers(1, 3), ahead=st.integers(0, 2), others=st.integers(1, 4))
def test_a_group_that_waits_is_served_after_a_known_number_of_starts(data, places_, ahead, others):
    """Whichever runs end, and though every other group always has more tasks and messages to run."""
    policy = StartPolicy(max_running=places_, tasks_ahead=ahead)
    groups, running, made = [f"g{number}" for number in range(others)], list[RunningPlace](), 0
    waiting, ended, count = list[StartRequest](), (), 0
    limit = others + (places_ + others) * ahead
    while count <= limit:
        for group in groups:
            for kind in ("task", "message"):
                made += 1
                waiting.append(StartRequest(session=f"{group}/{made}", kind=kind))
        if count == 0 and not any(request.group == "patient" for request in waiting) and len(running) == places_:
            waiting.append(StartRequest(session="patient/1"))
        by_name = {request.session: request for request in waiting}
        waits = "patient/1" in by_name
        plan = plan_starts(StartSnapshot(now_ms=0, running=tuple(running), waiting=tuple(waiting), ended=ended), policy)
        waiting = [by_name[action.session] for action in plan if isinstance(action, HoldStart)]
        for action in plan:
            if isinstance(action, StartNow):
                if action.session == "patient/1":
                    return
                count += waits
                running.append(RunningPlace(session=action.session, ahead=action.ahead))
        ended = (running.pop(data.draw(st.integers(0, len(running) - 1))),)
        if not waits:
            running, ended = [*running, *ended], ()
    raise AssertionError(f"{count} starts went before a group that waits; {limit} are promised")
