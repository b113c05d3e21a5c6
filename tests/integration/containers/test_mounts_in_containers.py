"""Does a real container see its mounts exactly as they were decided, and never what was exchanged for them?"""

import json
import os
import shutil
import socket
from pathlib import Path

import pytest

from turnkeel_adapters.mounts.deciding import MountDecider
from turnkeel_adapters.mounts.records import MountSetting
from turnkeel_adapters.runners.errors import SpawnFailed
from turnkeel_adapters.runners.oci import ContainerRunner, ContainerSettings, RuntimeLimits
from turnkeel_adapters.runners.records import Ended, SpawnOrder
from turnkeel_adapters.state.store import HostState

pytestmark = [pytest.mark.docker, pytest.mark.long]

INSTALL = "aaaabbbbccccdddd"
LIMITS = RuntimeLimits(alive_holds_ms=0)


@pytest.fixture
def root(tmp_path_factory):
    """A home with projects, a list that allows them, and something that is not allowed."""
    root = tmp_path_factory.mktemp("tree")
    for folder in ("home/projects/app", "home/projects/a,b", "home/projects/docs", "hidden", "list"):
        (root / folder).mkdir(parents=True)
    for name in ("projects/app/mine", "projects/a,b/comma", "projects/docs/read.me", "projects/one-file"):
        (root / "home" / name).write_text(f"{name}\n")
    (root / "home/projects/docker.sock").touch()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "home/projects/socket"))
    (root / "hidden/key").write_text("not for agents")
    roots = [{"path": "~/projects", "allowReadWrite": True}, {"path": "~/projects/docs", "allowReadWrite": False}]
    document = {"allowedRoots": roots, "blockedPatterns": [], "nonMainReadOnly": True}
    (root / "list/mounts.json").write_text(json.dumps(document))
    return root


class Start:
    """Starts `sh -c SCRIPT` for a session, with mounts, and reads what it saw."""

    def __init__(self, runtime, root, image, until):
        self.runtime, self.root, self.image, self.until = runtime, root, image, until
        self.told = []
        self.environ = runtime.environ

    def __call__(self, script, *mounts, session="main/s", tell=None):
        settings = ContainerSettings(
            image=self.image,
            runtime=self.runtime.program,
            memory="256m",
            pids_limit=64,
            mounts=mounts,
            mount_allowlist=str(self.root / "list/mounts.json"),
            mount_absolute=True,
        )
        decider = MountDecider(
            general=settings.mount_table, groups={}, own=(), home=str(self.root / "home"), now_ms=lambda: 5
        )
        runner = ContainerRunner(
            install_id=INSTALL,
            settings=settings,
            now_ms=lambda: 5,
            limits=LIMITS,
            environ=self.environ,
            mounts=decider,
            tell_mounts=tell or (lambda _, decided: self.told.append(decided)),
        )
        folder = self.root / "sessions" / session
        folder.mkdir(parents=True, exist_ok=True)
        order = SpawnOrder(
            session=session,
            incarnation=1,
            folder=folder,
            argv=("sh", "-c", f"{{ {script}\n}} > /workspace/seen 2>&1"),
            environment={},
            log_path=self.root / "log",
        )
        handle = runner.spawn(order)
        self.until(lambda: isinstance(runner.look(handle), Ended), "it does not end")
        return (folder / "seen").read_text().splitlines()

    def codes(self):
        return [getattr(one.action, "code", "ok") for one in self.told[-1]]


@pytest.fixture
def start(daemon, root, until):
    yield Start(daemon, root, "turnkeel-test:tools", until)
    daemon.clean()


MOUNTINFO = "cat /proc/self/mountinfo"


def mounts_in(lines):
    """Mount point to options, of what a container says of itself."""
    every = {fields[4]: set(fields[5].split(",")) for fields in map(str.split, lines)}
    return {point: options for point, options in every.items() if point.startswith(("/workspace", "/opt"))}


def test_a_container_sees_its_mounts_exactly_as_decided(start, root):
    seen = start(
        f"{MOUNTINFO}; echo; cat /workspace/extra/app/mine /workspace/extra/comma/comma /opt/docs/read.me"
        " /workspace/extra/one; echo; touch /workspace/extra/app/new || echo no; touch /opt/docs/new || echo no;"
        " touch /workspace/extra/comma/new || echo no; touch /workspace/extra/new || echo no; ls /workspace/extra",
        MountSetting(host="~/projects/app", readonly=False),
        MountSetting(host="~/projects/a,b", container="comma"),
        MountSetting(host="~/projects/docs", container="/opt/docs", readonly=False),
        MountSetting(host="~/projects/one-file", container="one"),
        MountSetting(host="~/../hidden"),
        MountSetting(host=f"{start.runtime.home}/d.sock"),
        MountSetting(host="~/projects/docker.sock"),
        MountSetting(host="~/projects/socket"),
        MountSetting(host="/etc"),
    )
    refused = ["outside_roots", "special_file", "blocked_pattern", "special_file", "system_path"]
    assert start.codes() == ["ok"] * 4 + refused
    first, second = seen.index(""), len(seen) - seen[::-1].index("") - 1
    found = mounts_in(seen[:first])
    assert found.keys() == {"/workspace", "/workspace/extra", "/workspace/extra/app", "/workspace/extra/comma",
                            "/workspace/extra/one", "/opt/docs"}  # fmt: skip
    writable = {point for point, options in found.items() if "rw" in options}
    assert writable == {"/workspace", "/workspace/extra", "/workspace/extra/app"}
    read = ["projects/app/mine", "projects/a,b/comma", "projects/docs/read.me", "projects/one-file"]
    assert seen[first + 1 : second] == read
    said = [line for line in seen[second + 1 :] if not line.startswith("touch:")]
    assert said[:2] == ["no", "no"] and {"app", "comma", "one"} <= set(said)
    assert (root / "home/projects/app/new").exists()
    assert sorted(path.name for path in (root / "sessions/main/s").iterdir()) == ["extra", "seen"]
    assert list((root / "sessions/main/s/extra").iterdir()) == []
    assert (root / "sessions/main/s/extra").stat().st_uid == os.getuid()


