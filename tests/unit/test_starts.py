"""Who holds a place to run, who waits for one, and who is told what?"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnkeel.starts import Starts
from turnkeel_core import RunningPlace, StartPolicy, StartRequest


def asks(session, **facts):
    return StartRequest(session=session, **facts)


def runs(session, **facts):
    return RunningPlace(session=session, **facts)


@pytest.fixture
def poked():
    return []


@pytest.fixture
def starts(poked):
    return Starts(StartPolicy(max_running=2), poked.append)


@pytest.fixture
def full(starts, poked):
    """Both places taken, `c` and `d` wait."""
    for session in "abcd":
        starts.take(asks(session), 0)
    poked.clear()
    return starts


def test_places_are_given_until_none_is_left(starts):
    assert [starts.take(asks(session), 0) for session in "abc"] == [None, None, "slot"]
    assert starts.running == ("a", "b")


def test_a_place_that_is_held_is_given_again_at_no_cost(starts, poked):
    assert [starts.take(asks("a"), 0) for _ in range(3)] == [None, None, None]
    assert (starts.running, poked) == (("a",), [])


def test_whoever_gets_a_free_place_is_told_and_nobody_overtakes_it(full, poked):
    full.give_back("a", 0)
    assert poked == ["c"]
    assert (full.take(asks("d"), 0), full.take(asks("c"), 0)) == ("slot", None)
    assert full.running == ("b", "c")


def test_who_asks_and_starts_at_once_is_not_told_what_it_hears_as_the_answer(starts, poked):
    assert starts.take(asks("a"), 0) is None
    assert poked == []


def test_who_leaves_the_queue_is_passed_over(full, poked):
    full.give_back("c", 0)
    assert poked == []
    full.give_back("b", 0)
    assert poked == ["d"]


def test_a_container_that_runs_already_counts_even_beyond_the_limit(starts):
    for session in "abc":
        starts.keep(runs(session), 0)
    assert starts.running == ("a", "b", "c")
    starts.give_back("a", 0)
    assert starts.take(asks("d"), 0) == "slot"
    starts.give_back("b", 0)
    assert starts.take(asks("d"), 0) is None


def test_giving_back_what_nobody_holds_changes_nothing(starts, poked):
    starts.give_back("a", 0)
    assert (starts.running, poked) == ((), [])


def test_only_one_that_idles_is_told_that_its_place_is_wanted_and_only_once(full, poked):
    assert not any(full.is_wanted(session) for session in "abcd")
    full.keep(runs("a", idle_since_ms=5), 9)
    full.keep(runs("a", idle_since_ms=5), 10)
    full.keep(runs("b", work=("t",)), 10)
    assert poked == ["a"]
    assert full.is_wanted("a") and not full.is_wanted("b")


def test_one_that_works_again_keeps_its_place_and_another_that_idles_is_asked(full, poked):
    full.keep(runs("a", idle_since_ms=5), 9)
    full.keep(runs("a"), 11)
    assert not full.is_wanted("a")
    full.keep(runs("b", idle_since_ms=8), 12)
    assert full.is_wanted("b")
    assert poked == ["a", "b"]


def test_a_place_is_wanted_no_longer_when_nobody_waits_any_more(full):
    full.keep(runs("a", idle_since_ms=5), 9)
    for session in "cd":
        full.give_back(session, 10)
    assert not full.is_wanted("a")


def test_the_limit_of_a_group_holds_its_sessions_and_no_other(poked):
    starts = Starts(StartPolicy(max_running=5, max_running_per_group=1), poked.append)
    assert [starts.take(asks(session), 0) for session in ("g/1", "g/2", "h/1")] == [None, "group", None]
    starts.give_back("g/1", 0)
    assert poked == ["g/2"]


def test_a_task_that_runs_is_started_in_no_other_session_before_it_ends(poked):
    starts = Starts(StartPolicy(), poked.append)
    assert starts.take(asks("g/1", kind="task", work=("t",)), 0) is None
    assert starts.take(asks("h/1", kind="task", work=("t",)), 0) == "claimed"
    starts.keep(runs("g/1", work=("t",)), 1)
    assert poked == []
    starts.keep(runs("g/1", idle_since_ms=2), 2)
    assert poked == ["h/1"]


def test_a_request_that_changed_keeps_its_turn(full, poked):
    assert full.take(asks("c", kind="task", work=("t",)), 0) == "slot"
    full.give_back("a", 0)
    assert poked == ["c"]


def test_a_message_that_is_joined_by_a_task_goes_before_the_messages_of_its_group(full, poked):
    for request in (asks("x/1"), asks("x/2"), asks("x/2", kind="task")):
        full.take(request, 0)
    for session in "acd":
        full.give_back(session, 0)
    assert poked == ["c", "d", "x/2"]


def test_one_task_of_a_group_goes_ahead_then_the_others_have_their_turn(poked):
    starts = Starts(StartPolicy(max_running=1), poked.append)
    starts.take(asks("g/0"), 0)
    for request in (asks("h/1"), asks("g/1", kind="task"), asks("g/2", kind="task")):
        starts.take(request, 0)
    for ended in ("g/0", "g/1", "h/1", "g/2"):
        starts.keep(runs(ended), 0)
        starts.give_back(ended, 0)
    assert poked == ["g/1", "h/1", "g/2"]


def test_once_the_host_ends_nothing_starts_and_whoever_runs_is_to_end(full, poked):
    assert full.drain(0) == ("a", "b")
    full.give_back("a", 0)
    assert (full.take(asks("c"), 0), full.take(asks("b"), 0)) == ("draining", "draining")
    assert (poked, full.drain(0)) == ([], ("b",))


STEPS = st.lists(st.tuples(st.sampled_from(["take", "give_back"]), st.sampled_from("abcdef")), max_size=60)


@settings(max_examples=60)
@given(steps=STEPS, places=st.integers(1, 4))
def test_never_more_run_than_there_are_places_and_whoever_has_one_was_told_or_answered(steps, places):
    poked: list[str] = []
    starts = Starts(StartPolicy(max_running=places), poked.append)
    has: set[str] = set()
    for step, session in steps:
        poked.clear()
        if step == "give_back":
            starts.give_back(session, 0)
            has.discard(session)
        elif starts.take(asks(session), 0) is None:
            has.add(session)
        has |= set(poked)
        assert set(starts.running) == has
        assert len(has) <= places
