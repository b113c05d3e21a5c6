"""Do the reading commands tell the truth about a data directory, and leave every byte of it as it was?"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import pytest

from turnkeel.cli.app import run_command_line
from turnkeel_adapters.runners.marker import AGENT_VARIABLE, write_marker
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.sessions.container_side import ContainerFiles, ErrorNote, Reply
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.sessions.records import NewMessage, OutboundMark
from turnkeel_adapters.state import durability
from turnkeel_adapters.state.dead import DeadRecord
from turnkeel_adapters.state.journal import JournalLine
from turnkeel_adapters.state.notes import Parked
from turnkeel_adapters.state.store import HostState
from turnkeel_adapters.system.lock import DataLock
from turnkeel_adapters.wire import dumps
from turnkeel_core import (
    ChargeAttempt,
    NoContainer,
    OpenMessage,
    StuckPolicy,
    SweepPolicy,
    SweepSnapshot,
    explain_sweep,
    plan_sweep,
)

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("core", "adapters", "shell"))}
READING = (
    ("status",),
    ("status", "--json"),
    ("show", "g/asks"),
    ("show", "g/asks", "--json"),
    ("sweep", "--dry-run"),
    ("sweep", "--dry-run", "--explain", "--json"),
    ("why", "g/asks"),
    ("why", "g/asks", "--json"),
    ("why", "m1"),
    ("why", "m1", "--json"),
    ("why", "no-such-message"),
    ("check",),
    ("check", "--explain", "--json"),
)
KILLED_WRITER = """
import apsw, os, signal, sys
db = apsw.Connection(sys.argv[1])
db.execute("BEGIN IMMEDIATE").fetchall()
db.execute(sys.argv[2]).fetchall()
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


@pytest.fixture
def data(tmp_path):
    """A data directory with the session `g/asks` that has one message, `m1`."""
    place = tmp_path / "data"
    place.mkdir()
    add(place, "g/asks", "m1", "what is up?")
    return place


def add(place, session, message_id, text, **more):
    sessions = FileSessions(place)
    sessions.tree.create(SessionName.parse(session))
    content = json.dumps({"text": text})
    message = NewMessage(message_id=message_id, content=content, sent_at_ms=now() - 5_000, **more)
    sessions.store(session).insert(message, now())


def container(place, session):
    return closing(ContainerFiles(FileSessions(place).store(session).folder))


def claim(place, session, at_ms=None):
    with container(place, session) as files:
        assert files.claim_next(now() if at_ms is None else at_ms, first_poll=True) is not None


def answer(place, session, text, outcome="completed", note=None):
    with container(place, session) as files:
        work = files.claim_next(now(), first_poll=True)
        reply = Reply(text=text, in_reply_to=work.message.message_id) if text is not None else None
        files.settle(work, outcome, reply, now(), note)


def tree_of(place):
    """Every path below, with its kind, bytes and mtime."""
    found = {}
    for path in sorted(place.rglob("*"), key=str):
        stat = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() and not path.is_symlink() else None
        found[str(path.relative_to(place))] = (stat.st_mode, stat.st_mtime_ns, stat.st_size, content)
    return found


@pytest.fixture
def run(capsys):
    def run(*argv, expect=0):
        code = run_command_line(argv)
        told = capsys.readouterr()
        assert code == expect, told.out + told.err
        assert "Traceback" not in told.err
        return told.out + told.err

    return run


@pytest.fixture
def read(run, data):
    """The JSON document of a reading command on `data`."""

    def read(*argv, expect=0):
        return json.loads(run(*argv, "--json", "--data", str(data), expect=expect))

    return read


def condition(read, session="g/asks"):
    (found,) = (one for one in read("status")["sessions"] if one["session"] == session)
    return found


def kill_inside_a_transaction(path, statement):
    done = subprocess.run([sys.executable, "-c", KILLED_WRITER, str(path), statement], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.with_name(f"{path.name}-journal").stat().st_size > 0


def as_it_is(place):
    pass


def with_records(place):
    HostState(place).close()


def with_hot_inbound(place):
    kill_inside_a_transaction(place / "v2-sessions/g/asks/inbound.db", "UPDATE messages_in SET status = 'failed'")


def with_hot_outbound(place):
    claim(place, "g/asks")
    kill_inside_a_transaction(place / "v2-sessions/g/asks/outbound.db", "DELETE FROM processing_ack")


def with_hot_records(place):
    with HostState(place) as state:
        state.registry.seen(("g/asks",), 1)
    kill_inside_a_transaction(place / "turnkeel.db", "UPDATE session SET status = 'closed'")


def with_records_in_wal(place):
    with_records(place)
    with closing(apsw.Connection(str(place / "turnkeel.db"))) as db:
        assert db.pragma("journal_mode", "wal") == "wal"


KILLED_HOST = """
import os, signal, sys
from pathlib import Path
from turnkeel_adapters.state import durability
from turnkeel_adapters.state.store import HostState
durability.journal_mode_for = lambda path: "wal"
state = HostState(Path(sys.argv[1]))
state.registry.close("g/asks", 1)
os.kill(os.getpid(), signal.SIGKILL)
"""


def with_the_log_of_a_killed_host(place):
    done = subprocess.run([sys.executable, "-c", KILLED_HOST, str(place)], check=False, env=ENVIRONMENT)
    assert done.returncode == -signal.SIGKILL
    assert (place / "turnkeel.db-wal").stat().st_size > 0


def with_damaged_records(place):
    (place / "turnkeel.db").write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 20)


