"""Do turns, outbox, trace and dead tell what became of every message, and does retry, drop or settle happen once?"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import pytest

from turnkeel.cli.app import run_command_line
from turnkeel.delivery.intake import Accepted, Duplicate, Intake
from turnkeel.delivery.mailboxes import FileMailboxes
from turnkeel_adapters.lifecycle import listing, trouble
from turnkeel_adapters.lifecycle.payloads import Incoming, Outgoing
from turnkeel_adapters.lifecycle.store import StateLifecycle
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.sessions.container_side import ContainerFiles, Reply
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.sessions.records import NewMessage, OutboundMark
from turnkeel_adapters.state.dead import DeadRecord
from turnkeel_adapters.state.store import HostState
from turnkeel_adapters.system.lock import DataLock
from turnkeel_adapters.wire import dumps
from turnkeel_core import (
    ChargeAttempt,
    DeferRow,
    EnqueueSnapshot,
    LocalFault,
    MessageIdentity,
    NoteAck,
    Permanent,
    Receipt,
    SessionFacts,
    Transient,
    Uncertain,
    finalize_turn_from_outbox,
    plan_deliveries,
    plan_enqueue,
    plan_expiry,
    settle_delivery,
)
from turnkeel_core import Reply as NewReply
from turnkeel_core.lifecycle_states import ROW_TERMINAL, TURN_TERMINAL
from turnkeel_core.turn_identity import encode_parts

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("core", "adapters", "shell"))}
VERSION_4 = (Path(__file__).parent / "turnkeel_db_version_4.sql").read_text(encoding="utf-8")
SECRET = "sk-ant-REDACTED"
READING = (
    ("turns",),
    ("turns", "--json"),
    ("turns", "g/asks", "--open", "--json"),
    ("outbox",),
    ("outbox", "--open", "--json"),
    ("outbox", "--status", "unknown", "--channel", "mail"),
    ("trace", "t1"),
    ("trace", "t1", "--json"),
    ("trace", "m-foreign"),
    ("trace", "m-foreign", "--json"),
    ("dead", "list"),
    ("dead", "list", "--json"),
    ("dead", "show", "r1", "--json"),
    ("status",),
    ("status", "--json"),
)
WEBHOOK = """
[channels.mail]
kind = "webhook"
url = "https://example.invalid/hook"
token_env = "HOOK_TOKEN"
idempotent = {keyed}
"""
KILLED_WRITER = """
import apsw, os, signal, sys
db = apsw.Connection(sys.argv[1])
db.pragma("cache_size", 1)
db.execute("BEGIN IMMEDIATE").fetchall()
db.execute("UPDATE turn SET status = 'aborted', completed_at_ms = 1, reason = 'never', lease_owner = NULL").fetchall()
db.cacheflush()
os.kill(os.getpid(), signal.SIGKILL)
"""


def now():
    return time.time_ns() // 1_000_000


@pytest.fixture(autouse=True)
def elsewhere(tmp_path_factory, monkeypatch):
    """No test finds a `./data` or a TURNKEEL_DATA of whoever runs it."""
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    monkeypatch.delenv("TURNKEEL_DATA", raising=False)


class World:
    """A data directory whose lifecycle is moved on by the core's own decisions, as a host would."""

    def __init__(self, place):
        self.place = place
        place.mkdir()

    @contextmanager
    def state(self):
        with HostState(self.place) as state:
            yield state

    @contextmanager
    def work(self):
        with self.state() as state, StateLifecycle(state.database).transaction() as work:
            yield work

    def accept(self, turn_id, session="g/asks", text="what is up?", *, message="p-1", channel="mail", again=None):
        with self.state() as state:
            intake = Intake(
                store=StateLifecycle(state.database),
                sessions=FileMailboxes(FileSessions(self.place)),
                closed=state.registry.closed,
                new_id=str,
                now_ms=now,
                owner="w",
            )
            content = json.dumps({"text": text})
            incoming = Incoming(message=NewMessage(message_id=turn_id, content=content), channel=channel, chat="here")
            identity = MessageIdentity(channel=channel, chat="here", message_id=f"{message}-{again or turn_id}")
            assert isinstance(intake.accept(session, incoming, identity), Duplicate if again else Accepted)

    def reply(
        self, row_id, turn_id=None, *, session="g/asks", parts=("hello",), channel="mail", source=None, ordinal=1
    ):
        made = NewReply(
            row_id=row_id, kind="final", channel=channel, lane=encode_parts(session, channel), ordinal=ordinal,
            parts=len(parts), session=session, source=source and encode_parts(session, source),
        )  # fmt: skip
        with self.work() as work:
            asked = EnqueueSnapshot(now_ms=now(), owner="w", replies=(made,))
            payload = dumps(Outgoing(parts=parts, chat="here", in_reply_to=turn_id))
            assert work.apply(plan_enqueue(work.enqueue(asked, turn_id)), now(), {row_id: payload}) == ()

    def send(self, row_id, outcome, at_ms=None):
        """One send of this row, as the delivery loop does it."""
        at_ms = now() if at_ms is None else at_ms
        with self.work() as work:
            claims = plan_deliveries(work.deliveries("w", at_ms, ()))
            (claim,) = (one for one in claims if one.row_id == row_id)
            assert work.apply([claim], at_ms) == ()
        with self.work() as work:
            seen = work.settle(row_id, claim.token, outcome, at_ms)
            assert work.apply(settle_delivery(seen), at_ms, because=outcome.error) == ()

    def ack(self, turn_id, outcome="completed"):
        """The container's last word, as the host notes and judges it."""
        with self.work() as work:
            facts = SessionFacts(row="completed", ack=outcome)
            work.apply([NoteAck(turn_id, outcome, now())], now(), because="container 1")
            work.apply(finalize_turn_from_outbox(work.turn(turn_id, now(), session=facts)), now())

    def row(self, row_id):
        with self.work() as work:
            return work.tables.outbox.get(row_id)

    def turn(self, turn_id):
        with self.work() as work:
            return work.tables.turns.get(turn_id)

    def foreign(self, message_id, session="g/asks", text="not accepted here"):
        sessions = FileSessions(self.place)
        sessions.tree.create(SessionName.parse(session))
        message = NewMessage(message_id=message_id, content=json.dumps({"text": text}), sent_at_ms=now())
        sessions.store(session).insert(message, now())


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "data")


