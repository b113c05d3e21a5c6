"""Is a runtime that hangs, raves or is down told apart from a container that failed, and asked again in good time?"""

import json
import os
import sys
import time
from pathlib import Path

import pytest

from turnkeel_adapters.runners.errors import SpawnFailed
from turnkeel_adapters.runners.oci import (
    ContainerRunner,
    ContainerSettings,
    RuntimeDown,
    RuntimeLimits,
    RuntimeUnavailable,
    examine,
)
from turnkeel_adapters.runners.oci.command import Done, Refused, RuntimeCommand
from turnkeel_adapters.runners.oci.health import DaemonDown, Health, ProgramMissing, Unresponsive
from turnkeel_adapters.runners.oci.seen import parse_ids, parse_inspect
from turnkeel_adapters.runners.oci.trial import Trial, try_start
from turnkeel_adapters.runners.records import Alive, Ended, Handle, SpawnOrder, StillThere, Unknown

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the stand-in program is started by its first line")

ID = "ab" * 32
DOWN = "echo 'Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?' >&2; exit 1"
LIMITS = RuntimeLimits(call_ms=5_000, alive_holds_ms=0, kill_ms=200, backoff_ms=1, backoff_max_ms=1)
HANDLE = Handle(runtime="docker", container_id=ID, session="main/s", incarnation=1, spawned_at_ms=0)


def shown(container_id=ID, labels=None, **state):
    """One container as `inspect` answers."""
    plain = {"Status": "running", "Running": True, "Pid": 7, "ExitCode": 0, "OOMKilled": False, "Error": ""}
    times = {"StartedAt": "2026-03-01T10:00:00.123456789Z", "FinishedAt": "0001-01-01T00:00:00Z"}
    return {"Id": container_id, "Name": "/c", "Config": {"Labels": labels}, "State": {**plain, **times, **state}}


def exited(code):
    return {"Status": "exited", "Running": False, "Pid": 0, "ExitCode": code}


def runs(pid):
    """Does it run? A dead process that nobody has reaped yet has no command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


@pytest.fixture
def fake(tmp_path):
    """Puts a shell script in the place of a runtime's client program; gives the environment that finds it."""

    def put(script, name="docker"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/calls\n{script}\n')
        program.chmod(0o755)
        return {"PATH": f"{program.parent}:{os.environ['PATH']}", "XDG_RUNTIME_DIR": str(tmp_path)}

    return put


@pytest.fixture
def calls(tmp_path):
    """The first words of every call so far."""

    def read():
        path = tmp_path / "calls"
        return [line.split(" --")[0] for line in path.read_text().splitlines()] if path.exists() else []

    return read


@pytest.fixture
def order(tmp_path):
    environment = {"TURNKEEL_SESSION": "main/s"}
    return SpawnOrder(
        session="main/s",
        incarnation=1,
        folder=tmp_path,
        argv=("agent",),
        environment=environment,
        log_path=tmp_path / "log",
    )


def runner_with(environ, limits=LIMITS, **settings):
    return ContainerRunner(
        install_id="0123456789abcdef",
        settings=ContainerSettings(image="x", **settings),
        now_ms=lambda: 1_800_000_000_000,
        limits=limits,
        environ=environ,
    )


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ("echo fine", Done("fine\n")),
        ("echo half; echo 'Error: no such thing' >&2; exit 3", Refused(3, "Error: no such thing", "half\n")),
        ("exit 4", Refused(4, "it said nothing", "")),
        (DOWN, DaemonDown("docker", "Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?")),
        (
            "echo 'Error: Cannot connect to Podman.' >&2; exit 125",
            DaemonDown("docker", "Error: Cannot connect to Podman."),
        ),
        ("printf '\\377\\n'", Done("\ufffd\n")),
    ],
    ids=["an answer", "a refusal", "a silent refusal", "no daemon", "no podman machine", "bytes that are no text"],
)
def test_a_call_has_one_outcome(fake, script, outcome):
    assert RuntimeCommand("docker", fake(script), LIMITS).call("ps") == outcome


