"""Do pause, resume, session close, open and delete, and the live status do what they say?"""

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from turnkeel.cli.app import run_command_line
from turnkeel_adapters.runners.marker import AGENT_VARIABLE, write_marker
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.sessions.records import NewMessage, OutboundMark
from turnkeel_adapters.state.store import HostState
from turnkeel_adapters.system.install import install_id

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("core", "adapters", "shell"))}
TURNKEEL = (sys.executable, "-m", "turnkeel")
VERSION_1 = (Path(__file__).parent / "turnkeel_db_version_1.sql").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path_factory, monkeypatch):
    """No test finds a `./data` or a TURNKEEL_DATA of whoever runs it."""
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    monkeypatch.delenv("TURNKEEL_DATA", raising=False)


def add(place, session, message_id="m1"):
    sessions, now_ms = FileSessions(place), time.time_ns() // 1_000_000
    sessions.tree.create(SessionName.parse(session))
    message = NewMessage(message_id=message_id, content='{"text": "hello"}', sent_at_ms=now_ms)
    sessions.store(session).insert(message, now_ms)


@pytest.fixture
def data(tmp_path):
    """A data directory with the sessions `main/anna` and `main/anna-b`, each with a due message and logs."""
    place = tmp_path / "data"
    (place / "logs/main").mkdir(parents=True)
    for session in ("anna", "anna-b"):
        add(place, f"main/{session}")
        for name in (f"{session}.log", f"{session}.log.1"):
            (place / "logs/main" / name).write_text("said", encoding="utf-8")
    return place


@pytest.fixture
def run(capsys, data):
    def run(*argv, expect=0):
        code = run_command_line((*argv, "--data", str(data)))
        told = capsys.readouterr()
        assert code == expect, told.out + told.err
        return told.out + told.err

    return run


@pytest.fixture
def status(run):
    return lambda: json.loads(run("status", "--json"))


def condition(status, session="main/anna"):
    (found,) = (one for one in status()["sessions"] if one["session"] == session)
    return found


def paths(place):
    found = [path for path in place.rglob("*") if path.is_file() and "turnkeel" not in path.name]
    return sorted(str(path.relative_to(place)) for path in found)


