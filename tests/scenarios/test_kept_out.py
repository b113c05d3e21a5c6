"""Which scenarios of names, mounts, files and doors that let too much through does the host refuse?"""

import json
import os
import socket
import stat
import sys

import pytest
from attrs import evolve

from turnkeel.cli.app import run_command_line
from turnkeel.cli.assemble import launcher_of, open_host, runner_of
from turnkeel.delivery.intake import Intake, Refused
from turnkeel.delivery.mailboxes import FileMailboxes
from turnkeel.ingress.opening import open_ingress
from turnkeel.ingress.ports import IngressPorts
from turnkeel_adapters.channels.secret_file import SecretUnusable
from turnkeel_adapters.config import AgentConfig, ConfigFault, ContainerConfig, HostConfig, IngressConfig, load_config
from turnkeel_adapters.config.mounts import mount_decider
from turnkeel_adapters.errors import BadSessionName
from turnkeel_adapters.lifecycle.payloads import Incoming
from turnkeel_adapters.lifecycle.store import StateLifecycle
from turnkeel_adapters.mounts.records import MountSetting
from turnkeel_adapters.runners.errors import SpawnFailed
from turnkeel_adapters.runners.guard.logs import RotatingLog
from turnkeel_adapters.runners.oci import ContainerSettings
from turnkeel_adapters.secrets import SecretKeeper
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.sessions.records import NewMessage
from turnkeel_adapters.state.store import HostState
from turnkeel_core import AllowMount, MessageIdentity, RejectMount

NOW = 1_800_000_000_000
LEADS_OUT = ("../../.ssh", "..", "main/..", "main/../../x", "/etc", "main//x", "a/b/c", "main/x\n", "main/.hidden")


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "place" / "data"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("name", LEADS_OUT)
def test_SX_04_a_name_that_leads_out_of_the_tree_is_refused_at_the_door_from_the_store_and_at_the_start(
    data, name, capsys
):
    sessions = FileSessions(data)
    with HostState(data) as state:
        door = Intake(
            store=StateLifecycle(state.database), sessions=FileMailboxes(sessions), closed=frozenset,
            new_id=lambda prefix: f"{prefix}-1", now_ms=lambda: NOW, owner="host",
        )  # fmt: skip
        asked = Incoming(message=NewMessage(message_id="", content="{}"), channel="chat", chat="room")
        answer = door.accept(name, asked, MessageIdentity(channel="chat", chat="room", message_id="m1"))
        assert isinstance(answer, Refused) and answer.what == "session"
    for reached in (sessions.store, FileMailboxes(sessions).mail, FileMailboxes(sessions).create):
        with pytest.raises(BadSessionName):  # as of a row that somebody wrote into the store
            reached(name)
    container = ContainerConfig(settings=ContainerSettings(image="x"))
    for config in (HostConfig(agent=AgentConfig(argv=("cat",))), HostConfig(container=container)):
        with pytest.raises(BadSessionName):
            launcher_of(config, data, sessions).order(name, 1)
    assert run_command_line(("sched", "add", "s", name, "go", "--every", "1h", "--data", str(data))) == 2
    assert [path.name for path in data.parent.parent.iterdir()] == ["place"]
    assert not (data / "v2-sessions").exists()


FIRST = {
    "a message is sent": ("send", "a", "hello"),
    "a schedule is made": ("sched", "add", "s", "a", "go", "--every", "1h"),
}


@pytest.mark.parametrize("words", FIRST.values(), ids=FIRST.keys())
def test_SX_07_what_a_host_and_its_agents_write_is_for_their_owner_alone(tmp_path, words):
    data, log = tmp_path / "data", tmp_path / "agent.log"
    before = os.umask(0o022)
    try:
        assert run_command_line((*words, "--data", str(data))) == 0
        RotatingLog(log, 100, 1).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE(data.stat().st_mode) == 0o700, "nobody else gets as far as the files in it"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_SX_07_the_folder_that_a_host_makes_is_for_its_owner_alone(tmp_path):
    before = os.umask(0o022)
    try:
        with open_host(tmp_path / "data", HostConfig(), lambda event: None):
            assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    finally:
        os.umask(before)


