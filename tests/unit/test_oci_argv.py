"""Is every container started with the labels, rights and limits decided, and no secret among the arguments?"""

import csv
from pathlib import Path

import pytest
from attrs import evolve, fields
from hypothesis import given
from hypothesis import strategies as st

from turnkeel_adapters.mounts.records import MountSetting
from turnkeel_adapters.runners.errors import SpawnFailed
from turnkeel_adapters.runners.oci import ContainerSettings, Place, RuntimeLimits, compose_run, name_container
from turnkeel_adapters.runners.oci.settings import address_of
from turnkeel_adapters.runners.records import SpawnOrder
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_core import AllowMount

SETTINGS = ContainerSettings(image="agents/coder:1")
ORDER_ENVIRONMENT = {
    "PATH": "/home/me/bin",
    "HOME": "/home/me",
    "API_KEY": "s3cret",
    "TZ": "Europe/Vienna",
    "TURNKEEL_SESSION": "work/s",
    "TURNKEEL_SESSION_DIR": "/data/v2-sessions/team/s",
    "TURNKEEL_CONTAINER": "a mark of the process runner",
}
PLACE = Place(install_id="0123456789abcdef", uid=1000, gid=1001)


@pytest.fixture
def make_order():
    def make(**changes):
        plain = SpawnOrder(
            session="work/s",
            incarnation=4,
            folder=Path("/data/v2-sessions/team/s"),
            argv=("python3", "-m", "agent"),
            environment=ORDER_ENVIRONMENT,
            log_path=Path("/data/logs/team/s.log"),
        )
        return evolve(plain, **changes)

    return make


def values(argv, option):
    """Every value given to an option."""
    return [argv[index + 1] for index, word in enumerate(argv) if word == option]