def test_another_group_reads_only(start, root):
    writes = MountSetting(host="~/projects/app", readonly=False)
    seen = start("touch /workspace/extra/app/new || echo no", writes, session="team/t")
    assert seen[-1] == "no"
    assert not (root / "home/projects/app/new").exists()


def exchange(root):
    (root / "home/projects/app").rename(root / "was")
    (root / "home/projects/app").symlink_to(root / "hidden")


def test_a_link_swapped_in_between_the_decision_and_the_start_is_refused(start, root):
    told = []

    def tell(_, decided):
        told.append([getattr(one.action, "code", "ok") for one in decided])
        if len(told) == 1:
            exchange(root)

    seen = start(f"{MOUNTINFO}; ls /workspace/extra", MountSetting(host="~/projects/app"), tell=tell)
    assert told == [["ok"], ["changed"]]
    assert mounts_in(seen[:-1] if seen[-1].startswith("ls:") else seen).keys() == {"/workspace"}


CLIENT = """#!/bin/sh
if [ "$1" = run ]; then
    mv {root}/home/projects/app {root}/was
    ln -s {root}/hidden {root}/home/projects/app
fi
exec {real} "$@"
"""


def test_one_that_only_the_runtime_followed_costs_the_container(start, root):
    client = root / "bin" / "docker"
    client.parent.mkdir()
    client.write_text(CLIENT.format(root=root, real=shutil.which("docker")))
    client.chmod(0o755)
    start.environ = {**start.environ, "PATH": f"{client.parent}:{start.environ['PATH']}"}
    with pytest.raises(SpawnFailed, match="exchanged while the container started"):
        start("cat /workspace/extra/app/key; sleep 60", MountSetting(host="~/projects/app"))
    assert start.runtime.call("ps", "--all", "--quiet") == ""
    start.environ = start.runtime.environ
    assert start("echo fine", MountSetting(host="~/projects/app")) == ["fine"]
    assert start.codes() == ["outside_roots"]


def test_a_host_mounts_what_is_allowed_and_tells_of_the_rest(make_site, root):
    mounts = f'[{{ host = "{root}/home/projects/app" }}, {{ host = "{root}/hidden", container = "h" }}]'
    allowed = root / "list/mounts.json"
    allowed.write_text(allowed.read_text().replace("~", f"{root}/home"))
    site = make_site(
        settings='[container]\nimage = "turnkeel-test:agent"\nmemory = "256m"\n'
        f'mount_allowlist = "{allowed}"\nmounts = {mounts}\n',
        agent="sh -c 'cat; cat /workspace/extra/app/mine; ls /workspace/extra'",
    )
    key = site.send("main/anna", "look ")
    site.start()
    site.wait(lambda: site.answered("main/anna", key), "no answer")
    [(content,)] = site.sql("main/anna", "outbound.db", "SELECT content FROM messages_out")
    assert json.loads(str(content))["text"].split() == ["look", "projects/app/mine", "app"]
    subject = f"mount {root}/hidden"
    assert [(fault["subject"], fault["kind"]) for fault in site.told("FaultSeen")] == [(subject, "outside_roots")]
    with HostState(site.data, read_only=True) as state:
        assert [fault.subject for fault in state.notes.faults("main/anna")] == [subject]
    site.stop()


def test_podman_sees_them_alike(podman, root, until):
    start = Start(podman, Path(root), "localhost/turnkeel-test:tools", until)
    seen = start(
        f"{MOUNTINFO}; echo; cat /workspace/extra/app/mine; touch /workspace/extra/app/new || echo no",
        MountSetting(host="~/projects/app"),
        MountSetting(host="~/../hidden"),
        MountSetting(host="~/projects/a,b", container="comma"),
    )
    podman.clean()
    assert start.codes() == ["ok", "outside_roots", "ok"]
    found = mounts_in(seen[: seen.index("")])
    assert "ro" in found["/workspace/extra/app"]
    assert found.keys() == {"/workspace", "/workspace/extra", "/workspace/extra/app", "/workspace/extra/comma"}
    assert seen[seen.index("") + 1] == "projects/app/mine" and seen[-1] == "no"
