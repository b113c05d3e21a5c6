"""Is a channel that does not exist noticed when it is typed, not when an answer waits for it?"""

from pathlib import Path

import pytest

from turnkeel.cli.app import run_command_line

TABLE = '[channels.chat]\nkind = "webhook"\nurl = "https://chat.example/hook"\n'
COMMANDS = {"send": ["send", "anna", "hello"], "sched add": ["sched", "add", "tick", "anna", "go", "--every", "1h"]}


@pytest.fixture
def config(tmp_path) -> Path:
    path = tmp_path / "turnkeel.toml"
    path.write_text(TABLE, encoding="utf-8")
    return path


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
@pytest.mark.parametrize("name", ["chat", "local", "terminal"])
def test_a_channel_that_exists_is_taken(tmp_path, config, capsys, command, name):
    words = [*command, "--channel", name, "--data", str(tmp_path / "data"), "--config", str(config)]
    assert run_command_line(words) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_a_channel_that_the_configuration_lacks_is_refused_and_nothing_is_stored(tmp_path, config, capsys, command):
    data = tmp_path / "data"
    assert run_command_line([*command, "--channel", "chta", "--data", str(data), "--config", str(config)]) == 2
    told = capsys.readouterr().err
    assert "no channel is called 'chta'" in told and "has: chat, local, terminal" in told
    assert not data.exists()


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_without_a_configuration_nobody_can_tell_and_that_is_said(tmp_path, capsys, command):
    assert run_command_line([*command, "--channel", "chat", "--data", str(tmp_path / "data")]) == 0
    assert "give --config" in capsys.readouterr().err