def test_a_call_that_hangs_is_ended_with_all_it_started(fake, tmp_path):
    environ = fake(f"sleep 1000 & echo $! > {tmp_path}/pid; wait")
    assert RuntimeCommand("docker", environ, LIMITS).call("ps", limit_ms=400) == Unresponsive("docker", 400)
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 60
    while runs(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_ended_program_is_not_waited_for_because_a_child_holds_its_output(fake):
    environ = fake("sleep 20 & echo done")
    started_s = time.monotonic()
    assert RuntimeCommand("docker", environ, LIMITS).call("ps", limit_ms=15_000) == Done("done\n")
    assert time.monotonic() - started_s < 15


def test_a_flood_is_cut_without_blocking_the_program(fake):
    environ = fake("head -c 3000000 /dev/zero | tr '\\0' x; echo >&2 end")
    outcome = RuntimeCommand("docker", environ, LIMITS).call("logs", kept=10)
    assert outcome == Done("x" * 10)


def test_a_missing_program_is_named():
    outcome = RuntimeCommand("no-such-runtime", {"PATH": "/nowhere"}, LIMITS).call("ps")
    assert outcome == ProgramMissing("no-such-runtime", "No such file or directory")


def test_while_a_runtime_is_in_trouble_one_asks_and_the_others_get_its_answer_at_once():
    now = [0]
    health = Health(backoff_ms=1_000, backoff_max_ms=3_000, mono_ms=lambda: now[0])
    trouble = Unresponsive("docker", 10)
    assert health.admit() is None
    seen = []
    for _ in range(4):
        health.note(trouble)
        start = now[0]
        while health.admit() is not None:
            now[0] += 1
        seen.append(now[0] - start)
        assert health.admit() == trouble  # another caller, at the same instant
    assert seen == [1_000, 2_000, 3_000, 3_000]
    health.note(None)
    assert (health.admit(), health.admit(), health.trouble()) == (None, None, None)
    health.note(trouble)
    now[0] += 1_000
    assert health.admit() is None  # the distance begins anew


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (DOWN, "the daemon of docker cannot be reached"),
        ("sleep 1000", "docker gave no answer within 300 ms"),
        ("echo '<html>'", "the runtime's answer to inspect cannot be read"),
        ("echo '[{}]'", "the runtime's answer to inspect cannot be read"),
        ("echo '[7]'", "the runtime's answer to inspect cannot be read"),
        ("true", "the runtime's answer to inspect cannot be read"),
        ("echo 'internal error' >&2; exit 1", "the runtime refused with code 1: internal error"),
    ],
    ids=["down", "hanging", "no JSON", "no container", "a number", "nothing", "a refusal"],
)
def test_a_runtime_that_gives_no_usable_answer_leaves_the_container_unknown(fake, script, reason):
    limits = RuntimeLimits(call_ms=300 if "sleep" in script else 5_000, backoff_ms=1, backoff_max_ms=1)
    runner = runner_with(fake(script), limits)
    outcome = runner.look(HANDLE)
    assert isinstance(outcome, Unknown)
    assert reason in outcome.reason
    stopped = runner.stop(HANDLE, 0)
    assert isinstance(stopped, StillThere)
    assert reason in stopped.reason


