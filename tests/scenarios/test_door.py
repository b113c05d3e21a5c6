"""Which scenarios of messages that come again does the host's door live through?

The door is the one that every channel uses, on a store and inboxes on disk; what runs a turn is played.
"""

import json
from contextlib import closing
from itertools import count

import apsw
import pytest

from turnkeel.delivery.intake import Accepted, Duplicate, Intake, Kept
from turnkeel.delivery.join import join
from turnkeel.delivery.mailboxes import FileMailboxes
from turnkeel_adapters.lifecycle.payloads import Incoming
from turnkeel_adapters.lifecycle.store import StateLifecycle
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.sessions.records import NewMessage
from turnkeel_adapters.state.store import HostState
from turnkeel_core import MessageIdentity, SettleDelivered, SettleFailed, SettlePolicy

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
NOW = 1_800_000_000_000
POLICY = SettlePolicy()


class Door:
    """A data directory and the door that a host opens on it."""

    def __init__(self, folder):
        self.folder, self.now_ms, self._ids = folder, NOW, count()
        self.open()

    def open(self):
        self.state = HostState(self.folder)
        self.store = StateLifecycle(self.state.database)
        self.mail = FileMailboxes(FileSessions(self.folder))
        self.intake = Intake(
            store=self.store,
            sessions=self.mail,
            closed=frozenset,
            new_id=lambda prefix: f"{prefix}-{next(self._ids)}",
            now_ms=lambda: self.now_ms,
            owner="host",
            policy=POLICY,
        )

    def restart(self):
        """Whatever a host had in memory is gone."""
        self.state.close()
        self.open()

    def comes(
        self, message_id, text="hello", *, session="main/a", account="bot", chat="room", sent_at_ms=None, **facts
    ):
        """A message of a channel."""
        sent = self.now_ms if sent_at_ms is None else sent_at_ms
        message = NewMessage(message_id="", content=json.dumps({"text": text}), sent_at_ms=sent)
        incoming = Incoming(message=message, channel="chat", account=account, chat=chat, **facts)
        identity = MessageIdentity(channel="chat", account=account, chat=chat, message_id=message_id)
        return self.intake.accept(session, incoming, identity)

    def ends(self, turn_id, reason=None):
        """The turn is answered, or has failed for this reason."""
        sent = SettleDelivered(turn_id, self.now_ms, "sent", 1)
        how = sent if reason is None else SettleFailed(turn_id, self.now_ms, reason, "it died", 3)
        with self.store.transaction() as work:
            assert work.apply((how,), self.now_ms) == ()

    def turns(self):
        """Those that have not ended."""
        with self.store.reading() as work:
            return [turn.turn_id for turn in work.tables.turns.open()]

    def inbox(self, session="main/a"):
        """What its agent finds: which text, and whether that starts it."""
        path = FileSessions(self.folder).store(session).folder / "inbound.db"
        with closing(apsw.Connection(str(path), apsw.SQLITE_OPEN_READONLY)) as db:
            rows = db.execute(
                "SELECT json_extract(content, '$.text'), \"trigger\" FROM messages_in ORDER BY seq"
            ).fetchall()
        return [(text, bool(starts)) for text, starts in rows]


@pytest.fixture
def door(tmp_path):
    made = Door(tmp_path)
    yield made
    made.state.close()


def test_DD_01_a_message_that_comes_again_after_a_restart_is_the_same_one(door):
    first = door.comes("m1")
    for later in (SECOND, HOUR, DAY, 6 * DAY):
        door.now_ms = NOW + later
        door.restart()
        assert door.comes("m1") == Duplicate(turn_id=first.turn_id, status="accepted")
    assert (door.turns(), door.inbox()) == ([first.turn_id], [("hello", True)])


def test_DD_02_a_failed_turn_keeps_the_name_of_its_message(door):
    first = door.comes("m1")
    door.ends(first.turn_id, "exhausted")
    door.now_ms += MINUTE
    door.restart()
    assert door.comes("m1") == Duplicate(turn_id=first.turn_id, status="failed_terminal")
    assert (door.turns(), len(door.inbox())) == ([], 1)


def test_DD_03_forty_deliveries_in_seven_hours_are_one_answer_and_each_is_acknowledged(door):
    first = door.comes("m1")
    door.ends(first.turn_id)
    answers = []
    for number in range(40):
        door.now_ms += 7 * HOUR // 40
        if number % 10 == 0:
            door.restart()
        answers.append(door.comes("m1"))
    assert set(answers) == {Duplicate(turn_id=first.turn_id, status="delivered")}
    assert (door.turns(), len(door.inbox())) == ([], 1)


STALE = POLICY.turn.stale_ms


@pytest.mark.parametrize(("age_ms", "runs"), [(0, True), (STALE, True), (STALE + 1, False), (30 * DAY, False)])
def test_DD_04_a_message_of_long_ago_that_comes_for_the_first_time_is_kept_and_starts_nothing(door, age_ms, runs):
    answer = door.comes("m1", "intro", sent_at_ms=NOW - age_ms)
    assert isinstance(answer, Accepted if runs else Kept)
    assert len(door.turns()) == runs
    door.restart()
    door.comes("m1", "intro", sent_at_ms=NOW - age_ms)
    door.comes("m2", "what was that?")
    assert door.inbox() == [("intro", runs), ("what was that?", True)]


def test_DD_05_the_same_words_again_are_another_message(door):
    for _ in range(3):  # a channel that gives its messages no names
        assert isinstance(door.comes(None, "/deploy"), Accepted)
    assert isinstance(door.comes("m1", "/deploy"), Accepted)
    assert isinstance(door.comes("m2", "/deploy"), Accepted)
    assert len(door.turns()) == 5 and door.inbox() == [("/deploy", True)] * 5


@pytest.mark.parametrize("owner", [False, True])
def test_DD_08_what_an_agent_wrote_starts_none_also_not_under_its_owners_account(door, owner):
    for number in range(3):
        assert isinstance(door.comes(f"m{number}", "reminder: water them", bot=True, from_me=owner), Kept)
    assert door.turns() == []
    assert isinstance(door.comes("m9", "which reminder?"), Accepted)
    assert door.inbox() == [("reminder: water them", False)] * 3 + [("which reminder?", True)]


def test_DD_09_a_row_that_is_written_again_is_no_error_and_no_second_row(door):
    first = door.comes("m1")
    with door.store.reading() as work:
        payload = work.tables.turns.payload(first.turn_id)
    for _ in range(3):
        join(door.mail, "main/a", first.turn_id, payload, door.now_ms)
    assert door.inbox() == [("hello", True)]
    assert door.turns() == [first.turn_id]


def test_DD_10_a_name_used_again_by_another_bot_is_new_and_a_known_one_is_never_dropped_in_silence(door):
    first = door.comes("1")
    assert isinstance(door.comes("1", "hello, new bot", account="bot 2"), Accepted)
    assert isinstance(door.comes("1", "hello there", chat="another room"), Accepted)
    again = door.comes("1", "something else")
    assert again == Duplicate(turn_id=first.turn_id, status="accepted"), "the channel is told whose name it used"
    assert [text for text, _ in door.inbox()] == ["hello", "hello, new bot", "hello there"]
