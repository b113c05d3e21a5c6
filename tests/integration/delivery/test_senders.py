"""Does only who may start an agent, at the door and again before the run, while nothing that is to be kept is lost?"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from turnkeel.delivery.evidence import LastContainer
from turnkeel.delivery.follow import Follower
from turnkeel.delivery.intake import Accepted, Dropped, Duplicate, Intake, Kept, Refused
from turnkeel.delivery.mailboxes import FileMailboxes
from turnkeel.delivery.ports import DeliveryPolicies, DeliveryPorts
from turnkeel.events import SenderDenied
from turnkeel_adapters.errors import SessionFault
from turnkeel_adapters.lifecycle.payloads import Incoming
from turnkeel_adapters.lifecycle.store import StateLifecycle
from turnkeel_adapters.senders import SenderFile
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.sessions.connect import ensure_schema, writing
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.sessions.records import NewMessage
from turnkeel_adapters.state.store import HostState
from turnkeel_adapters.system.clock import SystemClock
from turnkeel_adapters.system.executor import InlineExecutor
from turnkeel_adapters.timestamps import iso_utc
from turnkeel_core import MessageIdentity, SettlePolicy, TurnPolicy

S = "main/a"
NOW_MS = 1_800_000_000_000
ROOT = Path(__file__).parents[3]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("core", "adapters", "shell"))}


class Gate:
    """A data directory with an allowlist, a door and a follower."""

    def __init__(self, folder):
        self.list, self.told, self.number = folder / "senders.json", [], 0
        self.state, self.sessions = HostState(folder / "data"), FileSessions(folder / "data")
        self.store = StateLifecycle(self.state.database)
        file, inline = SenderFile(self.list), InlineExecutor()
        ports = DeliveryPorts(
            clock=SystemClock(),
            executor=inline,
            calls=inline,
            lifecycle=self.store,
            sessions=FileMailboxes(self.sessions),
            channels={},
            owner="host",
            alone=True,
            new_id=self.new_id,
            report=self.told.append,
            senders=file.policy,
        )
        self.follower = Follower(
            ports, DeliveryPolicies(), container=lambda session: LastContainer(incarnation=0), poke=lambda: None
        )
        self.intake = Intake(
            store=self.store,
            sessions=ports.sessions,
            closed=frozenset,
            new_id=self.new_id,
            now_ms=lambda: NOW_MS,
            owner="host",
            policy=SettlePolicy(turn=TurnPolicy(payload_limit_bytes=10_000)),
            senders=file.policy,
            report=self.told.append,
        )

    def new_id(self, prefix):
        self.number += 1
        return f"{prefix}-{self.number}"

    def allow(self, *senders, mode="trigger", **more):
        rule = {"allow": list(senders), "mode": mode}
        self.list.write_text(json.dumps({"default": rule, **more}))

    def say(self, sender, text="hello", key=None, from_me=False, chat="room"):
        message = NewMessage(message_id="", content=json.dumps({"text": text}), sent_at_ms=NOW_MS)
        asked = Incoming(message=message, channel="chat", chat=chat, sender=sender, from_me=from_me)
        return self.intake.accept(S, asked, MessageIdentity(channel="chat", chat=chat, message_id=key))

    def inbox(self):
        """Whether each message that is still open starts an agent."""
        try:
            messages = self.sessions.store(S).read(NOW_MS).messages
        except SessionFault:
            return {}
        return {message.message_id: message.triggers for message in messages if message.status == "pending"}

    def look(self):
        return self.follower.follow(S, self.sessions.store(S).read(NOW_MS), NOW_MS)

    def turn(self, turn_id):
        with self.store.reading() as work:
            return work.tables.turns.get(turn_id)

    def turns(self):
        with self.store.reading() as work:
            return work.tables.turns.open()


@pytest.fixture
def gate(tmp_path):
    (tmp_path / "data").mkdir()
    made = Gate(tmp_path)
    yield made
    made.state.close()


def test_without_a_file_everybody_is_accepted(gate):
    assert isinstance(gate.say("bob"), Accepted)
    assert gate.told == []


def test_whom_the_list_names_is_accepted_and_others_are_kept_as_context_without_a_turn(gate):
    gate.allow("ann")
    assert isinstance(gate.say("ann"), Accepted)
    kept = gate.say("bob", "do what I say")
    assert isinstance(kept, Kept)
    assert gate.inbox() == {"msg-1": True, kept.message_id: False}
    assert [turn.turn_id for turn in gate.turns()] == ["msg-1"]
    assert gate.told == [SenderDenied(S, "room", "bob", "kept")]


def test_a_sender_that_the_channel_does_not_name_is_on_no_list(gate):
    gate.allow("ann")
    assert isinstance(gate.say(None), Kept)


def test_in_drop_mode_nothing_is_stored_not_even_the_session(gate):
    gate.allow("ann", mode="drop")
    assert isinstance(gate.say("bob"), Dropped)
    assert (gate.inbox(), gate.turns()) == ({}, ())
    assert gate.told == [SenderDenied(S, "room", "bob", "dropped")]


def test_the_owner_is_accepted_whatever_the_list_says(gate):
    gate.list.write_text("{ broken")
    assert isinstance(gate.say("me", from_me=True), Accepted)


def test_a_broken_file_keeps_what_is_written_and_starts_nothing(gate):
    gate.list.write_text('{"default": {"allow": "*", "mode": "drop"},}')
    assert isinstance(gate.say("ann"), Kept)
    assert list(gate.inbox().values()) == [False]


def test_an_edit_holds_from_the_next_message_on(gate):
    gate.allow("ann")
    assert isinstance(gate.say("bob"), Kept)
    gate.allow("bob")
    assert isinstance(gate.say("bob"), Accepted)
    gate.list.unlink()
    assert isinstance(gate.say("eve"), Accepted)


def test_logging_of_denials_can_be_turned_off(gate):
    gate.allow("ann", logDenied=False)
    gate.say("bob")
    assert gate.told == []


def test_a_stop_word_of_somebody_who_may_not_start_an_agent_stops_nothing(gate):
    gate.allow("ann")
    running = gate.say("ann")
    assert isinstance(gate.say("bob", "/stop"), Kept)
    assert gate.turn(running.turn_id).status == "accepted"


def test_context_that_comes_again_under_its_name_is_kept_once(gate):
    gate.allow("ann")
    first = gate.say("bob", key="k1")
    assert gate.say("bob", key="k1") == first
    assert len(gate.inbox()) == 1
    assert len(gate.told) == 1


def test_a_message_that_was_accepted_and_comes_again_after_its_sender_was_denied_is_a_duplicate(gate):
    accepted = gate.say("bob", key="k1")
    gate.allow("ann")
    assert gate.say("bob", key="k1") == Duplicate(turn_id=accepted.turn_id, status="accepted")
    assert gate.inbox() == {accepted.turn_id: True}


def test_context_over_the_limit_of_a_message_is_refused_as_a_message_is(gate):
    gate.allow("ann")
    assert isinstance(gate.say("bob", "x" * 20_000), Refused)
    assert gate.inbox() == {}


def test_context_that_cannot_be_stored_is_not_acknowledged(gate):
    gate.allow("ann")
    gate.say("bob")
    (gate.sessions.store(S).folder / "inbound.db").write_bytes(b"no database, whatever it says")
    with pytest.raises(SessionFault):
        gate.say("bob")


def test_a_message_whose_sender_was_denied_before_its_run_is_stopped_and_withdrawn(gate):
    bob, ann = gate.say("bob").turn_id, gate.say("ann").turn_id
    gate.allow("ann")
    assert gate.look().aborted == (bob,)
    turn = gate.turn(bob)
    assert (turn.status, turn.reason) == ("aborted", "sender_denied")
    assert gate.turn(ann).status == "accepted"
    assert gate.inbox() == {ann: True}
    assert gate.told == [SenderDenied(S, "room", "bob", "stopped")]
    gate.look()
    assert len(gate.told) == 1


def test_a_run_that_has_begun_is_not_stopped_by_an_edit_of_the_list(gate):
    bob = gate.say("bob").turn_id
    path = gate.sessions.store(S).folder / "outbound.db"
    ensure_schema(path, "outbound")
    with writing(path) as db:
        db.execute("INSERT INTO processing_ack VALUES (?, 'processing', ?)", (bob, iso_utc(NOW_MS))).fetchall()
    gate.allow("ann")
    gate.look()
    assert gate.turn(bob).status == "running"


def test_what_was_written_into_the_inbox_itself_needs_no_name_on_the_list(gate):
    gate.allow("ann")
    gate.sessions.tree.create(SessionName.parse(S))
    gate.sessions.store(S).insert(NewMessage(message_id="own", content="{}", sent_at_ms=NOW_MS), NOW_MS)
    gate.look()
    gate.look()
    assert gate.turn("own").status == "accepted"


def test_a_chat_of_its_own_rule_is_asked_by_that_and_a_message_without_a_chat_by_its_session(gate):
    gate.allow("ann", chats={"room": {"allow": ["bob"], "mode": "drop"}, S: {"allow": ["eve"], "mode": "drop"}})
    assert isinstance(gate.say("bob"), Accepted)
    assert isinstance(gate.say("ann"), Dropped)
    assert isinstance(gate.say("ann", chat="hall"), Accepted)
    assert isinstance(gate.say("eve", chat=""), Accepted)
    assert isinstance(gate.say("ann", chat=""), Dropped)


def _turnkeel(*words):
    command = [sys.executable, "-m", "turnkeel", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=90, check=False)


def test_a_host_runs_no_agent_for_a_sender_who_was_denied_meanwhile_and_says_so(gate, tmp_path):
    bob, ann = gate.say("bob", "from bob").turn_id, gate.say("ann", "from ann").turn_id
    gate.allow("ann")
    gate.state.close()
    config, seen = tmp_path / "turnkeel.toml", tmp_path / "seen"
    config.write_text(f'[senders]\nfile = "{gate.list}"\n')
    agent = f"sh -c 'cat >> {seen}; echo done'"
    done = _turnkeel("run", "--data", tmp_path / "data", "--config", config, "--agent", agent, "--until-idle")
    assert "from ann" in seen.read_text() and "from bob" not in seen.read_text(), done.stderr
    assert "a message of bob in room was stopped" in done.stderr
    gate.state = HostState(tmp_path / "data")
    gate.store = StateLifecycle(gate.state.database)
    assert gate.turn(bob).reason == "sender_denied"
    assert gate.turn(ann).status == "delivery_pending"


def test_a_host_tells_at_its_start_that_the_list_is_broken_or_not_there(gate, tmp_path):
    gate.state.close()
    config = tmp_path / "turnkeel.toml"
    config.write_text(f'[senders]\nfile = "{gate.list}"\n')
    words = ("run", "--data", tmp_path / "data", "--config", config, "--agent", "cat", "--until-idle")
    assert "does not exist: everybody may start an agent" in _turnkeel(*words).stderr
    gate.list.write_text("{")
    assert "nobody but the owner may start an agent" in _turnkeel(*words).stderr
    gate.state = HostState(tmp_path / "data")
