"""Do a session's files and its turns say the same, whoever was killed between two steps?"""

import json
import threading
from contextlib import closing

import apsw
import pytest
from attrs import evolve

from turnkeel.delivery.adopt import incoming_of
from turnkeel.delivery.evidence import LastContainer
from turnkeel.delivery.follow import Follower
from turnkeel.delivery.intake import Accepted, Duplicate, Intake, Refused
from turnkeel.delivery.mailboxes import FileMailboxes
from turnkeel.delivery.ports import DeliveryPolicies, DeliveryPorts
from turnkeel.delivery.recover import recover_joins, stopped_sessions
from turnkeel.delivery.stop import stop_session
from turnkeel.events import ContextLost
from turnkeel_adapters.channels import Capabilities, MemoryChannel, TextLimit
from turnkeel_adapters.errors import SessionFault
from turnkeel_adapters.lifecycle.payloads import Incoming, Outgoing
from turnkeel_adapters.lifecycle.store import StateLifecycle
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.sessions.records import InboundChanges, NewMessage, RowCharge
from turnkeel_adapters.state.store import HostState
from turnkeel_adapters.system.clock import SystemClock
from turnkeel_adapters.system.executor import InlineExecutor
from turnkeel_adapters.timestamps import iso_utc
from turnkeel_adapters.wire import loads
from turnkeel_core import DeliverRow, MessageIdentity, OutboxPolicy, SettlePolicy, TurnPolicy, finalize_turn_from_outbox
from turnkeel_core.turn_identity import encode_parts

S = "main/a"
T0 = 1_800_000_000_000
GRACE_MS = 10_000


class Desk:
    """A data directory with its delivery, and a container that writes its rows as an existing runner does."""

    def __init__(self, data, channels=None):
        self.data, self.now_ms, self.number, self.poked, self.told = data, T0, 0, 0, []
        self.last = LastContainer(incarnation=1, running=True)
        self.state = HostState(data)
        self.sessions = FileSessions(data, busy_timeout_ms=1_500)
        self.store = StateLifecycle(self.state.database)
        self.policy = SettlePolicy(turn=TurnPolicy(no_reply_grace_ms=GRACE_MS), outbox=OutboxPolicy())
        self.channels = channels or {"chat": MemoryChannel(lambda: self.now_ms)}
        self.begin()

    def begin(self):
        """A host begins: what it remembers of sessions is gone."""
        inline = InlineExecutor()
        self.ports = DeliveryPorts(
            clock=SystemClock(), executor=inline, calls=inline, lifecycle=self.store,
            sessions=FileMailboxes(self.sessions), channels=self.channels, owner="host", alone=True,
            new_id=self.new_id, report=self.told.append,
        )  # fmt: skip
        self.follower = Follower(
            self.ports, DeliveryPolicies(settle=self.policy), container=lambda session: self.last, poke=self.poke
        )
        self.intake = Intake(
            store=self.store, sessions=self.ports.sessions, closed=self.state.registry.closed, new_id=self.new_id,
            now_ms=lambda: self.now_ms, owner="host", told=self.poke, policy=self.policy,
        )  # fmt: skip

    def poke(self):
        self.poked += 1

    def new_id(self, prefix):
        self.number += 1
        return f"{prefix}-{self.number}"

    def accept(self, text="hello", key=None, session=S, replay="allowed", **more):
        message = NewMessage(message_id="", content=json.dumps({"text": text}), sent_at_ms=self.now_ms, **more)
        asked = Incoming(message=message, channel="chat", account="acc", chat="room", thread="t")
        return self.intake.accept(
            session, asked, MessageIdentity(channel="chat", chat="room", message_id=key), replay=replay
        )

    def look(self, session=S):
        reading = self.sessions.store(session).read(self.now_ms)
        return self.follower.follow(session, reading, self.now_ms)

    def sync(self, session=S):
        """What the host does with acks, after the look."""
        acks = self.sessions.store(session).read(self.now_ms).acks
        self.sessions.store(session).write_inbound(InboundChanges(settled=tuple(ack.message_id for ack in acks)))

    def container(self, sql, *values, session=S):
        from turnkeel_adapters.sessions.connect import ensure_schema, writing

        path = self.sessions.store(session).folder / "outbound.db"
        ensure_schema(path, "outbound")
        with writing(path) as db:
            db.execute(sql, values).fetchall()

    def claim(self, key, **more):
        sql = "INSERT OR REPLACE INTO processing_ack VALUES (?, 'processing', ?)"
        self.container(sql, key, iso_utc(self.now_ms), **more)

    def ack(self, key, status="completed"):
        self.container("INSERT OR REPLACE INTO processing_ack VALUES (?, ?, ?)", key, status, iso_utc(self.now_ms))

    def release(self, key):
        self.container("DELETE FROM processing_ack WHERE message_id = ?", key)

    def reply(self, name, to, text="hi", kind="chat", files=(), after=None, where=(None, None, None)):
        content = json.dumps({"text": text, **({"files": list(files)} if files else {})})
        self.container(
            "INSERT INTO messages_out (id, in_reply_to, timestamp, deliver_after, kind, channel_type, platform_id,"
            " thread_id, content) VALUES (?, ?, '2027-01-01 00:00:00', ?, ?, ?, ?, ?, ?)",
            name, to, after, kind, *where, content,
        )  # fmt: skip

    def turn(self, key):
        with self.store.transaction() as work:
            return work.tables.turns.get(key)

    def rows(self, session=S):
        with self.store.transaction() as work:
            return [row for row in work.tables.outbox.open() if row.session == session]

    def row_of(self, name, session=S):
        with self.store.transaction() as work:
            return work.tables.outbox.by_source(encode_parts(session, name))

    def payload(self, row):
        with self.store.transaction() as work:
            return loads(work.tables.outbox.payload(row.row_id), Outgoing)

    def deliver(self, row):
        with self.store.transaction() as work:
            work.apply((DeliverRow(row.row_id, self.now_ms, row.parts),), self.now_ms)
            if row.turn_id is not None:
                work.apply(finalize_turn_from_outbox(work.turn(row.turn_id, self.now_ms)), self.now_ms)

    def inbox(self, session=S):
        with self.sessions.store(session)._files.read_inbound() as db:
            return dict(db.execute("SELECT id, status FROM messages_in").fetchall())

    def marks(self, session=S):
        with self.sessions.store(session)._files.read_inbound() as db:
            return dict(db.execute("SELECT message_out_id, status FROM delivered").fetchall())