def test_the_whole_command_for_docker(make_order):
    name = name_container("0123456789abcdef", "work/s", 4)
    assert compose_run(SETTINGS, make_order(), PLACE) == (
        *("run", "--detach", "--name", name),
        *("--label", "turnkeel.install=0123456789abcdef", "--label", "turnkeel.group=work"),
        *("--label", "turnkeel.session=work/s", "--label", "turnkeel.incarnation=4"),
        *("--pull", "never", "--init", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only"),
        *("--user", "1000:1001"),
        *("--tmpfs", "/tmp:rw,noexec,nosuid,nodev,size=256m", "--pids-limit", "512"),
        *("--memory", "2g", "--memory-swap", "2g", "--cpus", "2", "--stop-timeout", "10"),
        *("--log-driver", "local", "--log-opt", "max-file=2", "--log-opt", "max-size=10m"),
        *("--network", "none"),
        *("--mount", "type=bind,source=/data/v2-sessions/team/s,target=/workspace"),
        *("--env", "HOME=/tmp", "--env", "TZ=Europe/Vienna", "--env", "TURNKEEL_SESSION=work/s"),
        *("--env", "TURNKEEL_SESSION_DIR=/workspace", "--workdir", "/workspace"),
        *("--entrypoint", "python3", "agents/coder:1", "-m", "agent"),
    )


@pytest.mark.parametrize(
    ("runtime", "uid", "user", "differs"),
    [
        ("docker", 0, None, {"--user": ["0:1001"], "--userns": []}),
        ("docker", 1000, "7:8", {"--user": ["7:8"], "--userns": []}),
        ("podman", 1000, None, {"--user": ["1000:1001"], "--userns": ["keep-id"]}),
        ("podman", 1000, "7:8", {"--user": ["7:8"], "--userns": []}),
        ("podman", 0, None, {"--user": ["0:1001"], "--userns": []}),
    ],
    ids=[
        "the host's own user",
        "a named user",
        "a rootless podman keeps the numbers",
        "a rootless podman with a named user",
        "a rootful podman",
    ],
)
def test_the_user_inside(make_order, runtime, uid, user, differs):
    argv = compose_run(evolve(SETTINGS, runtime=runtime, user=user), make_order(), evolve(PLACE, uid=uid))
    assert {option: values(argv, option) for option in differs} == differs


def test_podman_takes_the_same_arguments_but_for_its_log(make_order):
    docker, podman = (
        compose_run(evolve(SETTINGS, runtime=runtime), make_order(), evolve(PLACE, uid=0))
        for runtime in ("docker", "podman")
    )
    assert set(docker) - set(podman) == {"local", "max-file=2"}
    assert set(podman) - set(docker) == {"k8s-file"}


def test_settings_reach_the_command(make_order):
    settings = ContainerSettings(
        image="x@sha256:00",
        command=("agent", "--flag"),
        network="models",
        add_host=(("model.test", "10.0.0.1"), ("host.docker.internal", "host-gateway")),
        environment=(("COLOUR", "blue, red"), ("HOME", "/workspace")),
        pass_environment=("API_KEY",),
        read_only_root=False,
    )
    argv = compose_run(settings, make_order(), evolve(PLACE, secrets=Path("/dev/shm/turnkeel-1/c")))
    assert argv[-4:] == ("--entrypoint", "agent", "x@sha256:00", "--flag")
    assert values(argv, "--network") == ["models"]
    assert values(argv, "--add-host") == ["model.test:10.0.0.1", "host.docker.internal:host-gateway"]
    assert "--read-only" not in argv
    assert values(argv, "--mount")[1] == "type=bind,source=/dev/shm/turnkeel-1/c,target=/run/secrets,readonly"
    assert values(argv, "--env") == [
        "HOME=/workspace",
        "TZ=Europe/Vienna",
        "TURNKEEL_SESSION=work/s",
        "TURNKEEL_SESSION_DIR=/workspace",
        "COLOUR=blue, red",
        "API_KEY",
    ]


def test_no_value_of_the_hosts_environment_is_an_argument(make_order):
    argv = compose_run(evolve(SETTINGS, pass_environment=("API_KEY", "PATH")), make_order(), PLACE)
    assert not [word for word in argv if "s3cret" in word or "/home/me" in word]


@pytest.mark.parametrize(
    "option", ["-v", "--volume", "--privileged", "--cap-add", "--pid", "--ipc", "--device", "--rm"]
)
def test_what_would_open_the_container_is_never_asked_for(make_order, option):
    assert option not in compose_run(SETTINGS, make_order(), PLACE)


@pytest.mark.parametrize(
    "folder",
    ["/data/a,readonly", "/data/a\nb", '/data/a"b', "/data/a\0b", "data/a"],
    ids=["a comma", "a line break", "a quote", "a NUL", "a relative path"],
)
def test_a_folder_that_a_mount_cannot_name_is_refused(make_order, folder):
    with pytest.raises(SpawnFailed, match="cannot be mounted"):
        compose_run(SETTINGS, make_order(folder=Path(folder)), PLACE)


def test_without_any_command_the_image_says_what_is_started(make_order):
    argv = compose_run(SETTINGS, make_order(argv=()), PLACE)
    assert argv[-1] == "agents/coder:1"
    assert "--entrypoint" not in argv


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("model.test:443", ("model.test", 443)),
        ("10.0.0.1:65535", ("10.0.0.1", 65535)),
        ("[::1]:80", ("::1", 80)),
        ("::1:80", None),
        (":80", None),
        ("model.test:", None),
        ("model.test:80:90", None),
    ],
)
def test_the_place_of_a_model_is_a_host_and_a_port(text, address):
    assert address_of(text) == address


def test_a_command_with_nul_is_refused(make_order):
    with pytest.raises(SpawnFailed, match="holds NUL"):
        compose_run(SETTINGS, make_order(argv=("a\0b",)), PLACE)


PART = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@:+-]{0,127}", fullmatch=True)


