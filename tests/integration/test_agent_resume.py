"""Does a session go on with its conversation, and is a dead handle given up at once, alone, and for nothing?"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from turnkeel.agent import Agent, BadHandle, ResumeHandles, kept_resume
from turnkeel.agent.exec import exec_main, parse_order
from turnkeel.agent.handing import filled_words
from turnkeel.agent.place import RESUME_PATTERNS, read_resume_policy
from turnkeel_adapters.sessions.schema import INBOUND_SCHEMA, OUTBOUND_SCHEMA

ROOT = Path(__file__).parents[2]
PATHS = os.pathsep.join(str(ROOT / part) for part in ("core", "adapters", "shell"))
PROGRAM = str(Path(__file__).with_name("remembering.py"))
KEY = "continuation:fake"
ANCHOR = "turnkeel:anchor:fake"


class Session:
    """A session folder, the store of a remembering program, and an `agent exec` that puts it to work."""

    def __init__(self, path: Path) -> None:
        self.path = path / "session"
        self.store = path / "store"
        self.temporary = path / "temporary"
        for folder in (self.path, self.store, self.temporary):
            folder.mkdir()
        self.sql("inbound", INBOUND_SCHEMA)
        self.sql("outbound", OUTBOUND_SCHEMA)

    def sql(self, name: str, sql: str, values: tuple[int | str | None, ...] = ()) -> list[tuple[object, ...]]:
        db = apsw.Connection(str(self.path / f"{name}.db"))
        try:
            db.set_busy_timeout(5_000)
            return list(db.execute(sql, values or None).fetchall())
        finally:
            db.close()

    def put(self, key: str, value: str) -> None:
        insert = "INSERT OR REPLACE INTO session_state (key, value, updated_at) VALUES (?, ?, '')"
        self.sql("outbound", insert, (key, value))

    def state(self) -> dict[str, str]:
        rows = self.sql("outbound", "SELECT key, value FROM session_state")
        return {str(key): str(value) for key, value in rows}

    def handles(self) -> tuple[str | None, str | None]:
        state = self.state()
        return state.get(KEY), state.get(ANCHOR)

    def note(self, number: int = 1) -> tuple[str, str]:
        value = json.loads(self.state().get(f"turnkeel:error:m{number}", '{"reason": "", "detail": ""}'))
        return value["reason"], value["detail"]

    def say(self, *texts: str) -> None:
        for text in texts:
            self.sql(
                "inbound",
                """INSERT INTO messages_in (id, seq, kind, timestamp, content)
                   SELECT 'm' || (count(*) + 1), count(*) * 2 + 2, 'chat', '2026', ? FROM messages_in""",
                (json.dumps({"text": text}),),
            )

    def task(self, prompt: str, mode: str | None) -> None:
        """As a schedule writes it; without a mode, as an agent's own `schedule_task` does."""
        more = {} if mode is None else {"contextMode": mode}
        self.sql(
            "inbound",
            """INSERT INTO messages_in (id, seq, kind, timestamp, content)
               SELECT 'm' || (count(*) + 1), count(*) * 2 + 2, 'task', '2026', ? FROM messages_in""",
            (json.dumps({"prompt": prompt, "script": None, **more}),),
        )

    def acks(self) -> list[object]:
        return [status for (status,) in self.sql("outbound", "SELECT status FROM processing_ack ORDER BY message_id")]

    def replies(self) -> list[str]:
        rows = self.sql("outbound", "SELECT content FROM messages_out ORDER BY seq")
        return [json.loads(str(content))["text"] for (content,) in rows]

    def runs(self) -> list[tuple[str | None, str | None, str]]:
        """With which handle and place, and with which text, the program was run."""
        log = self.store / "runs"
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        return [tuple(json.loads(line)) for line in lines]

    def start(self, *options: str, at: bool = False, **environment: str) -> "subprocess.Popen[bytes]":
        places = ("--at", "{resume_at}") if at else ()
        program = (sys.executable, PROGRAM, str(self.store), "--resume", "{resume}", *places)
        argv = [sys.executable, "-m", "turnkeel.agent", "exec", "--provider", "Fake", *options, "--", *program]
        inherited = {**os.environ, "PYTHONPATH": PATHS, "TMPDIR": str(self.temporary)}
        with (self.path / "log").open("ab") as log:
            return subprocess.Popen(
                argv,
                env={**inherited, "TURNKEEL_SESSION_DIR": str(self.path), **environment},
                stdin=subprocess.DEVNULL,
                stderr=log,
            )

    def work(self, *options: str, at: bool = False, **environment: str) -> tuple[int, str]:
        """Run until every message has its final ack, or `agent exec` ends by itself; its code, and the log so far."""
        wanted = len(self.sql("inbound", "SELECT id FROM messages_in"))
        process = self.start(*options, at=at, **environment)
        try:
            eventually(
                lambda: process.poll() is not None or (len(acks := self.acks()) == wanted and "processing" not in acks)
            )
            process.terminate()
            code = process.wait(timeout=60)
        finally:
            process.kill()
            process.wait()
        assert list(self.temporary.iterdir()) == [], "a private folder was left"
        return code, (self.path / "log").read_text(encoding="utf-8")


