"""Does the README tell the truth?"""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.sessions.records import NewMessage
from turnkeel_adapters.sessions.store import FileSessionStore
from turnkeel_adapters.sessions.tree import SessionTree
from turnkeel_core import Claim

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("core", "adapters", "shell"))}


def block(language, holding):
    found = [text for text in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if holding in text]
    assert len(found) == 1, f"one {language} block holds {holding!r}"
    return found[0]


class Store:
    """A store of another kind: what the example asks for, and nothing else."""

    def __init__(self, heartbeat_at_ms, spawned_at_ms, claims):
        self._facts, self._claims, self.released, self.depth = (heartbeat_at_ms, spawned_at_ms), claims, [], 0

    @contextmanager
    def transaction(self):
        self.depth += 1
        yield
        self.depth -= 1

    def heartbeat_at_ms(self):
        assert self.depth == 1, "all facts of one instant"
        return self._facts[0]

    def spawned_at_ms(self):
        return self._facts[1]

    def claims(self):
        return self._claims

    def charge_and_release(self, now_ms):
        self.released.append(now_ms)


class Runner:
    def __init__(self, stops):
        self.stops, self.reasons = stops, []

    def stop(self, reason):
        self.reasons.append(reason)
        return self.stops


@pytest.mark.parametrize(
    ("heartbeat_at_ms", "stops", "answer", "released"),
    [
        pytest.param(99_000, True, 1_899_001, [], id="a beating agent is left alone until the ceiling"),
        pytest.param(None, True, 100_000, [100_000], id="a silent claim is killed, then charged and released"),
        pytest.param(None, False, 100_000, [], id="what could not be stopped is not released"),
    ],
)
def test_the_host_step_does_what_it_says(heartbeat_at_ms, stops, answer, released):
    space = {}
    exec(block("python", "def step("), space)
    store, runner = Store(heartbeat_at_ms, 10_000, [("m1", 20_000)]), Runner(stops)
    assert space["step"](store, runner, 100_000) == answer
    assert store.released == released
    assert ("KillStaleClaim" in "".join(runner.reasons)) == (heartbeat_at_ms is None)
    assert space["Claim"] is Claim


def test_the_host_step_has_twenty_lines():
    body = block("python", "def step(").split("def step(")[1].strip().splitlines()
    assert len(body) <= 20


def test_the_agent_of_the_kit_answers(tmp_path):
    folder = SessionTree(tmp_path).create(SessionName.parse("anna"))
    store = FileSessionStore(folder)
    store.insert(NewMessage(message_id="m1", content='{"text": "hello"}'), 1)
    program = tmp_path / "agent.py"
    program.write_text(block("python", "Agent.from_environment()"), encoding="utf-8")
    agent = subprocess.Popen(
        [sys.executable, str(program)], env={**ENVIRONMENT, "TURNKEEL_SESSION_DIR": str(folder)}, cwd=tmp_path
    )
    try:
        deadline = time.monotonic() + 60
        while not store.due_outbound(10**13) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert [reply.content for reply in store.due_outbound(10**13)] == ['{"text": "HELLO"}']
    finally:
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(60) == 0


def test_the_promise_stands_word_for_word():
    # DESIGN §6 gives these words; a change of the promise is a change of the project.
    for opening in (
        "1. Inbound: once `accept` says accepted it is durable",
        "2. Runs: at least once, at most N *started* attempts.",
        "3. Sends: effectively once where the channel takes an idempotency key or can be asked",
        "4. Tool and block sends: at most once, best effort, never resent",
        "5. Abort: after its commit no new platform call for that turn starts",
        "6. Scope: an agent built on `turnkeel.agent` or `agent exec` settles its claim and its reply",
    ):
        assert opening in README


def test_the_first_talk_prints_hello():
    line = next(line for line in block("sh", "turnkeel chat").splitlines() if "chat" in line).split("#")[0]
    command = line.replace("turnkeel chat", f"'{sys.executable}' -m turnkeel chat")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    assert (done.stdout, done.returncode) == ("HELLO\n", 0), done.stderr
