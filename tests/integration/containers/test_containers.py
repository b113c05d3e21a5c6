"""Do agents run in real containers: hardened, stopped for certain, found again, and never blamed for the daemon?"""

import http.server
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator

import apsw
import pytest

from turnkeel_adapters.runners.errors import SpawnFailed
from turnkeel_adapters.runners.oci import RuntimeDown, RuntimeLimits, RuntimeUnavailable, examine, name_container
from turnkeel_adapters.runners.oci.command import RuntimeCommand
from turnkeel_adapters.runners.records import Alive, Ended, Stopped, Unknown
from turnkeel_adapters.sessions.schema import INBOUND_SCHEMA, OUTBOUND_SCHEMA

pytestmark = [pytest.mark.docker, pytest.mark.long]

TOOLS, AGENT = "turnkeel-test:tools", "turnkeel-test:agent"
IGNORES_TERM = "trap '' TERM; touch /workspace/ready; while :; do sleep 0.1; done"
TRAPS_TERM = "trap 'exit 7' TERM; touch /workspace/ready; while :; do sleep 0.05; done"


def run_sql(path, sql, values=None):
    db = apsw.Connection(str(path))
    try:
        db.set_busy_timeout(5_000)
        return list(db.execute(sql, values).fetchall())
    finally:
        db.close()


def test_an_agent_in_a_container_answers_a_message(bench, until):
    folder = bench.folder("main/s")
    run_sql(folder / "inbound.db", INBOUND_SCHEMA)
    run_sql(folder / "outbound.db", OUTBOUND_SCHEMA)
    message = (
        "INSERT INTO messages_in (id, seq, kind, timestamp, trigger, content) VALUES ('m1', 2, 'chat', '2026', 1, ?)"
    )
    run_sql(folder / "inbound.db", message, (json.dumps({"text": "hello"}),))
    wrapped = ("python3", "-P", "-m", "turnkeel.agent", "exec", "--", "cat")
    bench = bench.other(image=AGENT)
    handle = bench.runner.spawn(bench.order(*wrapped))

    def replies():
        return [
            json.loads(row[0])["text"] for row in run_sql(folder / "outbound.db", "SELECT content FROM messages_out")
        ]

    until(lambda: replies() != [] or isinstance(bench.runner.look(handle), Ended), "no reply")
    assert replies() == ["hello"], bench.daemon.call("logs", handle.container_id)
    assert run_sql(folder / "outbound.db", "SELECT status FROM processing_ack") == [("completed",)]
    assert bench.runner.look(handle) == Alive()
    outcome = bench.runner.stop(handle, 10_000)
    assert isinstance(outcome, Stopped)
    assert (outcome.forced, outcome.ended.exit_code) == (False, 0)


def test_a_container_is_hardened_as_inspect_and_the_agent_itself_see_it(bench, until):
    script = """
        { id -u; grep CapBnd /proc/self/status; grep NoNewPrivs /proc/self/status; touch /here 2>&1; ls /sys/class/net
          touch /tmp/fine && echo tmp-fine; touch /workspace/fine && echo workspace-fine; echo "$TURNKEEL_SESSION_DIR"
          cat /proc/1/comm; } > /workspace/seen
    """
    handle = bench.sh(script)
    until(lambda: isinstance(bench.runner.look(handle), Ended), "it does not end")
    seen = (bench.folder("main/s") / "seen").read_text().splitlines()
    assert seen == [
        str(os.getuid()),
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "touch: /here: Read-only file system",
        "lo",
        "tmp-fine",
        "workspace-fine",
        "/workspace",
        "docker-init",
    ]
    host = json.loads(bench.state(handle, "{{json .HostConfig}}"))
    assert (host["ReadonlyRootfs"], host["Privileged"], host["CapDrop"]) == (True, False, ["ALL"])
    assert (host["NetworkMode"], host["PidsLimit"], host["Init"]) == ("none", 64, True)
    assert host["Memory"] == host["MemorySwap"] == 256 * 2**20
    assert host["NanoCpus"] == 2 * 10**9
    assert host["LogConfig"] == {"Type": "local", "Config": {"max-file": "2", "max-size": "10m"}}
    assert host["SecurityOpt"] == ["no-new-privileges"]


def test_another_user_may_be_named(bench, until):
    unprivileged = bench.other(user="1234:1234")
    bench.folder("main/s").chmod(0o777)
    handle = unprivileged.sh("id -u > /workspace/seen; id -g >> /workspace/seen")
    until(lambda: isinstance(unprivileged.runner.look(handle), Ended), "it does not end")
    assert (bench.folder("main/s") / "seen").read_text() == "1234\n1234\n"