@pytest.fixture
def machine(tmp_path_factory):
    """A list that allows all that it can, and things of a machine that no agent may have."""
    # Not `tmp_path`: that is named after the test, and must hold no blocked word.
    root = tmp_path_factory.mktemp("tree")
    for folder in ("home/.ssh", "home/.aws", "home/projects/app", "data", "list"):
        (root / folder).mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(root / "home/docker.sock"))
    (root / "home/projects/keys").symlink_to(root / "home/.ssh")
    places = ("/etc", "/root", "/proc", "/sys", "/dev", "/var/run", str(root / "home"), str(root / "data"))
    allowed = [{"path": path, "allowReadWrite": True} for path in places]
    list_file = root / "list/mounts.json"
    list_file.write_text(json.dumps({"allowedRoots": allowed, "blockedPatterns": [], "nonMainReadOnly": False}))
    return root


WANTED = {
    **dict.fromkeys(("/etc", "/etc/ssl", "/root", "/proc", "/sys", "/dev", "/var/run"), "system_path"),
    **dict.fromkeys(("~/.ssh", "~/.aws", "~/projects/keys", "~/projects/../.ssh", "~/docker.sock"), "blocked_pattern"),
    "~/../data": "own_path",
    "~/..": "own_path",
}


@pytest.mark.parametrize(("host", "code"), WANTED.items(), ids=WANTED.keys())
def test_SX_11_no_list_gives_an_agent_the_machine_its_keys_or_its_runtime(machine, host, code):
    wishes = (MountSetting(host=host, container="x"), MountSetting(host="~/projects/app", container="app"))
    settings = ContainerSettings(image="x", mounts=wishes, mount_allowlist=str(machine / "list/mounts.json"))
    decider = mount_decider(
        ContainerConfig(settings=settings), machine / "data", {"HOME": str(machine / "home")}, lambda: 7
    )
    refused, harmless = (one.action for one in decider.decide("main"))
    assert isinstance(refused, RejectMount) and refused.code == code
    assert isinstance(harmless, AllowMount)


@pytest.mark.parametrize("network", ["host", "container:other", "ns:/proc/1/ns/net"])
def test_SX_11_no_agent_gets_the_network_of_the_machine_or_of_another(network):
    with pytest.raises(ValueError, match="network"):
        ContainerSettings(image="x", network=network)


def test_SX_10_an_agent_that_is_to_run_in_a_container_never_runs_outside_of_one(data, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))  # no runtime on this machine
    ran = tmp_path / "ran"
    config = HostConfig(
        agent=AgentConfig(argv=(sys.executable, "-c", f"open({str(ran)!r}, 'w')"), speaks_contract=True),
        container=ContainerConfig(settings=ContainerSettings(image="x")),
    )
    sessions = FileSessions(data)
    sessions.tree.create(SessionName.parse("main/a"))
    order = launcher_of(config, data, sessions).order("main/a", 1)
    runner = runner_of(config, data, lambda: NOW, SecretKeeper({}))
    try:
        with pytest.raises(SpawnFailed):
            runner.spawn(order)
        assert not ran.exists()
        outside = runner_of(evolve(config, container=None), data, lambda: NOW, SecretKeeper({}))
        outside.close()
        assert type(outside) is not type(runner)
    finally:
        runner.close()


TOKENS = {"no token at all": None, "an empty one": "", "blanks": "  \n", "one that anybody could guess": "admin"}


@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS.keys())
def test_SX_12_SX_13_a_door_without_a_secret_of_its_own_is_not_opened_not_even_for_this_machine(tmp_path, token):
    environ = {} if token is None else {"DOOR": token}
    ports = IngressPorts(
        accept=None, store=None, executor=None, channels=frozenset(), now_ms=lambda: NOW, report=lambda event: None
    )
    with pytest.raises(SecretUnusable):
        open_ingress(IngressConfig(listen="127.0.0.1:0", token_env="DOOR"), ports, environ)
    path = tmp_path / "turnkeel.toml"
    path.write_text('[ingress]\nlisten = "127.0.0.1:0"\n')
    with pytest.raises(ConfigFault, match="without a token nothing listens"):
        load_config(path)