def eventually(check: Callable[[], bool], within_s: float = 30.0) -> None:
    until_s = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < until_s, "it did not happen"
        time.sleep(0.01)


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path)


@pytest.fixture
def agent(session: Session) -> Iterator[Agent]:
    with Agent(session.path, handle_sigterm=False) as opened:
        yield opened


def test_each_message_goes_on_where_the_last_one_ended(session: Session) -> None:
    session.say("one", "two", "three")
    code, log = session.work(at=True)
    assert (code, log, session.replies()) == (0, "", ["one", "one,two", "one,two,three"])
    assert session.runs()[0] == (None, None, "one")
    assert session.runs()[2] == ("conversation-2", "place-2", "three")
    assert session.handles() == ("conversation-3", "place-3")


def test_handles_survive_a_kill_of_the_agent_at_work(session: Session) -> None:
    session.say("one")
    session.work()
    session.say("hang")
    process = session.start()
    eventually(lambda: len(session.runs()) == 2)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    assert session.handles() == ("conversation-1", "place-1")
    session.sql("inbound", "UPDATE messages_in SET content = '{\"text\": \"two\"}' WHERE id = 'm2'")
    for left in session.temporary.iterdir():
        assert left.stat().st_mode & 0o077 == 0
        left.rmdir()
    session.work()
    assert session.replies() == ["one", "one,two"]


def test_a_stale_handle_recovers_in_one_retry_within_the_same_claim(session: Session) -> None:
    session.put(KEY, "gone-1")
    session.say("hello", "again")
    code, log = session.work()
    assert (code, session.acks(), session.replies()) == (0, ["completed"] * 2, ["hello", "hello,again"])
    assert session.runs() == [
        ("gone-1", None, "hello"), (None, None, "hello"), ("conversation-2", None, "again")
    ]  # fmt: skip
    assert session.handles()[0] == "conversation-3"
    reason, detail = session.note()
    assert reason == "context_lost"
    assert "fake knows conversation gone-1 no more (found: no conversation found)" in detail
    assert detail in log
    assert session.note(2) == ("", "")


def test_a_task_that_stands_alone_neither_goes_on_with_the_conversation_nor_leaves_one(session: Session) -> None:
    session.say("one")
    session.task("alone", "isolated")
    session.say("two")
    session.task("together", "group")
    session.task("as it was", None)
    code, _ = session.work(at=True)
    assert (code, session.replies()[:2]) == (0, ["one", "alone"])
    assert [run[0] for run in session.runs()] == [
        None, None, "conversation-1", "conversation-3", "conversation-4"
    ]  # fmt: skip
    assert session.replies()[2:] == ["one,two", "one,two,together", "one,two,together,as it was"]
    assert session.handles() == ("conversation-5", "place-4")


