"""Is a failed message told once to its chat and to its agent, and to nobody else?"""

import json

import pytest

from turnkeel.events import FailureTold, TurnFailed
from turnkeel_adapters.errors import SessionFault
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_core import DeliveryPolicy, Permanent, SettleFailed

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000


def fail(office, turn_id="t1", **more):
    """A turn of the session that ended without an answer."""
    office.accept(turn_id, **more)
    now_ms = office.clock.wall_ms
    with office.store.inner.transaction() as work:
        failed = SettleFailed(turn_id, now_ms, "attempts_exhausted", "exit 1 with sk-secret", 3)
        assert work.apply([failed], now_ms) == ()


def notices(office):
    return [line for line in office.inbox() if line[0].startswith("notice-")]


def note(office, turn_id="t1"):
    with office.store.inner.transaction() as work:
        return work.tables.turns.note(turn_id).notice


def test_a_failed_turn_is_told_once_to_the_chat_without_content_or_internals(office):
    fail(office, in_session=True)
    office.play(MINUTE)
    office.play(MINUTE)
    assert office.shown() == ["Sorry, your message could not be answered (reference t1)."]
    (shown,) = office.chat.shown
    assert (shown.dispatch.chat, shown.dispatch.in_reply_to, shown.dispatch.turn_id) == ("here", "t1", None)
    assert office.events(FailureTold) == [FailureTold("main/a", "t1", True)]
    assert note(office) == "told"


def test_the_agent_reads_of_it_once_before_its_next_message(office):
    fail(office, in_session=True)
    office.play(MINUTE)
    ((name, trigger, content),) = notices(office)
    assert (name, trigger) == ("notice-t1", 0)  # it calls for no container
    assert json.loads(content) == {"text": "The message t1 could not be answered.", "sender": "system"}


def test_a_chat_that_shall_not_be_told_is_not_and_the_agent_is(new_office):
    office = new_office(delivery=DeliveryPolicy(notify=False))
    fail(office, in_session=True)
    office.play(MINUTE)
    assert office.shown() == []
    assert (len(notices(office)), note(office)) == (1, "told")


def test_a_message_of_the_command_line_is_told_in_the_session_alone(office):
    office.channels["local"] = office.channel()
    fail(office, in_session=True, channel="local")
    office.play(MINUTE)
    assert office.shown(office.channels["local"]) == []
    assert (len(notices(office)), note(office)) == (1, "told")


def test_a_notice_that_cannot_be_sent_is_a_dead_letter_and_makes_no_notice(office):
    office.chat.script(*[Permanent("chat not found")] * 9)
    fail(office)
    office.play(HOUR)
    assert len(office.chat.calls) == 1
    with office.store.inner.transaction() as work:
        assert work.tables.outbox.open() == ()
        row = work.tables.outbox.by_source("notice-t1")
        assert (row.status, row.turn_id) == ("failed_terminal", None)
        assert len(work.tables.dead.of_message("main/a", row.row_id)) == 1


def test_a_reply_that_fails_for_good_is_told_by_one_notice(office):
    office.chat.script(Permanent("too long"))
    office.accept("t1")
    office.queue("r1", turn_id="t1")
    office.play(MINUTE)
    assert len(office.events(TurnFailed)) == 1
    assert office.shown() == ["Sorry, your message could not be answered (reference t1)."]


@pytest.mark.parametrize("written", [False, True], ids=["before the line", "after the line"])
def test_a_kill_between_line_and_mark_repeats_nothing_that_anybody_sees(office, written):
    fail(office, in_session=True)
    sessions = office.ports("x", True).sessions
    if written:
        from turnkeel.delivery.tell import _told_agent

        assert _told_agent(office.turn("t1"), office.ports("x", True))
    assert len(notices(office)) == int(written)
    office.play(MINUTE)
    assert (len(notices(office)), len(office.shown())) == (1, 1)
    assert sessions.exists("main/a")


def test_a_session_that_is_locked_for_a_moment_is_told_a_little_later(office):
    fail(office, in_session=True)
    real, left = office.files.store, [1, 1]

    def store(session):
        if left:
            left.pop()
            raise SessionFault(real(session).folder / "inbound.db", "busy", "locked")
        return real(session)

    office.files.store = store
    office.play(10 * SECOND)
    office.files.store = real
    assert (len(notices(office)), len(office.shown())) == (1, 1)


def test_a_session_that_is_gone_keeps_no_chat_waiting(office):
    fail(office, in_session=True)
    folder = office.files.tree.folder(SessionName.parse("main/a"))
    folder.rename(folder.with_name("elsewhere"))
    office.play(10 * SECOND)
    assert len(office.shown()) == 1


def test_a_payload_that_nobody_can_read_is_told_to_the_agent_alone(office):
    fail(office, in_session=True, payload="{")
    office.play(10 * SECOND)
    assert (len(notices(office)), office.shown(), note(office)) == (1, [], "told")


def test_many_failed_turns_are_told_in_small_batches(new_office):
    office = new_office(delivery=DeliveryPolicy(notice_limit=4))
    for number in range(18):
        fail(office, f"t{number}", in_session=True)
    office.play(MINUTE)
    assert (len(notices(office)), len(office.shown())) == (18, 18)
