"""Do `interrupted`, `senders check` and the start of a host tell what they find, and change nothing?"""

import json
from contextlib import closing

import apsw
import pytest

from turnkeel.cli.app import run_command_line
from turnkeel.delivery.interrupted import interrupted_turns, tell_interrupted
from turnkeel.events import RunInterrupted
from turnkeel_adapters.lifecycle.memory import MemoryLifecycle
from turnkeel_adapters.lifecycle.store import StateLifecycle
from turnkeel_adapters.state.store import HostState
from turnkeel_core import AcceptTurn, InterruptedPolicy, MessageKey, MirrorRun, Turn

OLD_MS = 1_700_000_000_000
V1 = """
CREATE TABLE messages (
  id TEXT, chat_jid TEXT, sender TEXT, sender_name TEXT, content TEXT, timestamp TEXT,
  is_from_me INTEGER, is_bot_message INTEGER DEFAULT 0, processing_started_at TEXT, PRIMARY KEY (id, chat_jid));
INSERT INTO messages VALUES
  ('m1', 'A', 'ann', 'Ann', 'hi', '2026-01-01T10:00:00.000Z', 0, 0, '2026-01-01T10:00:01.000Z'),
  ('m2', 'A', 'ann', 'Ann', 'hi', '2026-01-01T10:00:00.000Z', 0, 0, NULL),
  ('m3', 'A', 'ann', 'Ann', 'hi', '2026-01-01T10:00:00.000Z', 0, 0, 'yesterday');
"""


def turn(turn_id):
    return Turn(turn_id=turn_id, session="main/a", accepted_at_ms=OLD_MS - 5, in_session=True)


def runs(store):
    """One turn that has been running for long, one in its second attempt, and one that waits."""
    with store.transaction() as work:
        for turn_id in ("t1", "t2", "t3"):
            work.apply((AcceptTurn(turn(turn_id)),), OLD_MS - 5, {turn_id: "{}"})
        work.apply((MirrorRun("t1", 1),), OLD_MS)
        work.apply((MirrorRun("t2", 1),), OLD_MS)
        work.apply((MirrorRun("t2", 2),), OLD_MS + 10)


@pytest.fixture
def data(tmp_path):
    place = tmp_path / "data"
    place.mkdir()
    with HostState(place) as state:
        runs(StateLifecycle(state.database))
    return place


@pytest.fixture
def v1(tmp_path):
    path = tmp_path / "messages.db"
    with closing(apsw.Connection(str(path))) as db:
        db.execute(V1).fetchall()
    return path


def told(capsys, *words):
    code = run_command_line([str(word) for word in words])
    return code, capsys.readouterr()


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(state):
    """Everything in turnkeel.db."""
    with state.database.reading() as db:
        tables = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        return {name: db.execute(f"SELECT * FROM {name}").fetchall() for (name,) in tables}


@pytest.mark.parametrize("kind", ["memory", "state"])
def test_a_turn_is_measured_from_the_start_of_its_latest_attempt(kind, tmp_path):
    with HostState(tmp_path) as state:
        store = MemoryLifecycle() if kind == "memory" else StateLifecycle(state.database)
        runs(store)
        with store.reading() as work:
            policy = InterruptedPolicy(stale_ms=100)
            assert interrupted_turns(work, OLD_MS + 100, policy) == ()
            (one,) = interrupted_turns(work, OLD_MS + 101, policy)
            assert (one.key, one.started_at_ms, one.age_ms) == (MessageKey("main/a", "t1"), OLD_MS, 101)
            assert len(interrupted_turns(work, OLD_MS + 111, policy)) == 2


def test_at_its_start_a_host_tells_of_each_and_does_nothing_else(data):
    events = []
    with HostState(data) as state:
        before = rows(state)
        tell_interrupted(StateLifecycle(state.database), events.append, InterruptedPolicy())
        assert rows(state) == before
    assert [(type(event), event.turn_id) for event in events] == [(RunInterrupted, "t1"), (RunInterrupted, "t2")]


def test_the_start_of_a_host_writes_a_line_for_each_before_it_does_anything(data, capsys):
    code, out = told(capsys, "run", "--data", data, "--agent", "cat", "--until-idle")
    lines = out.err.splitlines()
    assert "main/a: t1 was interrupted: it counts as running for" in lines[0]
    assert "t2 was interrupted" in lines[1]
    assert not any("interrupted" in line for line in lines[2:])