@pytest.fixture
def told(world):
    """t1 is answered by r1 with an unknown arrival, t2 is open, t3 was delivered; rx failed for good."""
    world.accept("t1")
    world.reply("r1", "t1", parts=("one", "two"), source="out-1")
    world.send("r1", Uncertain("no answer in time", (Receipt(0, "platform-7", now()),)))
    world.accept("t2", text="and now?")
    world.accept("t3", "g/done")
    world.reply("r3", "t3", session="g/done")
    world.send("r3", Permanent("blocked by the user"))
    world.foreign("m-foreign")
    return world


@pytest.fixture
def run(capsys, world):
    def run(*argv, expect=0):
        code = run_command_line((*argv, "--data", str(world.place)))
        out = capsys.readouterr()
        assert code == expect, out.out + out.err
        assert "Traceback" not in out.err
        return out.out + out.err

    return run


@pytest.fixture
def read(run):
    return lambda *argv, expect=0: json.loads(run(*argv, "--json", expect=expect))


def tree_of(place):
    """Every path below, with its kind, bytes and mtime."""
    found = {}
    for path in sorted(place.rglob("*"), key=str):
        stat = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        found[str(path.relative_to(place))] = (stat.st_mode, stat.st_mtime_ns, stat.st_size, content)
    return found


def as_it_is(place):
    pass


def killed_inside_a_commit(place):
    done = subprocess.run([sys.executable, "-c", KILLED_WRITER, str(place / "turnkeel.db")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert [path for path in place.iterdir() if path.name in ("turnkeel.db-journal", "turnkeel.db-wal")]


def without_records(place):
    (place / "turnkeel.db").unlink()


def with_an_older_schema(place):
    (place / "turnkeel.db").unlink()
    with closing(apsw.Connection(str(place / "turnkeel.db"))) as db:
        db.execute(VERSION_4).fetchall()


def with_damaged_records(place):
    (place / "turnkeel.db").write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 20)


SHAPES = (as_it_is, killed_inside_a_commit, without_records, with_an_older_schema, with_damaged_records)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__.replace("_", " "))
def test_no_reading_command_of_the_lifecycle_changes_a_byte_or_fails_badly(told, capsys, shape):
    shape(told.place)
    before = tree_of(told.place)
    for argv in READING:
        code = run_command_line((*argv, "--data", str(told.place)))
        out = capsys.readouterr()
        assert code in (0, 1), (argv, out)
        assert "Traceback" not in out.err
        assert code == 0 or argv[0] in ("trace", "dead", "turns", "outbox"), (argv, out)
        if "--json" in argv and code == 0:
            json.loads(out.out)
        assert tree_of(told.place) == before, argv


@pytest.mark.parametrize("shape", (as_it_is, killed_inside_a_commit), ids=("host down", "host killed in a commit"))
def test_what_was_committed_is_told_though_the_host_was_killed(told, read, shape):
    shape(told.place)
    assert [turn["turn_id"] for turn in read("turns")["turns"]] == ["t3", "t2", "t1"]
    rows = {row["row_id"]: row["status"] for row in read("outbox")["rows"]}
    assert rows == {"r1": "unknown", "r3": "failed_terminal"}
    assert [one["message_id"] for one in read("dead", "list")["dead"]] == ["r3"]


def test_an_older_schema_is_never_shown_as_no_turns_and_says_what_helps(told, read, run):
    with_an_older_schema(told.place)
    assert "start the host once" in run("turns", expect=1)
    assert "start the host once" in read("status")["notes"][0]


def test_the_same_is_told_while_a_host_holds_the_data_directory(told, read):
    lock = DataLock(told.place, started_at_ms=now(), version="0")
    with lock, told.state() as state, state.database.reading():
        assert read("turns")["host"]["up"] is True
        assert len(read("outbox")["rows"]) == 2


# turns


def test_turns_tell_the_state_the_replies_and_what_each_waits_for(told, read, run):
    found = {turn["turn_id"]: turn for turn in read("turns")["turns"]}
    assert (found["t1"]["status"], found["t3"]["status"]) == ("accepted", "accepted")
    assert [row["row_id"] for row in found["t1"]["rows"]] == ["r1"]
    assert (found["t2"]["waits"]["rule"], found["t2"]["waits"]["because"]) == (
        "released", "its row waits for a container",
    )  # fmt: skip
    text = run("turns")
    assert "its row waits for a container" in text and "0 of 1 sent" in text


