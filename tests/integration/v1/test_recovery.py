"""Does recovery (B-02) run when it is turned on, and then each unanswered message once?"""

from contextlib import closing

import apsw
import pytest
from attrs import evolve

from turnkeel_adapters.timestamps import parse_sqlite_utc
from turnkeel_adapters.v1_recovery import finish_without_reply, get_unmarked_messages, recover
from turnkeel_core import (
    DispatchSnapshot,
    LeaveAnswered,
    MessageKey,
    RequeueBatch,
    RequeuePolicy,
    RequeueSnapshot,
    explain_requeue,
    plan_dispatch_mark,
    plan_requeue,
)

ON = RequeuePolicy(enabled=True)
NOW_MS = parse_sqlite_utc("2026-05-01T12:00:00.000Z")


@pytest.fixture
def interrupted(database):
    """Two messages of chat A and one of B cut off at ten, one of A in flight since ten to twelve."""
    stored = (("m1", "10:00", "A"), ("m2", "10:01", "A"), ("n1", "10:00", "B"), ("m3", "11:50", "A"))
    for message_id, clock, chat in stored:
        database.store(message_id, f"{clock}:00.000", chat=chat)
    mark(database, "10:02", ("A", "m1"), ("A", "m2"), ("B", "n1"))
    mark(database, "11:50", ("A", "m3"))
    return database


def mark(database, clock, *keys):
    now_ms = parse_sqlite_utc(f"2026-05-01T{clock}:00.000Z")
    batch = tuple(MessageKey(*key) for key in keys)
    with database.open() as messages:
        messages.mark_dispatched(plan_dispatch_mark(DispatchSnapshot(now_ms=now_ms, batch=batch)))


def recovered(database, policy, now_ms=NOW_MS):
    handed = []

    def hand_on(chat, ids):
        handed.append((chat, ids))

    with database.open() as messages:
        actions = recover(messages, now_ms, hand_on, assistant="Andy", policy=policy)
    return actions, handed


def test_it_is_off_unless_it_is_turned_on(interrupted):
    before = interrupted.dump(), interrupted.markers()
    assert recovered(interrupted, RequeuePolicy()) == ((), [])
    assert (interrupted.dump(), interrupted.markers()) == before
    assert RequeuePolicy().enabled is False


def test_interrupted_messages_are_handed_on_chat_by_chat_and_recent_ones_are_left_alone(interrupted):
    actions, handed = recovered(interrupted, ON)
    assert handed == [("A", ("m1", "m2")), ("B", ("n1",))]
    assert actions == (RequeueBatch("A", ("m1", "m2")), RequeueBatch("B", ("n1",)))
    assert interrupted.markers()["m3"] == "2026-05-01T11:50:00.000Z"


def test_what_is_handed_on_is_marked_anew_so_that_the_next_start_does_not_repeat_it(interrupted):
    recovered(interrupted, ON)
    assert interrupted.markers()["m1"] == "2026-05-01T12:00:00.000Z"
    assert recovered(interrupted, ON, NOW_MS + 1) == ((), [])


@pytest.mark.parametrize("said", [{"bot": True}, {"content": "Andy: done"}])
def test_a_message_with_a_later_response_of_its_chat_is_not_answered_twice(interrupted, said):
    # The host itself stored the response, by its own statement, which clears nothing.
    values = {"bot": False, "content": "done"} | said
    sql = "INSERT INTO messages VALUES ('b1', 'A', 'andy', 'Andy', ?, '2026-05-01T10:00:30.000Z', 1, ?, NULL, NULL)"
    interrupted.run(sql, (values["content"], int(values["bot"])))
    actions, handed = recovered(interrupted, ON)
    assert LeaveAnswered(MessageKey("A", "m1")) in actions
    assert handed == [("A", ("m2",)), ("B", ("n1",))]


def test_a_queue_that_fails_leaves_the_batch_marked_and_the_others_for_the_next_start(interrupted):
    def fails(chat, ids):
        raise OSError("no queue")

    with interrupted.open() as messages, pytest.raises(OSError, match="no queue"):
        recover(messages, NOW_MS, fails, assistant="Andy", policy=ON)
    assert interrupted.markers()["m1"] == "2026-05-01T12:00:00.000Z"
    assert interrupted.markers("B") == {"n1": "2026-05-01T10:02:00.000Z"}


def test_the_poll_of_recovery_leaves_out_every_marked_message_whatever_its_age(interrupted):
    interrupted.store("m4", "11:59:00.000")
    with closing(apsw.Connection(str(interrupted.path))) as db:
        polled = get_unmarked_messages(db, ("A", "B"), "2026-05-01T00:00:00.000Z", assistant="Andy")
    assert [message.message_id for message in polled.messages] == ["m4"]


def test_a_run_that_ended_well_without_a_word_is_not_run_again(interrupted):
    with closing(apsw.Connection(str(interrupted.path))) as db:
        finish_without_reply(db, (MessageKey("A", "m1"), MessageKey("A", "m2")))
    assert recovered(interrupted, ON)[1] == [("B", ("n1",))]


def test_the_explanation_tells_the_switch_and_each_message():
    seen = RequeueSnapshot(now_ms=NOW_MS)
    off = explain_requeue(seen)
    assert (off.answer, off.rules[0].result) == ("nothing", "skipped")
    assert plan_requeue(evolve(seen, now_ms=0), ON) == ()
