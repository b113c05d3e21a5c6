"""What does the trial with killed hosts need: a host as a process, a chat that fails, and people who write and stop?"""

import importlib.util
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from http.client import HTTPException
from pathlib import Path

from attrs import define, field, frozen

from turnkeel.cli.send import accept
from turnkeel.delivery.intake import Accepted, Duplicate
from turnkeel.delivery.stop import stop_session
from turnkeel.lab.chat import Chat
from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.lifecycle.store import StateLifecycle
from turnkeel_adapters.runners.census import take_census
from turnkeel_adapters.runners.guard.processes import signal_process
from turnkeel_adapters.state.store import HostState
from turnkeel_adapters.system.doorbell import ring
from turnkeel_adapters.system.install import install_id

HERE = Path(__file__).parent
TOKEN = "a-token-for-this-trial-0123456789"
SESSIONS = ("kit-1", "kit-2", "exec-1", "runner-1", "stopped-1")
CHANNELS = ("keyed", "keyed", "plain")
HANG_MS = 700
CONFIG = """
timezone = "UTC"
[stuck]
claim_tolerance_ms = 20000
startup_deadline_ms = 20000
idle_stop_ms = 800
[retry]
max_tries = 30
base_ms = 1
[spawn]
base_ms = 50
max_delay_ms = 200
[start]
max_running = 4
[host]
doorbell_poll_ms = 20
running_poll_ms = 40
idle_scan_ms = 300
stop_grace_ms = 1000
shutdown_grace_ms = 1000
fault_retry_ms = 200
fault_retry_max_ms = 400
[turn]
no_reply_grace_ms = 300
[outbox]
max_attempts = 60
backoff_ms = [50, 100, 200]
pace_ms = 0
defer_ms = 200
[delivery]
fallback_ms = 1000
stop_grace_ms = 1000
"""


