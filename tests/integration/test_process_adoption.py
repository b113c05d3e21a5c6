"""Do agents outlive a host that dies, and does the next host take them over as its own?"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from turnkeel_adapters.runners import (
    Alive,
    Ended,
    Handle,
    ProcessRunner,
    SpawnFailed,
    SpawnOrder,
    StillThere,
    Stopped,
    Unknown,
)
from turnkeel_adapters.runners.guarded import GuardLink
from turnkeel_adapters.runners.guards import start_guard
from turnkeel_adapters.runners.rundir import RunFolder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="adoption needs Linux")

PATIENCE_S = 60
LONG_MS = 600_000
SESSION, INCARNATION = "main/00", 4

TRAPS_TERM = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
IGNORES_TERM = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
WAITS = "echo ready; until [ -e go ]; do sleep 0.02; done; echo went on; {}"

HOST = """
import json, os, sys, time
from pathlib import Path
from turnkeel_adapters.runners import ProcessRunner, SpawnOrder
told = json.loads(sys.argv[1])
folder = Path(told["folder"])
runner = ProcessRunner(install_id=told["install"], now_ms=lambda: time.time_ns() // 1_000_000, log_max_bytes=9999,
                       log_keep=1, run_dir=Path(told["run_dir"]), orphan_limit_ms=told["limit_ms"])
if told["adopts"]:
    for handle in runner.list_own():
        runner.adopt(handle, folder / "unused")
for number, script in enumerate(told["scripts"]):
    session = f"main/{number:02}"
    order = SpawnOrder(session=session, incarnation=4, folder=folder, argv=("sh", "-c", script),
                       environment={"PATH": "/usr/bin:/bin"}, log_path=folder / f"{number:02}.log")
    runner.spawn(order)
fork = os.fork() if told["forks"] else 1
if fork:
    print(fork, flush=True)