@pytest.mark.parametrize(
    "text",
    [
        "Error: No such container: x",
        "Error response from daemon: No such container: x",
        'Error: no container with name or ID "x" found: no such container',
    ],
)
def test_a_container_that_the_runtime_does_not_know_has_ended_unseen(fake, text):
    runner = runner_with(fake(f"echo '[]'; echo '{text}' >&2; exit 1"))
    assert runner.look(HANDLE) == Ended(exit_code=None, signal=None, ended_at_ms=1_800_000_000_000)


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        ({}, Alive()),
        ({"Status": "paused", "Running": False}, Alive()),
        ({"Status": "exited", "Running": False, "Pid": 9}, Alive()),
        ({"Status": "exited", "ExitCode": 7}, Ended(exit_code=7, signal=None, ended_at_ms=1_772_359_260_500)),
        ({"Status": "exited", "ExitCode": 137}, Ended(exit_code=None, signal=9, ended_at_ms=1_772_359_260_500)),
        ({"Status": "exited", "ExitCode": 255}, Ended(exit_code=255, signal=None, ended_at_ms=1_772_359_260_500)),
        (
            {"Status": "exited", "ExitCode": 137, "OOMKilled": True},
            Ended(exit_code=None, signal=9, ended_at_ms=1_772_359_260_500, oom=True),
        ),
        (
            {"Status": "exited", "FinishedAt": "2099-01-01T00:00:00Z"},
            Ended(exit_code=0, signal=None, ended_at_ms=1_800_000_000_000),
        ),
        (
            {"Status": "created", "StartedAt": "0001-01-01T00:00:00Z"},
            Ended(exit_code=None, signal=None, ended_at_ms=1_800_000_000_000),
        ),
    ],
    ids=[
        "running",
        "paused",
        "a process that exists though the status says exited",
        "an exit code",
        "a code that means a signal",
        "a code beyond the signals",
        "out of memory",
        "an end in the future is now",
        "one that never ran",
    ],
)
def test_what_inspect_shows_is_read_as(fake, tmp_path, state, outcome):
    ended = {} if isinstance(outcome, Alive) else {"Running": False, "Pid": 0, "FinishedAt": "2026-03-01T10:01:00.5Z"}
    (tmp_path / "answer").write_text(json.dumps([shown(**{**ended, **state})]))
    assert runner_with(fake(f"cat {tmp_path}/answer")).look(HANDLE) == outcome


@pytest.mark.parametrize("bad", ["", "[]x", "{}", "[null]", '[{"State": []}]'])
def test_inspect_answers_that_make_no_sense_are_no_facts(bad):
    with pytest.raises(RuntimeUnavailable, match="cannot be read"):
        parse_inspect(bad)


@pytest.mark.parametrize("bad", ["WARNING: x", "zz" * 32, "ab"])
def test_ps_answers_that_make_no_sense_are_no_facts(bad):
    with pytest.raises(RuntimeUnavailable, match="container's id was expected"):
        parse_ids(bad)


def test_a_filter_that_the_runtime_ignores_costs_no_neighbour_its_life(fake, tmp_path):
    mine = {"turnkeel.install": "0123456789abcdef", "turnkeel.session": "main/s", "turnkeel.incarnation": "3"}
    rows = [shown(ID, mine), shown("cd" * 32, {**mine, "turnkeel.install": "another"}), shown("ef" * 32)]
    (tmp_path / "answer").write_text(json.dumps(rows))
    runner = runner_with(fake(f'[ "$1" = ps ] && printf "{ID} {"cd" * 32} {"ef" * 32}" || cat {tmp_path}/answer'))
    assert [(handle.container_id, handle.session, handle.incarnation) for handle in runner.list_own()] == [
        (ID, "main/s", 3)
    ]


def test_a_look_serves_for_a_while_and_an_end_for_good(fake, tmp_path, calls):
    (tmp_path / "answer").write_text(json.dumps([shown()]))
    environ = fake(f"cat {tmp_path}/answer")
    runner = runner_with(environ, RuntimeLimits(alive_holds_ms=1_000_000))
    assert [runner.look(HANDLE) for _ in range(3)] == [Alive()] * 3
    assert len(calls()) == 1
    (tmp_path / "answer").write_text(json.dumps([shown(Status="exited", Running=False, Pid=0)]))
    assert len({runner.stop(HANDLE, 0).ended for _ in range(2)}) == 1
    before = len(calls())
    assert [type(runner.look(HANDLE)) for _ in range(3)] == [Ended] * 3
    assert len(calls()) == before


