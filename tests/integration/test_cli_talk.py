"""Do `chat`, `run` and `send` work for the person who types them?"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from turnkeel.cli.app import run_command_line

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("core", "adapters", "shell"))}
TURNKEEL = (sys.executable, "-m", "turnkeel")


def turnkeel(*arguments, text=None):
    return subprocess.run(
        [*TURNKEEL, *arguments], input=text, capture_output=True, text=True, env=ENVIRONMENT, timeout=90
    )


def shown(data, session):
    done = turnkeel("show", "--data", str(data), session, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_conversation_has_one_reply_per_line():
    done = turnkeel("chat", "--agent", "tr a-z A-Z", text="one\n\ntwo words\n")
    assert (done.stdout, done.returncode) == ("ONE\nTWO WORDS\n", 0), done.stderr


def test_a_line_that_fails_is_told_and_ends_with_1():
    done = turnkeel("chat", "--agent", "true", text="say something\n")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "no_output" in done.stderr


def test_an_agent_named_by_a_path_counts_from_where_it_is_typed(tmp_path):
    script = tmp_path / "echo.py"
    script.write_text("import sys; print(sys.stdin.read()[::-1])", encoding="utf-8")
    done = subprocess.run(
        [*TURNKEEL, "chat", "--agent", f"{sys.executable} echo.py"],
        input="abc\n", capture_output=True, text=True, env=ENVIRONMENT, cwd=tmp_path, timeout=60,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("cba\n", 0), done.stderr


def test_send_run_show(tmp_path):
    sent = turnkeel("send", "--data", str(tmp_path), "anna", "good morning")
    assert sent.returncode == 0, sent.stderr
    ran = turnkeel("run", "--data", str(tmp_path), "--agent", "tr a-z A-Z", "--until-idle")
    assert ran.returncode == 0, ran.stderr
    lines = shown(tmp_path, "anna")["lines"]
    assert [(line["direction"], line["text"]) for line in lines] == [("in", "good morning"), ("out", "GOOD MORNING")]
    assert lines[0]["message_id"] == sent.stdout.strip()


def test_run_until_idle_ends_with_1_if_a_message_failed(tmp_path):
    turnkeel("send", "--data", str(tmp_path), "anna", "good morning")
    assert turnkeel("run", "--data", str(tmp_path), "--agent", "true", "--until-idle").returncode == 1
    # A failure of an earlier run is history: the next run with nothing to do is fine.
    assert turnkeel("run", "--data", str(tmp_path), "--agent", "true", "--until-idle").returncode == 0


def test_a_second_host_is_refused_with_3(tmp_path):
    first = subprocess.Popen(
        [*TURNKEEL, "run", "--data", str(tmp_path), "--agent", "cat"],
        stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
    )  # fmt: skip
    try:
        assert "host started" in first.stderr.readline()
        second = turnkeel("run", "--data", str(tmp_path), "--agent", "cat")
        assert second.returncode == 3
        assert str(first.pid) in second.stderr
    finally:
        first.send_signal(signal.SIGINT)
        assert first.wait(60) == 0
        first.stderr.close()


def test_a_sent_message_is_answered_by_a_host_that_sleeps(tmp_path):
    host = subprocess.Popen(
        [*TURNKEEL, "run", "--data", str(tmp_path), "--agent", "cat", "--log-format", "json"],
        stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
    )  # fmt: skip
    try:
        assert json.loads(host.stderr.readline())["event"] == "HostStarted"
        turnkeel("send", "--data", str(tmp_path), "group/anna", "are you there?")
        deadline = time.monotonic() + 60
        while len(shown(tmp_path, "group/anna")["lines"]) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert shown(tmp_path, "group/anna")["lines"][1]["text"] == "are you there?"
    finally:
        host.send_signal(signal.SIGTERM)
        assert host.wait(60) == 0
        host.stderr.close()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(["run"], "no agent", id="no agent at all"),
        pytest.param(["run", "--agent", "cat", "--agent-runner", "cat"], "not both", id="two kinds of agent"),
        pytest.param(["run", "--agent", "no-such-program-here"], "no such program", id="a program that is not there"),
        pytest.param(["run", "--agent", "'unclosed"], "cannot be split", id="a quote left open"),
        pytest.param(["send", "../outside", "x"], "session", id="a session name with dots"),
        pytest.param(["send", "a/b/c", "x"], "session", id="a session name with two slashes"),
        pytest.param(["send", "a\nb", "x"], "session", id="a session name with a newline"),
        pytest.param(["send", "x" * 10_000, "x"], "session", id="a session name of 10,000 characters"),
    ],
)
def test_wrong_usage_is_one_clear_line_and_exit_2(arguments, told, tmp_path, capsys):
    command, *rest = arguments
    assert run_command_line([command, "--data", str(tmp_path), *rest]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert len(error) < 600
    assert error.startswith("turnkeel: ")
    assert not (tmp_path / "v2-sessions").exists()
