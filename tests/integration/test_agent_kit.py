"""Does a Python program built on the kit behave as a supervised agent?"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from turnkeel.agent import Agent, ClaimLost, Message, NoSession, NotInHand, UnsettledMessage
from turnkeel.agent.heartbeat import Heartbeat
from turnkeel.agent.intake import Watch
from turnkeel.agent.place import find_session_folder, read_incarnation
from turnkeel_adapters.sessions.schema import INBOUND_SCHEMA, OUTBOUND_SCHEMA

ROOT = Path(__file__).parents[2]
PATHS = os.pathsep.join(str(ROOT / part) for part in ("core", "adapters", "shell"))


class Session:
    """A session folder, with the host's and the onlooker's view of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.run("inbound", INBOUND_SCHEMA)
        self.run("outbound", OUTBOUND_SCHEMA)

    def run(self, name: str, sql: str, values: tuple[int | str | None, ...] = ()) -> list[tuple[object, ...]]:
        db = apsw.Connection(str(self.path / f"{name}.db"))
        try:
            db.set_busy_timeout(5_000)
            return list(db.execute(sql, values or None).fetchall())
        finally:
            db.close()

    def put(
        self, message_id: str, content: str, *, kind: str = "chat", trigger: int = 1, after: str | None = None
    ) -> None:
        self.run(
            "inbound",
            """INSERT INTO messages_in (id, seq, kind, timestamp, process_after, trigger, channel_type, content)
               VALUES (?, (SELECT coalesce(max(seq), 0) + 2 FROM messages_in), ?, '2026', ?, ?, 'test', ?)""",
            (message_id, kind, after, trigger, content),
        )

    def say(self, message_id: str, text: str) -> None:
        self.put(message_id, json.dumps({"text": text}))

    def acks(self) -> dict[object, object]:
        return {key: status for key, status in self.run("outbound", "SELECT message_id, status FROM processing_ack")}

    def replies(self) -> list[tuple[object, str]]:
        rows = self.run("outbound", "SELECT in_reply_to, content FROM messages_out ORDER BY seq")
        return [(reply_to, json.loads(str(content))["text"]) for reply_to, content in rows]

    def note(self, message_id: str) -> tuple[str, str] | None:
        rows = self.run("outbound", "SELECT value FROM session_state WHERE key = ?", (f"turnkeel:error:{message_id}",))
        if not rows:
            return None
        value = json.loads(str(rows[0][0]))
        return value["reason"], value["detail"]


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path)


@pytest.fixture
def agent(session: Session) -> Iterator[Agent]:
    with Agent(session.path, handle_sigterm=False) as opened:
        yield opened


def take(agent: Agent) -> Message:
    message = agent.next_message(wait_s=0)
    assert message is not None
    return message


def eventually(check: Callable[[], bool], within_s: float = 10.0) -> None:
    until_s = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < until_s, "it did not happen"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("kind", "content", "text"),
    [
        ("chat", '{"text": "hello", "sender": "ann"}', "hello"),
        ("task", '{"prompt": "tidy up", "text": "other"}', "tidy up"),
        ("chat", '{"prompt": "only this"}', "only this"),
        ("webhook", '{"event": 1}', '{"event": 1}'),
        ("chat", '{"text": 7}', '{"text": 7}'),
        ("chat", "plain words", "plain words"),
        ("chat", '"quoted"', '"quoted"'),
        ("chat", "[" * 100_000, "[" * 100_000),
        ("chat", "", ""),
    ],
    ids=["chat", "task", "prompt in a chat", "neither", "not a text", "no JSON", "a bare text", "deep", "empty"],
)
def test_the_text_is_what_a_person_or_schedule_wrote(
    session: Session, agent: Agent, kind: str, content: str, text: str
) -> None:
    session.put("m", content, kind=kind)
    message = take(agent)
    assert (message.text, message.raw, message.kind, message.routing.channel_type) == (text, content, kind, "test")


def test_messages_are_answered_oldest_first_with_their_context(session: Session, agent: Agent) -> None:
    session.put("c", '{"text": "by the way"}', trigger=0)
    for number in range(25):
        session.say(f"m{number}", f"text {number}")
    seen: list[tuple[str, tuple[str, ...]]] = []
    for message in agent.messages(stop_when_idle=True):
        seen.append((message.text, message.context))
        agent.reply(message, message.text.upper())
    assert seen == [(f"text {number}", ("by the way",) if number == 0 else ()) for number in range(25)]
    assert session.replies() == [(f"m{number}", f"TEXT {number}") for number in range(25)]
    assert set(session.acks().values()) == {"completed"}