def test_a_container_that_outlives_kill_is_still_there_with_its_process_and_the_runtimes_word(fake, tmp_path, calls):
    (tmp_path / "answer").write_text(json.dumps([shown()]))
    runner = runner_with(fake(f'[ "$1" = kill ] && echo "permission denied" >&2 && exit 1; cat {tmp_path}/answer'))
    assert runner.stop(HANDLE, 10) == StillThere(
        reason="docker shows it running after KILL; permission denied", pids=(7,)
    )
    assert [call for call in calls() if call == "kill"] == ["kill", "kill"]


@pytest.mark.parametrize(
    ("on_run", "wanted"),
    [
        (DOWN, RuntimeDown),
        ("echo 'dial unix /run/containerd/containerd.sock: connect: no' >&2; exit 125", RuntimeDown),
        ("echo garbage", RuntimeDown),
        ("echo 'Error response from daemon: No such image: x' >&2; exit 125", SpawnFailed),
        ("echo 'some new sort of error' >&2; exit 125", SpawnFailed),
    ],
    ids=["the daemon is down", "its containerd is down", "no id", "no image", "anything else"],
)
def test_a_start_that_fails_says_whether_the_runtime_is_to_blame(fake, order, on_run, wanted):
    gone = "echo 'No such container' >&2; exit 1"
    runner = runner_with(fake(f'case "$1" in ps) ;; run) {on_run} ;; *) {gone} ;; esac'))
    with pytest.raises(SpawnFailed) as caught:
        runner.spawn(order)
    assert type(caught.value) is wanted


def test_a_start_that_was_never_answered_is_undone_when_the_runtime_is_back(fake, tmp_path, order):
    labels = {"turnkeel.install": "0123456789abcdef"}
    (tmp_path / "answer").write_text(json.dumps([shown("cd" * 32, labels)]))
    environ = fake(f'case "$1" in run) sleep 1000 ;; container) cat {tmp_path}/answer ;; esac')
    runner = runner_with(environ, RuntimeLimits(start_ms=300, alive_holds_ms=0, backoff_ms=1, backoff_max_ms=1))
    with pytest.raises(RuntimeDown, match="gave no answer within 300 ms"):
        runner.spawn(order)
    time.sleep(0.01)
    runner.look(HANDLE)
    inspected, removed, looked = (tmp_path / "calls").read_text().splitlines()[-3:]
    assert inspected.startswith("container inspect turnkeel-01234567-main-s-")
    assert removed == f"rm --force --volumes {'cd' * 32}"
    assert looked == f"container inspect {ID}"


@pytest.mark.parametrize(
    ("killed_after", "calls_made"),
    [
        ("the start", ["ps", "run", "container inspect"]),
        ("the creation", ["ps", "run", "container inspect", "rm", "run"]),
        ("nothing", ["ps", "run", "container inspect", "run"]),
    ],
)
def test_a_client_that_is_killed_in_a_start_changes_nothing(fake, tmp_path, order, calls, killed_after, calls_made):
    labels = {"turnkeel.install": "0123456789abcdef", "turnkeel.session": "main/s", "turnkeel.incarnation": "1"}
    state = {} if killed_after == "the start" else {"Status": "created", "Running": False, "Pid": 0}
    (tmp_path / "answer").write_text(json.dumps([shown(ID, labels, **state)]))
    inspect = "echo 'No such container' >&2; exit 1" if killed_after == "nothing" else f"cat {tmp_path}/answer"
    run = f"mkdir {tmp_path}/once && kill -9 $$; echo {ID}"
    runner = runner_with(fake(f'case "$1" in run) {run} ;; container) {inspect} ;; esac'))
    assert runner.spawn(order).container_id == ID
    assert [call.split(" turnkeel-")[0].split(" abab")[0] for call in calls()] == calls_made
    assert runner.trouble() is None