def _host_lab():
    spec = importlib.util.spec_from_file_location("kills_host_lab", HERE.parent / "host" / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HOST = _host_lab()


class Troubles:
    """About every third call of the first tries comes to something else than an acknowledgement."""

    KINDS = ("fails", "drops", "loses", "hangs", "hangs_after", "late", "loses", "fails", "drops")

    def __init__(self, seed, share):
        self.seed, self.share = seed, share
        self.calm = False

    def trouble(self, call):
        if "too long for a chat" in call.text.lower():
            return "refuses"
        rng = random.Random(f"{self.seed} {call.key} {call.tries}")
        if self.calm or call.tries > 6 or rng.random() > self.share:
            return "none"
        return "busy" if rng.random() < 0.02 else rng.choice(self.KINDS)

    def slams(self, connection):
        return not self.calm and random.Random(f"{self.seed} connection {connection}").random() < 0.03


@frozen(kw_only=True)
class Sent:
    """A message that somebody was told to be accepted. `key` None: it has no name of its own."""

    turn_id: str
    session: str
    channel: str
    text: str
    key: str | None


@frozen(kw_only=True)
class Stop:
    """A stop as its caller was told: which turns it had ended when it came back."""

    session: str
    turn_ids: tuple[str, ...]
    back_at_ms: int


@define
class Ledger:
    """What was promised to whom; written by many threads."""

    sent: list[Sent] = field(factory=list)
    stops: list[Stop] = field(factory=list)
    duplicates: int = 0
    refused: Counter = field(factory=Counter)
    wrong: list[str] = field(factory=list)


class Trial(HOST.Lab):
    """A data directory, a chat, and hosts that come and go. Whoever writes goes on writing meanwhile."""

    def __init__(self, place, seed, work_ms=150, call_ms=300):
        super().__init__(place / "data")
        self.place, self.seed = place, seed
        self.rng = random.Random(seed)
        self.ledger = Ledger()
        self.troubles = {"keyed": Troubles(seed, 0.35), "plain": Troubles(seed, 0.15)}
        self.keyed = Chat(place / "keyed", self.troubles["keyed"], keyed=True, hang_ms=HANG_MS)
        self.plain = Chat(place / "plain", self.troubles["plain"], keyed=False, hang_ms=HANG_MS)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.config = place / "turnkeel.toml"
        self.config.write_text(CONFIG + self._tables(work_ms, call_ms))
        self.promises = place / "promises"
        self.promises.touch()

    def _tables(self, work_ms, call_ms):
        argv = [sys.executable, str(HERE / "kills_agent.py")]
        limits = f"timeout_ms = {call_ms}\ntext_limit = 60\n"
        return (
            f"[agent]\nargv = {json.dumps(argv)}\nspeaks_contract = true\n"
            f"[agent.environment]\nWORK_MS = '{work_ms}'\nPYTHONPATH = {json.dumps(HOST.PATHS)}\n"
            f"[channels.keyed]\nkind = 'webhook'\nurl = '{self.keyed.url}'\n{limits}"
            f"[channels.plain]\nkind = 'webhook'\nurl = '{self.plain.url}'\nidempotent = false\n{limits}"
            f"[ingress]\nlisten = '127.0.0.1:{self.port}'\ntoken_env = 'TRIAL_TOKEN'\n"
        )

    def host(self, *more):
        """Start a host as a process of its own."""
        with open(self.data.with_name("host.log"), "ab") as log:
            started = subprocess.Popen(
                [sys.executable, str(HERE.parent / "host" / "serve.py"), str(self.data), str(self.config), *more],
                env={**os.environ, "PYTHONPATH": HOST.PATHS, "TRIAL_TOKEN": TOKEN},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                text=True,
            )
        self.hosts.append(started)
        return started

    @property
    def in_hand(self):
        """How many calls the chats have in their hands."""
        return self.keyed.in_hand + self.plain.in_hand

    def calm(self):
        """From now on both chats take whatever fits."""
        self.troubles["keyed"].calm = self.troubles["plain"].calm = True

    def started_host(self):
        before = self.heard("HostStarted")
        host = self.host()
        self.wait_for(lambda: self.heard("HostStarted") > before or host.poll() is not None)
        assert host.poll() is None, self.served()[-2000:]
        return host

    def say(self, session, channel, text, key=None):
        """Accept as `turnkeel send` does; True once it is accepted."""
        try:
            answer = accept(self.data, session, text, key=key, channel=channel, chat=session, config=self.config)
        except AdapterError as error:
            self.ledger.refused[type(error).__name__] += 1
            return False
        self._note(session, channel, text, key, answer.turn_id, new=isinstance(answer, Accepted))
        if isinstance(answer, Accepted) and answer.stopped is not None:
            self._note_stop(session, answer.stopped)
        assert isinstance(answer, Accepted | Duplicate)
        return True

    def post(self, session, channel, text, key):
        """Accept by the HTTP door; True once it is acknowledged."""
        body = {"session": session, "channel": channel, "chat": session, "text": text}
        head = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", "Idempotency-Key": key}
        url = f"http://127.0.0.1:{self.port}/v1/messages"
        request = urllib.request.Request(url, json.dumps(body).encode(), head)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                said = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                self.ledger.refused[f"HTTP {error.code}"] += 1
            return False
        except (OSError, HTTPException, ValueError):  # cut off, it may have been accepted: ask again
            self.ledger.refused["no answer"] += 1
            return False
        self._note(session, channel, text, key, said["turn_id"], new=said["status"] == "accepted")
        return True

    def stop(self, session):
        """What `turnkeel abort` does."""
        with HostState(self.data) as state:
            store = StateLifecycle(state.database)
            stopped = stop_session(store, (f"main/{session}",), time.time_ns() // 1_000_000)
        self._note_stop(session, stopped)
        ring(self.data)

    def kill_sender_and_host(self, host):
        """Kill somebody at the very moment at which he sends, then the host."""
        writer = subprocess.Popen(
            [sys.executable, str(HERE / "kills_sender.py"), str(self.data), str(self.config), "kit-1", "keyed",
             str(self.promises)],
            env={**os.environ, "PYTHONPATH": HOST.PATHS},
        )  # fmt: skip
        time.sleep(self.rng.uniform(0.3, 0.8))
        for one in (writer, host):
            one.kill()
            one.wait()

    def kill_an_agent(self):
        """Kill an agent on the kit or its guard; one without the kit may answer twice then, and no host can help it."""
        census = take_census(install_id(self.data))
        running = [found for (session, _), found in census.items() if "runner" not in session]
        found = self.rng.choice(running) if running else None
        for victim in () if found is None else (found.agents or found.guards)[:1]:
            signal_process(victim, signal.SIGKILL)

    def promised(self):
        """The ids that a killed sender was told of."""
        return [line.split()[0] for line in self.promises.read_text().splitlines() if len(line.split()) == 2]

    def close(self):
        for host in self.hosts:
            if host.poll() is None:
                host.kill()
                host.wait()
        self.keyed.close()
        self.plain.close()
        for found in take_census(install_id(self.data)).values():
            for process in (*found.guards, *found.agents):
                signal_process(process, signal.SIGKILL)

    def _note(self, session, channel, text, key, turn_id, *, new):
        ledger = self.ledger
        name = (key, session, channel)
        earlier = [one for one in ledger.sent if key is not None and (one.key, one.session, one.channel) == name]
        if earlier and earlier[0].turn_id != turn_id:
            ledger.wrong.append(f"{key} is {earlier[0].turn_id} and {turn_id}")
        if earlier and new:
            ledger.wrong.append(f"{key} was accepted twice")
        if not new:
            ledger.duplicates += 1
        if not earlier:
            ledger.sent.append(Sent(turn_id=turn_id, session=session, channel=channel, text=text, key=key))

    def _note_stop(self, session, stopped):
        if stopped.turn_ids:
            stop = Stop(session=session, turn_ids=stopped.turn_ids, back_at_ms=time.time_ns() // 1_000_000)
            self.ledger.stops.append(stop)


class Writers:
    """People who write all the time, by both doors, and sometimes say the same again; as a block."""

    def __init__(self, trial, count=2, pause_s=0.5):
        self._trial = trial
        self._over = threading.Event()
        self._pause_s = pause_s
        self._threads = [threading.Thread(target=self._write, args=(n,)) for n in range(count)]
        self.failed = []

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()
        assert not self.failed, self.failed

    def _write(self, who):
        rng, number, said = random.Random(f"{self._trial.seed} writer {who}"), 0, []
        try:
            while not self._over.wait(rng.random() * 2 * self._pause_s):
                number += 1
                name = f"{who}-{number}"
                message = (rng.choice(SESSIONS), rng.choice(CHANNELS), self._text(rng, name), f"k{name}")
                if said and rng.random() < 0.1:
                    message = rng.choice(said)
                while not self._tell(rng, message) and not self._over.is_set():
                    self._over.wait(0.1)
                said.append(message)
        except Exception as error:
            self.failed.append(error)

    def _tell(self, rng, message):
        return self._trial.post(*message) if rng.random() < 0.4 else self._trial.say(*message)

    @staticmethod
    def _text(rng, name):
        kind = rng.random()
        if kind < 0.05:
            return f"refuse {name}"
        if kind < 0.1:
            return f"{name} is too long for a chat"
        if kind < 0.15:
            return f"file {name}"
        return f"{name} {'word ' * 30}" if kind < 0.3 else f"hello {name}"