def test_a_secret_file_is_in_memory_readable_once_and_gone_with_the_container(bench, until, tmp_path):
    (tmp_path / "key").write_text("s3cret")
    with_key = bench.other(secret_files=(("key", str(tmp_path / "key")),))
    handle = with_key.sh("cat /run/secrets/key > /workspace/seen; ls -l /run/secrets/key >> /workspace/seen; "
                         "touch /run/secrets/x || touch /workspace/refused; sleep 1000")  # fmt: skip
    until((bench.folder("main/s") / "refused").exists, "the secret is not read")
    seen = (bench.folder("main/s") / "seen").read_text()
    assert seen.startswith("s3cret-r--------")
    everything = bench.daemon.call("inspect", handle.container_id)
    assert "s3cret" not in everything
    source = next(
        mount["Source"] for mount in json.loads(everything)[0]["Mounts"] if mount["Destination"] == "/run/secrets"
    )
    assert os.path.isfile(f"{source}/key")
    with_key.runner.stop(handle, 0)
    assert not os.path.exists(source)


def test_a_variable_passed_on_by_name_reaches_the_agent_without_being_an_argument(bench, until):
    told = bench.other(environ={"TOKEN": "s3cret"}, pass_environment=("TOKEN",), environment=(("COLOUR", "blue, red"),))
    handle = told.sh('echo "$TOKEN $COLOUR $HOME" > /workspace/seen')
    until(lambda: isinstance(told.runner.look(handle), Ended), "it does not end")
    assert (bench.folder("main/s") / "seen").read_text() == "s3cret blue, red /tmp\n"


@pytest.mark.parametrize(
    ("script", "exit_code", "signal_number"),
    [
        ("exit 0", 0, None),
        ("exit 7", 7, None),
        ("kill -SEGV $$", None, signal.SIGSEGV),
    ],
    ids=["a clean end", "an exit code", "a signal"],
)
def test_how_a_container_ended_is_evidence(bench, until, script, exit_code, signal_number):
    handle = bench.sh(script)
    until(lambda: isinstance(bench.runner.look(handle), Ended), "it does not end")
    ended = bench.runner.look(handle)
    assert (ended.exit_code, ended.signal, ended.oom) == (exit_code, signal_number, False)
    assert handle.spawned_at_ms <= ended.ended_at_ms <= time.time_ns() // 1_000_000


def test_a_container_that_eats_its_memory_is_seen_as_out_of_memory(bench, until):
    small = bench.other(memory="32m")
    handle = small.sh("x=a; while :; do x=$x$x; done")
    until(lambda: isinstance(small.runner.look(handle), Ended), "it does not end")
    ended = small.runner.look(handle)
    assert (ended.oom, ended.signal) == (True, signal.SIGKILL)


def test_a_stop_lets_the_agent_end_by_itself(bench, until):
    handle = bench.sh(TRAPS_TERM)
    until((bench.folder("main/s") / "ready").exists, "not ready")
    outcome = bench.runner.stop(handle, 20_000)
    assert isinstance(outcome, Stopped)
    assert (outcome.forced, outcome.ended.exit_code, outcome.ended.signal) == (False, 7, None)
    assert bench.state(handle, "{{.State.Running}}") == "false"


def test_a_first_process_that_ignores_term_is_killed(bench, until):
    handle = bench.sh(IGNORES_TERM)
    until((bench.folder("main/s") / "ready").exists, "not ready")
    outcome = bench.runner.stop(handle, 200)
    assert isinstance(outcome, Stopped)
    assert (outcome.forced, outcome.ended.signal, outcome.ended.oom) == (True, signal.SIGKILL, False)
    assert bench.state(handle, "{{.State.Running}}") == "false"
    assert bench.runner.stop(handle, 200) == Stopped(ended=outcome.ended, forced=False, survivors_killed=0)


def test_a_paused_container_is_alive_and_can_be_stopped(bench, until):
    handle = bench.sh(TRAPS_TERM)
    bench.daemon.call("pause", handle.container_id)
    assert bench.runner.look(handle) == Alive()
    assert isinstance(bench.runner.stop(handle, 200), Stopped)


def test_an_ended_container_is_forgotten_but_the_end_of_its_output_is_kept(bench, until):
    handle = bench.sh("echo to stdout; echo to stderr >&2; exit 3")
    until(lambda: isinstance(bench.runner.look(handle), Ended), "it does not end")
    bench.runner.forget(handle)
    assert sorted((bench.home / "logs" / "main/s.log").read_text().splitlines()) == ["to stderr", "to stdout"]
    assert bench.daemon.call("ps", "--all", "--quiet") == ""
    gone = bench.runner.look(handle)
    assert isinstance(gone, Ended)
    assert (gone.exit_code, gone.signal) == (None, None)