@pytest.mark.parametrize(("mode", "runs", "handle"), [("isolated", 1, "gone-1"), ("group", 2, None)])
def test_the_error_of_a_task_that_stands_alone_costs_the_conversation_nothing(
    session: Session, mode: str, runs: int, handle: str | None
) -> None:
    session.put(KEY, "gone-1")
    session.task("stale", mode)
    code, _ = session.work()
    assert (code, session.acks(), len(session.runs())) == (1, ["processing"], runs)
    assert session.handles()[0] == handle


def test_what_was_said_before_a_task_that_stands_alone_is_kept_for_the_next_message(session: Session) -> None:
    session.say("by the way")
    session.sql("inbound", "UPDATE messages_in SET trigger = 0")
    session.task("alone", "isolated")
    session.say("one")
    session.work()
    assert session.replies() == ["alone", "by the way\none"]


@pytest.mark.parametrize("mode", ["isolated", "group"])
def test_an_agent_of_the_kit_has_no_handle_for_a_task_that_stands_alone(
    session: Session, agent: Agent, mode: str
) -> None:
    alone = mode == "isolated"
    session.put(KEY, "kept-1")
    session.task("go", mode)
    message = agent.next_message()
    assert message is not None and message.isolated == alone
    assert agent.resume_handle("fake") == (None if alone else "kept-1")
    agent.keep_resume("fake", "new-1")
    assert session.handles()[0] == ("kept-1" if alone else "new-1")
    kept = ResumeHandles(session="kept-1")
    assert agent.recover_resume("fake", "no conversation found", kept) is not alone
    agent.reply(message, "done", keep=kept_resume("fake", ResumeHandles(session="new-2")))
    assert session.handles()[0] == ("kept-1" if alone else "new-2")
    assert agent.resume_handle("fake") == session.handles()[0]


def test_a_lost_place_keeps_the_conversation(session: Session) -> None:
    session.say("one", "two")
    session.work(at=True)
    session.put(ANCHOR, "place-9")
    session.say("three")
    code, _ = session.work(at=True)
    assert (code, session.replies()[-1]) == (0, "one,two,three")
    assert session.runs()[2:] == [("conversation-2", "place-9", "three"), ("conversation-2", None, "three")]
    assert session.handles() == ("conversation-4", "place-3")
    assert session.note(3)[0] == "anchor_lost"


@pytest.mark.parametrize(
    ("text", "reason"), [("rate", "exit_1"), ("quote", "exit_1")], ids=["rate limit", "a quotation on stdout"]
)
def test_an_error_that_passes_keeps_its_handle_and_is_no_retry(session: Session, text: str, reason: str) -> None:
    session.say("one")
    session.work()
    session.say(text)
    code, _ = session.work()
    assert (code, session.acks(), session.note(2)[0]) == (1, ["completed", "processing"], reason)
    assert session.handles() == ("conversation-1", "place-1")
    assert len(session.runs()) == 2


def test_a_run_out_of_time_keeps_its_handle(session: Session) -> None:
    session.say("one")
    session.work()
    session.say("hang")
    code, _ = session.work("--timeout", "1")
    assert (code, session.note(2)[0], session.handles()[0], len(session.runs())) == (1, "timeout", "conversation-1", 2)


def test_a_second_failure_is_an_ordinary_one_and_says_what_was_lost(session: Session) -> None:
    session.put(KEY, "gone-1")
    session.say("stale")
    code, log = session.work()
    assert (code, session.acks(), session.replies()) == (1, ["processing"], [])
    assert session.runs() == [("gone-1", None, "stale"), (None, None, "stale")]
    reason, detail = session.note()
    assert reason == "exit_1"
    assert "context_lost: fake knows conversation gone-1 no more" in detail
    assert detail.rstrip().endswith("whatever it is")
    assert log.count("no more") == 1
    assert session.handles() == (None, None)


def test_what_the_failed_run_left_is_not_taken_for_the_handle_of_its_retry(session: Session) -> None:
    session.put(KEY, "gone-1")
    session.say("no handle")
    session.work()
    assert (session.replies(), len(session.runs()), session.handles()) == (["answered"], 2, (None, None))