def test_our_own_turns_are_listed(data, capsys):
    before = files(data)
    code, out = told(capsys, "interrupted", "--data", data, "--json")
    document = json.loads(out.out)
    assert code == 0
    assert [(one["chat"], one["message_id"], one["started_at_ms"]) for one in document["interrupted"]] == [
        ("main/a", "t1", OLD_MS),
        ("main/a", "t2", OLD_MS + 10),
    ]
    assert document["stale_ms"] == 2_100_000
    code, out = told(capsys, "interrupted", "--data", data)
    assert (code, len(out.out.splitlines())) == (0, 3)
    assert files(data) == before


def test_a_v1_database_is_read_with_its_unreadable_markers_named(v1, capsys):
    before = files(v1.parent)
    code, out = told(capsys, "interrupted", "--db", v1, "--json")
    document = json.loads(out.out)
    assert (code, [one["message_id"] for one in document["interrupted"]]) == (0, ["m1"])
    assert document["notes"] == ["A/m3: its marker is no instant, so its age is not known"]
    code, out = told(capsys, "interrupted", "--db", v1)
    assert code == 0 and "m1" in out.out and "m2" not in out.out
    assert files(v1.parent) == before


def test_the_threshold_is_configured(v1, tmp_path, capsys):
    config = tmp_path / "turnkeel.toml"
    config.write_text("[interrupted]\nstale_ms = 999_999_999_999\n")
    code, out = told(capsys, "interrupted", "--db", v1, "--config", config)
    assert code == 0 and "nothing was handed on over" in out.out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--db", "gone.db"), 1, "there is no such file"),
        (("--db", __file__), 1, "NotADB"),
        (("--db", "x", "--data", "y"), 2, "not both"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(words, code, said, capsys):
    found, out = told(capsys, "interrupted", *words)
    assert found == code and said in out.err and len(out.err.splitlines()) == 1


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "turnkeel.toml"
    path.write_text(f'[senders]\nfile = "{tmp_path / "senders.json"}"\n')
    return path


def write_list(config, value):
    (config.parent / "senders.json").write_text(value if isinstance(value, str) else json.dumps(value))


CLOSED = {"default": {"allow": ["ann"], "mode": "drop"}, "chats": {"room": {"allow": "*", "mode": "trigger"}}}


def test_senders_check_shows_the_rules_and_answers_a_question(config, capsys):
    write_list(config, CLOSED)
    code, out = told(capsys, "senders", "check", "--config", config)
    assert code == 0 and "ann" in out.out and "everybody" in out.out
    asked = (("hall", "bob", "is dropped"), ("hall", "ann", "may start"), ("room", "x", "may start"))
    for chat, sender, outcome in asked:
        code, out = told(capsys, "senders", "check", "--config", config, "--chat", chat, "--sender", sender)
        assert code == 0 and outcome in out.out
    code, out = told(capsys, "senders", "check", "--config", config, "--chat", "hall", "--sender", "bob", "--json")
    asked = json.loads(out.out)["asked"]
    assert asked["decision"] == {"type": "DropMessage", "log": True}
    assert [rule["result"] for rule in asked["why"]] == ["not_yet", "not_yet", "fired"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "does not exist: everybody may start an agent"),
        ("{", "nobody but the owner may start an agent"),
        ({**CLOSED, "chats": {"room": {}}}, "chats.'room'"),
    ],
)
def test_senders_check_and_check_name_what_is_wrong_with_the_file(config, tmp_path, content, said, capsys):
    if content is not None:
        write_list(config, content)
    for words in (("senders", "check"), ("check", "--data", tmp_path / "none")):
        code, out = told(capsys, *words, "--config", config)
        assert code == 1 and said in out.out, words
        code, out = told(capsys, *words, "--config", config, "--json")
        assert code == 1 and said in out.out, words


def test_senders_check_without_a_list_says_how_to_name_one(tmp_path, capsys):
    code, out = told(capsys, "senders", "check")
    assert code == 1 and "[senders] file" in out.err
    assert told(capsys, "senders", "check", "--chat", "room")[0] == 2


@pytest.mark.parametrize("file", ["relative.json", "", 5])
def test_the_list_is_named_by_a_whole_path(tmp_path, file, capsys):
    config = tmp_path / "turnkeel.toml"
    config.write_text(f"[senders]\nfile = {json.dumps(file)}\n")
    code, out = told(capsys, "senders", "check", "--config", config)
    assert code == 2 and "senders.file" in out.err