def test_a_running_container_is_not_forgotten(bench):
    handle = bench.sh("sleep 1000")
    bench.runner.forget(handle)
    assert bench.runner.list_own() == (handle_as_listed(bench, handle),)


def handle_as_listed(bench, handle):
    """The same container; its start is now the runtime's word."""
    (listed,) = (one for one in bench.runner.list_own() if one.container_id == handle.container_id)
    assert (listed.session, listed.incarnation, listed.runtime) == (handle.session, handle.incarnation, "docker")
    assert handle.spawned_at_ms <= listed.spawned_at_ms
    return listed


def test_two_installs_on_one_daemon_see_and_stop_only_their_own(bench):
    neighbour = bench.other("1111222233334444")
    ours, theirs = bench.sh("sleep 1000"), neighbour.sh("sleep 1000")
    assert [handle.container_id for handle in bench.runner.list_own()] == [ours.container_id]
    assert [handle.container_id for handle in neighbour.runner.list_own()] == [theirs.container_id]
    bench.runner.stop(ours, 0)
    bench.runner.tidy()
    assert neighbour.runner.look(theirs) == Alive()


def test_the_next_host_finds_the_containers_of_the_last_and_can_stop_them(bench):
    first = bench.sh("sleep 1000", session="work/a@b", incarnation=3)
    bench.runner.close()
    heir = bench.other().runner
    (found,) = heir.list_own()
    assert (found.session, found.incarnation, found.container_id) == ("work/a@b", 3, first.container_id)
    assert isinstance(heir.stop(found, 0), Stopped)
    assert heir.list_own() == ()
    assert heir.tidy() == 1
    assert bench.daemon.call("ps", "--all", "--quiet") == ""


def test_a_killed_client_leaves_a_container_that_is_still_found(bench, until):
    argv = ["docker", "run", "--name", "turnkeel-x", "--label", f"turnkeel.install={bench.install_id}", "--label"]
    argv += ["turnkeel.session=main/s", "--label", "turnkeel.incarnation=2", TOOLS, "sleep", "1000"]
    client = subprocess.Popen(argv, env=bench.daemon.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: len(bench.runner.list_own()) == 1, "the client starts nothing")
    client.kill()
    client.wait()
    (found,) = bench.runner.list_own()
    assert bench.runner.look(found) == Alive()
    with pytest.raises(SpawnFailed, match="it has a running container already"):
        bench.sh("exit 0", incarnation=3)
    assert isinstance(bench.runner.stop(found, 0), Stopped)


def test_the_ended_container_of_an_earlier_incarnation_makes_room(bench, until):
    first = bench.sh("exit 1")
    until(lambda: isinstance(bench.runner.look(first), Ended), "it does not end")
    second = bench.sh("sleep 1000", incarnation=2)
    assert bench.daemon.call("ps", "--all", "--quiet", "--no-trunc") == second.container_id


@pytest.mark.parametrize("with_session", [True, False], ids=["with all labels", "with the install's label alone"])
def test_CR_22_a_corpse_that_holds_the_name_is_removed_if_it_is_ours(bench, with_session):
    name = name_container(bench.install_id, "main/s", 1)
    labels = ["--label", f"turnkeel.install={bench.install_id}"]
    labels += ["--label", "turnkeel.session=main/s"] if with_session else []
    bench.daemon.call("create", "--name", name, *labels, TOOLS, "sleep")
    assert bench.runner.look(bench.sh("sleep 1000")) == Alive()


def test_a_foreign_container_that_holds_the_name_is_left_alone_and_named(bench):
    name = name_container(bench.install_id, "main/s", 1)
    foreign = bench.daemon.call("create", "--name", name, TOOLS, "sleep")
    with pytest.raises(SpawnFailed, match=f"not of this install has the name {name}"):
        bench.sh("sleep 1000")
    assert bench.daemon.call("ps", "--all", "--quiet", "--no-trunc") == foreign


@pytest.mark.parametrize(
    ("changes", "argv", "reason"),
    [
        ({"image": "nowhere/nothing:1"}, ("true",), "the image 'nowhere/nothing:1' is not on this machine"),
        ({"network": "missing"}, ("true",), "there is no network 'missing'"),
    ],
    ids=["an image", "a network"],
)
def test_what_is_missing_is_named_and_nothing_is_left_behind(bench, changes, argv, reason):
    changed = bench.other(**changes)
    with pytest.raises(SpawnFailed, match=reason) as caught:
        changed.runner.spawn(changed.order(*argv))
    assert not isinstance(caught.value, RuntimeDown)
    assert bench.daemon.call("ps", "--all", "--quiet") == ""


