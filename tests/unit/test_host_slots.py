"""Who holds a place to run, and who waits for one?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnkeel.host.slots import Slots
from turnkeel_core import StartPolicy


@pytest.fixture
def poked():
    return []


@pytest.fixture
def slots(poked):
    return Slots(StartPolicy(max_running=2), poked.append)


def test_places_are_given_until_none_is_left(slots):
    assert [slots.take(session, 0) for session in "abc"] == [True, True, False]
    assert slots.running == ("a", "b")


def test_a_place_that_is_held_is_given_again_at_no_cost(slots):
    assert [slots.take("a", 0) for _ in range(3)] == [True, True, True]
    assert slots.running == ("a",)


def test_the_first_in_the_queue_is_told_of_a_free_place_and_nobody_overtakes_it(slots, poked):
    for session in "abcd":
        slots.take(session, 0)
    poked.clear()
    slots.give_back("a", 0)
    assert poked == ["c"]
    assert slots.take("d", 0) is False
    assert slots.take("c", 0) is True


def test_those_who_run_are_told_that_somebody_waits_for_a_place(slots, poked):
    slots.take("a", 0)
    slots.take("b", 0)
    assert (poked, slots.wanted) == ([], False)
    slots.take("c", 0)
    assert (poked, slots.wanted) == (["a", "b"], True)
    slots.give_back("c", 0)
    assert slots.wanted is False


def test_who_leaves_the_queue_is_passed_over(slots, poked):
    for session in "abcd":
        slots.take(session, 0)
    poked.clear()
    slots.give_back("c", 0)
    assert poked == []
    slots.give_back("b", 0)
    assert poked == ["d"]


def test_a_container_that_runs_already_counts_even_beyond_the_limit(slots):
    for session in "abc":
        slots.keep(session)
    assert slots.running == ("a", "b", "c")
    slots.give_back("a", 0)
    assert slots.take("d", 0) is False
    slots.give_back("b", 0)
    assert slots.take("d", 0) is True


def test_giving_back_what_nobody_holds_changes_nothing(slots, poked):
    slots.give_back("a", 0)
    assert (slots.running, poked) == ((), [])


STEPS = st.lists(st.tuples(st.sampled_from(["take", "give_back"]), st.sampled_from("abcdef")), max_size=60)


@given(steps=STEPS, places=st.integers(1, 4))
def test_never_more_run_than_there_are_places_and_the_queue_is_served_in_order(steps, places):
    slots = Slots(StartPolicy(max_running=places), lambda session: None)
    queue: list[str] = []
    for step, session in steps:
        if step == "give_back":
            slots.give_back(session, 0)
            queue = [waiting for waiting in queue if waiting != session]
            continue
        held = session in slots.running
        if slots.take(session, 0):
            ahead = queue[: queue.index(session)] if session in queue else queue
            # Whoever starts has at most as many before it in the queue as places are free for them as well.
            assert held or len(ahead) <= places - len(slots.running)
            queue = [waiting for waiting in queue if waiting != session]
        elif session not in queue:
            queue.append(session)
        assert len(slots.running) <= places
        assert not set(queue) & set(slots.running)