@given(group=PART, name=PART, number=st.integers(1, 10**9), other=PART)
def test_every_session_has_a_container_name_of_its_own(group, name, number, other):
    session = str(SessionName(group=group, name=name))
    made = name_container("0123456789abcdef", session, number)
    assert len(made) <= 128
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
    assert made != name_container("0123456789abcdef", session, number + 1)
    if other != name:
        assert made != name_container("0123456789abcdef", f"{group}/{other}", number)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"image": "--privileged"}, "image"),
        ({"image": ""}, "image"),
        ({"runtime": "nerdctl"}, "runtime"),
        ({"network": "host"}, "network"),
        ({"network": "container:other"}, "network"),
        ({"network": "ns:/proc/1/ns/net"}, "network"),
        ({"add_host": (("a b", "10.0.0.1"),)}, "add_host"),
        ({"add_host": (("a", "--privileged"),)}, "add_host"),
        ({"environment": (("A=B", "c"),)}, "environment"),
        ({"environment": (("A", "1"), ("A", "2"))}, "environment"),
        ({"pass_environment": ("A=secret",)}, "pass_environment"),
        ({"secret_files": (("../key", "/k"),)}, "secret_files"),
        ({"memory": "lots"}, "memory"),
        ({"memory": "0"}, "memory"),
        ({"tmpfs_size": "1m,exec"}, "tmpfs_size"),
        ({"cpus": "0.0"}, "cpus"),
        ({"pids_limit": 0}, "pids_limit"),
        ({"pids_limit": -1}, "pids_limit"),
        ({"user": "root"}, "user"),
        ({"stop_timeout_s": "10"}, "stop_timeout_s"),
        ({"command": ("a\0",)}, "command"),
        ({"command": ("", "a")}, "command"),
        ({"python": "-c"}, "python"),
        ({"python": ""}, "python"),
        ({"model": "model.test"}, "model"),
        ({"model": "model.test:0"}, "model"),
        ({"model": "model.test:65536"}, "model"),
        ({"model": "http://model.test:80"}, "model"),
    ],
    ids=str,
)
def test_a_setting_that_cannot_be_meant_is_refused_by_name(changes, named):
    with pytest.raises((ValueError, TypeError), match=f"'{named}'"):
        evolve(SETTINGS, **changes)


@pytest.mark.parametrize("record", [ContainerSettings, RuntimeLimits])
def test_every_setting_says_why_its_default_is_what_it_is(record):
    assert [one.name for one in fields(record) if len(one.metadata.get("reason", "")) < 10] == []


MOUNTS = [
    ("read-only", AllowMount("/a", "/workspace/extra/a", True, ""),
     "type=bind,source=/a,target=/workspace/extra/a,readonly"),
    ("for writing", AllowMount("/a", "/workspace/extra/a", False, ""), "type=bind,source=/a,target=/workspace/extra/a"),
    ("a comma opens no option", AllowMount("/a,readonly=0", "/opt/a,b", True, ""),
     'type=bind,"source=/a,readonly=0","target=/opt/a,b",readonly'),
    ("a quotation mark neither", AllowMount('/a"b', "/opt/a", True, ""),
     'type=bind,"source=/a""b",target=/opt/a,readonly'),
]  # fmt: skip


@pytest.mark.parametrize(("mount", "text"), [case[1:] for case in MOUNTS], ids=[case[0] for case in MOUNTS])
def test_a_decided_mount_is_one_line_of_csv(make_order, mount, text):
    argv = compose_run(SETTINGS, make_order(), evolve(PLACE, mounts=(mount,)))
    assert values(argv, "--mount")[1:] == [text]
    assert next(csv.reader([text])) == [
        "type=bind", f"source={mount.host}", f"target={mount.container}", *(["readonly"] if mount.readonly else [])
    ]  # fmt: skip
    below = [one for one in values(argv, "--tmpfs") if one.startswith("/workspace/extra:")]
    assert len(below) == (1 if mount.container.startswith("/workspace/extra/") else 0)
    assert "-v" not in argv and "--volume" not in argv


def test_what_the_settings_wish_is_not_mounted_by_itself(make_order):
    wishing = evolve(SETTINGS, mounts=(MountSetting(host="/etc"),))
    assert compose_run(wishing, make_order(), PLACE) == compose_run(SETTINGS, make_order(), PLACE)
