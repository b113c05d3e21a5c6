"""Does a key that an agent gives away stay out of everything but the conversation itself?"""

import json
import os
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from turnkeel.cli.app import run_command_line
from turnkeel.cli.report import Reporter
from turnkeel.events import FaultSeen, WakeFailed
from turnkeel_adapters.config.records import AgentConfig, ContainerConfig, HostConfig
from turnkeel_adapters.runners.oci.settings import ContainerSettings
from turnkeel_adapters.secrets import known_secrets, secrets_of_credentials
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.state.dead import DeadRecord
from turnkeel_adapters.state.notes import Parked
from turnkeel_adapters.state.store import HostState
from turnkeel_core import redactions_of

ROOT = Path(__file__).parents[2]
PATHS = os.pathsep.join(str(ROOT / part) for part in ("core", "adapters", "shell"))
KEY = 'a-"private"-key-of-no-known-form'
TOKEN = "sk-ant-api03-A1b2C3d4E5A1b2C3d4E5"
GIVES_AWAY = """
import os, sys, time
key = os.environ["MODEL_API_KEY"]
for stream in (sys.stdout, sys.stderr):
    stream.write("calling with " + key[:9]); stream.flush(); time.sleep(0.3)
    stream.write(key[9:] + " and {token}\\n"); stream.flush()
sys.exit("died with " + key)
"""