def test_clients_that_are_killed_again_and_again_start_nothing(fake, tmp_path, order):
    gone = "echo 'No such container' >&2; exit 1"
    environ = fake(f'case "$1" in run) kill -9 $$ ;; container) {gone} ;; esac')
    runner = runner_with(environ, RuntimeLimits(start_ms=500))
    with pytest.raises(SpawnFailed, match="refused to start it"):
        runner.spawn(order)


def test_a_container_of_another_runtime_is_no_corpse(fake, calls):
    runner = runner_with(fake("echo 'No such container' >&2; exit 1"))
    before = Handle(runtime="process", container_id="7:8", session="main/s", incarnation=1, spawned_at_ms=0)
    assert runner.look(before) == Unknown(
        reason="it was started by process, not docker: stop it by the configuration that it had"
    )
    assert isinstance(runner.stop(before, 0), StillThere)
    assert calls() == []


def test_the_first_list_also_removes_what_ended_unseen_but_keeps_how_and_its_last_words(fake, tmp_path, calls):
    labels = {"turnkeel.install": "0123456789abcdef", "turnkeel.session": "main/s", "turnkeel.incarnation": "1"}
    ended = {"Status": "exited", "Running": False, "Pid": 0, "ExitCode": 7, "OOMKilled": True}
    (tmp_path / "answer").write_text(json.dumps([shown(ID, labels, **ended)]))
    environ = fake(f'case "$1" in ps) echo {ID} ;; container) cat {tmp_path}/answer ;; logs) echo last words ;; esac')
    runner = ContainerRunner(
        install_id="0123456789abcdef",
        settings=ContainerSettings(image="x"),
        now_ms=lambda: 1_800_000_000_000,
        environ=environ,
        log_path=lambda session: tmp_path / f"{session}.log",
    )
    assert runner.list_own() == ()
    assert f"rm --volumes {ID}" in (tmp_path / "calls").read_text()
    assert (tmp_path / "main/s.log").read_text() == "last words\n"
    seen = runner.look(HANDLE)
    assert isinstance(seen, Ended)
    assert (seen.exit_code, seen.oom) == (7, True)
    runner.list_own()
    assert sum(call.startswith("rm") for call in calls()) == 1


def test_the_last_words_of_an_adopted_container_are_kept(fake, tmp_path):
    labels = {"turnkeel.install": "0123456789abcdef", "turnkeel.session": "main/s", "turnkeel.incarnation": "1"}
    (tmp_path / "answer").write_text(json.dumps([shown(ID, labels, Status="exited", Running=False, Pid=0)]))
    runner = runner_with(fake(f'case "$1" in container) cat {tmp_path}/answer ;; logs) echo last words ;; esac'))
    runner.adopt(HANDLE, tmp_path / "log")
    runner.forget(HANDLE)
    assert (tmp_path / "log").read_text() == "last words\n"


def test_an_ended_container_whose_removal_takes_long_does_not_hold_up_the_next_start(fake, tmp_path, order):
    labels = {"turnkeel.install": "0123456789abcdef", "turnkeel.session": "main/s", "turnkeel.incarnation": "0"}
    (tmp_path / "answer").write_text(json.dumps([shown("cd" * 32, labels, **exited(0))]))
    slow = "echo 'Error response from daemon: removal of container cd is already in progress' >&2; exit 1"
    shell = f"ps) echo {'cd' * 32} ;; container) cat {tmp_path}/answer ;; rm) {slow} ;; run) echo {ID} ;;"
    runner = runner_with(fake(f'case "$1" in {shell} esac'))
    assert runner.spawn(order).container_id == ID


def test_a_second_container_is_not_started_beside_a_running_one(fake, tmp_path, order, calls):
    labels = {"turnkeel.install": "0123456789abcdef", "turnkeel.session": "main/s", "turnkeel.incarnation": "1"}
    (tmp_path / "answer").write_text(json.dumps([shown(ID, labels)]))
    runner = runner_with(fake(f'[ "$1" = ps ] && echo {ID} || cat {tmp_path}/answer'))
    with pytest.raises(SpawnFailed, match="it has a running container already"):
        runner.spawn(order)
    assert "run" not in calls()