@contextmanager
def host(data, *more):
    started = subprocess.Popen(
        [*TURNKEEL, "run", "--data", str(data), "--agent", "tr a-z A-Z", *more],
        env=ENVIRONMENT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert "host started" in started.stderr.readline()
        yield started
    finally:
        started.send_signal(signal.SIGTERM)
        assert started.wait(60) == 0
        started.stderr.close()


def wait_for(question, limit_s=60):
    deadline = time.monotonic() + limit_s
    while not (answer := question()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert answer
    return answer


# Pause and resume


def test_a_pause_is_told_with_its_meaning_and_its_undo(run, status, data):
    told = run("pause", "anna", "--reason", "lunch")
    assert "main/anna: paused (lunch)" in told
    assert "one that runs goes on" in told and "turnkeel resume main/anna" in told
    found = condition(status)
    assert (found["state"], found["reason"], found["paused_reason"], found["due"]) == ("paused", "lunch", "lunch", 1)
    assert found["since_at_ms"] == found["paused_since_at_ms"] == status()["pauses"][0]["since_at_ms"]
    assert "paused: lunch" in run("status")
    assert condition(status, "main/anna-b")["state"] == "due"
    assert (data / ".doorbell").exists()


def test_pausing_and_resuming_twice_is_harmless_and_told(run, status):
    run("pause", "anna", "--reason", "lunch")
    since = condition(status)["paused_since_at_ms"]
    assert "paused already, since" in run("pause", "anna")
    assert (condition(status)["paused_since_at_ms"], condition(status)["paused_reason"]) == (since, "lunch")
    assert "main/anna: resumed" in run("resume", "anna")
    assert "not paused" in run("resume", "anna")
    assert condition(status)["state"] == "due"


def test_the_pause_of_all_holds_for_each_and_is_resumed_by_itself(run, status):
    run("pause", "--all")
    assert {one["state"] for one in status()["sessions"]} == {"paused"}
    assert "all sessions are paused since" in run("status")
    run("pause", "anna")
    assert "still paused by name: main/anna" in run("resume", "--all")
    assert [one["state"] for one in status()["sessions"]] == ["paused", "due"]
    run("pause", "--all")
    assert "turnkeel resume --all" in run("resume", "anna")
    assert condition(status)["state"] == "paused"


@pytest.mark.parametrize(
    ("argv", "code", "told"),
    [
        (["pause", "nobody"], 1, "no session main/nobody"),
        (["resume", "nobody"], 1, "no session main/nobody"),
        (["session", "close", "nobody"], 1, "no session main/nobody"),
        (["session", "open", "nobody"], 1, "no session main/nobody"),
        (["session", "delete", "nobody", "--yes"], 1, "no session main/nobody"),
        (["session", "delete", "anna", "--yes"], 1, "is not closed"),
        (["pause"], 2, "name a session, or give --all"),
        (["pause", "anna", "--all"], 2, "not both"),
        (["resume"], 2, "name a session, or give --all"),
        (["pause", "../anna"], 2, "names no session"),
        (["session", "delete", "..", "--yes"], 2, "names no session"),
        (["status", "--watch", "--json"], 2, "not both"),
        (["status", "--watch", "--interval", "0"], 2, "--interval"),
        (["status", "--watch", "--interval", "nan"], 2, "--interval"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_one_line(run, data, argv, code, told):
    before = paths(data)
    said = run(*argv, expect=code)
    assert told in said and said.count("\n") == 1
    assert paths(data) == before


def test_claims_of_which_nobody_knows_whose_they_are_stay_untouched(run, data):
    db = apsw.Connection(str(data / "v2-sessions/main/anna/outbound.db"))
    db.execute("INSERT INTO processing_ack VALUES ('m1', 'processing', '2026-01-01 00:00:00')").fetchall()
    db.close()
    assert "stop the host they belong to" in run("pause", "--all", expect=1)
    assert not (data / "turnkeel.db").exists()


def test_a_file_of_version_1_is_brought_up_to_date_by_a_pause(run, data):
    old = apsw.Connection(str(data / "turnkeel.db"))
    old.execute(VERSION_1).fetchall()
    old.close()
    assert "start the host once" in run("status")
    run("pause", "anna")
    assert "paused" in run("status") and "start the host once" not in run("status")


def test_a_host_at_work_heeds_a_pause_and_its_end(run, data):
    run("pause", "anna", "--reason", "lunch")

    def replies():
        return json.loads(run("show", "anna", "--json"))["lines"][1:]

    with host(data):
        wait_for(lambda: len(json.loads(run("show", "anna-b", "--json"))["lines"]) == 2)
        run("pause", "--all")
        assert replies() == []
        run("resume", "--all")
        assert replies() == []
        run("resume", "anna")
        wait_for(replies)


# Close, open, delete


def test_a_closed_session_refuses_messages_until_it_is_opened(run, status):
    assert "main/anna: closed; no container is started for it" in run("session", "close", "anna")
    assert "closed already" in run("session", "close", "anna")
    assert condition(status)["state"] == "closed"
    assert "is closed" in run("send", "anna", "hello", expect=1)
    assert "main/anna: open" in run("session", "open", "anna")
    assert "open already" in run("session", "open", "anna")
    run("send", "anna", "hello")


def test_a_session_that_another_registry_closed_is_not_opened_here(run, data):
    other = apsw.Connection(str(data / "v2.db"))
    other.execute(
        "CREATE TABLE sessions (agent_group_id TEXT, id TEXT, status TEXT);"
        "INSERT INTO sessions VALUES ('main', 'anna', 'closed')"
    ).fetchall()
    other.close()
    assert "v2.db" in run("session", "open", "anna", expect=1)


def test_a_deleted_session_leaves_nothing_and_takes_nothing_else(run, data, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept", encoding="utf-8")
    folder = data / "v2-sessions/main/anna"
    (folder / "link-to-folder").symlink_to(outside)
    (folder / "link-to-file").symlink_to(outside / "kept")
    (folder / "deep/er").mkdir(parents=True)
    (folder / "deep/er/file").write_bytes(bytes(1_000))
    run("pause", "anna")
    run("session", "close", "anna")
    told = run("session", "delete", "anna", "--yes")
    assert "1 messages" in told and "2 records" in told and "read back" in told
    assert [path for path in paths(data) if "anna" in path and "anna-b" not in path] == []
    assert sorted(path.name for path in (data / "v2-sessions/main").iterdir()) == ["anna-b"]
    assert sorted(path.name for path in (data / "logs/main").iterdir()) == ["anna-b.log", "anna-b.log.1"]
    assert (outside / "kept").read_text(encoding="utf-8") == "kept"
    with HostState(data, read_only=True) as state:
        assert state.registry.rows_about("main/anna") == 0
    assert "no session main/anna" in run("session", "delete", "anna", "--yes", expect=1)
    run("send", "anna", "a new life")


def test_without_a_terminal_and_without_yes_nothing_is_deleted(run, data):
    run("session", "close", "anna")
    before = paths(data)
    assert "give --yes" in run("session", "delete", "anna", expect=1)
    assert paths(data) == before


def test_a_link_in_the_place_of_a_session_is_not_deleted(run, data, tmp_path):
    (data / "v2-sessions/main/anna").rename(tmp_path / "moved")
    (data / "v2-sessions/main/anna").symlink_to(tmp_path / "moved")
    with HostState(data) as state:
        state.registry.close("main/anna", 1)
    assert "link" in run("session", "delete", "anna", "--yes", expect=1)
    assert (tmp_path / "moved/inbound.db").exists()


def test_a_delete_that_was_cut_short_is_finished_by_the_next(run, data):
    run("session", "close", "anna")
    (data / "v2-sessions/main/anna").rename(data / "v2-sessions/main/.deleted.0123456789abcdef.anna")
    other = data / "v2-sessions/main/.deleted.0123456789abcdef.anna-b"
    other.mkdir()
    run("session", "delete", "anna", "--yes")
    assert sorted(path.name for path in (data / "v2-sessions/main").iterdir()) == [other.name, "anna-b"]
    with HostState(data, read_only=True) as state:
        assert state.registry.rows_about("main/anna") == 0


def test_a_folder_that_resists_is_named_and_the_rest_is_done_later(run, data, monkeypatch):
    run("session", "close", "anna")

    remove = shutil.rmtree

    def refused(place, **more):
        if "turnkeel-look" in str(place):  # a scratch folder of the command itself
            return remove(place, **more)
        raise PermissionError(13, "Permission denied", str(place / "stubborn"))

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", refused)
        assert "stubborn cannot be removed (Permission denied)" in run("session", "delete", "anna", "--yes", expect=1)
    assert len(list((data / "v2-sessions/main").glob(".deleted.*"))) == 1
    assert "closed already" in run("session", "close", "anna")
    assert "read back" in run("session", "delete", "anna", "--yes")
    assert [path.name for path in (data / "v2-sessions/main").iterdir()] == ["anna-b"]


@contextmanager
def container_of(data, session):
    """A process that carries the mark of a container."""
    marker = write_marker(install_id(data), session, 1)
    process = subprocess.Popen(["sleep", "60"], env={"PATH": os.environ["PATH"], AGENT_VARIABLE: marker})
    try:
        yield f"{process.pid}:1"
    finally:
        process.kill()
        process.wait()


def recorded(data, container_id):
    with HostState(data) as state:
        state.incarnations.begin("main/anna", 1, 1, OutboundMark(replies=0, acks=0))
        if container_id is not None:
            state.incarnations.started("main/anna", 1, "process", container_id)


def test_a_session_with_a_running_container_is_kept(run, data):
    run("session", "close", "anna")
    with container_of(data, "main/anna") as container_id:
        recorded(data, container_id)
        assert "a container of it runs" in run("session", "delete", "anna", "--yes", expect=1)
        assert (data / "v2-sessions/main/anna/inbound.db").exists()
    assert "read back" in run("session", "delete", "anna", "--yes")


def test_a_container_without_a_record_keeps_its_session_too(run, data):
    run("session", "close", "anna")
    with container_of(data, "main/anna"):
        assert "a container of it runs" in run("session", "delete", "anna", "--yes", expect=1)
        run("session", "close", "anna-b")
        run("session", "delete", "anna-b", "--yes")


def test_a_start_that_nobody_finished_keeps_the_session_until_it_is_settled(run, data):
    run("session", "close", "anna")
    recorded(data, None)
    assert "`turnkeel sweep` does" in run("session", "delete", "anna", "--yes", expect=1)
    run("sweep")
    assert "read back" in run("session", "delete", "anna", "--yes")


def test_a_container_that_begins_while_the_folder_goes_brings_it_back(run, data, monkeypatch):
    """The second look, after the folder was set aside, finds what the first could not."""
    run("session", "close", "anna")
    original = Path.rename

    def rename(path, target):
        if path.name == "anna":
            recorded(data, None)
        return original(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    assert "noted as starting" in run("session", "delete", "anna", "--yes", expect=1)
    assert (data / "v2-sessions/main/anna/inbound.db").exists()
    assert list((data / "v2-sessions/main").glob(".deleted.*")) == []


def test_a_session_is_closed_and_deleted_while_a_host_is_at_work(run, data, tmp_path):
    (tmp_path / "config").write_text("[stuck]\nidle_stop_ms = 300\n", encoding="utf-8")
    with host(data, "--config", str(tmp_path / "config")) as at_work:
        wait_for(lambda: len(json.loads(run("show", "anna", "--json"))["lines"]) == 2)
        run("session", "close", "anna")
        wait_for(lambda: run_command_line(("session", "delete", "anna", "--yes", "--data", str(data))) == 0)
        run("send", "anna-b", "still there?")
        wait_for(lambda: len(json.loads(run("show", "anna-b", "--json"))["lines"]) == 4)
        assert at_work.poll() is None
    assert condition(lambda: json.loads(run("status", "--json")), "main/anna-b")["faults"] == []
    with HostState(data, read_only=True) as state:
        assert state.registry.rows_about("main/anna") == 0


# At a terminal

AT_ITS_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@contextmanager
def terminal(*argv):
    """The command on a terminal of its own; yields the process and a reader of what is shown."""
    mine, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", AT_ITS_TERMINAL, *TURNKEEL, *argv], stdin=its, stdout=its, stderr=its,
        env={**ENVIRONMENT, "TERM": "xterm", "COLUMNS": "120"}, start_new_session=True,
    )  # fmt: skip
    os.close(its)
    shown = bytearray()

    def until(text, limit_s=60):
        deadline = time.monotonic() + limit_s
        while text not in shown.decode("utf-8", "replace"):
            assert time.monotonic() < deadline, bytes(shown)
            if select.select([mine], [], [], 0.2)[0]:
                try:
                    shown.extend(os.read(mine, 65_536))
                except OSError:
                    break  # the other end is closed
        return shown.decode("utf-8", "replace")

    try:
        yield process, mine, until
    finally:
        process.kill()
        process.wait()
        os.close(mine)


@pytest.mark.parametrize(
    ("typed", "code", "deleted"),
    [("main/anna\n", 0, True), ("anna\n", 0, True), ("yes\n", 1, False), ("\n", 1, False), ("\x04", 1, False)],
    ids=["its name", "as it was typed before", "yes is no name", "nothing", "end of input"],
)
def test_at_a_terminal_the_name_must_be_typed(run, data, typed, code, deleted):
    run("session", "close", "anna")
    with terminal("session", "delete", "anna", "--data", str(data)) as (process, keyboard, until):
        until("to delete it: ")
        os.write(keyboard, typed.encode())
        until("read back" if deleted else "nothing was deleted")
        assert process.wait(60) == code
    assert (data / "v2-sessions/main/anna").exists() is not deleted


@pytest.mark.parametrize("ending", ["q", "ctrl-c", "term"])
def test_the_live_status_shows_changes_and_gives_the_terminal_back(run, data, ending):
    with terminal("status", "--watch", "--interval", "0.2", "--data", str(data)) as (process, keyboard, until):
        until("q ends")
        run("pause", "anna", "--reason", "tea-time")
        until("tea-time")
        if ending == "term":
            process.send_signal(signal.SIGTERM)
        else:
            os.write(keyboard, b"q" if ending == "q" else b"\x03")
        assert process.wait(60) == 0
        shown = until("\x1b[?1049l")
        assert "Traceback" not in shown


def test_on_a_pipe_the_live_status_is_plain_blocks_and_writes_nothing(run, data):
    with HostState(data):
        pass
    before = {path: path.stat().st_mtime_ns for path in (data, *data.rglob("*"))}
    process = subprocess.Popen(
        [*TURNKEEL, "status", "--watch", "--interval", "0.1", "--data", str(data)],
        env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    seen = 0
    while seen < 3:
        line = process.stdout.readline()
        assert line and "\x1b" not in line
        seen += "2 sessions" in line
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (0, "")
    assert {path: path.stat().st_mtime_ns for path in (data, *data.rglob("*"))} == before


def test_a_watch_outlives_a_moment_in_which_nothing_can_be_read(run, data):
    process = subprocess.Popen(
        [*TURNKEEL, "status", "--watch", "--interval", "0.1", "--data", str(data)],
        env=ENVIRONMENT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    def until(text):
        while text not in (line := process.stdout.readline()):
            assert line

    until("2 sessions")
    data.rename(data.with_name("away"))
    until("cannot be read now")
    data.with_name("away").rename(data)
    until("2 sessions")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0


# What holds a session back is said in words


def why(run, place):
    return run("why", place)


def test_every_refusal_is_said_of_the_session_and_of_the_message_with_its_since_and_until(run, data):
    add(data, "main/anna", "m2")
    said = why(run, "anna") + why(run, "m2")
    assert "paused" not in said and "waiting:" not in said

    run("pause", "anna", "--reason", "away")
    for place in ("anna", "m2"):
        assert "paused since" in why(run, place) and "(away)" in why(run, place), place
    assert "turnkeel resume main/anna" in why(run, "m2")
    run("resume", "anna")

    run("session", "close", "anna")
    for place in ("anna", "m2"):
        assert "closed: no container is started and send refuses it" in why(run, place), place
    run("session", "open", "anna")

    path = data / "v2-sessions/main/anna/inbound.db"
    kept = path.read_bytes()
    path.write_bytes(b"Dear diary" * 500)
    with HostState(data) as state:
        state.notes.report_fault("main/anna", "inbound.db", "not_sqlite", "no database", 1_000)
    said = why(run, "anna")
    assert "quarantined, since 1970-01-01" in said and "turnkeel session clear main/anna" in said
    assert "could not be read" in run("why", "m2", "--session", "anna", expect=1)
    path.write_bytes(kept)


def test_a_session_that_has_had_its_runs_says_when_the_next_may_begin(run, data, tmp_path):
    (tmp_path / "config").write_text("[limit]\nruns_per_hour = 1\n", encoding="utf-8")
    out = apsw.Connection(str(data / "v2-sessions/main/anna/outbound.db"))
    out.execute("INSERT INTO processing_ack VALUES ('old', 'completed', datetime('now', '-50 minutes'))").fetchall()
    out.close()
    said = run("why", "anna", "--config", str(tmp_path / "config"))
    assert "waiting: it has had its runs of this hour (runs_per_hour), until " in said
    assert "1 due, no start yet: it has had its runs of this hour" in said
    assert "the next run may begin in 10 min" in said or "the next run may begin in 9 min" in said
    assert "start nothing yet (rate) until" in said
    assert "rate" not in run("why", "anna")


def test_what_was_noted_of_a_session_is_cleared_with_or_without_a_host_and_nothing_else_is(run, data):
    with HostState(data) as state:
        for session in ("main/anna", "main/anna-b"):
            state.notes.report_fault(session, "inbound.db", "busy", "locked", 1_000)
            state.notes.hold(session, "fenced", None, 1_000)
    said = run("session", "clear", "anna")
    assert "main/anna: cleared inbound.db: busy, since 1970-01-01" in said
    assert "waits no longer for fenced" in said and "no host is at work: the next one looks" in said
    with HostState(data) as state:
        assert [fault.session for fault in state.notes.faults()] == ["main/anna-b"]
        assert [hold.session for hold in state.notes.holds()] == ["main/anna-b"]
    assert "no fault and no wait was noted" in run("session", "clear", "anna")
    assert "main/anna-b: cleared" in run("session", "clear", "--all")
    assert "all sessions: no fault and no wait was noted" in run("session", "clear", "--all")
    assert "no session main/nobody" in run("session", "clear", "nobody", expect=1)
    assert "name a session, or give --all" in run("session", "clear", expect=2)


def test_a_clear_ends_the_wait_between_the_starts_of_a_container_that_kept_dying(run, data, status):
    with HostState(data) as state:
        for number in range(1, 6):
            now_ms = time.time_ns() // 1_000_000
            state.incarnations.begin("main/anna", number, now_ms, OutboundMark(replies=0, acks=0))
            state.incarnations.not_started("main/anna", now_ms)
    assert (condition(status)["state"], condition(status)["reason"]) == ("waiting", "backoff")
    assert "its containers keep dying" in why(run, "anna")
    run("session", "clear", "anna")
    assert condition(status)["state"] == "due"


def test_a_reply_over_the_limit_is_shown_as_refused_and_only_its_beginning_is_read(run, data, status):
    out = apsw.Connection(str(data / "v2-sessions/main/anna/outbound.db"))
    out.execute(
        "INSERT INTO messages_out (id, seq, in_reply_to, timestamp, kind, content)"
        " VALUES ('big', 3, 'm1', datetime('now'), 'chat', '{\"text\":\"' || printf('%.*c', 9000000, 'x') || '\"}'),"
        " ('fits', 5, 'm1', datetime('now'), 'chat', '{\"text\":\"' || printf('%.*c', 1048576, 'x') || '\"}')"
    ).fetchall()
    out.close()
    outside = data.parent / "secret"
    outside.write_text("secret", encoding="utf-8")
    (data / "v2-sessions/main/anna/outbox/fits").mkdir()
    lines = {line["message_id"]: line for line in json.loads(run("show", "anna", "--json"))["lines"]}
    assert (lines["big"]["state"], lines["fits"]["state"]) == ("refused", "waiting")
    assert lines["big"]["reason"] == "text of 9,000,011 bytes, the limit is 1,048,576"
    assert len(lines["big"]["content"]) == 1_024 and len(lines["fits"]["text"]) == 1_048_576
    [fault] = condition(status)["faults"]
    assert fault == "messages_out.content of big: bad_row: refused: text of 9,000,011 bytes, the limit is 1,048,576"
    assert "refused (text of 9,000,011 bytes" in why(run, "m1")
    (data / "v2-sessions/main/anna/outbox/fits/notes.txt").symlink_to(outside)
    assert any("outbox/fits/notes.txt is no plain file" in fault for fault in condition(status)["faults"])