def turnkeel(*argv: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "TMPDIR", "LANG")}
    return subprocess.run(
        [sys.executable, "-m", "turnkeel", *argv],
        env={**kept, "PYTHONPATH": PATHS, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def where_it_stands(data: Path, secret: str) -> list[str]:
    """The files below `data` that hold the secret or an end of it, as it is or as JSON writes it."""
    halves = (secret, secret[:12], secret[-12:], json.dumps(secret)[1:-1])
    needles = [half.encode() for half in halves]
    files = [path for path in sorted(data.rglob("*")) if path.is_file()]
    return [str(path.relative_to(data)) for path in files if any(needle in path.read_bytes() for needle in needles)]


def test_a_key_that_an_agent_prints_and_dies_with_is_nowhere(tmp_path: Path) -> None:
    agent, config, data = tmp_path / "agent.py", tmp_path / "turnkeel.toml", tmp_path / "data"
    agent.write_text(GIVES_AWAY.replace("{token}", TOKEN))
    config.write_text(
        f"[agent]\nargv = {json.dumps([sys.executable, str(agent)])}\npass_environment = ['MODEL_API_KEY']\n"
        "[retry]\nmax_tries = 0\n"
    )
    assert turnkeel("send", "chat", "hello", "--data", str(data)).returncode == 0
    outputs: list[str] = []
    for log_format in ("text", "json"):
        done = turnkeel(
            "run", "--data", str(data), "--config", str(config), "--until-idle", "--log-format", log_format,
            MODEL_API_KEY=KEY,
        )  # fmt: skip
        outputs += [done.stdout, done.stderr]
    for command in (
        ("show", "chat"),
        ("why", "chat"),
        ("status",),
        ("show", "chat", "--json"),
        ("why", "chat", "--json"),
    ):
        done = turnkeel(*command, "--data", str(data))
        assert done.returncode == 0, done.stderr
        outputs += [done.stdout, done.stderr]
    log = (data / "logs" / "main" / "chat.log").read_text()
    assert "died with [REDACTED]" in log
    assert "calling with [REDACTED] and [REDACTED]" in log
    with HostState(data, read_only=True) as state:
        (dead,) = state.dead.of_session("main/chat", limit=10)
    assert "died with [REDACTED]" in (dead.detail or "")
    assert "calling with [REDACTED] and [REDACTED]" in (dead.detail or "")
    for secret in (KEY, TOKEN):
        assert where_it_stands(data, secret) == []
        assert [text for text in outputs if secret in text or json.dumps(secret)[1:-1] in text] == []


def test_what_is_said_in_a_conversation_is_stored_as_it_is_and_shown_without_secrets(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert turnkeel("send", "chat", f"my key is {TOKEN}, my word {KEY}", "--data", str(data)).returncode == 0
    store = FileSessions(data).store("main/chat")
    (line,) = store.history(10, None)
    assert json.loads(line.text)["text"] == f"my key is {TOKEN}, my word {KEY}"
    shown = turnkeel("show", "chat", "--data", str(data), MODEL_API_KEY=KEY)
    assert "my key is [REDACTED], my word [REDACTED]" in shown.stdout
    told = turnkeel("why", line.message_id, "--data", str(data), MODEL_API_KEY=KEY)
    assert "my key is [REDACTED], my word [REDACTED]" in told.stdout
    document = json.loads(turnkeel("show", "chat", "--data", str(data), "--json", MODEL_API_KEY=KEY).stdout)
    assert document["lines"][0]["text"] == "my key is [REDACTED], my word [REDACTED]"
    assert json.loads(document["lines"][0]["content"])["text"] == "my key is [REDACTED], my word [REDACTED]"


def test_half_a_secret_at_the_end_of_an_excerpt_is_not_shown(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert turnkeel("send", "chat", "x" * 390 + f" {TOKEN}", "--data", str(data)).returncode == 0
    (line,) = FileSessions(data).store("main/chat").history(10, None)
    told = turnkeel("why", line.message_id, "--data", str(data))
    assert "x" * 390 in told.stdout
    assert TOKEN[:9] not in told.stdout


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_report_holds_no_secret(log_format, monkeypatch, capsys) -> None:
    monkeypatch.setenv("MODEL_API_KEY", KEY)
    lines: list[str] = []

    class Stream:
        def write(self, text: str) -> int:
            lines.append(text)
            return len(text)

        def flush(self) -> None: ...

    import turnkeel.cli.hiding as hiding

    hiding.begin()  # as a command line does: whoever ran in this process before knew another environment
    report = Reporter(Stream(), log_format)
    report(WakeFailed("main/chat", 1, f"no such program: {KEY} {TOKEN}"))
    report(FaultSeen("main/chat", "start", "not_started", KEY))
    text = "".join(lines)
    assert text.count("[REDACTED]") == 3
    assert KEY not in text and json.dumps(KEY)[1:-1] not in text and TOKEN not in text
    if log_format == "json":
        assert [json.loads(line)["event"] for line in text.splitlines()] == ["WakeFailed", "FaultSeen"]


def test_an_error_holds_no_secret(capsys) -> None:
    assert run_command_line(["send", f"no-{TOKEN}", "x", "--wrong", TOKEN]) == 2
    assert TOKEN not in capsys.readouterr().err


def test_check_explains_the_settings_without_their_secrets(tmp_path: Path, capsys) -> None:
    config = tmp_path / "turnkeel.toml"
    config.write_text(f"[agent]\nargv = ['cat', 'plain', '{KEY}']\nenvironment = {{ MODEL_API_KEY = '{KEY}' }}\n")
    argv = ["check", "--config", str(config), "--data", str(tmp_path / "none"), "--explain"]
    assert run_command_line(argv) == 0
    assert run_command_line([*argv, "--json"]) == 0
    shown = capsys.readouterr().out
    assert "plain" in shown and "[REDACTED]" in shown
    assert KEY not in shown and json.dumps(KEY)[1:-1] not in shown


def test_what_one_command_line_learns_the_next_one_has_forgotten(tmp_path: Path, capsys) -> None:
    config = tmp_path / "turnkeel.toml"
    config.write_text("[agent]\ncommand = 'cat'\nenvironment = { MODEL_API_KEY = 'no-such-thing' }\n")
    run_command_line(["check", "--config", str(config), "--data", str(tmp_path / "none")])
    run_command_line(["status", "--data", str(tmp_path / "no-such-thing")])
    assert "no-such-thing" in capsys.readouterr().err


def test_reasons_are_redacted_before_they_are_stored_and_payloads_are_not(tmp_path: Path) -> None:
    with HostState(tmp_path, redact=lambda text: text.replace("secret", "[REDACTED]")) as state:
        state.dead.keep(
            DeadRecord(
                session="s", message_id="m", payload="secret", reason="secret r", detail="secret d", made_at_ms=1
            )
        )
        state.notes.report_fault("s", "start", "not_started", "secret f", 1)
        state.notes.turn_faults("s", frozenset(), {"row": ("bad_row", "secret g")}, 1)
        state.notes.park(Parked(session="s", message_id="m", cron="* *", reason="secret p", parked_at_ms=1))
    db = apsw.Connection(str(tmp_path / "turnkeel.db"), flags=apsw.SQLITE_OPEN_READONLY)
    assert db.execute("SELECT payload, reason, detail FROM dead").fetchall() == [
        ("secret", "[REDACTED] r", "[REDACTED] d")
    ]
    assert db.execute("SELECT detail FROM fault ORDER BY 1").fetchall() == [("[REDACTED] f",), ("[REDACTED] g",)]
    assert db.execute("SELECT reason FROM parked").fetchall() == [("[REDACTED] p",)]
    db.close()


def container(**settings: object) -> ContainerConfig:
    return ContainerConfig(settings=ContainerSettings(image="image", **settings))


def test_the_secrets_of_a_host_are_those_it_has_and_those_it_hands_on(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("key-in-a-file\n")
    (tmp_path / ".claude").mkdir()
    login = {"claudeAiOauth": {"accessToken": "access-token", "expiresAt": 1}}
    (tmp_path / ".claude" / ".credentials.json").write_text(json.dumps(login))
    config = HostConfig(
        agent=AgentConfig(environment=(("A_TOKEN", "of-the-agent"), ("MODE", "not-secret"))),
        container=container(environment=(("B_TOKEN", "of-a-container"),), secret_files=(("k", str(tmp_path / "key")),)),
    )
    environ = {"C_KEY": "of-the-host", "HOME": str(tmp_path), "PATH": "/usr/bin"}
    found = known_secrets(config, environ)
    in_the_file = {"key-in-a-file", "key-in-a-file\n", "key-in-a-file\\n", "key-in-a-file\\\\n", "key-in-a-file%0A"}
    assert set(found.values) == {"of-the-host", "of-the-agent", "of-a-container", "access-token", *in_the_file}
    assert found.unread == ()
    assert "of-the-host" not in repr(found)


def test_a_secret_file_that_cannot_be_read_is_named_and_stops_nothing(tmp_path: Path) -> None:
    big, gone = tmp_path / "big", tmp_path / "gone"
    big.write_bytes(b"x" * 1_048_577)
    files = (("big", str(big)), ("gone", str(gone)), ("folder", str(tmp_path)))
    found = known_secrets(HostConfig(container=container(secret_files=files)), {"A_KEY": "known-value"})
    assert found.values == ("known-value",)
    assert [text.partition(":")[0] for text in found.unread] == [str(big), str(gone), str(tmp_path)]


def test_a_secret_file_that_is_no_text_is_known_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xff\xfekey\x80bytes")
    config = HostConfig(container=container(secret_files=(("k", str(tmp_path / "key")),)))
    (value, *_) = known_secrets(config, {}).values
    assert redactions_of((value,)).longest_bytes >= 10


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"claudeAiOauth": []}', "[" * 100_000])
def test_a_login_that_makes_no_sense_holds_no_token(text: str) -> None:
    assert secrets_of_credentials(text) == ()
