"""What does a trial with a real host and real agent processes need?"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import apsw
import pytest
from attrs import asdict, evolve, frozen

from turnkeel.cli.assemble import open_host
from turnkeel.cli.conversation import turn_id_of
from turnkeel.cli.send import accept
from turnkeel.events import HostEvent
from turnkeel.host.host import Host, RunSummary
from turnkeel_adapters.config.records import AgentConfig, HostConfig
from turnkeel_adapters.runners.census import take_census
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.state.notes import Fault, Hold
from turnkeel_adapters.state.store import HostState
from turnkeel_adapters.system.install import install_id
from turnkeel_core import HostPolicy, RetryPolicy, SpawnPolicy, StuckPolicy

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
AGENTS = HERE / "agents"
PATHS = os.pathsep.join(str(ROOT / part) for part in ("core", "adapters", "shell"))

E = TypeVar("E")


@frozen(kw_only=True)
class Fate:
    """What became of one message: its row, its replies, its dead records."""

    status: str
    tries: int
    replies: int
    dead: int

    @property
    def answered_once(self) -> bool:
        return (self.status, self.replies, self.dead) == ("completed", 1, 0)

    @property
    def visibly_failed(self) -> bool:
        return self.status in ("failed", "completed") and (self.replies, self.dead) == (0, 1)


class Observed:
    """The events of one run, each with the instant (s, monotonic) at which it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[float, HostEvent]] = []
        self._lock = threading.Lock()

    def __call__(self, event: HostEvent) -> None:
        with self._lock:
            self.told.append((time.monotonic(), event))

    def of(self, kind: type[E], session: str = "") -> list[E]:
        """The events of one kind, of one session if it is named."""
        found = [event for _, event in list(self.told) if isinstance(event, kind)]
        return [event for event in found if not session or getattr(event, "session", None) == session]

    def at(self, kind: type[HostEvent]) -> float:
        """When the first event of this kind was told."""
        return next(at for at, event in self.told if isinstance(event, kind))


class Live(Observed):
    """A running host, for the script of a test."""

    def __init__(self) -> None:
        super().__init__()
        self.running: asyncio.Task[RunSummary] | None = None
        self.host: Host | None = None
        self.summary: RunSummary | None = None

    async def until(self, true: Callable[[], object], limit_s: float = 60) -> float:
        """Wait until `true()`, at most `limit_s`; returns the instant. A host that ended meanwhile fails the test."""
        ends = time.monotonic() + limit_s
        while not true():
            if self.running is not None and self.running.done():
                self.running.result()
                raise AssertionError("the host ended meanwhile")
            assert time.monotonic() < ends, (
                f"waited {limit_s} s in vain; seen: {[event for _, event in self.told][-12:]}"
            )
            await asyncio.sleep(0.01)
        return time.monotonic()


Script = Callable[[Live], Awaitable[None]]


