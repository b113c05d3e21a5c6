"""Does `agent exec` turn any command-line program into an agent that tells the truth about its runs?"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from turnkeel.agent.exec import ExecOrder, exec_main, parse_order
from turnkeel_adapters.sessions.schema import INBOUND_SCHEMA, OUTBOUND_SCHEMA

ROOT = Path(__file__).parents[2]
PATHS = os.pathsep.join(str(ROOT / part) for part in ("core", "adapters", "shell"))
PYTHON = (sys.executable, "-I", "-S", "-c")


class Session:
    """A session folder and an `agent exec` on it."""

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

    def say(self, *texts: str, trigger: int = 1) -> None:
        for text in texts:
            self.run(
                "inbound",
                """INSERT INTO messages_in (id, seq, kind, timestamp, trigger, content)
                   SELECT 'm' || (count(*) + 1), count(*) * 2 + 2, 'chat', '2026', ?, ? FROM messages_in""",
                (trigger, json.dumps({"text": text})),
            )

    def acks(self) -> list[object]:
        return [status for (status,) in self.run("outbound", "SELECT status FROM processing_ack ORDER BY message_id")]

    def replies(self) -> list[str]:
        rows = self.run("outbound", "SELECT content FROM messages_out ORDER BY seq")
        return [json.loads(str(content))["text"] for (content,) in rows]

    def note(self, message_id: str = "m1") -> tuple[str, str]:
        rows = self.run("outbound", "SELECT value FROM session_state WHERE key = ?", (f"turnkeel:error:{message_id}",))
        value = json.loads(str(rows[0][0])) if rows else {"reason": "", "detail": ""}
        return value["reason"], value["detail"]

    def progress(self) -> object:
        return self.run("outbound", "SELECT updated_at FROM container_state")

    def start(self, *arguments: str, stderr: int | None = None) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": PATHS, "TURNKEEL_SESSION_DIR": str(self.path)}
        argv = [sys.executable, "-m", "turnkeel.agent", "exec", *arguments]
        with (self.path / "log").open("ab") as log:
            return subprocess.Popen(argv, env=environment, stdin=subprocess.DEVNULL, stderr=stderr or log)

    def until(self, done: Callable[[], bool], *arguments: str) -> tuple[int, str]:
        """Run until `done`, then ask it to stop; return the exit code and stderr."""
        process = self.start(*arguments)
        try:
            eventually(lambda: done() or process.poll() is not None)
            process.terminate()
            code = process.wait(timeout=60)
            return code, (self.path / "log").read_text(encoding="utf-8", errors="replace")
        finally:
            process.kill()
            process.wait()

    def settle(self, *arguments: str) -> tuple[int, str]:
        """Run until every message has its final ack, or the program ends by itself."""
        wanted = len(self.run("inbound", "SELECT id FROM messages_in"))
        return self.until(lambda: len(acks := self.acks()) == wanted and "processing" not in acks, *arguments)


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path)


def eventually(check: Callable[[], bool], within_s: float = 30.0) -> None:
    until_s = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < until_s, "it did not happen"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process runs; an orphan that nobody has reaped yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


@pytest.mark.parametrize(
    ("command", "text", "reply"),
    [
        (("tr", "a-z", "A-Z"), "hello there", "HELLO THERE"),
        (("cat",), "naïve ☃\nsecond line", "naïve ☃\nsecond line"),
        (("echo", "hi\n\n"), "ignored", "hi"),
        (("printf", r"a\377b\000c"), "binary", "a\ufffdb\x00c"),
        (("pwd",), "where", "SESSION"),
        (("sh", "-c", "exec 0<&-; sleep 0.2; echo deaf"), "x" * 300_000, "deaf"),
        (("sh", "-c", "echo early; exec 1>&- 2>&-; sleep 0.3"), "closes its output", "early"),
        (("sh", "-c", "sleep 60 & echo parent gone"), "leaves a child", "parent gone"),
        (("wc", "-c"), "x" * 10_000_000, "10000000"),
    ],
    ids=["tr", "utf-8", "newlines", "binary", "folder", "never reads", "closes output", "child left", "10 MB in"],
)
def test_what_a_program_prints_is_the_reply(session: Session, command: tuple[str, ...], text: str, reply: str) -> None:
    session.say(text)
    code, stderr = session.settle("--", *command)
    assert (session.acks(), code, stderr) == (["completed"], 0, "")
    assert session.replies() == [str(session.path) if reply == "SESSION" else reply]


def test_context_lines_come_before_the_text(session: Session) -> None:
    session.say("first", "second", trigger=0)
    session.say("question")
    session.settle("--", "cat")
    assert session.replies() == ["first\nsecond\nquestion"]
    assert session.acks() == ["completed"] * 3


def test_many_messages_are_answered_oldest_first_each_by_its_own_run(session: Session) -> None:
    texts = [f"message {number}" for number in range(25)]
    session.say(*texts)
    code, _ = session.settle("--", "cat")
    assert (code, session.replies()) == (0, texts)


@pytest.mark.parametrize(
    ("arguments", "code", "reason", "detail"),
    [
        (("--", "sh", "-c", "echo on stdout; echo the cause >&2; exit 3"), 1, "exit_3", "the cause\n"),
        (("--", *PYTHON, "import os; os.kill(os.getpid(), 9)"), 1, "signal_9", ""),
        (("--timeout", "0.3", "--", "sh", "-c", "echo slow >&2; sleep 60"), 1, "timeout", "after 0.3 s\nslow\n"),
        (("--timeout", "0.3", "--", "sh", "-c", "trap '' TERM; sleep 60; sleep 60"), 1, "timeout", "after 0.3 s\n"),
        (("--", "no-such-program-here"), 127, "not_found", "check its name and PATH"),
        (("--", "/"), 126, "cannot_execute", "cannot be run"),
        (("--", "sh", "-c", "yes 0123456789 | head -c 100000 >&2; exit 1"), 1, "exit_1", "0123456789\n"),
    ],
    ids=["exit 3", "killed", "timeout", "timeout ignoring TERM", "missing", "not a program", "long stderr"],
)
def test_a_failed_run_leaves_the_claim_and_its_reason(
    session: Session, arguments: tuple[str, ...], code: int, reason: str, detail: str
) -> None:
    session.say("hello")
    ended, stderr = session.settle(*arguments)
    noted, why = session.note()
    assert (ended, session.acks(), session.replies(), noted) == (code, ["processing"], [], reason)
    assert detail in why
    assert len(why) <= 4_200
    assert f"message m1: {reason}" in stderr


def test_a_log_that_nobody_reads_does_not_stop_the_clock(session: Session) -> None:
    session.say("hello")
    process = session.start("--timeout", "0.5", "--", "sh", "-c", "yes >&2", stderr=subprocess.PIPE)
    assert process.stderr is not None
    try:
        assert process.wait(timeout=60) == 1
    finally:
        process.stderr.close()
        process.kill()
    assert session.note()[0] == "timeout"


def test_the_stderr_of_a_run_reaches_ours(session: Session) -> None:
    session.say("hello")
    _, stderr = session.settle("--", "sh", "-c", "echo noise >&2; cat")
    assert (stderr, session.replies()) == ("noise\n", ["hello"])


@pytest.mark.parametrize(
    ("arguments", "ack", "reason"),
    [
        (("--", "true"), "failed", "no_output"),
        (("--", "printf", r"\n \n"), "failed", "no_output"),
        (("--allow-empty", "--", "true"), "completed", ""),
        (("--output-limit", "1000", "--", "yes"), "failed", "output_limit"),
        (("--output-limit", "5", "--", "echo", "12345"), "failed", "output_limit"),
        (("--output-limit", "6", "--", "echo", "12345"), "completed", ""),
    ],
    ids=["nothing", "blanks", "silence allowed", "endless", "one byte over", "exactly the limit"],
)
def test_empty_and_endless_output_end_the_message(
    session: Session, arguments: tuple[str, ...], ack: str, reason: str
) -> None:
    session.say("hello")
    code, _ = session.settle(*arguments)
    assert (code, session.acks(), session.note()[0]) == (0, [ack], reason)
    assert session.replies() == (["12345"] if "6" in arguments else [])


def test_a_silent_program_beats_but_does_not_progress(session: Session) -> None:
    session.say("hello")
    process = session.start("--", "sleep", "infinity")
    try:
        eventually(lambda: session.acks() == ["processing"])
        claimed, beat = session.progress(), (session.path / ".heartbeat").stat().st_mtime_ns
        eventually(lambda: (session.path / ".heartbeat").stat().st_mtime_ns > beat)
        assert session.progress() == claimed
    finally:
        process.terminate()
        process.wait(timeout=60)
    assert (process.returncode, session.acks()) == (143, ["processing"])


@pytest.mark.parametrize("stream", ["1", "2"], ids=["stdout", "stderr"])
def test_output_of_a_running_program_is_progress(session: Session, stream: str) -> None:
    session.say("hello")
    process = session.start("--", "sh", "-c", f"while sleep 0.2; do echo tick >&{stream}; done")
    try:
        eventually(lambda: session.acks() == ["processing"])
        claimed = session.progress()
        eventually(lambda: session.progress() != claimed)
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.mark.parametrize("how", ["SIGTERM", "timeout", "flood"])
def test_the_whole_group_of_a_program_ends_with_it(session: Session, how: str) -> None:
    session.say("hello")
    then = "yes" if how == "flood" else "wait"
    options = {"SIGTERM": (), "timeout": ("--timeout", "0.5"), "flood": ("--output-limit", "100000")}[how]
    process = session.start(*options, "--", "sh", "-c", f"sleep 60 & echo $! $$ > pids.new; mv pids.new pids; {then}")
    try:
        eventually((session.path / "pids").exists)
        pids = [int(pid) for pid in (session.path / "pids").read_text(encoding="utf-8").split()]
        if how == "SIGTERM":
            assert all(map(alive, pids))
            process.terminate()
        eventually(lambda: not any(map(alive, pids)))
    finally:
        process.terminate()
        process.wait(timeout=60)


def test_killing_the_wrapper_leaves_the_claim_and_no_reply(session: Session) -> None:
    session.say("hello")
    process = session.start("--", "sleep", "5")
    eventually(lambda: session.acks() == ["processing"])
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    assert (session.acks(), session.replies()) == (["processing"], [])
    code, _ = session.settle("--", "cat")
    assert (code, session.acks(), session.replies()) == (0, ["completed"], ["hello"])


def test_a_message_that_worked_at_last_has_no_error_left(session: Session) -> None:
    session.say("hello")
    session.settle("--", "false")
    assert session.note()[0] == "exit_1"
    session.settle("--", "cat")
    assert (session.note()[0], session.replies()) == ("", ["hello"])


@pytest.mark.parametrize(
    "argv",
    [(), ("--",), ("cat",), ("--timeout", "0", "--", "cat"), ("--timeout", "nan", "--", "cat"),
     ("--output-limit", "x", "--", "cat"), ("--bogus", "--", "cat"), ("--", "")],
)  # fmt: skip
def test_wrong_usage_is_told_from_failure(argv: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    assert exec_main(argv) == 2
    assert "usage: turnkeel agent exec" in capfd.readouterr().err


def test_options_after_the_program_belong_to_the_program() -> None:
    order = parse_order(("--timeout", "2.5", "--", "prog", "--timeout", "9", "--", "x"))
    assert order == ExecOrder(argv=("prog", "--timeout", "9", "--", "x"), timeout_s=2.5)


@pytest.mark.parametrize("missing", ["inbound.db", "outbound.db"])
def test_a_folder_that_is_no_session_is_said_in_one_line(session: Session, missing: str) -> None:
    (session.path / missing).unlink()
    code, stderr = session.until(lambda: False, "--", "cat")
    assert code == 1
    assert (missing in stderr, "Traceback" in stderr, stderr.count("\n")) == (True, False, 1)


def test_the_start_stays_light(session: Session) -> None:
    code = "import sys, turnkeel.agent.exec; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": PATHS}
    loaded = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    tops = {name.partition(".")[0] for name in loaded.stdout.split()}
    assert "apsw" in tops
    assert tops.isdisjoint({"cattrs", "rich", "cyclopts", "structlog", "asyncio"})


def test_programs_used_here_exist() -> None:
    assert all(shutil.which(name) for name in ("tr", "yes", "head", "printf", "wc", "sleep"))
