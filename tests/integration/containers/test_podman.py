"""Does Podman take the same arguments and give the same facts?"""

import json
import os
import signal

import pytest

from turnkeel_adapters.runners.errors import SpawnFailed
from turnkeel_adapters.runners.oci import RuntimeLimits, examine, name_container
from turnkeel_adapters.runners.oci.command import RuntimeCommand
from turnkeel_adapters.runners.records import Alive, Ended, Stopped

pytestmark = [pytest.mark.docker, pytest.mark.long]


def test_a_container_is_hardened(podman_bench, until):
    bench = podman_bench
    script = """
        { id -u; grep CapBnd /proc/self/status; grep NoNewPrivs /proc/self/status; touch /here 2>&1; ls /sys/class/net
          touch /tmp/fine && echo tmp-fine; echo "$TURNKEEL_SESSION_DIR"; } > /workspace/seen; echo said
    """
    handle = bench.sh(script)
    until(lambda: isinstance(bench.runner.look(handle), Ended), "it does not end")
    assert (bench.folder("main/s") / "seen").read_text().splitlines() == [
        str(os.getuid()),
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "touch: /here: Read-only file system",
        "lo",
        "tmp-fine",
        "/workspace",
    ]
    host = json.loads(bench.state(handle, "{{json .HostConfig}}"))
    assert (host["ReadonlyRootfs"], host["Privileged"], host["PidsLimit"], host["Memory"]) == (
        True,
        False,
        64,
        256 * 2**20,
    )
    ended = bench.runner.look(handle)
    assert (ended.exit_code, ended.signal, ended.oom) == (0, None, False)
    assert handle.spawned_at_ms <= ended.ended_at_ms
    bench.runner.forget(handle)
    assert "said" in (bench.home / "logs" / "main/s.log").read_text()
    assert bench.daemon.call("ps", "--all", "--quiet") == ""
    assert isinstance(bench.runner.look(handle), Ended)


def test_a_first_process_that_ignores_term_is_killed(podman_bench, until):
    bench = podman_bench
    handle = bench.sh("trap '' TERM; touch /workspace/ready; while :; do sleep 0.1; done")
    until((bench.folder("main/s") / "ready").exists, "not ready")
    (listed,) = bench.other().runner.list_own()
    assert (listed.container_id, listed.session, listed.incarnation) == (handle.container_id, "main/s", 1)
    outcome = bench.runner.stop(listed, 200)
    assert isinstance(outcome, Stopped)
    assert (outcome.forced, outcome.ended.signal) == (True, signal.SIGKILL)
    assert bench.runner.list_own() == ()


def test_a_container_that_eats_its_memory_is_killed(podman_bench, until):
    small = podman_bench.other(memory="32m")
    handle = small.sh("x=a; while :; do x=$x$x; done")
    until(lambda: isinstance(small.runner.look(handle), Ended), "it does not end")
    # Podman 4.3 on cgroups v1 does not tell why: the signal is all the evidence there is.
    assert small.runner.look(handle).signal == signal.SIGKILL


def test_a_corpse_that_holds_the_name_is_removed_if_it_is_ours_and_left_alone_if_not(podman_bench):
    bench = podman_bench
    image, label = bench.settings.image, f"turnkeel.install={bench.install_id}"
    bench.daemon.call(
        "create", "--name", name_container(bench.install_id, "main/s", 1), "--label", label, image, "sleep"
    )
    assert bench.runner.look(bench.sh("sleep 1000")) == Alive()
    bench.daemon.call("create", "--name", name_container(bench.install_id, "main/t", 1), image, "sleep")
    with pytest.raises(SpawnFailed, match="not of this install"):
        bench.sh("sleep 1000", session="main/t")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"image": "localhost/nothing:1"}, "the image 'localhost/nothing:1' is not on this machine"),
        ({"network": "missing"}, "there is no network 'missing'"),
    ],
    ids=["an image", "a network"],
)
def test_what_is_missing_is_named_and_nothing_is_left_behind(podman_bench, changes, reason):
    with pytest.raises(SpawnFailed, match=reason):
        podman_bench.other(**changes).sh("true")
    assert podman_bench.daemon.call("ps", "--all", "--quiet") == ""


def test_doctor_sees_the_runtime_and_the_image(podman_bench):
    command = RuntimeCommand("podman", podman_bench.daemon.environ, RuntimeLimits())
    levels = {finding.subject: finding.level for finding in examine(command, podman_bench.settings)}
    assert levels == {"runtime": "good", "image": "good", "network": "warning"}


def test_a_whole_host_runs_its_agents_in_podman_and_the_next_one_takes_them_over(podman_site):
    site = podman_site
    site.agent = "sh -c 'sleep 2; cat'"
    doctor = site.command("doctor", "--config", str(site.config), "--json")
    checks = {one["subject"]: one for one in json.loads(doctor.stdout)["checks"]}
    assert checks["container start"]["level"] == "ok", checks
    site.start()
    key = site.send("main/anna", "good morning")
    site.wait(lambda: site.claimed("main/anna"), "no claim")
    before = site.containers()
    site.kill()
    site.start()
    site.wait(lambda: site.answered("main/anna", key), "no answer")
    assert site.fate("main/anna", key) == ("completed", 0, 1)
    assert site.containers() == before
    assert (len(site.told("Adopted")), site.told("Died")) == (1, [])
    site.stop()
    assert site.containers() == []