def test_a_message_is_settled_once_and_the_next_waits_for_it(session: Session, agent: Agent) -> None:
    session.say("m1", "one")
    session.say("m2", "two")
    first = take(agent)
    with pytest.raises(UnsettledMessage, match="m1"):
        agent.next_message(wait_s=0)
    with pytest.raises(ValueError, match="call done"):
        agent.reply(first, "")
    agent.done(first)
    with pytest.raises(NotInHand, match="m1"):
        agent.reply(first, "again")
    agent.fail(take(agent), "refused", "not allowed")
    assert session.acks() == {"m1": "completed", "m2": "failed"}
    assert (session.replies(), session.note("m1"), session.note("m2")) == ([], None, ("refused", "not allowed"))


def test_a_claim_taken_back_by_the_host_is_told(session: Session, agent: Agent) -> None:
    session.say("m", "one")
    message = take(agent)
    session.run("outbound", "DELETE FROM processing_ack")
    with pytest.raises(ClaimLost):
        agent.reply(message, "too late")
    assert session.replies() == []


def test_an_extra_text_goes_where_the_message_came_from(session: Session, agent: Agent) -> None:
    session.run("inbound", "INSERT INTO session_routing VALUES (1, 'home', NULL, NULL)")
    agent.say("good morning")
    session.say("m", "one")
    message = take(agent)
    agent.say("on it")
    agent.done(message)
    agent.say("anything else?")
    where = session.run("outbound", "SELECT channel_type, in_reply_to FROM messages_out ORDER BY seq")
    assert where == [("home", None), ("test", "m"), ("test", None)]


def test_nested_tools_declare_the_innermost_and_come_back_to_the_outer(session: Session, agent: Agent) -> None:
    def declared() -> tuple[object, ...]:
        return session.run("outbound", "SELECT current_tool, tool_declared_timeout_ms FROM container_state")[0]

    seen: list[tuple[object, ...]] = []
    with agent.tool("ffmpeg", timeout_s=600):
        seen.append(declared())
        started = session.run("outbound", "SELECT tool_started_at FROM container_state")
        with pytest.raises(OSError, match="broken"), agent.tool("probe"):
            seen.append(declared())
            raise OSError("broken")
        seen.append(declared())
        assert session.run("outbound", "SELECT tool_started_at FROM container_state") == started
    assert seen == [("ffmpeg", 600_000), ("probe", None), ("ffmpeg", 600_000)]
    assert declared() == (None, None)


def test_a_wait_is_declared_for_the_length_of_its_block(session: Session, agent: Agent) -> None:
    def waits() -> list[tuple[object, ...]]:
        return session.run("outbound", "SELECT value FROM session_state WHERE key = 'turnkeel:waiting'")

    with agent.waiting("rate_limit", until_at_ms=123):
        assert json.loads(str(waits()[0][0])) == {"reason": "rate_limit", "until_at_ms": 123}
    assert waits() == []


def test_progress_is_written_at_most_once_a_second(session: Session) -> None:
    ticks = iter(range(1_000_000_000_000, 2_000_000_000_000, 10))
    with Agent(session.path, handle_sigterm=False, now_ms=lambda: next(ticks)) as agent:
        agent.progress()
        first = session.run("outbound", "SELECT updated_at FROM container_state")
        for _ in range(100):
            agent.progress()
        assert session.run("outbound", "SELECT updated_at FROM container_state") == first != []


def test_an_exception_in_the_work_is_noted_and_the_claim_left(session: Session) -> None:
    session.say("m", "one")
    with pytest.raises(ZeroDivisionError), Agent(session.path, handle_sigterm=False) as agent:
        take(agent)
        print(1 // 0)
    assert session.acks() == {"m": "processing"}
    reason, detail = session.note("m") or ("", "")
    assert reason == "ZeroDivisionError"
    assert "1 // 0" in detail


def test_a_change_of_the_file_is_seen_by_a_stat_and_nothing_is_opened_without_one(tmp_path: Path) -> None:
    path = tmp_path / "inbound.db"
    path.write_bytes(b"1")
    os.utime(path, ns=(1, 1))
    watch = Watch(path)
    assert [watch.should_look() for _ in range(3)] == [True, False, False]
    os.utime(path, ns=(2, 2))
    assert [watch.should_look() for _ in range(2)] == [True, False]
    # A change in the very step of the clock that the look happened in must not be missed: the stat would be the same.
    os.utime(path, ns=(now_ns := time.time_ns() + 40_000_000, now_ns))
    assert [watch.should_look() for _ in range(2)] == [True, True]
    watch.forget()
    assert watch.should_look()


def test_a_message_put_while_idle_is_taken(session: Session, agent: Agent) -> None:
    timer = threading.Timer(0.3, session.say, ("m", "hi"))
    timer.start()
    message = agent.next_message(wait_s=30)
    timer.join()
    assert message is not None
    assert message.id == "m"


def test_a_message_becomes_due_without_any_change_of_the_file(session: Session, agent: Agent) -> None:
    due = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() + 2))
    session.put("m", "later", after=due)
    assert agent.next_message(wait_s=0) is None
    message = agent.next_message(wait_s=10)
    assert message is not None
    assert time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()) >= due


