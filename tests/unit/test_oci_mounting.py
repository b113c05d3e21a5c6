"""Does a start take the mounts that were decided, and no other, whatever happens while it starts?"""

import json
import os

import pytest

from turnkeel.cli.mount_reports import MountReports
from turnkeel.events import FaultCleared, FaultSeen
from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.mounts.deciding import MountDecider
from turnkeel_adapters.mounts.records import DecidedMount, MountSetting
from turnkeel_adapters.runners.errors import SpawnFailed
from turnkeel_adapters.runners.oci import ContainerRunner, ContainerSettings, RuntimeLimits
from turnkeel_adapters.runners.records import SpawnOrder
from turnkeel_adapters.state.store import HostState
from turnkeel_core import AllowMount, RejectMount

ID = "ab" * 32


@pytest.fixture
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("tree")
    for folder in ("home/projects/app", "home/projects/docs", "secret-place", "session", "list"):
        (root / folder).mkdir(parents=True)
    allowed = {"allowedRoots": [{"path": "~/projects", "allowReadWrite": True}], "blockedPatterns": []}
    (root / "list/mounts.json").write_text(json.dumps({**allowed, "nonMainReadOnly": True}))
    return root


@pytest.fixture
def start(root):
    """Starts a session's container by a client program that is a script; answers the handle and every call."""

    def start(script, *hosts, tell=None):
        program = root / "bin/docker"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {root}/calls\n{script}\n')
        program.chmod(0o755)
        settings = ContainerSettings(
            image="x",
            mounts=tuple(MountSetting(host=host) for host in hosts),
            mount_allowlist=str(root / "list/mounts.json"),
        )
        decider = MountDecider(
            general=settings.mount_table, groups={}, own=(), home=str(root / "home"), now_ms=lambda: 5
        )
        runner = ContainerRunner(
            install_id="0123456789abcdef",
            settings=settings,
            now_ms=lambda: 5,
            limits=RuntimeLimits(start_ms=3_000),
            environ={"PATH": f"{program.parent}:{os.environ['PATH']}"},
            mounts=decider,
            tell_mounts=tell,
        )
        order = SpawnOrder(
            session="main/s", incarnation=1, folder=root / "session", argv=("a",), environment={}, log_path=root / "log"
        )
        return runner.spawn(order)

    return start


@pytest.fixture
def calls(root):
    """The calls of the client program that begin with `word`."""
    return lambda word: [line for line in (root / "calls").read_text().splitlines() if line.startswith(f"{word} ")]


RUNS = f'[ "$1" = run ] && echo {ID}; true'


def test_what_is_refused_is_left_out_and_told_and_the_start_goes_on(root, start, calls):
    told = []
    handle = start(RUNS, "~/projects/app", "~/projects/none", "/etc", tell=lambda *what: told.append(what))
    assert handle.container_id == ID
    [run] = calls("run")
    assert f"--mount type=bind,source={root}/home/projects/app,target=/workspace/extra/app,readonly" in run
    assert run.count("--mount") == 2 and "/etc" not in run
    [(session, decided)] = told
    assert session == "main/s"
    assert [getattr(one.action, "code", "ok") for one in decided] == ["ok", "host_missing", "system_path"]


def test_without_a_mount_that_is_allowed_the_session_folder_stays_as_it_is(root, start, calls):
    start(RUNS, "/etc")
    assert "extra" not in calls("run")[0]
    assert list((root / "session").iterdir()) == []


def test_the_folder_for_the_mounts_is_made_by_the_host(root, start, calls):
    start(RUNS, "~/projects/app")
    assert "--tmpfs /workspace/extra:rw,noexec,nosuid,nodev,size=64k,mode=0755" in calls("run")[0]
    assert (root / "session/extra").is_dir()