def test_a_turn_of_settled_rows_is_told_with_its_end(told, read, run):
    told.ack("t3")
    (turn,) = read("turns", "--status", "failed_terminal")["turns"]
    assert (turn["turn_id"], turn["reason"], turn["waits"]) == ("t3", "final_failed", None)
    assert turn["error"] == "blocked by the user"
    assert "failed_terminal: final_failed" in run("turns", "g/done")


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ((), ["t3", "t2", "t1"]),
        (("g/asks",), ["t2", "t1"]),
        (("--open",), ["t2", "t1"]),
        (("--status", "accepted"), ["t2", "t1"]),
        (("--status", "failed_terminal"), ["t3"]),
        (("g/asks", "--status", "failed_terminal"), []),
        (("g/done", "--status", "failed_terminal"), ["t3"]),
        (("g/asks", "--open"), ["t2", "t1"]),
    ],
    ids=lambda value: " ".join(value) or "all" if isinstance(value, tuple) else "",
)
def test_turns_are_chosen_and_paged_newest_first(told, read, argv, expected):
    told.ack("t3")
    assert [turn["turn_id"] for turn in read("turns", *argv)["turns"]] == expected
    paged, after = [], ()
    while True:
        page = read("turns", *argv, "--limit", "1", *after)
        paged += [turn["turn_id"] for turn in page["turns"]]
        if page["next"] is None:
            break
        after = ("--after", page["next"])
    assert paged == expected