def test_a_locked_inbound_file_is_waited_for(
    session: Session, agent: Agent, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("turnkeel_adapters.sessions.connect.reading.__wrapped__.__defaults__", (20,))
    session.say("m", "one")
    host = apsw.Connection(str(session.path / "inbound.db"))
    host.execute("BEGIN EXCLUSIVE")
    assert agent.next_message(wait_s=0.3) is None
    host.close()
    assert capfd.readouterr().err.count("trying again") == 1
    assert take(agent).id == "m"


def test_a_heartbeat_that_cannot_be_written_is_reported_and_beats_again() -> None:
    reports: list[str] = []
    broken = True

    def touch() -> None:
        if broken:
            raise PermissionError("no")

    heartbeat = Heartbeat(touch, 0.001, reports.append)
    eventually(lambda: heartbeat._failures > 3)
    broken = False
    eventually(lambda: len(reports) == 2)
    heartbeat.stop()
    assert "PermissionError" in reports[0]
    assert "again" in reports[1]


def test_the_heart_beats_while_the_main_thread_is_busy(session: Session) -> None:
    with Agent(session.path, beat_every_s=0.02, handle_sigterm=False):
        beats = set[int]()
        os.utime(session.path / ".heartbeat", ns=(1, 1))
        subprocess.run(["sleep", "0.3"], check=True)
        beats.add((session.path / ".heartbeat").stat().st_mtime_ns)
    assert beats != {1}
    last = (session.path / ".heartbeat").stat().st_mtime_ns
    time.sleep(0.1)
    assert (session.path / ".heartbeat").stat().st_mtime_ns == last


@pytest.mark.parametrize(
    ("environment", "here", "expected"),
    [
        ({"TURNKEEL_SESSION_DIR": "/some/where"}, "session", "/some/where"),
        ({}, "session", "session"),
        ({"TURNKEEL_SESSION_DIR": ""}, "empty", "mounted"),
    ],
    ids=["named", "the working directory", "the usual mount"],
)
def test_the_session_folder_is_found(tmp_path: Path, environment: dict[str, str], here: str, expected: str) -> None:
    for name in ("session", "empty", "mounted"):
        (tmp_path / name).mkdir()
        if name != "empty":
            (tmp_path / name / "inbound.db").touch()
    found = find_session_folder(environment, tmp_path / here, tmp_path / "mounted")
    assert found == (Path(expected) if expected.startswith("/") else tmp_path / expected)


def test_no_session_folder_is_said_with_advice(tmp_path: Path) -> None:
    with pytest.raises(NoSession, match="TURNKEEL_SESSION_DIR is not set"):
        find_session_folder({}, tmp_path, tmp_path)
    assert (read_incarnation({}), read_incarnation({"TURNKEEL_INCARNATION": "12"})) == (None, 12)
    with pytest.raises(NoSession, match="not a number"):
        read_incarnation({"TURNKEEL_INCARNATION": "x"})


def start(session: Session, body: str) -> subprocess.Popen[bytes]:
    script = (
        "import os, sys, time, subprocess\nfrom turnkeel.agent import Agent\n"
        f"with Agent.from_environment() as agent:\n    for message in agent.messages():\n        {body}\n"
    )
    environment = {**os.environ, "PYTHONPATH": PATHS, "TURNKEEL_SESSION_DIR": str(session.path)}
    return subprocess.Popen([sys.executable, "-c", script], env=environment, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("number", "body", "ready", "code", "acks", "replies"),
    [
        (signal.SIGTERM, "time.sleep(60)", "processing", 143, "processing", 0),
        (signal.SIGTERM, "subprocess.run(['sleep', '60'])", "processing", 143, "processing", 0),
        (signal.SIGTERM, "agent.reply(message, 'hi')", "completed", 0, "completed", 1),
        (signal.SIGKILL, "time.sleep(60)", "processing", -9, "processing", 0),
    ],
    ids=["asked to stop at work", "asked to stop in a child", "asked to stop when idle", "killed at work"],
)
def test_the_end_of_the_process_leaves_the_truth_behind(
    session: Session, number: signal.Signals, body: str, ready: str, code: int, acks: str, replies: int
) -> None:
    session.say("m", "hello")
    process = start(session, body)
    try:
        eventually(lambda: session.acks() == {"m": ready})
        process.send_signal(number)
        assert process.wait(timeout=60) == code
    finally:
        process.kill()
        process.wait()
    assert (session.acks(), len(session.replies())) == ({"m": acks}, replies)


def test_a_child_forked_by_the_work_dies_of_sigterm_as_usual(session: Session) -> None:
    session.say("m", "hello")
    body = (
        "pid = os.fork() or time.sleep(60)\n        time.sleep(0.1)\n        os.kill(pid, 15)\n"
        "        agent.reply(message, str(os.waitpid(pid, 0)[1]))"
    )
    process = start(session, body)
    try:
        eventually(lambda: session.acks() == {"m": "completed"})
        assert session.replies() == [("m", "15")]
    finally:
        process.kill()
        process.wait()