@pytest.mark.parametrize("kind", ["file", "link", "dangling link"])
def test_what_an_agent_put_in_its_place_is_not_followed(root, start, calls, kind):
    place, told = root / "session/extra", []
    match kind:
        case "file":
            place.touch()
        case "link":
            place.symlink_to(root / "secret-place")
        case _:
            place.symlink_to(root / "made-by-the-host")
    start(RUNS, "~/projects/app", tell=lambda _, decided: told.extend(decided))
    assert "extra" not in calls("run")[0]
    assert [one.action.code for one in told] == ["target_taken"]
    assert not (root / "made-by-the-host").exists()


def exchange(root):
    return f"mv {root}/home/projects/app {root}/was; ln -s {root}/secret-place {root}/home/projects/app"


def test_a_link_swapped_in_between_the_decision_and_the_start_is_refused_and_told(root, start, calls):
    told = []

    def tell(session, decided):
        told.append([getattr(one.action, "code", "ok") for one in decided])
        if len(told) == 1:  # an agent of another container, just now
            os.system(exchange(root))

    start(RUNS, "~/projects/app", "~/projects/docs", tell=tell)
    assert told == [["ok", "ok"], ["changed", "ok"]]
    [run] = calls("run")
    assert "secret-place" not in run and "/app" not in run
    assert f"source={root}/home/projects/docs," in run


def test_one_that_is_swapped_while_the_runtime_starts_costs_the_container(root, start, calls):
    with pytest.raises(SpawnFailed, match="the way to a mount was exchanged while the container started"):
        start(f'[ "$1" = run ] && {{ {exchange(root)}; echo {ID}; }}; true', "~/projects/app")
    assert calls("rm") == [f"rm --force --volumes {ID}"]


def test_a_start_that_is_tried_again_decides_on_what_is_there_by_then(root, start, calls):
    script = f"""case "$1" in
        run) [ -e {root}/once ] && echo {ID} || {{ touch {root}/once; {exchange(root)}; kill -9 $$; }} ;;
        container) echo 'No such container' >&2; exit 1 ;;
    esac"""
    assert start(script, "~/projects/app").container_id == ID
    first, second = calls("run")
    assert "target=/workspace/extra/app" in first
    assert "target=/workspace/extra" not in second


def test_a_note_that_cannot_be_kept_leaves_nothing_started(start, calls):
    def tell(session, decided):
        raise AdapterError("the disk is full")

    with pytest.raises(AdapterError, match="the disk is full"):
        start(RUNS, "~/projects/app", tell=tell)
    assert calls("run") == []


@pytest.fixture
def reports(tmp_path):
    events = []
    with HostState(tmp_path) as state:
        yield MountReports(notes=state.notes, report=events.append, now_ms=lambda: 9), events, state


def answer(host, action):
    return DecidedMount(setting=MountSetting(host=host), action=action)


def test_a_refused_mount_is_a_fault_of_its_session_until_it_is_allowed_or_gone(reports):
    tell, events, state = reports[0].tell, reports[1], reports[2]
    state.notes.report_fault("main/s", "start", "not_started", "no image", 1)
    missing = answer("/srv/a", RejectMount("host_missing", "it is not there"))
    other = answer("/srv/b", RejectMount("outside_roots", "no root"))
    tell("main/s", (missing, other))
    tell("main/s", (missing, other))
    assert events == [
        FaultSeen("main/s", "mount /srv/a", "host_missing", "it is not there"),
        FaultSeen("main/s", "mount /srv/b", "outside_roots", "no root"),
    ]
    assert [fault.subject for fault in state.notes.faults("main/s")] == ["mount /srv/a", "mount /srv/b", "start"]
    events.clear()
    tell("main/s", (answer("/srv/a", AllowMount("/srv/a", "/workspace/extra/a", True, "")),))
    assert events == [FaultCleared("main/s", "mount /srv/a"), FaultCleared("main/s", "mount /srv/b")]
    assert [fault.subject for fault in state.notes.faults("main/s")] == ["start"]
    assert state.notes.faults("team/t") == ()