@pytest.mark.parametrize(
    ("argv", "words", "code"),
    [
        (("turns", "--open", "--status", "running"), "not both", 2),
        (("outbox", "--open", "--status", "queued"), "not both", 2),
        (("turns", "--after", "nope"), "no turn nope", 1),
        (("outbox", "--after", "nope"), "no row nope", 1),
        (("turns", "--status", "nope"), "nope", 2),
        (("turns", "nobody"), "no session main/nobody", 1),
        (("outbox", "../up"), "..", 2),
        (("dead", "show", "nope"), "no dead letter nope", 1),
        (("dead", "retry"), "--all", 2),
        (("dead", "drop"), "name dead letters", 2),
        (("dead", "retry", "r3", "--all"), "not both", 2),
        (("outbox", "settle", "r1"), "--sent, --not-sent or --drop", 2),
        (("outbox", "settle", "r1", "--sent", "--drop"), "one of them", 2),
        (("outbox", "settle", "nope", "--sent"), "no row of the outbox", 1),
        (("trace", "nope"), "nothing is known of nope", 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_makes_no_sense_is_one_line(told, run, argv, words, code):
    text = run(*argv, expect=code)
    assert words in text and text.count("\n") <= 2


# outbox


def test_the_outbox_tells_why_each_row_is_not_sent(told, read, run):
    (row,) = read("outbox", "--open")["rows"]
    assert (row["row_id"], row["status"], row["parts_proven"], row["parts"]) == ("r1", "unknown", 1, 2)
    assert [receipt["platform_id"] for receipt in row["receipts"]] == ["platform-7"]
    assert row["waits"]["rule"] == "hold"
    assert "turnkeel outbox settle r1 --sent" in row["waits"]["because"]
    assert row["waits"]["expires_at_ms"] > now() + 23 * 3_600_000
    text = run("outbox")
    assert "1 of 2" in text and "last error: no answer in time" in text and "blocked by the user" in text


def test_a_failed_try_waits_for_its_time_and_is_given_up_at_its_expiry(world, read):
    world.accept("t1")
    world.reply("r1", "t1")
    world.send("r1", Transient("the channel is down"))
    world.reply("r2", "t1", ordinal=2)
    first, second = sorted(read("outbox")["rows"], key=lambda row: row["row_id"])
    assert first["waits"]["rule"] in ("not_due", "backoff")
    assert now() < first["waits"]["until_at_ms"] <= now() + 5_001
    assert first["waits"]["expires_at_ms"] == pytest.approx(now() + 1_800_000, abs=60_000)
    assert (second["waits"]["rule"], second["waits"]["until_at_ms"]) == ("lane", None)
    (turn,) = read("turns")["turns"]
    assert turn["waits"] is not None


def test_what_only_a_host_can_do_is_told_as_waiting_for_one(world, read):
    world.accept("t1")
    world.reply("r1", "t1")
    (row,) = read("outbox")["rows"]
    assert "no" not in row["waits"]["rule"] and "none is at work here" in row["waits"]["because"]
    with DataLock(world.place, started_at_ms=now(), version="0"):
        (row,) = read("outbox")["rows"]
        assert "the host does that now" in row["waits"]["because"]


def test_rows_are_chosen_by_channel_session_and_state(told, read):
    told.reply("r4", "t2", channel="chat")
    chosen = {
        ("--channel", "chat"): ["r4"],
        ("--channel", "mail"): ["r3", "r1"],
        ("g/asks",): ["r4", "r1"],
        ("--status", "failed_terminal"): ["r3"],
        ("g/done", "--status", "failed_terminal"): ["r3"],
        ("g/asks", "--channel", "mail"): ["r1"],
    }
    for argv, expected in chosen.items():
        assert [row["row_id"] for row in read("outbox", *argv)["rows"]] == expected, argv


def test_the_turns_of_one_session_are_paged_with_those_that_are_open_first(world, read):
    for name in ("t1", "t2", "t3", "t4"):
        world.accept(name, message=name)
    for name in ("t1", "t3"):
        world.reply(f"r-{name}", name)
        world.send(f"r-{name}", Permanent("blocked by the user"))
        world.ack(name)
    for limit in ("1", "2", "3"):
        paged, after = [], ()
        for _ in range(5):
            page = read("turns", "g/asks", "--limit", limit, *after)
            paged += [turn["turn_id"] for turn in page["turns"]]
            if page["next"] is None:
                break
            after = ("--after", page["next"])
        assert sorted(paged[:2]) == ["t2", "t4"] and sorted(paged[2:]) == ["t1", "t3"], (limit, paged)


def test_every_page_comes_from_an_index(world):
    bindings = {"limit": 1, "after": "a", "session": "s"}
    everywhere, of_one = ((), ("after",)), (("session",), ("session", "after"))
    # A session's turns are asked for as those that are open, then those that ended.
    turns = [(listing._TURN, status, of_one) for status in (listing._TURN_OPEN, tuple(TURN_TERMINAL))]
    turns += [(listing._TURN, (), everywhere), (listing._ROW, (), (*everywhere, *of_one))]
    words = ((listing._TURN, "accepted", "delivered"), (listing._ROW, "queued", "expired"))
    turns += [(of, (word,), (*everywhere, *of_one)) for of, *states in words for word in states]
    with world.state() as state, state.database.reading() as db:
        for of, status, ways in turns:
            for given in ways:
                query = listing.walk(of, TURN_TERMINAL | ROW_TERMINAL, status, frozenset(given))
                plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {query}", bindings).fetchall()]
                in_order_of_storing = not given and not status
                assert in_order_of_storing or not {"SCAN turn", "SCAN outbox"} & {*plan}, (query, plan)
                sorted_all = "USE TEMP B-TREE FOR ORDER BY" in plan
                assert not sorted_all or "completed_at_ms IS NULL" in query, (query, plan)
        (step, *_) = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {trouble.SQL}").fetchall()]
        assert "outbox_open" in step


# trace


def lives(document):
    return [(moment["what"], moment["words"]) for moment in document["life"]]


def test_trace_tells_one_life_in_order(told, read, run):
    found = read("trace", "t1")
    assert (found["accepted"], found["turn"]["turn_id"], found["message"]) == (True, "t1", "what is up?")
    assert found["identity"] == encode_parts("mail", "", "here", None, "p-1-t1")
    names = [what for what, _ in lives(found)]
    assert names == ["accepted", "written", "EnqueueRow", "ClaimRow", "RecordReceipts", "MarkUnknown"]
    assert [moment["at_ms"] for moment in found["life"]] == sorted(moment["at_ms"] for moment in found["life"])
    words = "\n".join(text for _, text in lives(found))
    assert "accepted by mail of chat here" in words and "#2" in words
    assert "row r1: send 1 begins at part 1, by w" in words and "arrived as platform-7" in words
    assert "arrival unknown: no answer in time" in words
    assert [(row["row_id"], row["text"]) for row in found["rows"]] == [("r1", "one\ntwo")]
    text = run("trace", "t1")
    assert "outcome: accepted" in text and "row r1: nobody can tell whether it arrived" in text
    assert "turnkeel outbox settle r1" in text


@pytest.mark.parametrize("asked", ["t1", "r1", "out-1", "out-", "r1"])
def test_trace_finds_a_turn_by_each_of_its_names_and_their_beginnings(told, read, asked):
    assert read("trace", asked)["turn"]["turn_id"] == "t1"


def test_a_beginning_that_several_share_names_them(told, run):
    text = run("trace", "t", expect=1)
    assert "t may be t1, t2, t3" in text


def test_trace_names_attempts_containers_and_dead_letters(told, read):
    with told.state() as state:
        state.incarnations.begin("g/asks", 1, now(), OutboundMark(replies=0, acks=0))
        state.incarnations.started("g/asks", 1, "process", "p1")
        state.charges.note("g/asks", (ChargeAttempt("t2", 1, 1, now() + 5_000, "silent"),), now())
        state.incarnations.ended(
            "g/asks", 1, at_ms=now(), ending="exited", exit_code=None, exit_signal=9, progressed=False
        )
        state.dead.keep(DeadRecord(session="g/asks", message_id="t2", payload="{}", reason="silent", made_at_ms=now()))
    words = [text for _, text in lives(read("trace", "t2"))]
    assert "container 1 started" in words
    assert "container 1 ended by itself, signal 9" in words
    assert "attempt 1 charged to container 1: silent" in words
    assert "kept as a dead letter, now dead: silent" in words


def test_DD_03_a_message_delivered_again_and_again_is_counted_and_told_by_its_turn(world, read, run):
    world.accept("t1")
    assert "again" not in {what for what, _ in lives(read("trace", "t1"))}
    for number in range(3):
        world.accept(f"other-{number}", again="t1")
    assert [turn["turn_id"] for turn in read("turns")["turns"]] == ["t1"]
    assert ("again", "delivered by its channel 3 times more, the last time: no new turn") in lives(read("trace", "t1"))
    assert "3 times more" in run("trace", "t1")


def test_a_reply_that_came_after_the_end_of_its_turn_belongs_to_its_life(told, read):
    told.ack("t3")
    with closing(ContainerFiles(FileSessions(told.place).store("g/done").folder)) as files:
        work = files.claim_next(now(), first_poll=True)
        files.settle(work, "completed", Reply(text="late", in_reply_to="t3"), now(), None)
    with closing(apsw.Connection(str(told.place / "v2-sessions/g/done/outbound.db"))) as db:
        [(reply_id,)] = db.execute("SELECT id FROM messages_out").fetchall()
    told.reply("r-late", "t3", session="g/done", source=reply_id, ordinal=2)
    assert told.row("r-late").turn_id is None
    found = read("trace", "t3")
    assert [row["row_id"] for row in found["rows"]] == ["r3", "r-late"]
    assert ("claim" in [what for what, _ in lives(found)]) is False
    assert found["outcome"] == "failed_terminal: final_failed: blocked by the user"
    alone = read("trace", "r-late")
    assert (alone["accepted"], alone["turn"], alone["outcome"]) == (False, None, "queued")


def test_a_message_that_was_not_accepted_here_is_told_from_its_session(told, read, run):
    text = run("trace", "m-foreign")
    assert "this host never accepted it" in text and "not accepted here" in text
    found = read("trace", "m-foreign")
    assert (found["accepted"], found["messages"][0]["session"]) == (False, "g/asks")


@pytest.mark.parametrize(
    ("shape", "accepted"), [(without_records, False), (with_an_older_schema, None), (with_damaged_records, None)]
)
def test_a_trace_without_readable_records_claims_no_more_than_it_knows(told, read, shape, accepted):
    shape(told.place)
    found = read("trace", "t1")
    assert (found["accepted"], found["messages"][0]["row"]["state"]) == (accepted, "pending")


def test_an_exact_id_of_a_foreign_message_is_not_taken_for_the_beginning_of_a_turn(told, read):
    told.foreign("t", "g/other")
    assert read("trace", "t")["accepted"] is False


# status


def test_the_health_line_says_what_waits_for_a_person_and_clears(told, read, run):
    told.accept("t9", "g/ops")
    told.reply("r9", "t9", session="g/ops", channel="ops")
    told.send("r9", LocalFault("no channel ops is set up"))
    text = run("status")
    assert (
        "attention: 1 dead letter: turnkeel dead list;"
        " 1 reply whose arrival is unknown: turnkeel outbox --status unknown;"
        " 1 reply waits until channel ops can be used: turnkeel outbox --channel ops" in text
    )
    health = read("status")["health"]
    assert (health["dead"], health["unknown"]) == (1, 1)
    assert [(one["channel"], one["unknown"], one["deferred"]) for one in health["channels"]] == [
        ("mail", 1, 0), ("ops", 0, 1),
    ]  # fmt: skip
    run("dead", "drop", "r3")
    run("outbox", "settle", "r1", "--sent")
    run("outbox", "settle", "r9", "--drop")
    assert "attention" not in run("status")
    health = read("status")["health"]
    assert (health["dead"], health["channels"], health["unknown"]) == (0, [], 0)


def test_a_reply_that_a_person_settled_says_so_in_its_life(told, read, run):
    run("outbox", "settle", "r1", "--sent")
    words = [text for what, text in lives(read("trace", "t1")) if what == "DeliverRow"]
    assert words == ["row r1: reply delivered, 2 parts (a person said so)"]


# dead letters


def test_dead_letters_are_listed_and_shown_with_all_that_helps(told, read, run):
    (letter,) = read("dead", "list")["dead"]
    assert (letter["direction"], letter["session"], letter["message_id"]) == ("outbound", "g/done", "r3")
    assert (letter["reason"], letter["detail"], letter["tries"]) == ("permanent", "blocked by the user", 1)
    assert (letter["state"], letter["text"]) == ("dead", "hello")
    shown = read("dead", "show", "r3")["dead"]
    assert shown["payload"]["parts"] == ["hello"]
    assert shown["how_to_go_on"][0].startswith("turnkeel dead retry r3 --session g/done")
    text = run("dead", "show", "r3")
    assert "reply r3 of g/done: dead since" in text and "    hello" in text and "turnkeel dead drop r3" in text
    assert "permanent: blocked by the user" in run("dead", "list")


def test_dead_letters_are_paged_and_chosen(world, read):
    with world.state() as state:
        for number in range(5):
            state.registry.seen((f"g/s{number % 2}",), now())
            record = DeadRecord(
                session=f"g/s{number % 2}", message_id=f"m{number}", payload="{}", reason="x", made_at_ms=now()
            )
            state.dead.keep(record)
    first = read("dead", "list", "--limit", "3")
    assert [one["message_id"] for one in first["dead"]] == ["m4", "m3", "m2"]
    rest = read("dead", "list", "--limit", "3", "--after", str(first["next"]))
    assert ([one["message_id"] for one in rest["dead"]], rest["next"]) == (["m1", "m0"], None)
    assert [one["message_id"] for one in read("dead", "list", "g/s1")["dead"]] == ["m3", "m1"]
    assert read("dead", "list", "--state", "dropped")["dead"] == []


def test_secrets_are_shown_by_no_command(world, run):
    world.accept("t1", text=f"use {SECRET}")
    world.reply("r1", "t1", parts=(f"I used {SECRET}",))
    world.send("r1", Permanent(f"refused: {SECRET}"))
    with world.state() as state:
        payload = json.dumps({"text": SECRET})
        state.dead.keep(DeadRecord(session="g/asks", message_id="t1", payload=payload, reason="x", made_at_ms=now()))
    shown = (("dead", "show", "r1"), ("dead", "show", "t1"))
    for argv in (("turns",), ("outbox",), ("trace", "t1"), ("dead", "list"), *shown):
        for form in ((), ("--json",)):
            assert SECRET not in run(*argv, *form), (argv, form)


def test_what_a_message_says_cannot_steer_the_terminal(world, run):
    world.accept("t1", text="\x1b[2J gone")
    world.reply("r1", "t1", parts=("\x1b]0;title\x07",))
    world.send("r1", Permanent("\x1b[31m"))
    for argv in (("turns",), ("outbox",), ("trace", "t1"), ("dead", "list"), ("dead", "show", "r1")):
        assert "\x1b" not in run(*argv), argv


def test_a_dead_reply_is_sent_again_once_under_its_key_from_its_missing_part(told, run, read):
    told.accept("t5", "g/five")
    told.reply("r5", "t5", session="g/five", parts=("one", "two"), source="out-5")
    told.send("r5", Permanent("too long", (Receipt(0, "p0", now()),)))
    dead = told.row("r5")
    text = run("dead", "retry", "r5")
    (new_id,) = (word for word in text.split() if word.startswith("row-"))
    row = told.row(new_id.rstrip(","))
    assert (row.status, row.turn_id, row.attempts, row.parts_proven) == ("queued", None, 0, 1)
    assert (row.idempotency_key, row.source) == (dead.idempotency_key, dead.source)
    assert (row.lane, row.session) == (dead.lane, "g/five")
    assert told.row("r5") == dead
    assert "no host is at work here" in text and (told.place / ".doorbell").exists()
    assert "retried already" in run("dead", "retry", "r5")
    assert len(read("outbox", "g/five")["rows"]) == 2
    assert [one["message_id"] for one in read("dead", "list", "--state", "retried")["dead"]] == ["r5"]
    assert "retry of r5" in run("trace", new_id.rstrip(","))
    told.send(row.row_id, Permanent("again"))
    assert "row-" in run("dead", "retry", row.row_id)


def test_a_reply_that_may_have_arrived_is_sent_again_only_if_a_person_says_so(world, run, read, tmp_path):
    world.accept("t1")
    world.reply("r1", "t1")
    world.send("r1", Uncertain("no answer in time"))
    with world.work() as work:
        row = work.tables.outbox.get("r1")
        at_ms = now() + 100 * 3_600_000
        work.apply(plan_expiry(work.expiry(at_ms)), at_ms)
    assert (row.status, world.row("r1").status) == ("unknown", "expired")
    text = run("dead", "retry", "r1", expect=1)
    assert "may have arrived" in text and "--even-if-sent" in text and "give --config" in text
    config = tmp_path / "turnkeel.toml"
    config.write_text(WEBHOOK.format(keyed="false"), encoding="utf-8")
    text = run("dead", "retry", "r1", "--config", str(config), expect=1)
    assert "shows the same message twice" in text and "give --config" not in text
    assert read("dead", "list")["dead"][0]["state"] == "dead"
    assert "row-" in run("dead", "retry", "r1", "--even-if-sent")


def test_a_configured_channel_says_whether_a_reply_can_be_sent_again(world, run, read, tmp_path):
    world.accept("t1")
    world.reply("r1", "t1")
    world.send("r1", Uncertain("no answer in time"))
    config = tmp_path / "turnkeel.toml"
    config.write_text(WEBHOOK.format(keyed="true"), encoding="utf-8")
    assert "give --config" in read("outbox")["rows"][0]["waits"]["because"]
    (row,) = read("outbox", "--config", str(config))["rows"]
    assert row["waits"]["rule"] in ("backoff", "not_due") and row["waits"]["until_at_ms"] > now() - 60_000


def test_a_local_reply_that_may_have_arrived_is_kept_again_without_asking(world, run):
    world.accept("t1", channel="local")
    world.reply("r1", "t1", channel="local")
    world.send("r1", Uncertain("no answer in time"))
    with world.work() as work:
        row = work.tables.outbox.get("r1")
        seen = work.settle("r1", row.token, Permanent("gone"), now())
        work.apply(settle_delivery(seen), now())
    assert "row-" in run("dead", "retry", "r1")


def test_a_dead_message_becomes_a_new_turn_with_the_same_payload_once(told, run, read):
    told.ack("t2", "failed")
    with told.state() as state:
        state.dead.keep(
            DeadRecord(session="g/asks", message_id="t2", payload='{"text": "and now?"}', reason="x", made_at_ms=now())
        )
    assert told.turn("t2").status == "failed_terminal"
    found = read("dead", "retry", "t2")["settled"]
    (settled,) = found
    assert (settled["direction"], settled["state"], settled["already"], settled["waits"]) == (
        "inbound", "retried", False, None,
    )  # fmt: skip
    again = told.turn(settled["new_id"])
    assert (again.status, again.session, again.in_session) == ("accepted", "g/asks", True)
    with told.work() as work:
        payload = json.loads(work.tables.turns.payload(settled["new_id"]))
    assert (payload["channel"], payload["chat"], payload["message"]["message_id"]) == ("mail", "here", again.turn_id)
    lines = [line for line in read("show", "g/asks")["lines"] if line["message_id"] == again.turn_id]
    assert [line["text"] for line in lines] == ["and now?"]
    assert "retried already" in run("dead", "retry", "t2")
    assert len(read("turns", "g/asks")["turns"]) == 3
    assert "retry of t2" in run("trace", again.turn_id)


@pytest.mark.parametrize("in_file", [True, False], ids=["its row is still there", "only its content was kept"])
def test_a_dead_message_that_was_never_a_turn_is_answered_anew_as_it_lies_there(world, read, in_file):
    content = json.dumps({"text": "hi"})
    sessions = FileSessions(world.place)
    sessions.tree.create(SessionName.parse("g/asks"))
    if in_file:
        message = NewMessage(message_id="m1", content=content, kind="task", channel_type="mail", platform_id="c")
        sessions.store("g/asks").insert(message, now())
    with world.state() as state:
        state.dead.keep(DeadRecord(session="g/asks", message_id="m1", payload=content, reason="x", made_at_ms=now()))
    (settled,) = read("dead", "retry", "m1")["settled"]
    stored = sessions.store("g/asks").stored(settled["new_id"]).message
    assert (stored.content, stored.kind) == (content, "task" if in_file else "chat")
    with world.work() as work:
        payload = json.loads(work.tables.turns.payload(settled["new_id"]))
    assert (payload["channel"], payload["chat"]) == (("mail", "c") if in_file else ("local", ""))


def test_all_dead_letters_are_retried_and_what_may_not_be_is_told(told, run, read):
    with told.state() as state:
        for message_id, payload in (("m1", '{"text": "x"}'), ("m2", None)):
            state.dead.keep(
                DeadRecord(session="g/asks", message_id=message_id, payload=payload, reason="x", made_at_ms=now())
            )
    text = run("dead", "retry", "--all", expect=1)
    assert "m1: retried as turn" in text and "r3: retried as row" in text and "m2: nothing of it was kept" in text
    assert [one["message_id"] for one in read("dead", "list")["dead"]] == ["m2"]
    run("dead", "drop", "m2")
    assert "no dead letters" in run("dead", "retry", "--all")


def test_a_closed_session_gets_no_retry(told, run, read):
    with told.state() as state:
        state.dead.keep(DeadRecord(session="g/asks", message_id="m1", payload="{}", reason="x", made_at_ms=now()))
        state.registry.seen(("g/asks",), now())
        state.registry.close("g/asks", now())
    assert "turnkeel session open g/asks" in run("dead", "retry", "m1", expect=1)
    assert read("dead", "list", "g/asks")["dead"][0]["state"] == "dead"


def test_the_same_id_in_two_sessions_asks_which(world, run):
    with world.state() as state:
        for session in ("g/a", "g/b"):
            state.registry.seen((session,), now())
            state.dead.keep(DeadRecord(session=session, message_id="m1", payload="{}", reason="x", made_at_ms=now()))
    assert "give --session" in run("dead", "drop", "m1", expect=1)
    assert "m1: dropped" in run("dead", "drop", "m1", "--session", "g/a")
    assert "m1: dropped" in run("dead", "drop", "m1", "--session", "g/b")


def test_a_dropped_letter_keeps_what_it_says_and_is_dropped_once(told, run, read):
    assert "r3: dropped" in run("dead", "drop", "r3")
    assert "dropped already" in run("dead", "drop", "r3")
    assert "dropped already" in run("dead", "retry", "r3")
    shown = read("dead", "show", "r3")["dead"]
    assert (shown["state"], shown["text"], shown["how_to_go_on"]) == ("dropped", "hello", [])


# outbox settle


@pytest.mark.parametrize(
    ("word", "status", "words"),
    [
        ("--sent", "delivered", "r1: delivered, read back; its turn t1 is"),
        ("--not-sent", "failed_retryable", "sent again by the next turnkeel run"),
        ("--drop", "failed_terminal", "r1: failed_terminal"),
    ],
)
def test_a_person_settles_a_reply_whose_arrival_is_unknown(told, run, word, status, words):
    before = now()
    assert words in run("outbox", "settle", "r1", word)
    row = told.row("r1")
    assert row.status == status
    assert (told.place / ".doorbell").exists()
    if word == "--not-sent":
        assert (row.parts_proven, row.due_at_ms) == (1, pytest.approx(before, abs=5_000))
        assert "not unknown" in run("outbox", "settle", "r1", "--sent", expect=1)
        return
    again = run("outbox", "settle", "r1", word)
    assert "was so before" in again
    assert "has ended" in run("outbox", "settle", "r1", "--not-sent", expect=1)


def test_a_persons_word_that_a_reply_arrived_keeps_the_proofs_of_the_channel(told, run):
    run("outbox", "settle", "r1", "--sent")
    with told.work() as work:
        receipts = work.tables.receipts.of_row("r1")
    assert [(one.part, one.platform_id) for one in receipts] == [(0, "platform-7"), (1, None)]


@pytest.mark.parametrize(
    ("word", "mark", "files"),
    [("--sent", [("out-1", "platform-7", "delivered")], False), ("--drop", [("out-1", None, "failed")], True)],
)
def test_a_persons_word_is_marked_in_the_session_whose_host_has_taken_the_reply_already(told, run, word, mark, files):
    folder = told.place / "v2-sessions" / "g" / "asks" / "outbox" / "out-1"
    folder.mkdir(parents=True)
    run("outbox", "settle", "r1", word)
    with closing(apsw.Connection(str(folder.parents[1] / "inbound.db"))) as db:
        marks = db.execute("SELECT message_out_id, platform_message_id, status FROM delivered").fetchall()
    assert (marks, folder.exists()) == (mark, files)


def test_a_session_that_cannot_be_marked_keeps_nobody_from_settling(told, run):
    inbox = told.place / "v2-sessions" / "g" / "asks" / "inbound.db"
    inbox.rename(inbox.with_name("away"))
    assert "its session does not say so yet" in run("outbox", "settle", "r1", "--drop")
    assert told.row("r1").status == "failed_terminal"
    inbox.with_name("away").rename(inbox)
    assert "does not say so" not in run("outbox", "settle", "r1", "--drop")


def test_a_row_that_is_being_sent_or_goes_its_way_is_left_alone(world, run):
    world.accept("t1")
    world.reply("r1", "t1")
    assert "it is sent by itself" in run("outbox", "settle", "r1", "--sent", expect=1)
    with world.work() as work:
        work.apply(plan_deliveries(work.deliveries("w", now(), ())), now())
    assert "is being sent just now" in run("outbox", "settle", "r1", "--drop", expect=1)
    assert world.row("r1").status == "sending"


def test_a_reply_that_waits_for_its_channel_can_be_given_up(world, run):
    world.accept("t1")
    world.reply("r1", "t1")
    world.send("r1", LocalFault("no channel mail is set up"))
    assert world.row("r1").deferred_since_at_ms is not None
    assert "r1: failed_terminal" in run("outbox", "settle", "r1", "--drop")


@pytest.mark.parametrize("argv", [("dead", "retry", "x"), ("dead", "drop", "x"), ("outbox", "settle", "x", "--sent")])
def test_a_writing_command_makes_no_store_where_there_is_none(world, run, argv):
    assert "has no turnkeel.db" in run(*argv, expect=1)
    assert list(world.place.iterdir()) == []


@pytest.mark.parametrize("moment", ["before the commit", "after the commit"])
def test_a_retry_killed_at_its_commit_happens_once(told, run, read, moment):
    """Killed before it nothing was done; killed after it the next host writes the message into its session."""
    with told.state() as state:
        state.dead.keep(DeadRecord(session="g/asks", message_id="m1", payload="{}", reason="x", made_at_ms=now()))
    where = "retry_message" if moment == "before the commit" else "join"
    code = (
        "import os, signal, sys; from turnkeel.cli import dead_back;"
        f"was = dead_back.{where};"
        f"dead_back.{where} = lambda *args: ({'was(*args), ' if where == 'retry_message' else ''}"
        "os.kill(os.getpid(), signal.SIGKILL));"
        "from turnkeel.cli.app import run_command_line;"
        "run_command_line(['dead', 'retry', 'm1', '--data', sys.argv[1]])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(told.place)], env=ENVIRONMENT, check=False)
    assert done.returncode == -signal.SIGKILL
    states = {one["message_id"]: one["state"] for one in read("dead", "list", "--state", "dead")["dead"]}
    turns = [turn["turn_id"] for turn in read("turns", "g/asks")["turns"]]
    if moment == "before the commit":
        assert (states.get("m1"), turns) == ("dead", ["t2", "t1"])
        run("dead", "retry", "m1")
    else:
        assert "m1" not in states and len(turns) == 3
        assert "its row is missing" in run("turns", "g/asks")
        assert "retried already" in run("dead", "retry", "m1")
    assert len(read("turns", "g/asks")["turns"]) == 3


def test_a_deferral_is_told_in_a_life(world, run):
    world.accept("t1")
    world.reply("r1", "t1")
    world.send("r1", LocalFault("no channel mail is set up"))
    text = run("trace", "t1")
    assert "channel not usable: no channel mail is set up" in text
    assert DeferRow.__name__ not in text


def test_the_help_says_how_trace_and_why_differ(run, capsys):
    assert run_command_line(["trace", "--help"]) == 0
    assert "turnkeel why ID" in capsys.readouterr().out


def host(place, *more):
    return subprocess.Popen(
        [sys.executable, "-m", "turnkeel", "run", "--data", str(place), *more],
        env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def wait_for(question, limit_s=60):
    deadline = time.monotonic() + limit_s
    while not (answer := question()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert answer
    return answer


@pytest.mark.long
def test_a_message_that_failed_is_retried_at_a_host_at_work_and_told_when_that_is_killed(world, read, run, tmp_path):
    config = tmp_path / "turnkeel.toml"
    config.write_text("[retry]\nmax_tries = 1\n", encoding="utf-8")
    message_id = run("send", "anna", "hello").strip()
    assert host(world.place, "--config", str(config), "--agent", "false", "--until-idle").wait(60) == 1
    (letter,) = read("dead", "list")["dead"]
    assert (letter["message_id"], letter["direction"], letter["text"]) == (message_id, "inbound", "hello")
    failed = read("trace", message_id)
    words = "\n".join(text for _, text in lives(failed))
    assert "claimed by container 1: attempt 1" in words and "turn failed: attempts_exhausted" in words

    at_work = host(world.place, "--agent", "tr a-z A-Z")
    try:
        wait_for(lambda: read("turns")["host"]["up"])
        (settled,) = read("dead", "retry", message_id)["settled"]
        wait_for(lambda: read("turns", "--status", "delivered")["turns"])
        alive = read("trace", settled["new_id"])
        assert alive["outcome"] == "delivered: sent" and alive["rows"][0]["text"].endswith("HELLO")
        os.kill(at_work.pid, signal.SIGKILL)
        at_work.wait(60)
        killed = read("trace", settled["new_id"])
        assert killed["host"]["up"] is False
        assert [moment["words"] for moment in killed["life"]][:4] == [moment["words"] for moment in alive["life"]][:4]
        reply = next(line for line in read("show", "anna")["lines"] if line["text"].endswith("HELLO"))
        assert read("trace", reply["message_id"])["turn"]["turn_id"] == settled["new_id"]
        assert "attention" not in run("status")
    finally:
        if at_work.poll() is None:
            os.kill(at_work.pid, signal.SIGTERM)
            at_work.wait(60)
    assert host(world.place, "--agent", "tr a-z A-Z", "--until-idle").wait(60) == 0
