"""Is every accepted message answered once or visibly not, whoever is killed, while the chat fails as well?"""

import importlib.util
import os
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

HERE = Path(__file__).parent
KINDS = (
    "at any instant",
    "in a call",
    "in its drain",
    "at any instant",
    "with an agent",
    "in a call",
    "graceful",
    "after an abort",
    "with a sender",
    "in its start",
)


def _load(name):
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


lab, findings = _load("kills_lab"), _load("kills_findings")


@pytest.fixture
def trial(tmp_path):
    seed = int(os.environ.get("SEED", "0")) or time.time_ns() % 1_000_000
    print(f"SEED={seed}")
    made = lab.Trial(tmp_path, seed)
    yield made
    made.close()


def one_round(trial, kind):
    """A host, until it is killed or asked to end."""
    rng = trial.rng
    if kind == "in its start":
        host = trial.host()
        time.sleep(rng.uniform(0.0, 0.9))
    else:
        host = trial.started_host()
        time.sleep(rng.uniform(0.0, 1.0))
    if kind == "in a call":
        trial.wait_for(lambda: trial.in_hand)
    if kind == "after an abort":
        session = rng.choice(("stopped-1", "kit-2", "runner-1"))
        stop = rng.choice((trial.stop, lambda name: trial.say(name, rng.choice(lab.CHANNELS), "/stop")))
        stop(session)
        time.sleep(rng.uniform(0.0, 0.3))
    if kind == "with an agent":
        trial.kill_an_agent()
    if kind in ("graceful", "in its drain"):
        host.terminate()
    if kind == "graceful":
        assert host.wait(60) == 0, trial.served()[-2000:]
        assert not trial.agent_pids()
        return
    if kind == "in its drain":
        time.sleep(rng.uniform(0.0, 0.5))
    if kind == "with a sender":
        trial.kill_sender_and_host(host)
    host.kill()
    host.wait()


def finish(trial):
    """Let all come to an end: hosts until nothing is left, and a person's word where only a person knows."""
    held = 0
    for _ in range(10):
        host = trial.host("until-idle")
        assert host.wait(120) in (0, 1), trial.served()[-2000:]
        settled = findings.settle_what_only_a_person_can(trial)
        held += settled
        trial.calm()
        if not settled:
            return held
    raise AssertionError("there is no end of it")


@pytest.mark.parametrize("rounds", [2, pytest.param(200, marks=pytest.mark.long)])
def test_hosts_killed_while_they_accept_run_and_deliver_lose_nothing_and_answer_nothing_twice(trial, rounds):
    begun, kinds = time.monotonic(), Counter()
    with lab.Writers(trial):
        for number in range(rounds):
            kind = KINDS[number % len(KINDS)] if rounds > len(KINDS) else trial.rng.choice(KINDS)
            one_round(trial, kind)
            kinds[kind] += 1
    held = finish(trial)
    found = findings.read_back(trial)
    print(
        f"{rounds} rounds in {time.monotonic() - begun:.0f} s: {dict(kinds)}; held for a person {held}; {found.figures}"
    )
    print(*found.wrong, sep="\n")
    assert not found.wrong, f"{len(found.wrong)} are wrong: {found.wrong[:5]}"