time.sleep(1000)
"""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def wait_until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"waited too long: {what}"
        time.sleep(0.01)


def stat_of(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()


def runs(pid: int) -> bool:
    """Does a process with this pid run? A zombie does not."""
    try:
        return stat_of(pid)[0] not in (b"Z", b"X")
    except OSError:
        return False


def guard_of(handle: Handle) -> int:
    return int(stat_of(int(handle.container_id.split(":")[0]))[1])


class Bench:
    """One install: hosts of its own processes that can be killed, and runners of this process that come after them."""

    def __init__(self, folder: Path, install_id: str) -> None:
        self.folder = folder
        self.install_id = install_id
        self.run_dir = folder / "run"
        self.limit_ms = LONG_MS
        self.fork = 0
        self.hosts: list[subprocess.Popen[str]] = []
        self.runners: list[ProcessRunner] = []

    def runner(self, clock: Callable[[], int] = now_ms, run_dir: Path | None = None) -> ProcessRunner:
        made = ProcessRunner(
            install_id=self.install_id,
            now_ms=clock,
            log_max_bytes=9999,
            log_keep=1,
            run_dir=run_dir or self.run_dir,
            orphan_limit_ms=self.limit_ms,
        )
        self.runners.append(made)
        return made

    def host(
        self, *scripts: str, adopts: bool = False, forks: bool = False, stderr: int | None = None
    ) -> subprocess.Popen[str]:
        """A host that has started (or adopted) its agents."""
        host = self.launch(*scripts, adopts=adopts, forks=forks, stderr=stderr)
        assert host.stdout is not None
        self.fork = int(host.stdout.readline())
        for number in range(len(scripts)):
            self.says("ready", number)
        return host

    def launch(
        self, *scripts: str, adopts: bool = False, forks: bool = False, stderr: int | None = None
    ) -> subprocess.Popen[str]:
        told = {
            "install": self.install_id,
            "folder": str(self.folder),
            "run_dir": str(self.run_dir),
            "limit_ms": self.limit_ms,
            "adopts": adopts,
            "forks": forks,
            "scripts": scripts,
        }
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        command = [sys.executable, "-c", HOST, json.dumps(told)]
        host = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment)
        self.hosts.append(host)
        return host

    def orphan(self, *scripts: str) -> tuple[Handle, ...]:
        """Agents whose host was killed, as the next one lists them."""
        kill(self.host(*scripts))
        return self.runner().list_own()

    def heir(self) -> ProcessRunner:
        """A runner that has adopted all there is."""
        runner = self.runner()
        for handle in runner.list_own():
            runner.adopt(handle, self.folder / "unused")
        return runner

    def order(self, script: str, incarnation: int) -> SpawnOrder:
        return SpawnOrder(
            session=SESSION,
            incarnation=incarnation,
            folder=self.folder,
            argv=("sh", "-c", script),
            environment={"PATH": "/usr/bin:/bin"},
            log_path=self.folder / "00.log",
        )

    def log(self, number: int = 0) -> str:
        path = self.folder / f"{number:02}.log"
        return path.read_text() if path.exists() else ""

    def says(self, text: str, number: int = 0) -> None:
        wait_until(lambda: text in self.log(number), f"agent {number} says {text!r}")

    def left(self) -> list[str]:
        """What lies in the run folder, by suffix."""
        return sorted(path.suffix for path in self.run_dir.iterdir())

    def close(self) -> None:
        for host in self.hosts:
            kill(host)
        for runner in self.runners:
            runner.close()
        self.heir().close()
        wait_until(lambda: self.runner().list_own() == (), "nothing of the test is left")


def kill(host: "subprocess.Popen[str]") -> None:
    """SIGKILL, and wait until it is dead."""
    host.kill()
    host.wait()
    for pipe in (host.stdout, host.stderr):
        if pipe is not None:
            pipe.close()


def end_of(runner: ProcessRunner, handle: Handle) -> Ended:
    seen: list[Ended] = []

    def ended() -> bool:
        outcome = runner.look(handle)
        if isinstance(outcome, Ended):
            seen.append(outcome)
        return bool(seen)

    wait_until(ended, "the container ends")
    return seen[0]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    one = Bench(tmp_path, f"a{os.getpid()}x{time.monotonic_ns()}")
    yield one
    one.close()


def test_an_agent_goes_on_after_its_host_was_killed_and_its_output_is_kept(bench: Bench) -> None:
    (handle,) = bench.orphan(WAITS.format("sleep 1000"))
    assert (handle.session, handle.incarnation) == (SESSION, INCARNATION)
    (bench.folder / "go").touch()
    bench.says("went on")
    heir = bench.runner()
    heir.adopt(handle, bench.folder / "unused")
    assert heir.look(handle) == Alive()
    assert heir.list_own() == (handle,)
    assert bench.run_dir.stat().st_mode & 0o777 == 0o700
    assert not (bench.folder / "unused").exists()


@pytest.mark.parametrize(
    ("script", "exit_code", "number", "forced"),
    [(TRAPS_TERM, 7, None, False), (IGNORES_TERM, None, 9, True)],
)
def test_an_adopted_agent_is_stopped_with_its_children_like_an_own_one(
    bench: Bench, script: str, exit_code: int | None, number: int | None, forced: bool
) -> None:
    child = "(trap '' TERM; echo $$ > /dev/null; exec sleep 987) & echo $! > child;"
    (handle,) = bench.orphan(f"{child} {script}")
    heir = bench.heir()
    stopped = heir.stop(handle, 300 if forced else 15_000)
    assert isinstance(stopped, Stopped)
    assert (stopped.ended.exit_code, stopped.ended.signal, stopped.forced) == (exit_code, number, forced)
    assert stopped.survivors_killed >= 1
    assert not runs(int((bench.folder / "child").read_text()))
    assert heir.look(handle) == stopped.ended
    assert heir.stop(handle, 0) == stopped
    heir.forget(handle)
    assert bench.left() == []


@pytest.mark.parametrize(
    ("end", "exit_code", "number"), [("exit 7", 7, None), ("kill -SEGV $$", None, 11), ("kill -KILL $$", None, 9)]
)
def test_how_an_agent_ended_while_no_host_was_there_is_learnt_from_its_guards_report(
    bench: Bench, end: str, exit_code: int | None, number: int | None
) -> None:
    (handle,) = bench.orphan(WAITS.format(end))
    before = now_ms()
    (bench.folder / "go").touch()
    wait_until(lambda: bench.runner().list_own() == (), "it ends, and its guard too")
    after = now_ms()
    heir = bench.runner()
    heir.adopt(handle, bench.folder / "unused")
    ended = heir.look(handle)
    assert isinstance(ended, Ended)
    assert (ended.exit_code, ended.signal) == (exit_code, number)
    assert before <= ended.ended_at_ms <= after
    assert heir.stop(handle, 0) == Stopped(ended=ended, forced=False, survivors_killed=0)
    assert bench.left() == [".ended"]
    heir.forget(handle)
    assert bench.left() == []
    unseen = heir.look(handle)
    assert isinstance(unseen, Ended) and unseen.exit_code is None and unseen.signal is None


def test_an_agent_that_ends_right_after_its_adoption_tells_its_new_host(bench: Bench) -> None:
    (handle,) = bench.orphan(WAITS.format("exit 7"))
    heir = bench.heir()
    (bench.folder / "go").touch()
    ended = end_of(heir, handle)
    assert ended.exit_code == 7
    assert ended.ended_at_ms <= now_ms()
    heir.forget(handle)
    assert bench.left() == []


def test_a_report_from_the_future_is_never_later_than_now(bench: Bench) -> None:
    (handle,) = bench.orphan(WAITS.format("exit 0"))
    (bench.folder / "go").touch()
    wait_until(lambda: bench.runner().list_own() == (), "it ends, and its guard too")
    assert bench.runner(clock=lambda: 5_000).look(handle) == Ended(exit_code=0, signal=None, ended_at_ms=5_000)


def test_a_host_that_dies_before_it_reads_the_report_costs_nothing(bench: Bench) -> None:
    host = bench.host(WAITS.format("exit 7"))
    (handle,) = bench.runner().list_own()
    host.send_signal(signal.SIGSTOP)
    (bench.folder / "go").touch()
    wait_until(lambda: bench.left() == [".ended"], "the report is there")
    kill(host)
    assert end_of(bench.runner(), handle).exit_code == 7


def test_a_container_without_a_reachable_guard_still_reports_when_it_is_stopped(bench: Bench) -> None:
    (handle,) = bench.orphan(TRAPS_TERM)
    stopped = bench.runner().stop(handle, 15_000)
    assert isinstance(stopped, Stopped)
    assert (stopped.ended.exit_code, stopped.forced) == (7, False)


def test_an_agent_can_lose_one_host_after_the_other(bench: Bench) -> None:
    (handle,) = bench.orphan(TRAPS_TERM)
    for _ in range(2):
        host = bench.host(adopts=True)
        assert bench.runner().list_own()[0].container_id == handle.container_id
        kill(host)
    heir = bench.heir()
    assert heir.look(handle) == Alive()
    stopped = heir.stop(handle, 15_000)
    assert isinstance(stopped, Stopped) and stopped.ended.exit_code == 7


@pytest.mark.parametrize("line", ["the pipes", "a connection"])
def test_a_fork_that_holds_a_dead_hosts_line_does_not_keep_the_next_one_out(bench: Bench, line: str) -> None:
    if line == "a connection":
        kill(bench.host(TRAPS_TERM))
        host = bench.host(adopts=True, forks=True)
    else:
        host = bench.host(TRAPS_TERM, forks=True)
    fork = bench.fork
    try:
        kill(host)
        heir = bench.heir()
        (handle,) = heir.list_own()
        heir.close()
        assert runs(fork)
        ended = bench.runner().look(handle)
        assert isinstance(ended, Ended) and ended.exit_code == 7, "it was adopted, and so ended by close"
    finally:
        os.kill(fork, signal.SIGKILL)


@pytest.mark.parametrize(("script", "number"), [("echo ready; exec sleep 1000", 15), (IGNORES_TERM, 9)])
def test_an_agent_nobody_comes_for_is_ended_after_the_limit(bench: Bench, script: str, number: int) -> None:
    bench.limit_ms = 700
    host = bench.host(f"echo $$ > pid; {script}")
    pid = int((bench.folder / "pid").read_text())
    time.sleep(1)
    assert runs(pid), "the limit counts from the host's death"
    (handle,) = bench.runner().list_own()
    died = time.monotonic()
    kill(host)
    wait_until(lambda: not runs(pid), "the agent is ended")
    assert time.monotonic() - died >= 0.7
    wait_until(lambda: bench.runner().list_own() == (), "the guard ends too")
    assert bench.left() == [".ended"], "no door"
    ended = bench.runner().look(handle)
    assert isinstance(ended, Ended) and ended.signal == number


def test_an_adoption_ends_the_wait_and_the_next_death_begins_it_anew(bench: Bench) -> None:
    bench.limit_ms = 1_500
    (handle,) = bench.orphan("echo ready; exec sleep 1000")
    host = bench.host(adopts=True)
    time.sleep(2)
    assert bench.runner().look(handle) == Alive(), "a host is there: no limit runs"
    kill(host)
    heir = bench.heir()
    time.sleep(2)
    assert heir.look(handle) == Alive()


def test_adopting_twice_is_harmless(bench: Bench) -> None:
    bench.orphan(TRAPS_TERM)
    heir = bench.heir()
    (handle,) = heir.list_own()
    heir.adopt(handle, bench.folder / "unused")
    threads = [threading.Thread(target=heir.adopt, args=(handle, bench.folder / "unused")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heir.list_own() == (handle,)
    stopped = heir.stop(handle, 15_000)
    assert isinstance(stopped, Stopped) and stopped.ended.exit_code == 7
    heir.adopt(handle, bench.folder / "unused")
    assert heir.look(handle) == stopped.ended


def test_only_one_host_at_a_time_holds_a_guard(bench: Bench) -> None:
    host = bench.host(TRAPS_TERM)
    second = bench.runner()
    (handle,) = second.list_own()
    second.adopt(handle, bench.folder / "unused")
    second.close()
    time.sleep(1.2)
    third = bench.runner()
    assert third.look(handle) == Alive(), "it was not the second one's to end"
    kill(host)
    third.adopt(handle, bench.folder / "unused")
    third.close()
    assert isinstance(bench.runner().look(handle), Ended), "it was the third one's"


def test_a_session_with_a_running_container_gets_no_second_one_whoever_started_it(bench: Bench) -> None:
    (handle,) = bench.orphan(TRAPS_TERM)
    heir = bench.runner()
    for step in ("stray", "adopted"):
        with pytest.raises(SpawnFailed, match="it has a running container already"):
            heir.spawn(bench.order("exit 0", 5))
        assert heir.look(handle) == Alive(), step
        heir.adopt(handle, bench.folder / "unused")
    heir.stop(handle, 15_000)
    assert end_of(heir, heir.spawn(bench.order("exit 3", 5))).exit_code == 3


def test_a_newer_incarnation_removes_what_earlier_ones_left(bench: Bench) -> None:
    (handle, _) = bench.orphan(TRAPS_TERM, TRAPS_TERM)
    os.kill(guard_of(handle), signal.SIGKILL)
    heir = bench.runner()
    assert isinstance(heir.stop(handle, 0), Stopped)
    assert bench.left() == [".door", ".door"], "a killed guard cannot tidy up"
    end_of(heir, heir.spawn(bench.order("exit 0", 5)))
    assert bench.left() == [".door", ".ended"], "the other session's stays"
    end_of(heir, heir.spawn(bench.order("exit 0", 6)))
    assert bench.left() == [".door", ".ended"]


def test_two_installs_in_one_run_folder_never_see_each_other(bench: Bench) -> None:
    (handle,) = bench.orphan(TRAPS_TERM)
    other = Bench(bench.folder, f"{bench.install_id}other")
    stranger = other.heir()
    assert stranger.list_own() == ()
    stranger.adopt(handle, bench.folder / "unused")
    assert isinstance(stranger.look(handle), Ended)
    assert isinstance(stranger.stop(handle, 0), Stopped)
    own = stranger.spawn(other.order("exit 0", 9))
    end_of(stranger, own)
    stranger.forget(own)
    other.close()
    heir = bench.heir()
    assert heir.look(handle) == Alive()
    stopped = heir.stop(handle, 15_000)
    assert isinstance(stopped, Stopped) and stopped.ended.exit_code == 7


@pytest.mark.parametrize("when", ["before the adoption", "after it"])
def test_a_killed_guard_takes_its_agent_along_and_leaves_nothing(bench: Bench, when: str) -> None:
    (handle,) = bench.orphan(f"(exec sleep 986) & echo $! > child; {IGNORES_TERM}")
    pid, guard = int(handle.container_id.split(":")[0]), guard_of(handle)
    heir = bench.heir() if when == "after it" else bench.runner()
    os.kill(guard, signal.SIGKILL)
    wait_until(lambda: not runs(pid), "the agent dies with its guard")
    heir.adopt(handle, bench.folder / "unused")
    if when == "before the adoption":
        assert heir.look(handle) == Alive(), "its child still runs"
    stopped = heir.stop(handle, 0)
    assert isinstance(stopped, Stopped)
    assert (stopped.ended.exit_code, stopped.ended.signal) == (None, None), "nobody saw how it ended"
    assert not runs(int((bench.folder / "child").read_text()))
    assert heir.list_own() == ()


def test_a_guard_that_does_not_answer_leaves_a_stranger_that_a_later_call_adopts(bench: Bench) -> None:
    (handle,) = bench.orphan(TRAPS_TERM)
    guard = guard_of(handle)
    os.kill(guard, signal.SIGSTOP)
    heir = bench.runner()
    for _ in range(5):  # more than may wait at the door
        heir.adopt(handle, bench.folder / "unused")
    assert heir.look(handle) == Alive()
    assert heir.list_own()[0].container_id == handle.container_id
    os.kill(guard, signal.SIGCONT)
    heir.adopt(handle, bench.folder / "unused")
    heir.close()
    ended = bench.runner().look(handle)
    assert isinstance(ended, Ended) and ended.exit_code == 7, "adopted in the end, and so ended by close"


def test_a_stopped_guard_does_not_protect_an_adopted_agent(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turnkeel_adapters.runners.process._KILL_LIMIT_MS", 600)
    (handle,) = bench.orphan(TRAPS_TERM)
    heir = bench.heir()
    os.kill(guard_of(handle), signal.SIGSTOP)
    assert isinstance(heir.stop(handle, 0), Stopped)
    assert heir.list_own() == ()


def test_a_very_long_path_of_the_run_folder_is_no_hindrance(bench: Bench) -> None:
    bench.run_dir = bench.folder / ("d" * 120) / ("ü" * 100) / "run"
    (handle,) = bench.orphan(TRAPS_TERM)
    heir = bench.heir()
    stopped = heir.stop(handle, 15_000)
    assert isinstance(stopped, Stopped) and stopped.ended.exit_code == 7
    assert bench.left() == [".ended"]


def test_twenty_agents_are_adopted_side_by_side(bench: Bench) -> None:
    handles = bench.orphan(*[TRAPS_TERM] * 20)
    assert [handle.session for handle in handles] == [f"main/{number:02}" for number in range(20)]
    heir = bench.runner()
    threads = [threading.Thread(target=heir.adopt, args=(handle, bench.folder / "unused")) for handle in handles]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heir.list_own() == handles
    heir.close()
    ends = [bench.runner().look(handle) for handle in handles]
    assert [one.exit_code if isinstance(one, Ended) else "runs" for one in ends] == [7] * 20


def test_an_agent_whose_host_died_holds_none_of_its_files(bench: Bench) -> None:
    host = bench.host(TRAPS_TERM, stderr=subprocess.PIPE)
    host.kill()
    assert host.communicate(timeout=PATIENCE_S) == ("", ""), "who reads the host's output comes to its end"
    (handle,) = bench.runner().list_own()
    assert bench.runner().look(handle) == Alive()


def test_adoptions_leak_no_file_or_thread(bench: Bench) -> None:
    def state() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    bench.heir()
    before = state()
    (handle,) = bench.orphan(TRAPS_TERM)
    for _ in range(10):
        heir = bench.heir()
        (tracked,) = heir._tracked.values()
        tracked.link.let_go()
        heir._tracked.clear()
    heir = bench.heir()
    heir.adopt(handle, bench.folder / "unused")
    heir.stop(handle, 15_000)
    bench.runner().adopt(handle, bench.folder / "unused")
    assert state() == before


def test_where_no_door_can_be_made_the_agent_works_and_ends_with_its_host(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bench.folder / "no-folder").touch()
    told = {"run_dir": str(bench.folder / "no-folder"), "name": "x", "orphan_limit_ms": LONG_MS}
    monkeypatch.setattr(RunFolder, "order", lambda folder, key: told)
    run = RunFolder(path=bench.run_dir, install_id=bench.install_id, orphan_limit_ms=LONG_MS)
    link = start_guard(bench.order(TRAPS_TERM, 1), {"log_max_bytes": 9999, "log_keep": 1}, run)
    assert link.first_words(10_000)[0] == "started"
    bench.says("ready")
    assert bench.log().startswith("[turnkeel: no later host can adopt this agent")
    link.let_go()
    assert link.wait(10_000)
    assert bench.log().endswith("bye\n")


def test_a_run_folder_that_cannot_be_made_is_a_failed_start(bench: Bench) -> None:
    (bench.folder / "file").touch()
    runner = bench.runner(run_dir=bench.folder / "file" / "run")
    with pytest.raises(SpawnFailed, match="run_dir.* cannot be used: Not a directory"):
        runner.spawn(bench.order("exit 0", 1))
    assert runner.list_own() == ()
    assert runner.trouble() is None


def test_words_that_are_no_order_are_passed_over(bench: Bench) -> None:
    (handle,) = bench.orphan(TRAPS_TERM)
    heir = bench.heir()
    (link,) = [one.link for one in heir._tracked.values()]
    assert isinstance(link, GuardLink)
    for line in ("", "stop", "stop soon", "stop -1", "start 1", "stop 1 2", "\0"):
        link.say(line)
    time.sleep(0.2)
    assert heir.look(handle) == Alive()
    stopped = heir.stop(handle, 15_000)
    assert isinstance(stopped, Stopped) and stopped.ended.exit_code == 7


@pytest.mark.long
def test_at_whatever_instant_a_host_is_killed_the_next_one_adopts_all_that_runs(bench: Bench) -> None:
    chance = random.Random(20)
    adopted = 0
    for _ in range(40):
        host = bench.launch(*[TRAPS_TERM] * 3)
        time.sleep(chance.uniform(0.1, 0.6))
        kill(host)
        time.sleep(chance.uniform(0, 0.3))  # a guard in the middle of its start gets done, or finds that its host died
        heir = bench.runner()
        handles = heir.list_own()
        for handle in handles:
            heir.adopt(handle, bench.folder / "unused")
        adopted += sum(isinstance(heir.look(handle), Alive) for handle in handles)
        heir.close()
        wait_until(lambda: bench.runner().list_own() == (), "what was not adopted had not started, and never does")
        for handle in handles:
            ended = bench.runner().look(handle)
            assert isinstance(ended, Ended) and ended.exit_code in (7, None) and ended.signal in (15, None)
    assert adopted > 20
    assert set(bench.left()) <= {".ended"}


def test_a_container_of_another_runtime_is_neither_called_ended_nor_stopped(bench: Bench) -> None:
    other = Handle(runtime="docker", container_id="0" * 64, session=SESSION, incarnation=1, spawned_at_ms=1)
    runner = ProcessRunner(install_id="one", now_ms=now_ms, log_max_bytes=9_999, log_keep=1)
    assert isinstance(runner.look(other), Unknown)
    assert isinstance(runner.stop(other, 0), StillThere)
    runner.close()
