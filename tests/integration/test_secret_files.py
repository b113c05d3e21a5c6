"""Does a key of a group's `.env` file that an agent gives away stay out of everything but its own files?"""

import json
import os
import sys
import time
from pathlib import Path

import pytest

from turnkeel.cli.app import run_command_line
from turnkeel.cli.hiding import HiddenStream
from turnkeel.cli.secret_watch import SecretWatch
from turnkeel.events import FaultCleared, FaultSeen
from turnkeel_adapters.config import ConfigFault, load_config
from turnkeel_adapters.config.records import HostConfig
from turnkeel_adapters.lifecycle.store import StateLifecycle
from turnkeel_adapters.secrets import RedactConfig, SecretKeeper, known_secrets, redact_json, secrets_of_credentials
from turnkeel_adapters.state.journal import JournalLine
from turnkeel_adapters.state.store import HostState

OLD, NEW = 'group-"key"/of-no-form+1', "another-group-key/of-no-form+2"
AGENT = """
import sys, time
said, file = sys.stdin.read(), sys.argv[1]
if "add" in said:
    open(file, "a").write("ADDED='{new}'\\n")
    time.sleep(1)
key = open(file).read().split("'")[-2]
print("on stderr:", key, file=sys.stderr, flush=True)
if "die" in said:
    sys.exit("died with " + key)
print("my key is " + key + ", password=hunter2-example")
"""


def keeper(data: Path, environ: dict[str, str] | None = None, **redact: tuple[str, ...]) -> SecretKeeper:
    made = SecretKeeper(environ or {})
    made.learn(HostConfig(redact=RedactConfig(**redact)), data)
    return made


def holders(folder: Path, *secrets: str) -> list[str]:
    """The files below `folder` that hold one of the secrets, or an end of it, as it is or as JSON writes it."""
    needles = [part.encode() for one in secrets for part in (one, one[:14], one[-14:], json.dumps(one)[1:-1])]
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [path.name for path in files if any(needle in path.read_bytes() for needle in needles)]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A data directory as existing hosts have it: `groups` beside it."""
    (tmp_path / "groups" / "team").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def group_file(place: Path) -> Path:
    return place.parent / "groups" / "team" / ".env"


def run(capfd: pytest.CaptureFixture[str], *argv: str) -> str:
    """What a command printed, on both streams."""
    code = run_command_line(argv)
    shown = capfd.readouterr()
    assert code == 0, shown.err
    return shown.out + shown.err


@pytest.mark.long
def test_a_key_of_a_groups_env_file_leaves_an_agent_by_no_way(place: Path, capfd) -> None:
    env, agent = group_file(place), place.parent / "agent.py"
    env.write_text(f"TEAM_KEY='{OLD}'\n")
    agent.write_text(AGENT.replace("{new}", NEW))
    config = place.parent / "turnkeel.toml"
    config.write_text(f"[agent]\nargv = {json.dumps([sys.executable, str(agent), str(env)])}\n[retry]\nmax_tries = 0\n")
    data, outputs = ("--data", str(place)), list[str]()
    for text, channel in (("say it", "terminal"), ("add, and say it", "local"), ("die", "terminal")):
        run(capfd, "send", "team/anna", text, "--channel", channel, *data)
    assert run_command_line(["run", *data, "--config", str(config), "--until-idle"]) == 1  # one message failed
    shown = capfd.readouterr()
    assert "my key is [REDACTED], password=hunter2-example" in shown.out
    outputs += [shown.out, shown.err]
    for command in ("status", "turns", "outbox", "dead list", "show team/anna", "why team/anna"):
        outputs += [run(capfd, *command.split(), *data), run(capfd, *command.split(), "--json", *data)]
    assert sum("my key is [REDACTED]" in output for output in outputs) >= 3
    assert [
        output for output in outputs for key in (OLD, NEW) if key in output or json.dumps(key)[1:-1] in output
    ] == []
    assert set(holders(place, OLD, NEW)) == {"outbound.db"}  # the container's own
    log = (place / "logs" / "team" / "anna.log").read_text()
    assert log.count("on stderr: [REDACTED]") == 3 and "died with [REDACTED]" in log
    with HostState(place, read_only=True) as state, StateLifecycle(state.database).reading() as work:
        turns = json.loads(run(capfd, "turns", "--json", *data))["turns"]
        rows = [row for turn in turns for row in work.tables.outbox.of_turn(turn["turn_id"])]
        payloads = [work.tables.outbox.payload(row.row_id) or "" for row in rows]
    assert sum("my key is [REDACTED]" in payload for payload in payloads) == 2


@pytest.mark.long
def test_what_the_user_wrote_reaches_the_agent_as_it_is(place: Path, capfd) -> None:
    group_file(place).write_text(f"TEAM_KEY='{OLD}'\n")
    run(capfd, "send", "team/anna", f"use {NEW}", "--data", str(place))
    group_file(place).write_text(f"TEAM_KEY='{NEW}'\n")
    assert run_command_line(["run", "--data", str(place), "--agent", "cat", "--until-idle"]) == 0
    capfd.readouterr()
    assert "use [REDACTED]" in run(capfd, "show", "team/anna", "--data", str(place))
    assert set(holders(place, NEW)) >= {"inbound.db", "outbound.db"}


def test_a_traceback_of_ours_holds_no_secret(place: Path, monkeypatch, capsys) -> None:
    group_file(place).write_text(f"TEAM_KEY='{OLD}'\n")

    def broken(*_):
        raise RuntimeError(f"cannot use {OLD}") from ValueError(OLD)

    monkeypatch.setattr("turnkeel.cli.status._print", broken)
    assert run_command_line(("status", "--data", str(place))) == 1
    told = capsys.readouterr().err
    assert "RuntimeError: cannot use [REDACTED]" in told and "ValueError: [REDACTED]" in told
    assert OLD not in told


def test_what_python_says_by_itself_holds_no_secret(place: Path, capfd) -> None:
    """An error in a thread, one that nobody waits for, a warning: all of it goes to standard error."""
    import subprocess

    code = f"""
