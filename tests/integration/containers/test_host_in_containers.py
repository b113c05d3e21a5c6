"""Does a host keep its promises with agents in real containers, whatever happens to them, to itself and the daemon?"""

import shutil
import signal
import time

import pytest

from turnkeel_adapters.state.store import HostState

pytestmark = [pytest.mark.docker, pytest.mark.long]

SLOWLY = "sh -c 'sleep 6; cat'"
HANGS = "sh -c 'sleep 1000'"


def test_a_message_is_answered_in_a_container_and_a_stop_leaves_none(site):
    site.start()
    key = site.send("main/anna", "good morning")
    site.wait(lambda: site.answered("main/anna", key), "no answer")
    assert site.fate("main/anna", key) == ("completed", 0, 1)
    [running] = site.containers("--filter", "status=running")
    assert "turnkeel.session=main/anna" in site.call("inspect", "--format", "{{json .Config.Labels}}", running).replace(
        '":"', "="
    )
    site.stop()
    assert site.containers() == []
    assert [died["intent"] for died in site.told("Died")] == ["shutdown"]


def test_an_agent_that_hangs_is_killed_for_certain_tried_again_and_in_the_end_fails_visibly(make_site):
    hang = "[stuck]\nprogress_silence_ms = 2_000\n"
    site = make_site(settings=hang + '[container]\nimage = "turnkeel-test:agent"\n')
    site.agent = HANGS
    key = site.send("main/anna", "think")
    site.start()
    site.wait(lambda: site.dead("main/anna", key) == 1, "it does not fail")
    status, tries, replies = site.fate("main/anna", key)
    assert (status, replies) == ("failed", 0)
    kills = site.told("Stopping")
    assert len(kills) == tries + 1 > 1
    assert {kill["because"]["type"] for kill in kills} == {"KillNoProgress"}
    site.wait(lambda: site.containers() == [], "a killed container stays")
    assert not site.told("NotStopped")


CLIENT = """#!/bin/sh
if [ "$1" = {verb} ] && mkdir {home}/once 2>/dev/null; then
    {real} "$@" >/dev/null 2>&1 & client=$!
    sleep {after}
    kill -9 $client
    wait $client
    kill -9 $$
fi
exec {real} "$@"
"""


@pytest.mark.parametrize(
    ("verb", "after"),
    [("run", 0.05), ("run", 0.3), ("run", 20), ("kill", 0), ("kill", 2)],
    ids=["early in a start", "in a start", "after a start", "before a stop", "after a stop"],
)
def test_a_killed_client_program_changes_nothing(make_site, verb, after):
    site = make_site()
    client = site.home / "bin" / "docker"
    client.parent.mkdir()
    client.write_text(CLIENT.format(verb=verb, home=site.home, real=shutil.which("docker"), after=after))
    client.chmod(0o755)
    site.environ = {**site.environ, "PATH": f"{client.parent}:{site.environ['PATH']}"}
    site.start()
    key = site.send("main/anna", "good morning")
    site.wait(lambda: site.answered("main/anna", key), "no answer")
    assert site.fate("main/anna", key) == ("completed", 0, 1)
    assert len(site.containers()) == 1
    assert (verb == "run") is (site.home / "once").exists()
    site.stop()
    assert (site.home / "once").exists()
    assert site.containers() == []
    assert [event["incarnation"] for event in site.told("Died")] == [1]


def test_a_container_outlives_a_killed_host_and_the_next_one_takes_it_over(site):
    site.agent = SLOWLY
    site.start()
    key = site.send("main/anna", "good morning")
    site.wait(lambda: site.claimed("main/anna"), "no claim")
    before = site.containers("--filter", "status=running")
    site.kill()
    assert site.containers("--filter", "status=running") == before
    site.start()
    site.wait(lambda: site.answered("main/anna", key), "no answer")
    assert site.fate("main/anna", key) == ("completed", 0, 1)
    assert site.containers() == before
    assert [event["incarnation"] for event in site.told("Adopted")] == [1]
    assert (len(site.told("Woke")), site.told("Died"), site.told("Charged")) == (1, [], [])
    second = site.send("main/anna", "and again")
    site.wait(lambda: site.answered("main/anna", second), "no second answer")
    assert site.containers() == before
    site.stop()
    assert site.containers() == []


def test_an_agent_that_ended_while_no_host_was_there_is_recorded_with_its_end(site, until):
    site.agent = "sh -c 'sleep 4; echo last words >&2; exit 9'"
    site.start()
    key = site.send("main/anna", "good morning")
    site.wait(lambda: site.claimed("main/anna"), "no claim")
    site.kill()
    until(lambda: site.containers("--filter", "status=exited") != [], "it does not end")
    site.start()
    site.wait(lambda: site.told("Died") != [], "its end is not noticed")
    [died, *_] = site.told("Died")
    assert (died["incarnation"], died["exit_code"], died["intent"]) == (1, 1, None)
    site.wait(lambda: site.fate("main/anna", key)[1] == 1, "its attempt is not charged")
    assert "last words" in (site.data / "logs" / "main/anna.log").read_text()


