"""Is the right command started in a container, and does nothing of this machine go in with it?"""

from pathlib import Path

import pytest
from attrs import evolve

from turnkeel.cli.errors import WrongUsage
from turnkeel.cli.host_commands import config_for
from turnkeel.cli.launch import ContainerLauncher
from turnkeel_adapters.config import AgentConfig, ContainerConfig
from turnkeel_adapters.runners.oci import ContainerSettings
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.sessions.names import SessionName

PLAIN = ContainerSettings(image="x")
WRAP = ("python3", "-P", "-m", "turnkeel.agent", "exec", "--output-limit", "1048576")


@pytest.fixture
def launcher(tmp_path):
    sessions = FileSessions(tmp_path)
    for name in ("main/anna", "team/anna"):
        sessions.tree.create(SessionName.parse(name))
    return ContainerLauncher(
        data_dir=tmp_path,
        sessions=sessions,
        agent=AgentConfig(argv=("claude", "-p")),
        container=ContainerConfig(settings=PLAIN),
        environ={"PATH": "/here/bin", "PYTHONPATH": "/here/lib", "HOME": "/here", "TZ": "Europe/Vienna"},
    )


COMMANDS = [
    ("any program is wrapped by the image's own python", {}, {}, (*WRAP, "--", "claude", "-p")),
    ("by whichever the image has", {}, {"python": "/opt/py"}, ("/opt/py", *WRAP[1:], "--", "claude", "-p")),
    ("one that speaks the contract is started as it is", {"speaks_contract": True}, {}, ("claude", "-p")),
    ("a command for the image wins", {}, {"command": ("bun", "run")}, ("bun", "run")),
    ("with neither the image says it", {"argv": None}, {}, ()),
    (
        "the limits of a run go along",
        {"allow_empty": True, "timeout_s": 9, "output_limit_bytes": 7},
        {},
        (*WRAP[:-1], "7", "--allow-empty", "--timeout", "9", "--", "claude", "-p"),
    ),
]


@pytest.mark.parametrize(("agent", "container", "argv"), [c[1:] for c in COMMANDS], ids=[c[0] for c in COMMANDS])
def test_what_is_started(launcher, agent, container, argv):
    special = ContainerConfig(settings=evolve(PLAIN, **container))
    launcher = evolve(launcher, agent=evolve(launcher.agent, **agent), container=special)
    assert launcher.order("main/anna", 3).argv == argv


def test_each_group_has_its_own_command(launcher):
    groups = (("team", evolve(PLAIN, command=("other",))),)
    launcher = evolve(launcher, container=ContainerConfig(settings=PLAIN, groups=groups))
    assert launcher.order("team/anna", 1).argv == ("other",)
    assert launcher.order("main/anna", 1).argv[0] == "python3"


def test_nothing_of_this_machine_but_its_zone_goes_in(launcher, tmp_path):
    order = launcher.order("main/anna", 3)
    assert order.environment == {
        "TZ": "Europe/Vienna",
        "TURNKEEL_SESSION": "main/anna",
        "TURNKEEL_INCARNATION": "3",
        "TURNKEEL_OUTPUT_LIMIT": "1048576",
        "TURNKEEL_ATTACHMENT_LIMIT": "26214400",
    }
    assert (order.session, order.incarnation) == ("main/anna", 3)
    assert order.log_path == launcher.log_path("main/anna") == tmp_path / "logs/main/anna.log"


def test_the_session_folder_is_named_as_a_whole_however_the_data_directory_was_given(launcher, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path.parent)
    relative = Path(tmp_path.name)
    order = evolve(launcher, data_dir=relative, sessions=FileSessions(relative)).order("main/anna", 1)
    assert order.folder == tmp_path / "v2-sessions/main/anna"


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "turnkeel.toml"
        path.write_text(text)
        return path

    return write


def test_an_agent_in_an_image_need_not_be_on_this_machine(written):
    path = written('[container]\nimage = "x"\n')
    assert config_for(path, "no-such-program -p", None).agent.argv == ("no-such-program", "-p")
    assert config_for(path, None, "no-such-runner").agent.speaks_contract
    assert config_for(path, None, None).agent.argv is None


def test_without_a_container_it_must_be(written):
    with pytest.raises(WrongUsage, match="no such program"):
        config_for(written(""), "no-such-program -p", None)


def test_an_agent_that_would_be_passed_over_is_refused(written):
    with pytest.raises(WrongUsage, match="command says what is started in the image"):
        config_for(written('[container]\nimage = "x"\ncommand = "bun run"\n'), "cat", None)
    path = written('[container]\nimage = "x"\ncommand = "bun run"\n[container.groups.team]\ncommand = []\n')
    assert config_for(path, "cat", None).agent.argv == ("cat",)