import asyncio, sys, threading, warnings
from turnkeel.cli import app, status
def broken(*_):
    def fail(): raise RuntimeError('in a thread: ' + {OLD!r})
    thread = threading.Thread(target=fail); thread.start(); thread.join()
    async def main():
        async def lost(): raise RuntimeError('in a task: ' + {OLD!r})
        asyncio.create_task(lost()); await asyncio.sleep(0.01)
    asyncio.run(main())
    warnings.warn('a warning: ' + {OLD!r})
    raise SystemExit(0)
status._print = broken
app.run_command_line(['status', '--data', {str(place)!r}])
"""
    group_file(place).write_text(f"TEAM_KEY='{OLD}'\n")
    paths = os.pathsep.join(str(Path(__file__).parents[2] / part) for part in ("core", "adapters", "shell"))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    for words in ("in a thread: [REDACTED]", "in a task: [REDACTED]", "a warning: [REDACTED]"):
        assert words in done.stderr
    assert OLD not in done.stderr


def test_a_line_in_pieces_is_hidden_as_one(capsys) -> None:
    written: list[str] = []

    class Below:
        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

        def flush(self) -> None: ...

    stream = HiddenStream(Below(), lambda text: text.replace("secret", "[REDACTED]"))
    for piece in ("the sec", "ret is", " out\nand ", "more"):
        stream.write(piece)
    assert written == ["the [REDACTED] is out\n"]
    stream.flush()
    assert "".join(written) == "the [REDACTED] is out\nand more"


def test_a_changed_file_counts_at_the_next_look_and_what_it_held_stays_hidden(place: Path) -> None:
    env = group_file(place)
    env.write_text("A=first-value\n")
    known = keeper(place)
    assert known.redact("first-value second-value") == "[REDACTED] second-value"
    env.write_text("A=second-value\n")
    known.refresh()
    assert known.redact("first-value second-value") == "[REDACTED] [REDACTED]"
    env.unlink()
    known.refresh()
    assert known.redact("first-value second-value") == "[REDACTED] [REDACTED]"


def test_a_file_that_keeps_its_stamp_is_read_again_as_long_as_it_is_young(place: Path) -> None:
    env = group_file(place)
    env.write_text("A=value-one\n")
    known = keeper(place)
    known.refresh()
    seen = env.stat()
    env.write_text("A=value-two\n")
    os.utime(env, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    known.refresh()
    assert known.redact("value-two") == "[REDACTED]"


def test_an_untouched_file_is_not_read_again(place: Path, monkeypatch) -> None:
    env = group_file(place)
    env.write_text("A=value-one\n")
    os.utime(env, (time.time() - 60, time.time() - 60))
    known = keeper(place)
    assert known.refresh()
    monkeypatch.setattr("turnkeel_adapters.secrets.keeper.known_secrets", lambda *_: pytest.fail("read again"))
    assert not known.refresh()
    assert known.redact("value-one") == "[REDACTED]"


@pytest.mark.parametrize("where", [".env", "groups/a/.env", "../.env", "../groups/team/.env"])
def test_env_files_are_found_in_the_data_directory_and_beside_it(place: Path, where: str) -> None:
    file = place / where
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("PLAIN_NAME=some-value # a comment\nTZ=Europe/Berlin\n")
    known = known_secrets(None, {}, place)
    assert {"some-value"} <= set(known.values) and "Europe/Berlin" not in known.values and known.unread == ()


def test_a_data_directory_of_strange_letters_is_no_pattern(tmp_path: Path) -> None:
    place = tmp_path / "data[1]*"
    (place / "groups" / "a").mkdir(parents=True)
    (place / "groups" / "a" / ".env").write_text("A=some-value\n")
    assert "some-value" in known_secrets(None, {}, place).values


def broken_folder(path: Path) -> None:
    path.mkdir()


UNREADABLE = [
    ("none", lambda path: None, "No such file or directory"),
    ("a folder", broken_folder, "is no regular file"),
    ("a pipe that nobody writes to", os.mkfifo, "is no regular file"),
    ("a link to itself", lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    ("more than any key", lambda path: path.write_bytes(b"x" * 1_048_577), "longer than 1048576 bytes"),
]


@pytest.mark.parametrize(("make", "problem"), [row[1:] for row in UNREADABLE], ids=[row[0] for row in UNREADABLE])
def test_a_file_that_cannot_be_read_is_named_with_its_reason(place: Path, make, problem: str) -> None:
    file = place / "named.env"
    make(file)
    known = keeper(place, {"A_KEY": "known-value"}, env_files=("named.env",))
    assert known.unread == (f"{file}: {problem}",)
    assert known.redact("known-value") == "[REDACTED]"


def test_the_operator_is_told_of_an_unreadable_file_once_and_of_its_cure(place: Path) -> None:
    told: list[object] = []
    file = place / "named.env"
    known = keeper(place, env_files=("named.env",))
    calls: list[int] = []
    watch = SecretWatch(known, lambda: calls.append(1), told.append)
    watch.look()
    watch.look()
    text = f"{file}: No such file or directory: what is in it cannot be hidden"
    assert told == [FaultSeen("", "secrets", "unreadable", text)] and calls == []
    file.write_text("A=some-value\n")
    watch.look()
    assert told[1:] == [FaultCleared("", "secrets")] and calls == [1]


def test_doctor_and_check_name_a_file_that_cannot_be_read(place: Path, capsys) -> None:
    config = place.parent / "turnkeel.toml"
    config.write_text("[agent]\ncommand = 'cat'\n[redact]\ncredential_files = ['gone.json']\n")
    for command in ("check", "doctor"):
        run_command_line([command, "--config", str(config), "--data", str(place)])
        shown = capsys.readouterr().out
        assert f"{place}/gone.json: No such file or directory: what is in it cannot be hidden" in shown


CREDENTIALS = [
    ("at the top", {"accessToken": "abc", "expiresAt": 5}, {"abc"}),
    ("one level down", {"claudeAiOauth": {"accessToken": "abc", "refreshToken": "def"}}, {"abc", "def"}),
    ("in a list", {"accounts": [{"api_key": "abc"}, {"api_key": "def"}]}, {"abc", "def"}),
    ("a list of them", {"apiKeys": [], "tokens": 1, "privateKey": ["abc", "def"]}, {"abc", "def"}),
    ("a registry's login", {"auths": {"registry.example": {"auth": "abc"}}}, {"abc"}),
    ("JSON in JSON", {"secret": json.dumps({"inner": json.dumps({"password": "abc"})})}, {"abc"}),
    ("JSON in JSON without a name", {"blob": json.dumps([{"token": "abc"}])}, {"abc"}),
    ("names that are none", {"max_tokens": "abc", "keyboard": "def", "path": "ghi", "key_file": "jkl"}, set()),
]


@pytest.mark.parametrize(("document", "found"), [row[1:] for row in CREDENTIALS], ids=[row[0] for row in CREDENTIALS])
def test_credentials_are_found_however_deep_they_stand(document, found) -> None:
    values = {value for value in secrets_of_credentials(json.dumps(document)) if not value.startswith("{")}
    assert values == found


@pytest.mark.parametrize(
    "content",
    ["A=in-the-file\n", json.dumps({"token": "in-the-file"}), f"B='{json.dumps({'api_key': 'in-the-file'})}'\n"],
)
def test_a_value_within_a_value_is_known_too(place: Path, content: str) -> None:
    (place / ".env").write_text(content if content.startswith(("A", "B")) else f"C='{content}'\n")
    assert keeper(place).redact("it is in-the-file.") == "it is [REDACTED]."


def test_a_value_is_known_as_json_and_urls_write_it(place: Path) -> None:
    (place / ".env").write_text(f"A='{OLD}'\n")
    known = keeper(place)
    once = json.dumps({"text": OLD})
    for text in (once, json.dumps({"content": once}), "https://host/?key=group-%22key%22%2Fof-no-form%2B1"):
        assert "of-no-form" not in known.redact(text) and "[REDACTED]" in known.redact(text)


def test_names_can_be_made_public(place: Path) -> None:
    (place / ".env").write_text("BASE_DOMAIN=example.org\nA=some-value\n")
    known = keeper(place, public_names=("BASE_DOMAIN",))
    assert known.redact("example.org some-value") == "example.org [REDACTED]"


def test_a_reply_hides_keys_keeps_examples_and_can_be_left_raw(place: Path) -> None:
    (place / ".env").write_text("A=some-value\n")
    known = keeper(place, raw_channels=("terminal",))
    text = "some-value ghp_A1b2C3d4E5A1b2C3d4E5A1b2C3d4E5 password=example-one"
    assert known.redact_reply("local", text) == "[REDACTED] [REDACTED] password=example-one"
    assert known.redact_reply("terminal", text) == text
    assert known.redact(text) == "[REDACTED] [REDACTED] password=[REDACTED]"


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("raw_channels = ['mail']", "redact.raw_channels: no channel 'mail'"),
        ("env_files = ['~/x']", "redact.env_files"),
        ("env_files = ['']", "redact.env_files"),
        ("files = []", "redact.files"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(tmp_path: Path, table: str, problem: str) -> None:
    (tmp_path / "turnkeel.toml").write_text(f"[redact]\n{table}\n")
    with pytest.raises(ConfigFault) as caught:
        load_config(tmp_path / "turnkeel.toml")
    assert problem in str(caught.value)


def test_a_journal_line_that_saw_a_secret_keeps_its_form_without_it(tmp_path: Path) -> None:
    def line(word: str) -> JournalLine:
        seen, why = json.dumps({"reason": f'waits for "{word}"', "n": 1}), json.dumps([word, 2])
        return JournalLine(
            at_ms=1, session="s", incarnation=1, decision="d", policy="{}", input=seen, actions="[]", why=why
        )

    with HostState(tmp_path, redact=lambda text: text.replace("secret", "[REDACTED]")) as state:
        state.journal.append(line("secret"))
        state.journal.append(line("nothing"))
        state.pauses.pause("s", "a secret", 1)
        plain, hidden = state.journal.of_session("s", limit=2)
        assert [one.reason for one in state.pauses.paused()] == ["a [REDACTED]"]
    assert plain == line("nothing")
    assert json.loads(hidden.input) == {"reason": 'waits for "[REDACTED]"', "n": 1}
    assert json.loads(hidden.why) == ["[REDACTED]", 2]


def test_json_stays_json_whatever_the_secret_is() -> None:
    text = json.dumps({"a": ["x", "y"], "b": "x"})
    assert json.loads(redact_json(text, lambda one: one.replace('x", "y', "[REDACTED]"))) == json.loads(text)


def test_a_command_without_configuration_knows_where_its_host_looks(place: Path, capsys) -> None:
    named = place.parent / "elsewhere.env"
    named.write_text("A=some-value\nBASE=example.org\n")
    made = keeper(place, env_files=(str(named),), public_names=("BASE",))
    run_command_line(["pause", "some-value", "--data", str(place)])
    assert "some-value" in capsys.readouterr().err
    made.note()
    run_command_line(["pause", "some-value", "--data", str(place)])
    assert "[REDACTED]" in capsys.readouterr().err
    later = SecretKeeper({})
    later.learn(data_dir=place)
    assert later.redact("some-value example.org") == "[REDACTED] example.org"
    note = place / "secret-places.json"
    assert note.stat().st_mode & 0o777 == 0o600 and "some-value" not in note.read_text()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"places": 5}', '{"places": [[1], ["a"], ["/x", "other"], 5]}', "\0"])
def test_a_note_that_makes_no_sense_is_none(place: Path, text: str) -> None:
    (place / "secret-places.json").write_text(text)
    (place / ".env").write_text("A=some-value\n")
    known = SecretKeeper({})
    known.learn(data_dir=place)
    assert known.redact("some-value") == "[REDACTED]" and known.unread == ()