@pytest.fixture
def desk(tmp_path):
    found = Desk(tmp_path)
    yield found
    found.state.close()


def test_a_message_is_a_turn_first_and_then_a_row_with_the_turns_id(desk):
    answer = desk.accept(thread_id="t", platform_id="room", channel_type="chat")
    assert isinstance(answer, Accepted)
    turn = desk.turn(answer.turn_id)
    assert (turn.status, turn.session, turn.in_session) == ("accepted", S, True)
    assert desk.inbox() == {answer.turn_id: "pending"}
    stored = desk.sessions.store(S).stored(answer.turn_id)
    assert stored.message.platform_id == "room" and json.loads(stored.message.content) == {"text": "hello"}


def test_the_same_identity_is_the_same_turn_and_another_chat_is_not(desk):
    first = desk.accept(key="17")
    assert desk.accept("edited", key="17") == Duplicate(turn_id=first.turn_id, status="accepted")
    assert isinstance(desk.accept(key="18"), Accepted)
    assert len(desk.inbox()) == 2


REFUSED = {
    "a session that cannot be": ({"session": "a/b/c/d"}, "session"),
    "half a character": ({"text": "ok", "platform_id": "\ud800"}, "payload"),
    "ten megabytes": ({"text": "x" * 10_000_000}, "payload"),
    "control characters": ({"key": "a\nb"}, "identity"),
}