def test_a_fresh_run_that_says_stale_is_not_run_again(session: Session) -> None:
    session.say("stale")
    code, _ = session.work()
    assert (code, session.runs(), session.note()[0]) == (1, [(None, None, "stale")], "exit_1")


def test_an_error_that_the_program_writes_down_counts_whatever_it_printed(session: Session) -> None:
    session.say("one")
    session.work()
    session.say("error file")
    code, _ = session.work()
    assert (code, session.acks(), session.replies()) == (1, ["completed", "processing"], ["one"])
    assert session.runs()[1:] == [("conversation-1", None, "error file"), (None, None, "error file")]
    reason, detail = session.note(2)
    assert (reason, detail.splitlines()[-1]) == ("error_result", "session expired")
    assert session.handles() == (None, None)


def test_a_newer_handle_is_not_lost_and_is_what_the_retry_goes_on_with(session: Session, agent: Agent) -> None:
    session.say("hello")
    message = agent.next_message(wait_s=5)
    assert message is not None
    agent.keep_resume("fake", "old", "place-1")
    used = agent.resume_handles("fake")
    agent.keep_resume("fake", "newer", "place-2")
    assert agent.recover_resume("fake", "No conversation found with session ID: old", used)
    assert session.handles() == ("newer", "place-2")
    assert session.note() == ("", "")
    assert not agent.clear_resume("fake", if_still="old")
    assert agent.clear_resume("FAKE", if_still="newer")
    assert session.handles() == (None, None)
    agent.reply(message, "done", keep=kept_resume("fake", ResumeHandles(session="s")))
    assert session.handles() == ("s", None)


def test_a_retried_run_is_not_retried_again(session: Session, agent: Agent) -> None:
    agent.keep_resume("fake", "old")
    used = agent.resume_handles("fake")
    assert not agent.recover_resume("fake", "session expired", used, retried=True)
    assert session.handles() == (None, None)


def test_a_refused_reply_keeps_the_handle_of_before(session: Session) -> None:
    session.put(KEY, "gone")
    (session.store / "gone").write_text("[]", encoding="utf-8")
    session.say("x" * 200)
    session.work("--output-limit", "100")
    assert (session.acks(), session.handles()[0]) == (["failed"], "gone")


def test_a_silent_answer_keeps_its_new_handle(session: Session) -> None:
    session.say("silent")
    code, _ = session.work("--allow-empty")
    assert (code, session.acks(), session.handles()) == (0, ["completed"], ("conversation-1", None))


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("hand:" + b"plain".hex(), "plain"),
        ("hand:" + b"plain\r\n".hex(), "plain"),
        ("hand:" + ("é" * 512).encode().hex(), "é" * 512),
        ("hand:" + ("é" * 513).encode().hex(), "before"),
        ("hand:" + b"".hex(), "before"),
        ("hand:" + b"--dangerous".hex(), "before"),
        ("hand:" + b"a\x1b[2Jb".hex(), "before"),
        ("hand:" + b"a\0b".hex(), "before"),
        ("hand:" + b"\xff\xfe".hex(), "before"),
        ("hand:" + b"a\nb\nc".hex(), "before"),
        ("hand:" + b"\nplace".hex(), "before"),
        ("hand:" + (b"a" * 100_000).hex(), "before"),
        ("link", "before"),
        ("fifo", "before"),
    ],
)
def test_what_cannot_be_a_handle_is_told_and_the_one_before_stays(session: Session, text: str, stored: str) -> None:
    session.put(KEY, "before")
    (session.store / "before").write_text("[]", encoding="utf-8")
    session.say(text)
    code, log = session.work()
    assert (code, session.acks(), session.handles()[0]) == (0, ["completed"], stored)
    assert ("the handle of before is kept" in log) == (stored == "before" and text != "hand:")