class Lab:
    """A data directory with sessions, and hosts on it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        data.mkdir()
        self.sessions = FileSessions(data)
        self.hosts: list[subprocess.Popen[str]] = []

    def session(self, name: str) -> Path:
        """Make a session; returns its folder."""
        return self.sessions.tree.create(SessionName.parse(name))

    def send(self, name: str, *texts: str) -> list[str]:
        """Store messages as `turnkeel send` does; returns their ids."""
        return [turn_id_of(accept(self.data, name, text)) for text in texts]

    def sql(
        self, name: str, sql: str, values: tuple[object, ...] = (), file: str = "inbound.db"
    ) -> list[tuple[object, ...]]:
        """Change or read a session file behind the host's back."""
        path = self.sessions.tree.folder(SessionName.parse(name)) / file
        for patience in range(100, -1, -1):
            db = apsw.Connection(str(path))
            try:
                db.set_busy_timeout(5_000)
                return list(db.execute(sql, values).fetchall())  # type: ignore[arg-type]  # any SQLite value
            except apsw.IOError:
                # A journal that its writer removes while SQLite opens it; nothing was read, nothing written.
                if not patience or not sql.startswith("SELECT"):
                    raise
                time.sleep(0.05)
            finally:
                db.close()
        raise AssertionError("the last look returns or raises")

    def fates(self, name: str) -> dict[str, Fate]:
        """What became of each message of a session."""
        replies: dict[object, int] = {}
        for (to,) in self.sql(name, "SELECT in_reply_to FROM messages_out", file="outbound.db"):
            replies[to] = replies.get(to, 0) + 1
        found: dict[str, Fate] = {}
        with HostState(self.data, read_only=True) as state:
            for key, status, tries in self.sql(name, "SELECT id, status, tries FROM messages_in ORDER BY seq"):
                dead = len(state.dead.of_message(str(SessionName.parse(name)), str(key)))
                count = tries if isinstance(tries, int) else 0
                found[str(key)] = Fate(status=str(status), tries=count, replies=replies.get(key, 0), dead=dead)
        return found

    def open_rows(self, name: str) -> int:
        """How many messages that call for an answer are still pending."""
        [[count]] = self.sql(name, "SELECT count(*) FROM messages_in WHERE status = 'pending' AND trigger = 1")
        assert isinstance(count, int)
        return count

    def faults(self, name: str | None = None) -> tuple[Fault, ...]:
        """What the host's store says is wrong."""
        with HostState(self.data, read_only=True) as state:
            return state.notes.faults(None if name is None else str(SessionName.parse(name)))

    def holds(self) -> tuple[Hold, ...]:
        """Who waits, in the host's store."""
        with HostState(self.data, read_only=True) as state:
            return state.notes.holds()

    def agent_pids(self, session: str = "") -> list[int]:
        """All processes of running agents (no guards), of one session or of all."""
        census = take_census(install_id(self.data))
        return [p.pid for (name, _), found in census.items() if not session or name == session for p in found.agents]

    def kill_agent(self, session: str, number: int = signal.SIGKILL) -> bool:
        """Signal the agent's own process, not its guard; False if none runs."""
        for (name, _), found in take_census(install_id(self.data)).items():
            if name == session and found.agents:
                try:
                    os.kill(found.first().pid, number)
                except ProcessLookupError:
                    return False
                return True
        return False

    def run(
        self, config: HostConfig, script: Script | None = None, *, until_idle: bool | None = None, limit_s: float = 90
    ) -> Live:
        """Run a host in this process: until idle, or, with a script, until the script has ended."""
        live = Live()
        idle = script is None if until_idle is None else until_idle

        async def drive() -> None:
            with open_host(self.data, config, live) as host:
                live.host = host
                live.running = asyncio.create_task(host.run(until_idle=idle))
                try:
                    if script is not None:
                        await script(live)
                finally:
                    if not idle:
                        host.stop()
                    live.summary = await asyncio.wait_for(live.running, limit_s)

        asyncio.run(drive())
        assert not take_census(install_id(self.data)), "a process of an agent outlived the host"
        return live

    def serve(
        self, config: HostConfig, *more: str, limit: str = "", environment: Mapping[str, str] = MappingProxyType({})
    ) -> "subprocess.Popen[str]":
        """Start a host as a process of its own; its events are JSON lines on stderr, kept in `host.log`.

        `limit` is Python text that runs first, with the path of the host's script and its arguments.
        """
        path = self.data.with_name("turnkeel.toml")
        path.write_text(_toml(config), "utf-8")
        with open(self.data.with_name("host.log"), "ab") as log:
            host = subprocess.Popen(
                [
                    sys.executable,
                    *(("-c", limit) if limit else ()),
                    str(HERE / "serve.py"),
                    str(self.data),
                    str(path),
                    *more,
                ],
                env={**os.environ, "PYTHONPATH": PATHS, **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                text=True,
            )
        self.hosts.append(host)
        return host

    def served(self) -> str:
        """What the hosts started by `serve` have told."""
        log = self.data.with_name("host.log")
        return log.read_text("utf-8", "replace") if log.exists() else ""

    def heard(self, event: str) -> int:
        """How often the hosts started by `serve` have told of this event."""
        log = self.data.with_name("host.log")
        return log.read_bytes().count(f'"event": "{event}"'.encode()) if log.exists() else 0

    def wait_for(self, true: Callable[[], object], limit_s: float = 60) -> None:
        """Wait until `true()`, at most `limit_s`; then the log of the served hosts says what they did instead."""
        ends = time.monotonic() + limit_s
        while not true():
            assert time.monotonic() < ends, f"waited {limit_s} s in vain: {self.served()[-3000:]}"
            time.sleep(0.02)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """An empty data directory; whatever still runs in the end is ended, and fails the test."""
    made = Lab(tmp_path / "data")
    yield made
    for host in made.hosts:
        if host.poll() is None:  # only a test that failed leaves one
            host.kill()
            host.wait()
    left = made.agent_pids()
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


@pytest.fixture
def quick() -> HostConfig:
    """The host's own limits, but for waits: what takes seconds or minutes takes a moment. Runs the echo agent."""
    return HostConfig(
        timezone="UTC",
        stuck=StuckPolicy(timeout_tools=None, claim_tolerance_ms=20_000, startup_deadline_ms=20_000),
        retry=RetryPolicy(max_tries=30, base_ms=1),
        spawn=SpawnPolicy(base_ms=50, max_delay_ms=200),
        host=HostPolicy(
            doorbell_poll_ms=20,
            running_poll_ms=40,
            idle_scan_ms=300,
            stop_grace_ms=1_000,
            shutdown_grace_ms=1_000,
            fault_retry_ms=200,
            fault_retry_max_ms=400,
        ),
        agent=AgentConfig(argv=(sys.executable, str(AGENTS / "echo.py")), speaks_contract=True),
    )


@pytest.fixture
def agent() -> Callable[..., AgentConfig]:
    """agent("name", VARIABLE="value"): one of the agents beside this file."""

    def make(name: str, **environment: str) -> AgentConfig:
        argv = (sys.executable, str(AGENTS / f"{name}.py"))
        return AgentConfig(argv=argv, speaks_contract=True, environment=tuple(environment.items()))

    return make


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of a test's random instants; printed, and set by the variable SEED to repeat a run."""
    number = int(os.environ.get("SEED", "0")) or time.time_ns() % 1_000_000
    print(f"SEED={number}")
    return number


def cannot_mount(why: str) -> None:
    """This machine allows no mount: a reason to skip, but not for CI."""
    assert not os.environ.get("CI"), f"CI must be able to mount file systems: {why}"
    pytest.skip(why)


def _toml(config: HostConfig) -> str:
    agent = config.agent
    lines = [f"timezone = {json.dumps(config.timezone)}"]
    for table in ("stuck", "retry", "spawn", "start", "suspend", "host", "outbox"):
        lines.append(f"[{table}]")
        values = asdict(getattr(config, table)).items()
        lines += [f"{key} = {json.dumps(value)}" for key, value in values if isinstance(value, int | str)]
    lines += ["[agent]", f"argv = {json.dumps(agent.argv)}", f"speaks_contract = {json.dumps(agent.speaks_contract)}"]
    lines += ["[agent.environment]", *(f"{name} = {json.dumps(value)}" for name, value in agent.environment)]
    return "\n".join(lines) + "\n"


__all__ = ["Fate", "Lab", "Live", "Observed", "cannot_mount", "evolve"]