@pytest.mark.parametrize(("asked", "what"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_kept_is_refused_and_leaves_nothing(desk, asked, what):
    answer = desk.accept(**asked)
    assert isinstance(answer, Refused) and answer.what == what and answer.fault
    with desk.store.transaction() as work:
        assert work.tables.turns.open() == ()


def test_a_closed_session_takes_no_message(desk):
    desk.state.registry.close(S, T0)
    assert isinstance(desk.accept(), Refused)


def test_a_crash_between_the_turn_and_its_row_is_mended_by_the_next_host(desk, monkeypatch):
    monkeypatch.setattr("turnkeel.delivery.intake.join", lambda *_: None)
    turn_id = desk.accept().turn_id
    assert not desk.ports.sessions.exists(S)
    desk.begin()
    assert recover_joins(desk.ports, desk.now_ms) == {}
    assert desk.inbox() == {turn_id: "pending"}
    assert recover_joins(desk.ports, desk.now_ms) == {}
    assert desk.inbox() == {turn_id: "pending"}


def test_a_missing_row_in_a_session_that_is_there_is_written_by_the_pass_once(desk, monkeypatch):
    desk.sessions.tree.create(SessionName.parse(S))
    monkeypatch.setattr("turnkeel.delivery.intake.join", lambda *_: None)
    turn_id = desk.accept().turn_id
    desk.look()
    desk.look()
    assert desk.inbox() == {turn_id: "pending"}


def test_claim_reply_and_ack_become_run_row_and_end(desk):
    key = desk.accept().turn_id
    desk.look()
    desk.claim(key)
    desk.look()
    assert (desk.turn(key).status, desk.turn(key).attempts_started) == ("running", 1)
    desk.reply("out-1", key, "the answer")
    desk.ack(key)
    before = desk.poked
    desk.look()
    assert desk.poked > before, "the sender must hear of it"
    [row] = desk.rows()
    assert (row.turn_id, row.kind, row.channel, row.session) == (key, "final", "chat", S)
    said = desk.payload(row)
    assert (said.parts, said.chat, said.account, said.thread) == (("the answer",), "room", "acc", "t")
    assert (desk.turn(key).status, desk.turn(key).ack) == ("delivery_pending", "completed")
    desk.sync()
    desk.deliver(row)
    assert (desk.turn(key).status, desk.turn(key).reason) == ("delivered", "sent")


def test_a_reply_is_taken_once_however_often_hosts_begin(desk):
    key = desk.accept().turn_id
    desk.reply("out-1", key)
    desk.look()
    desk.begin()
    desk.look()
    desk.begin()
    desk.look()
    assert len(desk.rows()) == 1


def test_the_ack_is_kept_with_the_turn_before_the_row_is_completed(desk):
    key = desk.accept().turn_id
    desk.ack(key)
    desk.look()
    assert desk.turn(key).ack == "completed"
    desk.sync()
    desk.begin()  # the host that saw the ack is gone, and so is the ack
    desk.now_ms += GRACE_MS
    desk.look()
    assert (desk.turn(key).status, desk.turn(key).reason) == ("delivered", "no_reply")


def test_a_reply_within_the_grace_is_the_turns_own_and_after_it_nobodys(desk):
    key = desk.accept().turn_id
    desk.ack(key)
    followed = desk.look()
    assert followed.next_look_at_ms == T0 + GRACE_MS
    desk.sync()
    desk.now_ms += GRACE_MS - 1
    desk.reply("out-1", key, "late")
    desk.look()
    assert desk.row_of("out-1").turn_id == key and desk.turn(key).status == "delivery_pending"
    other = desk.accept("again").turn_id
    desk.ack(other)
    desk.look()
    desk.now_ms += GRACE_MS
    desk.look()
    assert desk.turn(other).reason == "no_reply"
    desk.reply("out-2", other, "later")
    desk.look()
    assert desk.row_of("out-2").turn_id is None, "it is sent, and the turn stays as it is"


def test_a_container_that_died_in_the_grace_leaves_an_uncertain_turn(desk):
    key = desk.accept().turn_id
    desk.ack(key)
    desk.look()
    desk.sync()
    desk.last = LastContainer(incarnation=1, died_at_ms=T0 + 1_000)
    desk.now_ms += GRACE_MS
    desk.look()
    with desk.store.transaction() as work:
        assert work.tables.turns.note(key).uncertain
    assert desk.turn(key).reason == "no_reply"


def test_a_text_on_the_way_is_sent_and_does_not_end_the_work(desk):
    key = desk.accept().turn_id
    desk.claim(key)
    desk.reply("out-1", key, "I am on it")
    desk.look()
    desk.deliver(desk.row_of("out-1"))
    desk.look()
    assert desk.turn(key).status == "running"
    desk.release(key)  # its container died
    desk.sessions.store(S).write_inbound(InboundChanges(charges=(RowCharge(message_id=key, tries=1),)))
    desk.look()
    assert (desk.turn(key).status, desk.turn(key).attempts_started) == ("failed_retryable", 1)
    desk.claim(key)
    desk.look()
    assert (desk.turn(key).status, desk.turn(key).attempts_started) == ("running", 2)
    desk.reply("out-2", key, "the answer")
    desk.ack(key)
    desk.look()
    desk.deliver(desk.row_of("out-2"))
    assert (desk.turn(key).status, desk.turn(key).reason) == ("delivered", "sent")


def test_a_failed_ack_and_a_failed_row_fail_the_turn(desk):
    said, used_up = desk.accept("one").turn_id, desk.accept("two").turn_id
    desk.ack(said, "failed")
    desk.sessions.store(S).write_inbound(InboundChanges(failed=(used_up,)))
    desk.look()
    assert (desk.turn(said).status, desk.turn(said).reason) == ("failed_terminal", "failed_ack")
    assert (desk.turn(used_up).status, desk.turn(used_up).reason) == ("failed_terminal", "attempts_exhausted")


def test_replies_keep_their_order_and_go_where_they_say(desk):
    key = desk.accept().turn_id
    desk.reply("out-1", key, "one")
    desk.reply("out-2", None, "two", where=("chat", "elsewhere", None))
    desk.reply("out-3", key, "three")
    desk.look()
    rows = {name: desk.row_of(name) for name in ("out-1", "out-2", "out-3")}
    assert rows["out-1"].lane == rows["out-3"].lane != rows["out-2"].lane
    assert rows["out-1"].ordinal < rows["out-3"].ordinal
    assert desk.payload(rows["out-2"]).chat == "elsewhere" and rows["out-2"].turn_id is None


def test_a_reply_with_a_later_hour_waits_for_it_and_its_turn_with_it(desk):
    key = desk.accept().turn_id
    desk.reply("out-1", key, "now")
    desk.reply("out-2", key, "tomorrow", after=iso_utc(T0 + 86_400_000))
    desk.reply("out-3", key, "now too")
    desk.ack(key)
    followed = desk.look()
    assert desk.row_of("out-2") is None and desk.row_of("out-3") is not None
    assert followed.next_look_at_ms == T0 + 86_400_000
    desk.sync()
    desk.now_ms += 86_400_000
    desk.look()
    assert desk.payload(desk.row_of("out-2")).parts == ("tomorrow",)


def test_a_long_reply_is_cut_when_it_is_taken_and_keeps_its_parts(tmp_path):
    limit = Capabilities(text_limit=TextLimit(size=16))
    desk = Desk(tmp_path, {"chat": MemoryChannel(lambda: T0, limit)})
    key = desk.accept().turn_id
    desk.reply("out-1", key, "one two three four five six")
    desk.look()
    row = desk.row_of("out-1")
    assert row.parts == len(desk.payload(row).parts) == 2
    desk.state.close()


def test_a_secret_in_a_reply_is_hidden_once_before_it_is_cut_and_stored(tmp_path):
    asked = []

    def hide(channel, text):
        asked.append(channel)
        return text.replace("secret words", "[REDACTED]")

    desk = Desk(tmp_path, {"chat": MemoryChannel(lambda: T0, Capabilities(text_limit=TextLimit(size=16)))})
    desk.ports = evolve(desk.ports, redact_reply=hide)
    desk.follower = Follower(
        desk.ports, DeliveryPolicies(settle=desk.policy), container=lambda session: desk.last, poke=desk.poke
    )
    key = desk.accept().turn_id
    desk.reply("out-1", key, "my few secret words are told")
    desk.look()
    desk.begin()  # another host, that hides nothing: what every try sends is settled
    desk.look()
    assert desk.payload(desk.row_of("out-1")).parts == ("my few", "[REDACTED] are", "told")
    assert asked == ["chat"]
    desk.state.close()


def test_files_beside_a_reply_are_recorded_and_a_link_among_them_is_a_dead_letter(desk, tmp_path):
    key = desk.accept().turn_id
    folder = desk.sessions.store(S).folder / "outbox"
    (folder / "out-1").mkdir(parents=True)
    (folder / "out-1" / "a.txt").write_text("abc")
    (folder / "out-2").mkdir()
    secret = tmp_path / "secret"
    secret.write_text("top")
    (folder / "out-2" / "b.txt").symlink_to(secret)
    desk.reply("out-1", key, files=["a.txt"])
    desk.reply("out-2", key, files=["b.txt"])
    desk.look()
    said = desk.payload(desk.row_of("out-1"))
    assert [(file.name, file.size) for file in said.files] == [("a.txt", 3)] and said.folder == "outbox/out-1"
    row = desk.row_of("out-2")
    assert (row.status, row.parts_proven) == ("failed_terminal", 0)
    [dead] = desk.state.dead.of_message(S, row.row_id)
    assert dead.direction == "outbound" and "b.txt" in str(dead.detail)
    desk.look()
    assert desk.marks() == {"out-2": "failed"}


def test_a_system_row_is_nobodys_reply(desk):
    key = desk.accept().turn_id
    desk.reply("out-1", key, kind="system")
    desk.look()
    assert desk.row_of("out-1") is None


def test_what_was_delivered_before_a_crash_gets_its_mark_from_the_next_host(desk):
    key = desk.accept().turn_id
    desk.reply("out-1", key)
    desk.look()
    desk.deliver(desk.row_of("out-1"))
    assert desk.marks() == {}
    desk.begin()
    desk.look()
    assert desk.marks() == {"out-1": "delivered"}


def test_replies_that_were_delivered_before_this_host_came_are_left_alone(desk):
    desk.sessions.tree.create(SessionName.parse(S))
    desk.reply("out-1", None)
    desk.sessions.store(S).mark_delivered("out-1", "p1", T0)
    desk.reply("out-2", None)
    desk.look()
    assert desk.row_of("out-1") is None and desk.row_of("out-2").channel == "local"


def test_rows_of_another_writer_are_turns_once_they_are_due_and_context_is_none(desk):
    desk.sessions.tree.create(SessionName.parse(S))
    store = desk.sessions.store(S)
    store.insert(NewMessage(message_id="theirs", content="{}", channel_type="chat", platform_id="r"), T0)
    store.insert(NewMessage(message_id="context", content="{}", triggers=False), T0)
    store.insert(NewMessage(message_id="tomorrow", content="{}", kind="task", due_at_ms=T0 + 86_400_000), T0)
    desk.look()
    assert desk.turn("theirs").in_session and desk.turn("context") is None and desk.turn("tomorrow") is None
    desk.reply("out-1", "theirs")
    desk.look()
    assert desk.row_of("out-1").turn_id == "theirs" and desk.payload(desk.row_of("out-1")).chat == "r"
    desk.now_ms += 86_400_000
    desk.look()
    assert desk.turn("tomorrow").status == "accepted", "an occurrence is a turn"


def test_the_same_id_in_two_sessions_is_one_turn_and_the_other_sessions_replies_are_sent_all_the_same(desk):
    for name in (S, "main/b"):
        desk.sessions.tree.create(SessionName.parse(name))
        desk.sessions.store(name).insert(NewMessage(message_id="m1", content="{}"), T0)
    desk.look()
    desk.look("main/b")
    assert desk.turn("m1").session == S
    with desk.store.transaction() as work:
        assert len(work.tables.turns.open()) == 1
    desk.container(
        "INSERT INTO messages_out (id, in_reply_to, timestamp, kind, content) VALUES ('o', 'm1', '', 'chat', 'x')",
        session="main/b",
    )
    desk.look("main/b")
    assert desk.row_of("o", "main/b").turn_id is None


@pytest.mark.parametrize(("replay", "notice"), [("notify_only", "due"), ("never", "none")])
def test_a_run_that_must_not_be_repeated_fails_when_its_container_dies(desk, replay, notice):
    key = desk.accept(replay=replay).turn_id
    desk.claim(key)
    assert desk.look().aborted == () and desk.turn(key).status == "running"
    desk.last = LastContainer(incarnation=1, died_at_ms=T0)
    followed = desk.look()
    assert followed.aborted == (key,), "the host neither charges it nor wakes for it"
    assert (desk.turn(key).status, desk.turn(key).reason) == ("failed_terminal", "replay_unsafe")
    desk.release(key)
    desk.look()
    assert desk.inbox() == {key: "completed"} and stopped_sessions(desk.ports) == ()
    with desk.store.reading() as work:
        assert work.tables.turns.note(key).notice == notice


def test_a_stop_ends_what_waits_and_what_runs_and_its_late_reply(desk):
    waits, runs = desk.accept("one").turn_id, desk.accept("two").turn_id
    desk.claim(runs)
    desk.look()
    answer = desk.accept(" /Stop ")
    assert isinstance(answer, Accepted) and set(answer.stopped.turn_ids) == {waits, runs}
    assert answer.turn_id not in desk.inbox(), "no agent answers a stop"
    [row] = desk.rows()
    assert (row.turn_id, desk.payload(row).parts) == (answer.turn_id, ("Stopped: 2 messages.",))
    assert stopped_sessions(desk.ports) == (S,)
    followed = desk.look()
    assert set(followed.aborted) == {waits, runs}
    assert desk.inbox() == {waits: "completed", runs: "pending"}, "what a container holds is not taken from it"
    desk.reply("out-1", runs, "too late")
    desk.ack(runs)
    desk.look()
    assert desk.row_of("out-1") is None and desk.marks() == {"out-1": "failed"}
    desk.sync()
    assert desk.look().aborted == () and stopped_sessions(desk.ports) == ()
    assert desk.turn(runs).status == "aborted"
    desk.deliver(row)
    assert desk.turn(answer.turn_id).status == "delivered"


def test_a_stop_that_comes_too_late_says_how_it_had_ended(desk):
    assert stop_session(desk.store, (S,), T0).text == "There was nothing to stop."
    key = desk.accept().turn_id
    desk.reply("out-1", key)
    desk.ack(key)
    desk.look()
    desk.deliver(desk.row_of("out-1"))
    stopped = stop_session(desk.store, (S,), T0)
    assert stopped.turn_ids == () and "was answered already (sent)" in stopped.text


def test_a_stop_between_the_turn_and_its_row_leaves_no_row_to_run(desk, monkeypatch):
    from turnkeel.delivery import intake

    def stopped_before(sessions, session, turn_id, payload, now_ms, real=intake.join):
        stop_session(desk.store, (session,), now_ms)
        real(sessions, session, turn_id, payload, now_ms)

    monkeypatch.setattr(intake, "join", stopped_before)
    key = desk.accept().turn_id
    assert desk.inbox() == {key: "completed"} and desk.turn(key).status == "aborted"


def test_a_store_that_cannot_be_written_accepts_nothing(desk):
    from turnkeel_adapters.state.database import StateFault

    desk.state.close()
    with pytest.raises((StateFault, Exception)) as told:
        desk.accept()
    assert told.value is not None and not desk.ports.sessions.exists(S)


def test_an_inbox_row_says_where_its_answer_goes():
    message = NewMessage(message_id="m", content="{}", channel_type="x", platform_id="y", thread_id="z")
    assert incoming_of(message) == Incoming(message=message, channel="x", chat="y", thread="z")
    assert incoming_of(evolve(message, channel_type=None)).channel == "local"


def test_a_session_whose_files_are_locked_holds_up_no_other(desk):
    key = desk.accept().turn_id
    desk.look()
    desk.reply("out-1", key)
    reading = desk.sessions.store(S).read(desk.now_ms)
    order = []

    def look():
        with pytest.raises(SessionFault):
            desk.follower.follow(S, reading, desk.now_ms)
        order.append("looked")

    with closing(apsw.Connection(str(desk.sessions.store(S).folder / "inbound.db"))) as locked:
        locked.execute("BEGIN EXCLUSIVE")
        looking = threading.Thread(target=look)
        looking.start()
        assert isinstance(desk.accept(session="main/b"), Accepted)
        order.append("accepted")
        looking.join()
        locked.execute("ROLLBACK")
    assert order == ["accepted", "looked"]
    desk.look()
    assert desk.row_of("out-1").turn_id == key, "nothing of the look that failed is missing"


def test_a_row_in_a_state_that_nobody_knows_is_left_alone_and_asked_about_no_more_than_others(desk):
    key = desk.accept().turn_id
    with desk.sessions.store(S)._files.write_inbound() as db:
        db.execute("UPDATE messages_in SET status = 'on holiday'")
    followed = desk.look()
    assert (followed.busy, followed.next_look_at_ms) == (False, None)
    assert desk.turn(key).status == "accepted" and desk.inbox() == {key: "on holiday"}


@pytest.mark.parametrize("rows", [1, 3])
def test_a_session_that_was_made_anew_under_its_name_is_read_from_the_beginning(desk, rows):
    key = desk.accept().turn_id
    desk.reply("out-1", key)
    desk.reply("out-2", key)
    desk.look()
    (desk.sessions.store(S).folder / "outbound.db").unlink()
    for number in range(rows):
        desk.reply(f"new-{number}", key)
    desk.look()
    assert all(desk.row_of(f"new-{number}") is not None for number in range(rows))


def spoil(desk, key, text="not json"):
    with desk.state.database.transaction() as db:
        db.execute("UPDATE turn SET payload = ? WHERE turn_id = ?", (text, key)).fetchall()


@pytest.mark.parametrize("text", ["not json", "{}", ""])
def test_a_message_that_can_no_longer_be_read_holds_up_no_other_reply_of_its_session(desk, text):
    lost, other = desk.accept("one").turn_id, desk.accept("two").turn_id
    spoil(desk, lost, text)
    for name, key in (("o1", lost), ("o2", other)):
        desk.reply(name, key)
        desk.ack(key)
    desk.look()
    dead = desk.row_of("o1")
    assert (dead.status, "nobody knows where it goes" in dead.reason) == ("failed_terminal", True)
    assert (desk.turn(lost).status, desk.turn(lost).reason) == ("failed_terminal", "final_failed")
    assert [row.source for row in desk.rows()] == [encode_parts(S, "o2")]
    assert desk.turn(other).status == "delivery_pending"


def test_a_reply_that_says_itself_where_it_goes_is_sent_though_its_message_cannot_be_read(desk):
    lost = desk.accept("one").turn_id
    spoil(desk, lost)
    desk.reply("o1", lost, where=("chat", "room", "t"))
    desk.ack(lost)
    desk.look()
    (row,) = desk.rows()
    assert (row.channel, desk.payload(row).chat, desk.turn(lost).status) == ("chat", "room", "delivery_pending")


@pytest.mark.parametrize("made", [False, True], ids=["a new session", "a session that is there"])
def test_a_message_that_cannot_be_read_before_it_is_in_the_inbox_fails_visibly_and_holds_up_no_other(
    desk, monkeypatch, made
):
    if made:
        desk.accept("earlier")
    with monkeypatch.context() as killed:
        killed.setattr(Intake, "_join", lambda *_: None)
        lost, other = desk.accept("one").turn_id, desk.accept("two").turn_id
    spoil(desk, lost)
    assert recover_joins(desk.ports, desk.now_ms) == {}
    desk.look()
    assert (desk.turn(lost).status, desk.turn(lost).reason) == ("failed_terminal", "message_gone")
    assert other in desk.inbox() and lost not in desk.inbox()
    with desk.store.transaction() as work:
        (letter,) = work.tables.dead.of_message(S, lost)
    assert (letter.payload, letter.direction) == ("not json", "inbound")


@pytest.mark.parametrize("reason", ["context_lost", "anchor_lost", "exit_1"])
def test_an_answer_without_its_conversation_is_told_to_the_operator_once(desk, reason):
    key = desk.accept().turn_id
    desk.claim(key)
    note = json.dumps({"reason": reason, "detail": "it knows c-1 no more"})
    desk.container("INSERT INTO session_state VALUES (?, ?, '2027-01-01')", f"turnkeel:error:{key}", note)
    desk.look()
    assert not [event for event in desk.told if isinstance(event, ContextLost)]
    desk.reply("out-1", key)
    desk.ack(key)
    for _ in range(3):
        desk.look()
    told = [event for event in desk.told if isinstance(event, ContextLost)]
    assert told == ([] if reason == "exit_1" else [ContextLost(S, key, "it knows c-1 no more")])
