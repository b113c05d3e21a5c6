"""Does a session under a real host lose a dead conversation at no charge, and a living one never?"""

import json
import sys
from pathlib import Path

from attrs import evolve

from turnkeel.cli.app import run_command_line
from turnkeel_adapters.config.records import AgentConfig

PROGRAM = str(Path(__file__).parents[1] / "remembering.py")


def remembering(quick, store):
    """A host whose agent keeps conversations in `store`, and asks for its handle in the command."""
    store.mkdir(exist_ok=True)
    argv = (sys.executable, PROGRAM, str(store), "--resume", "{resume}")
    return evolve(quick, agent=AgentConfig(argv=argv), retry=evolve(quick.retry, max_tries=1))


def handle(lab, name):
    rows = lab.sql(name, "SELECT value FROM session_state WHERE key LIKE 'continuation:%'", file="outbound.db")
    return [value for (value,) in rows]


def texts(lab, name):
    rows = lab.sql(name, "SELECT content FROM messages_out ORDER BY seq", file="outbound.db")
    return [json.loads(content)["text"] for (content,) in rows]


def set_handle(lab, name, value):
    lab.sql(name, "UPDATE session_state SET value = ? WHERE key LIKE 'continuation:%'", (value,), file="outbound.db")


def test_a_stale_handle_recovers_in_one_retry_uncharged_and_why_tells_what_was_lost(lab, quick, tmp_path, capsys):
    config = remembering(quick, tmp_path / "store")
    lab.send("a", "one")
    lab.run(config)
    assert (texts(lab, "a"), handle(lab, "a")) == (["one"], ["conversation-1"])
    set_handle(lab, "a", "gone-1")
    [second] = lab.send("a", "two")
    lab.run(config)
    assert texts(lab, "a") == ["one", "two"]
    fate = lab.fates("a")[second]
    assert (fate.status, fate.tries, fate.replies, fate.dead) == ("completed", 0, 1, 0)
    assert handle(lab, "a") == ["conversation-3"]
    assert "knows conversation gone-1 no more" in (lab.data / "logs" / "main" / "a.log").read_text("utf-8")
    capsys.readouterr()
    assert run_command_line(("why", second, "--data", str(lab.data))) == 0
    assert "its agent noted: context_lost: " in capsys.readouterr().out
    assert run_command_line(("why", second, "--json", "--data", str(lab.data))) == 0
    [story] = json.loads(capsys.readouterr().out)["messages"]
    assert story["noted"]["reason"] == "context_lost"


def test_a_rate_limit_is_charged_and_keeps_its_handle(lab, quick, tmp_path):
    config = remembering(quick, tmp_path / "store")
    lab.send("a", "one")
    lab.run(config)
    [limited] = lab.send("a", "rate")
    lab.run(config)
    fate = lab.fates("a")[limited]
    assert (fate.status, fate.tries, fate.dead) == ("failed", 1, 1)
    assert handle(lab, "a") == ["conversation-1"]
    lab.send("a", "two")
    lab.run(config)
    first, second = texts(lab, "a")
    assert (first, second[:4], second[-3:]) == ("one", "one,", "two"), "it goes on, and is told of what failed"


def test_patterns_of_the_configuration_reach_the_agent(lab, quick, tmp_path):
    config = remembering(quick, tmp_path / "store")
    resume = config.resume
    own = evolve(config, resume=evolve(resume, session_patterns=(*resume.session_patterns, "^chat gone: ")))
    lab.send("a", "one")
    lab.run(own)
    lab.send("a", "gone chat")
    lab.run(own)
    assert texts(lab, "a") == ["one", "gone chat"]
    assert [json.loads(line)[0] for line in (tmp_path / "store" / "runs").read_text("utf-8").splitlines()] == [
        None, "conversation-1", None
    ]  # fmt: skip