def test_a_stored_handle_that_no_program_may_get_counts_as_none(session: Session) -> None:
    for bad in ("--yolo", "a\nb", "", "x" * 513):
        session.put(KEY, bad)
        with Agent(session.path, handle_sigterm=False) as agent:
            assert agent.resume_handle("fake") is None


def test_the_key_of_old_runners_is_taken_over_once(session: Session, agent: Agent) -> None:
    session.put("sdk_session_id", "old-runner")
    assert agent.resume_handle("claude") == "old-runner"
    assert session.state() == {"continuation:claude": "old-runner"}
    session.put("sdk_session_id", "older")
    assert agent.resume_handle("claude") == "old-runner"
    assert session.state() == {"continuation:claude": "old-runner"}


@pytest.mark.parametrize(("provider", "handle"), [("", "h"), ("a b", "h"), ("x" * 65, "h"), ("p", ""), ("p", "-h")])
def test_a_bad_name_or_handle_is_refused(agent: Agent, provider: str, handle: str) -> None:
    with pytest.raises(BadHandle):
        agent.keep_resume(provider, handle)


def test_an_anchor_wants_its_conversation() -> None:
    with pytest.raises(BadHandle, match="place in a conversation"):
        kept_resume("p", ResumeHandles(anchor="a"))


@pytest.mark.parametrize(
    ("command", "with_handle", "without"),
    [
        ("p --resume {resume} x", "p --resume h x", "p x"),
        ("p -r {resume}", "p -r h", "p"),
        ("p --resume={resume} x", "p --resume=h x", "p x"),
        ("p --print --resume={resume}", "p --print --resume=h", "p --print"),
        ("p a {resume} x", "p a h x", "p a x"),
        ("p --mode=fast {resume}", "p --mode=fast h", "p --mode=fast"),
        ("p -- {resume}", "p -- h", "p --"),
        ("p --resume id:{resume}", "p --resume id:h", "p"),
        ("p -r {resume} --at {resume_at}", "p -r h --at a", "p"),
        ("p {resume}@{resume_at}", "p h@a", "p"),
    ],
)
def test_the_words_of_a_command_with_a_handle_and_without(command: str, with_handle: str, without: str) -> None:
    words = command.split(" ")
    assert " ".join(filled_words(words, ResumeHandles(session="h", anchor="a"))) == with_handle
    assert " ".join(filled_words(words, ResumeHandles())) == without


def test_the_provider_is_named_or_is_the_program() -> None:
    assert parse_order(("--", "/usr/bin/Claude", "-r", "{resume}")).provider == "claude"
    assert parse_order(("--", "./my agent!", "-r", "{resume}")).provider == "program"
    assert parse_order(("--provider", "Codex", "--", "x")).provider == "codex"
    assert parse_order(("--", "claude")).provider is None
    assert exec_main(("--provider", "a b", "--", "x")) == 2
    assert exec_main(("--", "{resume}")) == 2


def test_patterns_of_the_host_count_and_a_broken_setting_is_said(session: Session) -> None:
    own = json.dumps({"session_patterns": ["^429 "], "anchor_patterns": [], "error_chars": 100})
    session.put(KEY, "before")
    (session.store / "before").write_text("[]", encoding="utf-8")
    session.say("rate")
    code, log = session.work(**{RESUME_PATTERNS: own})
    assert (code, session.handles(), "429" in log) == (1, ("before", None), True), "it would lose every conversation"
    assert f"{RESUME_PATTERNS} cannot be used" in log
    good = json.dumps({"session_patterns": ["^no such chat"], "anchor_patterns": ["^no place"], "error_chars": 100})
    policy = read_resume_policy({RESUME_PATTERNS: good})
    assert policy.session_patterns[-1] == "^no such chat" and len(policy.session_patterns) > 10
    for wrong in ("[]", "{}", "no", '{"session_patterns": "x", "anchor_patterns": [], "error_chars": 1}'):
        with pytest.raises(Exception, match=RESUME_PATTERNS):
            read_resume_policy({RESUME_PATTERNS: wrong})