def test_secret_files_of_a_start_that_failed_are_gone(fake, tmp_path, order):
    (tmp_path / "key").write_text("s3cret")
    look = f"ls -l {tmp_path}/turnkeel-0123456789abcdef/*/key > {tmp_path}/seen; exit 125"
    runner = runner_with(fake(f'case "$1" in run) {look} ;; esac'), secret_files=(("key", str(tmp_path / "key")),))
    with pytest.raises(SpawnFailed):
        runner.spawn(order)
    assert (tmp_path / "seen").read_text().startswith("-r--------")
    assert list((tmp_path / "turnkeel-0123456789abcdef").iterdir()) == []


def test_a_secret_that_cannot_be_read_stops_the_start_and_is_named(fake, tmp_path, order, calls):
    runner = runner_with(fake("true"), secret_files=(("key", str(tmp_path / "missing")),))
    with pytest.raises(SpawnFailed, match="missing.*check secret_files"):
        runner.spawn(order)
    assert "run" not in calls()


def test_a_secret_folder_that_is_open_to_others_is_not_used(fake, tmp_path, order):
    (tmp_path / "turnkeel-0123456789abcdef").mkdir(mode=0o755)
    runner = runner_with(fake("true"), secret_files=(("key", __file__),))
    with pytest.raises(SpawnFailed, match="is not this user's alone"):
        runner.spawn(order)


def test_a_variable_is_passed_on_by_name_with_its_value_in_the_clients_environment(fake, tmp_path, order):
    environ = fake(f'[ "$1" = run ] && echo "$API_KEY" > {tmp_path}/value && echo {ID}; true')
    runner_with({**environ, "API_KEY": "s3cret"}, pass_environment=("API_KEY",)).spawn(order)
    assert (tmp_path / "value").read_text() == "s3cret\n"
    assert "s3cret" not in (tmp_path / "calls").read_text()


def test_groups_have_settings_of_their_own_but_one_runtime(fake, tmp_path, order):
    environ = fake(f'[ "$1" = run ] && echo {ID}; true')
    plain, other = ContainerSettings(image="plain"), ContainerSettings(image="other", network="bridge")
    kinds = {"install_id": "i1", "now_ms": lambda: 5, "environ": environ, "limits": LIMITS}
    runner = ContainerRunner(settings=plain, groups={"main": other}, **kinds)
    assert runner.spawn(order) == Handle(
        runtime="docker", container_id=ID, session="main/s", incarnation=1, spawned_at_ms=5
    )
    assert "--network bridge" in (tmp_path / "calls").read_text()
    with pytest.raises(ValueError, match="one runtime"):
        ContainerRunner(settings=plain, groups={"main": ContainerSettings(image="x", runtime="podman")}, **kinds)


def test_podman_is_called_by_its_name(fake, tmp_path, order, calls):
    environ = fake(f'[ "$1" = run ] && echo {ID}; true', name="podman")
    assert runner_with(environ, runtime="podman").spawn(order).runtime == "podman"
    assert calls() == ["ps", "run"]


def test_doctor_asks_nothing_more_of_a_runtime_that_does_not_answer(fake, calls):
    (finding,) = examine(RuntimeCommand("docker", fake(DOWN), LIMITS), ContainerSettings(image="x"), ("model", 80))
    assert (finding.level, finding.subject) == ("bad", "runtime")
    assert calls() == ["version"]


def test_doctor_names_what_is_missing(fake, tmp_path):
    environ = fake('case "$1" in version) echo 28 ;; run) exit 127 ;; image) ;; *) exit 1 ;; esac')
    settings = ContainerSettings(image="x", network="away", secret_files=(("key", "relative"),))
    findings = examine(RuntimeCommand("docker", environ, LIMITS), settings, ("model", 80))
    assert [(finding.subject, finding.level) for finding in findings] == [
        ("runtime", "good"),
        ("image", "good"),
        ("network", "bad"),
        ("secret file", "bad"),
        ("model", "warning"),
    ]