def with_foreign_records(place):
    (place / "turnkeel.db").write_text("no database at all, by any measure")


def with_empty_records(place):
    (place / "turnkeel.db").touch()


def with_newer_records(place):
    with_records(place)
    with closing(apsw.Connection(str(place / "turnkeel.db"))) as db:
        db.pragma("user_version", 999)


def with_unmerged_wal(place):
    path = place / "v2-sessions/g/asks/outbound.db"
    copies = place.parent / "wal"
    copies.mkdir()
    with closing(apsw.Connection(str(path))) as db:
        db.pragma("journal_mode", "wal")
        db.execute("INSERT INTO processing_ack VALUES ('m1', 'completed', 'x')").fetchall()
        for name in ("outbound.db", "outbound.db-wal"):
            shutil.copy(path.with_name(name), copies / name)
    for name in ("outbound.db", "outbound.db-wal"):
        shutil.copy(copies / name, path.with_name(name))


def with_empty_inbound(place):
    (place / "v2-sessions/g/asks/inbound.db").write_bytes(b"")


def with_truncated_outbound(place):
    os.truncate(place / "v2-sessions/g/asks/outbound.db", 5_000)


def with_foreign_outbound(place):
    (place / "v2-sessions/g/asks/outbound.db").write_text("some other file")


def without_outbound(place):
    (place / "v2-sessions/g/asks/outbound.db").unlink()


def with_strange_folders(place):
    (place / "v2-sessions/g/bad name").mkdir()
    (place / "v2-sessions/g/bad name/inbound.db").touch()
    (place / "v2-sessions/g/link").symlink_to(place)
    (place / "v2-sessions/g/.claude-shared").mkdir()


def with_open_incarnation(place):
    with HostState(place) as state:
        state.incarnations.begin("g/asks", 1, now() - 1_000, OutboundMark(replies=0, acks=0))
        state.incarnations.started("g/asks", 1, "process", "1:1")
    (place / "install-id").write_text("abc\n")


def with_a_claim_and_a_cron(place):
    claim(place, "g/asks")
    add(place, "g/asks", "daily", "again", recurrence="0 9 * * *", due_at_ms=now() + 3_600_000)