def test_a_program_that_is_not_in_the_image_ends_at_once_and_its_log_says_so(bench, until):
    handle = bench.runner.spawn(bench.order("no-such-program"))
    until(lambda: isinstance(bench.runner.look(handle), Ended), "it does not end")
    assert bench.runner.look(handle).exit_code == 127
    bench.runner.forget(handle)
    assert "exec no-such-program failed" in (bench.home / "logs" / "main/s.log").read_text()


def test_a_session_folder_that_is_not_there_is_named(bench):
    order = bench.order("true")
    bench.folder("main/s").rmdir()
    with pytest.raises(SpawnFailed, match="does not see the session folder"):
        bench.runner.spawn(order)


@pytest.fixture
def bridge(bench) -> Iterator[str]:
    """A network that leads to this machine, where a model listens; gives its address."""
    bench.daemon.call("network", "create", "--subnet", "10.213.7.0/24", "--gateway", "10.213.7.1", "models")
    yield "10.213.7.1"
    bench.daemon.clean()
    bench.daemon.call("network", "rm", "models")


class Model(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"blue\n")

    def log_message(self, format, *args):
        pass


@pytest.fixture
def model(bridge) -> Iterator[tuple[str, int]]:
    with http.server.ThreadingHTTPServer((bridge, 0), Model) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[:2]
        server.shutdown()


def test_an_agent_reaches_its_model_over_a_named_network_and_doctor_says_who_does_not(bench, until, model):
    host, port = model
    connected = bench.other(image=AGENT, network="models", add_host=(("model.test", host),))
    ask = f"""
import urllib.request
answer = urllib.request.urlopen("http://model.test:{port}").read()
open("/workspace/said", "wb").write(answer)
"""
    handle = connected.runner.spawn(connected.order("python3", "-c", ask))
    until(lambda: isinstance(connected.runner.look(handle), Ended), "it does not end")
    assert (bench.folder("main/s") / "said").read_text() == "blue\n"

    command = RuntimeCommand("docker", bench.daemon.environ, RuntimeLimits())
    levels = {finding.subject: finding.level for finding in examine(command, connected.settings, ("model.test", port))}
    assert levels == {"runtime": "good", "image": "good", "network": "good", "model": "good"}
    findings = {
        finding.subject: finding for finding in examine(command, bench.other(image=AGENT).settings, (host, port))
    }
    assert (findings["network"].level, findings["model"].level) == ("warning", "bad")
    assert "cannot be reached over network none" in findings["model"].text
    missing = {finding.subject: finding for finding in examine(command, bench.other(network="away").settings)}
    assert missing["network"].level == "bad"


def test_a_daemon_that_hangs_is_a_state_that_passes(bench, until):
    quick = bench.other(limits=RuntimeLimits(call_ms=500, alive_holds_ms=0, backoff_ms=50, backoff_max_ms=100))
    handle = bench.sh("sleep 1000")
    bench.daemon.freeze(True)
    try:
        assert quick.runner.look(handle) == Unknown(reason="docker gave no answer within 500 ms")
        assert quick.runner.trouble() == "docker gave no answer within 500 ms"
        with pytest.raises(RuntimeDown, match="docker gave no answer"):
            quick.sh("true", session="main/other")
    finally:
        bench.daemon.freeze(False)
    until(lambda: quick.runner.look(handle) == Alive(), "the daemon does not come back")
    assert quick.runner.trouble() is None


def test_a_daemon_that_is_stopped_and_started_again_is_a_state_that_passes(bench, until):
    handle = bench.sh("sleep 1000")
    bench.daemon.stop()
    try:
        seen = bench.runner.look(handle)
        assert isinstance(seen, Unknown)
        assert "the daemon of docker cannot be reached" in seen.reason
        with pytest.raises(RuntimeDown):
            bench.sh("true", incarnation=2)
        with pytest.raises(RuntimeUnavailable):
            bench.runner.list_own()
        (finding,) = examine(RuntimeCommand("docker", bench.daemon.environ, RuntimeLimits()), bench.settings)
        assert (finding.level, finding.subject) == ("bad", "runtime")
    finally:
        bench.daemon.start()
    until(lambda: isinstance(bench.runner.look(handle), Ended), "the container that ended with the daemon is not seen")
    assert bench.runner.look(bench.sh("sleep 1000", incarnation=2)) == Alive()