TRIALS = [
    ("all is well", 0, "1.2", "good", "finds claude"),
    ("another version", 0, "1.1", "warning", "turnkeel is 1.1"),
    ("no turnkeel", 41, "No module named 'turnkeel'", "bad", "cannot load turnkeel: No module"),
    ("a folder that it cannot write", 42, "user 7: denied", "bad", "cannot write its session folder: user 7"),
    ("no program", 43, "", "bad", "has no program 'claude'"),
    ("no python", 127, "", "bad", "has no program 'python3'"),
    ("an old python", 2, "Unknown option: -P", "bad", "ends with 2: Unknown option"),
]


@pytest.mark.parametrize(("code", "word", "level", "told"), [c[1:] for c in TRIALS], ids=[c[0] for c in TRIALS])
def test_doctor_says_what_a_first_container_told(fake, tmp_path, code, word, level, told):
    (tmp_path / "answer").write_text(json.dumps([shown(ID, {}, **exited(code))]))
    (tmp_path / "word").write_text(f"{word}\n")
    shell = f"run) echo {ID} ;; container) cat {tmp_path}/answer ;; logs) cat {tmp_path}/word ;;"
    environ = fake(f'case "$1" in {shell} esac')
    trial = Trial(program="claude", kit="1.2", place=tmp_path)
    settings = ContainerSettings(image="x", network="models", memory="64m")
    finding = try_start(RuntimeCommand("docker", environ, LIMITS), settings, trial, environ)
    assert (finding.level, finding.subject) == (level, "start")
    assert told in finding.text
    assert (finding.advice is None) is (level == "good")
    calls = (tmp_path / "calls").read_text()
    assert "--cap-drop ALL" in calls and "--network models" in calls and "--memory 64m" in calls
    assert f"rm --volumes {ID}" in calls
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".doctor")] == []


def test_doctor_ends_a_first_container_that_does_not_end(fake, tmp_path):
    (tmp_path / "answer").write_text(json.dumps([shown(ID, {})]))
    ends = f"""sed -i 's/true/false/;s/"Pid": 7/"Pid": 0/;s/running/exited/' {tmp_path}/answer"""
    environ = fake(f'case "$1" in run) echo {ID} ;; container) cat {tmp_path}/answer ;; kill) {ends} ;; esac')
    limits = RuntimeLimits(start_ms=300, kill_ms=200, alive_holds_ms=0)
    trial = Trial(program="claude", kit=None, place=tmp_path)
    finding = try_start(RuntimeCommand("docker", environ, limits), ContainerSettings(image="x"), trial, environ)
    assert (finding.level, finding.text) == ("bad", "a container did not end within 300 ms")
    assert f"rm --volumes {ID}" in (tmp_path / "calls").read_text()


@pytest.mark.parametrize(
    ("shown_by_image", "level"),
    [("[null,null]", "bad"), ('[["claude"],["-p"]]', "good"), ('[null,["claude"]]', "good"), ("garbage", "bad")],
)
def test_doctor_asks_the_image_what_it_starts_if_nothing_else_says_it(fake, tmp_path, shown_by_image, level):
    (tmp_path / "answer").write_text(json.dumps([shown(ID, {}, **exited(0))]))
    (tmp_path / "image").write_text(shown_by_image)
    shell = f"run) echo {ID} ;; container) cat {tmp_path}/answer ;; image) cat {tmp_path}/image ;;"
    environ = fake(f'case "$1" in {shell} esac')
    trial = Trial(program=None, kit=None, place=tmp_path)
    command = RuntimeCommand("docker", environ, LIMITS)
    assert try_start(command, ContainerSettings(image="x"), trial, environ).level == level