def test_two_installs_on_one_daemon_do_not_touch_each_other(make_site):
    first, second = make_site("one"), make_site("two")
    keys = {}
    for site in (first, second):
        site.start()
        keys[site.home] = site.send("main/anna", "good morning")
    for site in (first, second):
        site.wait(lambda site=site: site.answered("main/anna", keys[site.home]), "no answer")
    theirs = second.containers()
    assert len(theirs) == 1 and first.containers() != theirs
    first.kill()
    first.start()
    assert len(first.told("Adopted")) == 1
    first.stop()
    assert first.containers() == []
    assert second.containers("--filter", "status=running") == theirs
    key = second.send("main/anna", "and again")
    second.wait(lambda: second.answered("main/anna", key), "no second answer")
    assert second.containers() == theirs
    assert (second.told("Died"), second.told("StrayStopped")) == ([], [])


def test_an_agent_that_eats_its_memory_is_recorded_as_out_of_memory(site):
    site.agent = "python3 -c 'x = b\"x\" * 1_000_000_000; print(len(x))'"
    site.settings = '[container]\nimage = "turnkeel-test:agent"\nmemory = "96m"\n'
    key = site.send("main/anna", "much")
    site.start()
    site.wait(lambda: site.dead("main/anna", key) == 1, "it does not fail")
    deaths = site.told("Died")
    assert len(deaths) > 1
    assert {(died["oom"], died["intent"]) for died in deaths} == {(True, None)}
    with HostState(site.data, read_only=True) as state:
        assert state.incarnations.latest("main/anna").oom


def test_a_first_process_that_ignores_term_is_killed_within_the_grace(site):
    site.agent = ""
    script = "trap '' TERM; touch /workspace/.heartbeat; while :; do sleep 0.1; done"
    site.settings = (
        '[stuck]\nstartup_deadline_ms = 2_000\n[container]\nimage = "turnkeel-test:tools"\n'
        f'command = ["sh", "-c", "{script}"]\n'
    )
    site.send("main/anna", "good morning")
    site.start()
    site.wait(lambda: (site.folder("main/anna") / ".heartbeat").exists(), "it does not start")
    begun = time.monotonic()
    site.stop()
    assert 5 <= time.monotonic() - begun < 25
    assert site.containers() == []
    [died] = site.told("Died")
    assert (died["signal"], died["intent"]) == (signal.SIGKILL, "shutdown")
    assert not site.told("NotStopped")


def test_a_daemon_that_stops_and_comes_back_is_shown_and_charged_to_nobody(site, daemon):
    site.start()
    first = site.send("main/anna", "good morning")
    site.wait(lambda: site.answered("main/anna", first), "no answer")
    daemon.stop()
    second = site.send("main/anna", "and again")
    third = site.send("main/bert", "hello")

    def runtime_faults():
        return [fault for fault in site.status()["other_faults"] if fault["subject"] == "runtime"]

    site.wait(lambda: runtime_faults() != [], "the trouble is not shown")
    assert "cannot be reached" in runtime_faults()[0]["detail"]
    time.sleep(3)
    assert [site.fate("main/anna", second), site.fate("main/bert", third)] == [("pending", 0, 0)] * 2
    daemon.start()
    site.wait(lambda: site.answered("main/anna", second) and site.answered("main/bert", third), "no answer after it")
    assert [site.fate("main/anna", second), site.fate("main/bert", third)] == [("completed", 0, 1)] * 2
    assert site.told("Charged") == []
    site.wait(lambda: runtime_faults() == [], "the trouble stays")
    site.stop()
    assert site.containers() == []


def test_a_host_starts_while_the_daemon_is_down_and_works_when_it_is_there(site, daemon):
    daemon.stop()
    key = site.send("main/anna", "good morning")
    site.start()
    time.sleep(2)
    assert site.fate("main/anna", key) == ("pending", 0, 0)
    assert [fault["subject"] for fault in site.status()["other_faults"]] == ["runtime"]
    daemon.start()
    site.wait(lambda: site.answered("main/anna", key), "no answer")
    assert site.fate("main/anna", key) == ("completed", 0, 1)


def test_an_image_that_is_not_there_is_a_clear_fault_and_charges_nothing(site):
    site.settings = '[container]\nimage = "turnkeel-test:later"\n'
    key = site.send("main/anna", "good morning")
    site.start()
    site.wait(lambda: len(site.told("WakeFailed")) > 1, "no failed start is told")
    [shown] = site.status()["sessions"]
    assert "the image 'turnkeel-test:later' is not on this machine" in shown["faults"][0]
    assert site.fate("main/anna", key) == ("pending", 0, 0)
    site.call("tag", "turnkeel-test:agent", "turnkeel-test:later")
    try:
        site.wait(lambda: site.answered("main/anna", key), "no answer")
        assert site.fate("main/anna", key) == ("completed", 0, 1)
        assert site.status()["sessions"][0]["faults"] == []
        site.stop()
    finally:
        site.call("rmi", "turnkeel-test:later")