SHAPES = (
    as_it_is, with_records, with_hot_inbound, with_hot_outbound, with_hot_records, with_records_in_wal,
    with_the_log_of_a_killed_host,
    with_damaged_records, with_foreign_records, with_empty_records, with_newer_records, with_unmerged_wal,
    with_empty_inbound, with_truncated_outbound, with_foreign_outbound, without_outbound, with_strange_folders,
    with_open_incarnation, with_a_claim_and_a_cron,
)  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__.replace("_", " "))
def test_no_reading_command_changes_a_byte_or_fails_badly(data, shape, capsys):
    shape(data)
    before = tree_of(data)
    for argv in READING:
        code = run_command_line((*argv, "--data", str(data)))
        told = capsys.readouterr()
        assert code in (0, 1), (argv, told)
        assert "Traceback" not in told.err
        assert code == 0 or argv[0] != "status", told
        if "--json" in argv and code == 0:
            json.loads(told.out)
        assert tree_of(data) == before, argv


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        (with_hot_inbound, "hot_journal"),
        (with_hot_outbound, "hot_journal"),
        (with_unmerged_wal, "wal"),
        (with_empty_inbound, "empty"),
        (with_truncated_outbound, "corrupt"),
        (with_foreign_outbound, "not_sqlite"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_session_that_cannot_be_read_is_faulty_and_hides_no_other(data, read, shape, kind):
    add(data, "g/fine", "m2", "hello")
    shape(data)
    assert condition(read)["state"] == "faulty"
    assert f": {kind}:" in condition(read)["reason"]
    assert condition(read, "g/fine")["state"] == "due"
    assert f": {kind}:" in read("why", "g/asks")["fault"]
    swept = read("sweep", "--dry-run", expect=1)
    assert [one["session"] for one in swept["sessions"]] == ["g/fine"]
    assert [one["session"] for one in swept["faults"]] == ["g/asks"]


@pytest.mark.parametrize("shape", [with_damaged_records, with_foreign_records, with_empty_records, with_newer_records])
def test_records_that_cannot_be_read_are_noted_and_the_sessions_are_still_shown(data, read, shape):
    shape(data)
    (note,) = read("status")["notes"]
    assert "turnkeel.db" in note and "left out" in note
    assert condition(read)["state"] == "due"


def test_records_of_a_host_killed_inside_a_commit_are_read_as_before_that_commit(data, read):
    with_hot_records(data)
    (note,) = read("status")["notes"]
    assert "killed inside a commit" in note
    assert condition(read)["state"] == "due", "the half-written 'closed' does not count"


def test_what_a_killed_host_committed_to_its_log_is_read(data, read):
    with_the_log_of_a_killed_host(data)
    (note,) = read("status")["notes"]
    assert "all that it committed is shown" in note
    assert condition(read)["state"] == "closed"


def test_a_log_without_entries_is_read_without_a_word(data, read):
    with_records_in_wal(data)
    assert read("status")["notes"] == []


def test_the_log_of_a_host_at_work_is_read_with_the_host(data, read, monkeypatch):
    monkeypatch.setattr(durability, "journal_mode_for", lambda path: "wal")
    with DataLock(data, version="9"), HostState(data) as state:
        assert state.database.rows("PRAGMA journal_mode") == [("wal",)]
        assert condition(read)["state"] == "due"
        state.registry.close("g/asks", 1)
        assert condition(read)["state"] == "closed"
    assert not (data / "turnkeel.db-wal").exists()


def test_a_log_that_is_written_all_the_time_without_a_host_is_left_out_with_a_note(data, read, monkeypatch):
    with_the_log_of_a_killed_host(data)
    original = shutil.copyfile

    def copy(source, target):
        original(source, target)
        os.utime(source)

    monkeypatch.setattr(shutil, "copyfile", copy)
    (note,) = read("status")["notes"]
    assert "is being written" in note and "left out" in note


def test_a_folder_that_is_no_session_is_told_with_the_reason(data, read, run):
    with_strange_folders(data)
    assert sorted(Path(one["folder"]).name for one in read("status")["folders"]) == ["bad name", "link"]
    assert "rename the folder" in run("status", "--data", str(data))


@pytest.mark.parametrize("command", [("status",), ("sweep", "--dry-run"), ("show", "a"), ("why", "a"), ("sweep",)])
def test_a_directory_that_is_not_there_is_one_clear_line_and_1(tmp_path, run, command):
    told = run(*command, "--data", str(tmp_path / "nowhere"), expect=1)
    assert told == f"turnkeel: {tmp_path}/nowhere does not exist: give --data DIR, or set TURNKEEL_DATA\n"
    assert not (tmp_path / "nowhere").exists()


def test_the_session_folder_itself_and_the_environment_name_the_same_directory(data, run, monkeypatch):
    expected = json.loads(run("status", "--json", "--data", str(data)))["totals"]
    assert json.loads(run("status", "--json", "--data", str(data / "v2-sessions")))["totals"] == expected
    monkeypatch.setenv("TURNKEEL_DATA", str(data))
    assert json.loads(run("status", "--json"))["totals"] == expected
    monkeypatch.chdir(data.parent)
    monkeypatch.delenv("TURNKEEL_DATA")
    assert json.loads(run("status", "--json"))["totals"] == expected
    monkeypatch.chdir(data / "v2-sessions")
    assert json.loads(run("status", "--json", "--data", "."))["totals"] == expected


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("show", "../etc"), "names no session"),
        (("sweep", "--dry-run", "a b"), "names no session"),
        (("status", "--after", "/"), "names no session"),
        (("status", "--limit", "0"), "at least 1"),
        (("status", "--limit", "many"), "unable to convert"),
        (("nonsense",), "nonsense"),
        (("show",), "requires an argument"),
        (("sweep", "--assume", "running"), "--dry-run"),
        (("sweep", "--explain"), "--dry-run"),
        (("check", "--config", "/no/such/file.toml"), "no such file"),
        (("agent",), "agent exec"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_usage_is_one_line_and_2(data, run, monkeypatch, argv, words):
    monkeypatch.setenv("TURNKEEL_DATA", str(data))
    told = run(*argv, expect=2)
    assert told.startswith("turnkeel: ") and words in told


def test_status_counts_and_dates_what_is_due(data, read):
    add(data, "g/asks", "later", "x", due_at_ms=now() + 60_000)
    add(data, "g/asks", "context", "x", triggers=False)
    found = condition(read)
    assert (found["state"], found["due"], found["claimed"], found["tries"]) == ("due", 1, 0, 0)
    assert 4_000 < found["oldest_due_age_ms"] < 60_000
    assert 0 < found["next_due_at_ms"] - now() <= 60_000
    assert found["next_due_at"].endswith("Z")


def test_a_session_without_work_is_idle_since_its_last_progress(data, read):
    answer(data, "g/asks", "nothing much")
    found = condition(read)
    assert (found["state"], found["due"]) == ("idle", 0)
    assert found["since_at_ms"] == found["last_progress_at_ms"] > 0


def test_a_message_to_be_tried_again_makes_the_session_wait(data, read):
    sql(data, "inbound.db", "UPDATE messages_in SET tries = 2, process_after = datetime('now', '+60 seconds')")
    found = condition(read)
    assert (found["state"], found["reason"], found["tries"]) == ("waiting", "retry", 2)
    assert found["until_at_ms"] == found["next_due_at_ms"] > now()


def test_a_container_that_keeps_dying_makes_the_session_wait_for_its_backoff(data, read):
    die(data, times=2)
    found = condition(read)
    assert (found["state"], found["reason"]) == ("waiting", "backoff")
    assert 0 < found["until_at_ms"] - now() <= 10_000


@pytest.mark.parametrize("why", ["slot", "group", "claimed"])
def test_what_holds_a_session_in_the_queue_of_a_host_at_work_is_told_in_words(data, read, run, why):
    words = {
        "slot": "all places to run are taken (max_running)",
        "group": "it waits for a slot of its group (max_running_per_group)",
        "claimed": "another session works on the same task",
    }
    with HostState(data) as state, DataLock(data, started_at_ms=123, version="9"):
        state.notes.hold("g/asks", why, None, 456)
        assert (condition(read)["state"], condition(read)["reason"]) == ("waiting", why)
        (planned,) = read("sweep", "--dry-run")["sessions"]
        assert [(one["type"], one["reason"]) for one in planned["plan"]["actions"]] == [("HoldWake", why)]
        assert f"waiting: {words[why]}, since" in run("why", "g/asks", "--data", str(data))


def test_a_host_at_work_is_told_and_its_holds_count(data, read):
    with HostState(data) as state, DataLock(data, started_at_ms=123, version="9"):
        state.notes.hold("g/asks", "slot", None, 456)
        document = read("status")
        assert (document["host"]["up"], document["host"]["pid"]) == (True, os.getpid())
        assert document["host"]["started_at"] == "1970-01-01T00:00:00.123Z"
        found = condition(read)
        assert (found["state"], found["reason"], found["since_at_ms"]) == ("waiting", "slot", 456)
        (planned,) = read("sweep", "--dry-run")["sessions"]
        assert [(one["type"], one["reason"]) for one in planned["plan"]["actions"]] == [("HoldWake", "slot")]
    assert read("status")["host"]["up"] is False
    assert condition(read)["state"] == "due", "the hold of a host that is gone holds nothing"


def test_a_running_container_is_found_by_its_process(data, read, run):
    with HostState(data) as state:
        state.incarnations.begin("g/asks", 7, now() - 1_000, OutboundMark(replies=0, acks=0))
        state.incarnations.started("g/asks", 7, "process", "1:1")
    (data / "install-id").write_text("reading-test\n")
    assert condition(read)["state"] == "due", "its process is gone"
    with agent_process("reading-test", "g/asks", 7):
        assert condition(read)["state"] in ("starting", "running")
        assert condition(read)["incarnation"] == 7
        claim(data, "g/asks", at_ms=now())
        found = condition(read)
        assert (found["state"], found["due"], found["claimed"]) == ("running", 0, 1)
        assert "would be killed in" in run("why", "g/asks", "--data", str(data))


def test_closed_sessions_are_closed_whoever_closed_them(data, read):
    add(data, "g/two", "m2", "x")
    with HostState(data) as state:
        state.registry.close("g/asks", 1)
    with closing(apsw.Connection(str(data / "v2.db"))) as db:
        db.execute("CREATE TABLE sessions (id TEXT, agent_group_id TEXT, status TEXT)").fetchall()
        db.execute("INSERT INTO sessions VALUES ('two', 'g', 'closed')").fetchall()
    assert {one["session"]: one["state"] for one in read("status")["sessions"]} == {
        "g/asks": "closed",
        "g/two": "closed",
    }
    assert read("sweep", "--dry-run")["sessions"] == []


def test_a_registry_that_cannot_be_read_is_noted(data, read):
    (data / "v2.db").write_text("not a database, whatever its name")
    (note,) = read("status")["notes"]
    assert "v2.db" in note and "shown as open" in note


def test_status_goes_through_all_sessions_page_by_page(data, read):
    for number in range(5):
        add(data, f"h/s{number}", "m", "x")
    seen, after = [], ()
    while True:
        page = read("status", "--limit", "4", *after)
        seen += [one["session"] for one in page["sessions"]]
        assert page["totals"]["sessions"] == 6
        if page["next"] is None:
            break
        after = ("--after", page["next"])
    assert seen == ["g/asks", *(f"h/s{number}" for number in range(5))]


def test_dead_messages_and_faults_are_shown_with_their_reason(data, read, run):
    with HostState(data) as state:
        state.dead.keep(
            DeadRecord(session="g/asks", message_id="m1", payload="{}", reason="crashed", detail="exit 3", made_at_ms=5)
        )
    found = condition(read)
    assert (found["dead"], found["last_error"], found["last_error_at_ms"]) == (1, "m1: crashed: exit 3", 5)
    with HostState(data) as state:
        state.notes.report_fault("g/asks", "start", "not_started", "no such program", 9)
        state.notes.report_fault("g/gone", "start", "not_started", "no such program", 9)
    assert condition(read)["faults"] == ["start: not_started: no such program"]
    assert [one["session"] for one in read("status")["other_faults"]] == ["g/gone"]
    assert "no such program" in run("status", "--data", str(data))


def test_show_tells_what_became_of_each_message(data, read):
    answer(data, "g/asks", "not much")
    add(data, "g/asks", "m2", "and now?")
    claim(data, "g/asks")
    add(data, "g/asks", "m3", "again", due_at_ms=now() + 60_000)
    lines = read("show", "g/asks")["lines"]
    assert [(line["direction"], line["text"], line["state"]) for line in lines] == [
        ("in", "what is up?", "completed"),
        ("out", "not much", "waiting"),
        ("in", "and now?", "claimed"),
        ("in", "again", "pending"),
    ]
    assert lines[1]["in_reply_to"] == "m1" and lines[0]["at"].endswith("Z")
    assert lines[3]["retry_at_ms"] > now() and lines[2]["retry_at_ms"] is None


def test_a_message_that_failed_shows_the_reason_though_its_row_says_completed(data, read, run):
    answer(data, "g/asks", None, "failed", ErrorNote(reason="refused", detail="too long"))
    assert "m1 failed" in run("sweep", "--data", str(data))
    assert sql(data, "inbound.db", "SELECT status FROM messages_in") == [("completed",)]
    (line,) = read("show", "g/asks")["lines"]
    assert (line["state"], line["reason"]) == ("failed", "refused: failed by the agent; too long")


def test_show_goes_through_a_conversation_page_by_page(data, read):
    for number in range(2, 6):
        add(data, "g/asks", f"m{number}", "x")
    first = read("show", "g/asks", "--limit", "3")
    second = read("show", "g/asks", "--limit", "3", "--after", str(first["next"]))
    assert [line["message_id"] for line in first["lines"] + second["lines"]] == ["m1", "m2", "m3", "m4", "m5"]
    assert second["next"] is None


def test_what_an_agent_wrote_cannot_steer_the_terminal(data, run):
    add(data, "g/asks", "evil", "\x1b[2J\x1b]0;owned\x07 [bold]hi")
    for argv in (("show", "g/asks"), ("why", "evil")):
        out = run(*argv, "--data", str(data))
        assert "\x1b" not in out and "\x07" not in out and "[bold]hi" in out


def test_a_dry_run_shows_the_plan_with_its_branches_and_reasons(data, run, read):
    claim(data, "g/asks")
    with HostState(data) as state:
        state.incarnations.begin("g/asks", 1, now() - 1_000, OutboundMark(replies=0, acks=0))
    text = run("sweep", "--dry-run", "--explain", "--data", str(data))
    for words in ("charge attempt 1 of m1", "release the claims", "start container 2", "if it does not start: try m1"):
        assert words in text
    assert "plan_sweep: ChargeAttempt, ReleaseClaims, Wake" in text and "decide_spawn" in text
    (planned,) = read("sweep", "--dry-run")["sessions"]
    assert [one["type"] for one in planned["plan"]["actions"]] == ["ChargeAttempt", "ReleaseClaims", "Wake"]
    assert planned["why"]["decision"] == "plan_sweep"


def test_without_records_the_flag_says_whether_a_container_runs(data, read, run):
    old = now() - 120_000
    claim(data, "g/asks", at_ms=now())
    stamp = "strftime('%Y-%m-%d %H:%M:%S', 'now', '-120 seconds')"
    sql(data, "outbound.db", f"UPDATE processing_ack SET status_changed = {stamp}")
    stopped, running = (
        read("sweep", "--dry-run", *argv)["sessions"][0]["plan"]["actions"] for argv in ((), ("--assume", "running"))
    )
    assert [one["type"] for one in stopped] == ["ChargeAttempt", "ReleaseClaims", "Wake"]
    assert [one["type"] for one in running] == ["StopContainer"]
    assert running[0]["because"]["type"] == "KillStaleClaim"
    assert abs(running[0]["because"]["claim_age_ms"] - (now() - old)) < 5_000
    HostState(data).close()
    assert "without turnkeel.db" in run("sweep", "--dry-run", "--assume", "running", "--data", str(data), expect=2)


def test_the_limits_are_those_named_else_those_of_the_last_decision(data, read, tmp_path):
    policy = SweepPolicy(stuck=StuckPolicy(idle_stop_ms=77))
    with HostState(data) as state:
        state.journal.append(journal_line(policy))
    assert read("why", "g/asks")["now"]["limits_from"] == "the host's last decision"
    config = tmp_path / "limits.toml"
    config.write_text("[retry]\nmax_tries = 1\n")
    assert read("why", "g/asks", "--config", str(config))["now"]["limits_from"] == str(config)


def test_sweep_settles_charges_releases_and_recurs_but_starts_nothing(data, run, read):
    claim(data, "g/asks")
    add(data, "g/done", "m2", "x", recurrence="0 9 * * *")
    answer(data, "g/done", "done")
    assert "--assume stopped" in run("sweep", "--data", str(data), expect=2)
    HostState(data).close()
    out = run("sweep", "--data", str(data))
    for words in ("attempt 1 of m1 charged", "m2 completed", "m2 recurs at", "1 due, waiting for a host"):
        assert words in out
    found = condition(read)
    assert (found["state"], found["claimed"], found["tries"], found["incarnation"]) == ("due", 0, 1, None)
    again = run("sweep", "--json", "--data", str(data))
    assert json.loads(again)["did"] == [], "a second pass finds nothing more to do"
    assert [hold["reason"] for hold in read("why", "g/asks")["holds"]] == []
    assert [line["decision"] for line in read("why", "g/asks")["decisions"]] == ["plan_sweep"]


def test_sweep_does_what_the_dry_run_said(data, run, read):
    die(data, times=1)
    claim(data, "g/asks")
    said = read("sweep", "--dry-run")["sessions"][0]["plan"]["actions"]
    assert [one["type"] for one in said] == ["ChargeAttempt", "ReleaseClaims", "Wake"]
    run("sweep", "g/asks", "--data", str(data))
    did = read("why", "g/asks")["decisions"][0]["actions"]["actions"]
    assert [one["type"] for one in did] == ["ChargeAttempt", "ReleaseClaims", "HoldWake"]
    assert did[0] == said[0]


def test_sweep_leaves_a_directory_alone_that_another_host_serves(data, run):
    with DataLock(data):
        told = run("sweep", "--data", str(data), expect=3)
    assert "served by another host" in told
    assert not (data / "turnkeel.db").exists()


def test_sweep_reports_a_broken_session_and_goes_on(data, run):
    add(data, "g/done", "m2", "x")
    answer(data, "g/done", "done")
    with_empty_inbound(data)
    HostState(data).close()
    out = run("sweep", "--data", str(data), expect=1)
    assert "g/asks: fault in inbound.db: empty" in out and "g/done: m2 completed" in out
    assert sql(data, "inbound.db", "SELECT status FROM messages_in", "g/done") == [("completed",)]


def test_sweep_parks_a_cron_that_is_refused_and_says_so(data, run, read):
    add(data, "g/done", "m2", "x", recurrence="never ever")
    answer(data, "g/done", "done")
    assert "park the recurrence of m2: 'never ever' is refused" in run("sweep", "--dry-run", "--data", str(data))
    assert "recurrence of m2: bad_cron" in run("sweep", "--data", str(data))
    assert [one["cron"] for one in read("why", "g/done")["parked"]] == ["never ever"]
    assert "bad_cron" not in run("sweep", "--data", str(data)), "told once"


def test_sweep_rolls_back_what_a_dead_writer_left(data, run, read):
    with_hot_inbound(data)
    HostState(data).close()
    run("sweep", "--data", str(data))
    assert condition(read)["state"] == "due"


def test_why_tells_the_life_of_a_session(data, run, read):
    die(data, times=1, intent="KillStaleClaim")
    with HostState(data) as state:
        state.journal.append(journal_line(SweepPolicy()))
        state.notes.park(Parked(session="g/asks", message_id="m1", cron="bad", reason="no cron", parked_at_ms=5))
        state.notes.report_fault("g/asks", "inbound.db", "io", "disk", 6)
    document = read("why", "g/asks")
    assert document["incarnations"][0]["intent"] == "KillStaleClaim"
    assert document["decisions"][0]["why"]["decision"] == "plan_sweep"
    assert document["parked"][0]["cron"] == "bad" and document["faults"][0]["kind"] == "io"
    text = run("why", "g/asks", "--data", str(data))
    for words in ("signal 9", "the host stopped it: KillStaleClaim", "fired    wake", "'bad'", "fault: inbound.db: io"):
        assert words in text


def test_why_tells_the_story_of_a_message(data, run, read):
    answer(data, "g/asks", "an answer")
    with HostState(data) as state:
        charge = ChargeAttempt("m1", 3, 1, None, "container gone")
        state.charges.note("g/asks", (charge,), 7)
        kept = '{"text": "kept"}'
        state.dead.keep(DeadRecord(session="g/asks", message_id="m1", payload=kept, reason="crashed", made_at_ms=8))
    (story,) = read("why", "m1")["messages"]
    assert story["row"]["text"] == "what is up?" and story["row"]["state"] == "failed"
    assert [(one["incarnation"], one["reason"]) for one in story["charges"]] == [(3, "container gone")]
    assert [(one["reason"], one["made_at_ms"]) for one in story["dead"]] == [("crashed", 8)]
    assert [(one["text"], one["in_reply_to"]) for one in story["replies"]] == [("an answer", "m1")]
    text = run("why", "m1", "--session", "g/asks", "--data", str(data))
    for words in ("m1 in g/asks", "container 3: container gone", "crashed", "kept: kept", "an answer"):
        assert words in text
    reply_id = story["replies"][0]["message_id"]
    (reply,) = read("why", reply_id)["messages"]
    assert (reply["row"]["direction"], reply["row"]["text"]) == ("out", "an answer")


def test_a_message_of_the_same_id_is_told_for_every_session_that_has_it(data, read, run):
    add(data, "g/two", "m1", "the other")
    assert [story["session"] for story in read("why", "m1")["messages"]] == ["g/asks", "g/two"]
    (story,) = read("why", "m1", "--session", "g/two")["messages"]
    assert story["row"]["text"] == "the other"


def test_an_id_that_nothing_has_is_one_line_and_1(data, run):
    for text in ("nothing", "g/nothing", "no such thing", ""):
        told = run("why", text, "--data", str(data), expect=1)
        assert told.startswith("turnkeel: nothing is known of") and told.count("\n") == 1


def test_check_names_everything_that_is_wrong(data, run, tmp_path):
    config = tmp_path / "host.toml"
    config.write_text("[stuck]\nceilling_ms = 5\n[retry]\nmax_tries = -1\n")
    told = run("check", "--config", str(config), "--data", str(data), expect=2)
    assert "stuck.ceilling_ms" in told and "did you mean" in told and "retry.max_tries" in told
    config.write_text("[stuck]\nceiling_ms = 5\n")
    out = run("check", "--config", str(config), "--data", str(data), "--explain")
    (line,) = (line for line in out.splitlines() if line.startswith("stuck.ceiling_ms"))
    assert line.split()[1:4] == ["5", "1800000", "file"] and "30 min" in line


def test_check_of_a_directory_that_is_not_there_yet_is_fine(tmp_path, run):
    assert "does not exist yet" in run("check", "--data", str(tmp_path / "later"))


def test_check_finds_what_cannot_be_read(data, run):
    with_foreign_outbound(data)
    with_strange_folders(data)
    sql(data, "inbound.db", "UPDATE messages_in SET process_after = 'soonish'")
    out = run("check", "--data", str(data), expect=1)
    assert "not_sqlite" in out and "bad name" in out


def test_an_existing_tree_with_the_first_schema_is_read_as_it_is(data, run, read):
    path = data / "v2-sessions/g/old"
    path.mkdir()
    with closing(apsw.Connection(str(path / "inbound.db"))) as db:
        db.execute(
            "CREATE TABLE messages_in (id TEXT PRIMARY KEY, seq INTEGER UNIQUE, kind TEXT NOT NULL, timestamp TEXT NOT"
            " NULL, status TEXT DEFAULT 'pending', process_after TEXT, recurrence TEXT, tries INTEGER DEFAULT 0,"
            " platform_id TEXT, channel_type TEXT, thread_id TEXT, content TEXT NOT NULL);"
            "CREATE TABLE delivered (message_out_id TEXT PRIMARY KEY, delivered_at TEXT NOT NULL);"
            "INSERT INTO messages_in (id, seq, kind, timestamp, content) VALUES"
            " ('o1', 2, 'chat', '2026-01-01 00:00:00', '{\"text\": \"old\"}');"
            "UPDATE messages_in SET status = 'completed', recurrence = '0 9 * * *' WHERE id = 'o1';"
            "INSERT INTO messages_in (id, seq, kind, timestamp, content) VALUES"
            " ('o2', 4, 'chat', '2026-01-01 00:00:00', '{\"text\": \"newer\"}');"
        ).fetchall()
    shutil.copy(data / "v2-sessions/g/asks/outbound.db", path)
    before = tree_of(data)
    found = condition(read, "g/old")
    assert (found["state"], found["due"]) == ("due", 1), found
    assert [line["text"] for line in read("show", "g/old")["lines"]] == ["old", "newer"]
    assert [one["session"] for one in read("sweep", "--dry-run", "g/old")["sessions"]] == ["g/old"]
    assert tree_of(data) == before
    assert "turnkeel.db" not in os.listdir(data)
    assert "o1 recurs at" in run("sweep", "g/old", "--data", str(data))
    assert [line["state"] for line in read("show", "g/old")["lines"]] == ["completed", "pending", "pending"]


def test_a_reader_that_closes_early_hears_no_complaint(data):
    argv = [sys.executable, "-m", "turnkeel", "status", "--json", "--data", str(data)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0


def test_status_loads_neither_tables_nor_the_loop_nor_the_runner(data):
    code = (
        "import sys; from turnkeel.cli.app import run_command_line;"
        f"code = run_command_line(['status', '--data', {str(data)!r}]);"
        "heavy = {'rich.table', 'cattrs', 'structlog', 'turnkeel.host.host', 'turnkeel.cli.report'};"
        "loaded = heavy & set(sys.modules);"
        "sys.exit(code or (str(loaded) if loaded else 0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "g/asks" in done.stdout


def test_an_answer_in_an_encoding_that_lacks_a_letter_is_still_an_answer(data):
    add(data, "g/asks", "m2", "größer → 你好")
    argv = [sys.executable, "-m", "turnkeel", "show", "g/asks", "--data", str(data)]
    environment = {**ENVIRONMENT, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(argv, capture_output=True, env=environment, check=False)
    assert done.returncode == 0 and b"gr\\xf6\\xdfer" in done.stdout


def test_the_version_and_the_help_are_there(run):
    assert run("--version").startswith("turnkeel ")
    help_text = run("--help")
    for command in ("chat", "run", "send", "show", "status", "sweep", "why", "check", "decide", "agent", "demo"):
        assert f" {command} " in help_text


def test_agent_exec_gets_everything_after_it(run, capsys, monkeypatch):
    seen = []
    monkeypatch.setattr("turnkeel.agent.exec.exec_main", lambda argv: seen.append(list(argv)) or 7)
    assert run_command_line(("agent", "exec", "--timeout", "5", "--", "sh", "-c", "--json")) == 7
    assert seen == [["--timeout", "5", "--", "sh", "-c", "--json"]]


def test_an_unexpected_error_is_not_dressed_up(data, monkeypatch, capsys):
    def broken(*_):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("turnkeel.cli.status.open_reading", broken)
    assert run_command_line(("status", "--data", str(data))) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["turnkeel: a fault of this program:", "Traceback (most recent call last):"]
    assert lines[-1] == "RuntimeError: a fault of ours"


def test_an_interrupt_is_130(data, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("turnkeel.cli.status.open_reading", interrupted)
    assert run_command_line(("status", "--data", str(data))) == 130


def sql(place, name, statement, session="g/asks"):
    with closing(apsw.Connection(str(place / "v2-sessions" / session / name))) as db:
        return db.execute(statement).fetchall()


def die(place, times, intent=None):
    """The host notes `times` incarnations of g/asks that died a moment ago without progress."""
    with HostState(place) as state:
        for number in range(1, times + 1):
            state.incarnations.begin("g/asks", number, now() - 20, OutboundMark(replies=0, acks=0))
            state.incarnations.started("g/asks", number, "process", "1:1")
            if intent is not None:
                state.incarnations.intend_stop("g/asks", number, intent, now() - 15)
            state.incarnations.ended(
                "g/asks", number, at_ms=now() - 10, ending="exited" if intent is None else "stopped",
                exit_code=None, exit_signal=9, progressed=False,
            )  # fmt: skip


def journal_line(policy):
    message = OpenMessage(message_id="m1")
    seen = SweepSnapshot(now_ms=now() - 1_000, incarnation=1, messages=(message,), container=NoContainer())
    return JournalLine(
        at_ms=seen.now_ms,
        session="g/asks",
        incarnation=1,
        decision="plan_sweep",
        policy=dumps(policy),
        input=dumps(seen),
        actions=dumps(plan_sweep(seen, policy)),
        why=dumps(explain_sweep(seen, policy)),
    )


@contextmanager
def agent_process(install_id, session, incarnation):
    """A process that bears the mark of a container."""
    marked = {**os.environ, AGENT_VARIABLE: write_marker(install_id, session, incarnation)}
    process = subprocess.Popen(["sleep", "1000"], env=marked)
    try:
        yield
    finally:
        process.kill()
        process.wait()
