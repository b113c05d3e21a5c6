"""Do real processes start, end and leave nothing behind, whoever is killed?"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from turnkeel_adapters.runners import (
    Alive,
    Ended,
    EnvironmentRefused,
    Handle,
    ProcessRunner,
    SpawnFailed,
    SpawnOrder,
    StillThere,
    Stopped,
    compose_environment,
)
from turnkeel_adapters.runners.errors import RunnerError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="guards need Linux to find every descendant")

PATIENCE_S = 60
LOG_MAX_BYTES = 100_000

IGNORES_TERM = "trap '' TERM; echo ready; while :; do sleep 0.1; done"
TRAPS_TERM = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done"

FORKS_TWICE = """
import os, signal, sys, time
folder, wipe = sys.argv[1], sys.argv[2] == "wipe"
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with open(f"{folder}/pid.new", "w") as file:
            file.write(str(os.getpid()))
        os.rename(f"{folder}/pid.new", f"{folder}/pid")
        if wipe:
            os.execve("/bin/sleep", ["sleep", "1000"], {})
        time.sleep(1000)
    os._exit(0)
while not os.path.exists(f"{folder}/pid"):
    time.sleep(0.01)
os.wait()
if sys.argv[3] == "stay":
    time.sleep(1000)
"""

HOST = """
import sys, time
from pathlib import Path
from turnkeel_adapters.runners import ProcessRunner, SpawnOrder
install, folder, script = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
runner = ProcessRunner(install_id=install, now_ms=lambda: time.time_ns() // 1_000_000, log_max_bytes=9999, log_keep=1)
handle = runner.spawn(SpawnOrder(session="main/x", incarnation=4, folder=folder, argv=("sh", "-c", script),
                                 environment={"PATH": "/usr/bin:/bin"}, log_path=folder / "log"))
print(handle.container_id, handle.spawned_at_ms, flush=True)
time.sleep(1000)
"""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def wait_until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"waited too long: {what}"
        time.sleep(0.01)


def runs(pid: int) -> bool:
    """Does a process with this pid run? A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


def pid_of(handle: Handle) -> int:
    return int(handle.container_id.split(":")[0])


def cannot_signal(process: object, number: int) -> bool:
    return False


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])


class Bench:
    """A runner over one folder, with shorthands."""

    def __init__(self, folder: Path, install_id: str) -> None:
        self.folder = folder
        self.install_id = install_id
        self.log = folder / "logs" / "agent.log"
        self.runner = self.new_runner()

    def new_runner(self) -> ProcessRunner:
        return ProcessRunner(install_id=self.install_id, now_ms=now_ms, log_max_bytes=LOG_MAX_BYTES, log_keep=2)

    def order(
        self,
        *argv: str,
        session: str = "main/x",
        incarnation: int = 1,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> SpawnOrder:
        return SpawnOrder(
            session=session,
            incarnation=incarnation,
            folder=folder or self.folder,
            argv=argv,
            environment={"PATH": "/usr/bin:/bin"} if environment is None else environment,
            log_path=self.log,
        )

    def shell(self, script: str, session: str = "main/x", incarnation: int = 1) -> Handle:
        return self.runner.spawn(self.order("sh", "-c", script, session=session, incarnation=incarnation))

    def python(self, script: str, *argv: str) -> Handle:
        return self.runner.spawn(self.order(sys.executable, "-I", "-S", "-c", script, *argv))

    def says(self, text: str) -> None:
        wait_until(lambda: self.log.exists() and text in self.log.read_text(), f"the agent says {text!r}")

    def end_of(self, handle: Handle) -> Ended:
        seen: list[Ended] = []

        def ended() -> bool:
            outcome = self.runner.look(handle)
            if isinstance(outcome, Ended):
                seen.append(outcome)
            return bool(seen)

        wait_until(ended, "the container ends")
        return seen[0]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    one = Bench(tmp_path, f"t{os.getpid()}x{time.monotonic_ns()}")
    yield one
    one.runner.close()
    wait_until(lambda: one.new_runner().list_own() == (), "nothing of the test is left")


@pytest.mark.parametrize(
    ("script", "exit_code", "number"),
    [("exit 0", 0, None), ("exit 3", 3, None), ("kill -KILL $$", None, 9), ("kill -SEGV $$", None, 11)],
)
def test_the_end_of_a_program_is_told_as_it_was(
    bench: Bench, script: str, exit_code: int | None, number: int | None
) -> None:
    before = now_ms()
    handle = bench.shell(script)
    ended = bench.end_of(handle)
    assert (ended.exit_code, ended.signal) == (exit_code, number)
    assert before <= handle.spawned_at_ms <= ended.ended_at_ms <= now_ms()
    assert bench.runner.look(handle) == ended, "asked again, the answer is the same"
    assert bench.runner.stop(handle, 0) == Stopped(ended=ended, forced=False, survivors_killed=0)


def test_a_running_program_is_alive_and_listed(bench: Bench) -> None:
    handle = bench.shell("sleep 1000")
    assert bench.runner.look(handle) == Alive()
    assert bench.runner.list_own() == (handle,)
    bench.runner.forget(handle)
    assert bench.runner.look(handle) == Alive(), "a container that runs is not forgotten"


def test_an_agent_sees_its_own_environment_folder_and_files_only(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURNKEEL_TEST_SECRET", "x")
    with open(os.devnull) as leaked:
        os.set_inheritable(leaked.fileno(), True)
        posing = f"{bench.install_id}/main/y/1"
        given = {"PATH": "/usr/bin:/bin", "GREETING": "grüß dich", "LC_ALL": "C.UTF-8", "TURNKEEL_GUARD": posing}
        script = "import os, signal\nfor k, v in sorted(os.environb.items()): print((k + b'=' + v).decode())\n"
        script += "print(os.getcwd(), os.listdir('/proc/self/fd'), os.readlink('/proc/self/fd/0'), end=' ')"
        script += "\nprint(os.getsid(0) == os.getpid())\n"
        script += "print(signal.getsignal(signal.SIGHUP), signal.pthread_sigmask(signal.SIG_BLOCK, []), os.umask(0))"
        order = bench.order(sys.executable, "-I", "-S", "-c", script, environment=given)
        bench.end_of(bench.runner.spawn(order))
    umask = os.umask(0)
    os.umask(umask)
    assert bench.log.read_text("utf-8").splitlines() == [
        "GREETING=grüß dich",
        "LC_ALL=C.UTF-8",
        "PATH=/usr/bin:/bin",
        f"TURNKEEL_CONTAINER={bench.install_id}/main/x/1",
        f"{bench.folder} ['0', '1', '2', '3'] /dev/null True",
        f"{signal.SIG_DFL.value} set() {umask}",
    ]


def test_a_program_that_ends_within_the_grace_is_not_forced(bench: Bench) -> None:
    handle = bench.shell(TRAPS_TERM)
    bench.says("ready")
    stopped = bench.runner.stop(handle, 15_000)
    assert isinstance(stopped, Stopped)
    assert (stopped.ended.exit_code, stopped.ended.signal, stopped.forced) == (7, None, False)
    assert bench.log.read_text().endswith("bye\n"), "what it says on its way out is kept"
    assert bench.runner.stop(handle, 15_000) == stopped
    assert bench.runner.look(handle) == stopped.ended


def test_a_program_that_ignores_the_request_is_killed_after_the_grace(bench: Bench) -> None:
    handle = bench.shell(IGNORES_TERM)
    bench.says("ready")
    started = time.monotonic()
    stopped = bench.runner.stop(handle, 300)
    assert time.monotonic() - started >= 0.3
    assert isinstance(stopped, Stopped)
    assert (stopped.ended.exit_code, stopped.ended.signal, stopped.forced) == (None, 9, True)


def test_a_second_stop_can_shorten_the_grace_of_the_first(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turnkeel_adapters.runners.process._KILL_LIMIT_MS", 40_000)  # only the guard ends it in time
    handle = bench.shell("trap 'echo asked' TERM; echo ready; while :; do sleep 0.05; done")
    bench.says("ready")
    answers: list[object] = []

    def stop_within(grace_ms: int) -> None:
        answers.append(bench.runner.stop(handle, grace_ms))

    stops = [threading.Thread(target=stop_within, args=(grace_ms,)) for grace_ms in (40_000, 50)]
    stops[0].start()
    bench.says("asked")
    assert bench.runner.look(handle) == Alive(), "a look does not wait for a stop under way"
    stops[1].start()
    for stop in stops:
        stop.join(PATIENCE_S)
    assert len(answers) == 2, "both came back long before the longer grace"
    assert answers[0] == answers[1]


# A process that wiped its environment and outlived a killed guard is out of reach: nothing ties it to its session.
@pytest.mark.parametrize(
    ("environment", "way"),
    [("keep", "stop"), ("wipe", "stop"), ("keep", "own end"), ("wipe", "own end"), ("keep", "guard killed")],
)
def test_CR_26_no_descendant_survives_however_it_hid(bench: Bench, environment: str, way: str) -> None:
    handle = bench.python(FORKS_TWICE, str(bench.folder), environment, "leave" if way == "own end" else "stay")
    wait_until((bench.folder / "pid").exists, "the grandchild runs")
    grandchild = int((bench.folder / "pid").read_text())
    if way == "guard killed":
        os.kill(parent_of(pid_of(handle)), signal.SIGKILL)
        assert bench.end_of(handle).exit_code is None
    if way == "own end":
        assert bench.end_of(handle).exit_code == 0
    stopped = bench.runner.stop(handle, 15_000)
    assert not runs(grandchild)
    assert not runs(pid_of(handle))
    assert isinstance(stopped, Stopped)
    assert not (stopped.forced and way != "guard killed")
    assert stopped.survivors_killed == 1


def test_a_flood_of_output_is_bounded_on_disk_and_its_end_is_kept(bench: Bench) -> None:
    script = "import sys\nline = b'x' * 999_999 + b'\\n'\nfor _ in range(200): sys.stdout.buffer.write(line)\n"
    handle = bench.python(script + "sys.stdout.buffer.write(b'the end')")
    assert bench.end_of(handle).exit_code == 0
    kept = b"".join(one.read_bytes() for one in sorted(bench.log.parent.iterdir(), reverse=True))
    assert 2 * LOG_MAX_BYTES <= len(kept) <= 3 * LOG_MAX_BYTES
    assert kept.endswith(b"x\nthe end")


def test_output_that_waits_in_a_big_pipe_is_kept_when_its_writer_ends(bench: Bench) -> None:
    script = "import fcntl, os, sys, time\nfcntl.fcntl(1, 1031, 1 << 20)\nprint('ready', flush=True)\n"
    script += "while not os.path.exists('go'): time.sleep(0.01)\nos.write(1, b'x' * 500_000 + b'the end')"
    handle = bench.python(script)
    bench.says("ready")
    guard = parent_of(pid_of(handle))
    os.kill(guard, signal.SIGSTOP)
    (bench.folder / "go").touch()
    wait_until(lambda: not runs(pid_of(handle)), "the writer ends while nobody reads")
    os.kill(guard, signal.SIGCONT)
    assert bench.end_of(handle).exit_code == 0
    kept = b"".join(one.read_bytes() for one in sorted(bench.log.parent.iterdir(), reverse=True))
    assert kept.endswith(b"xthe end")


def test_a_flooding_program_can_be_stopped(bench: Bench) -> None:
    handle = bench.shell("trap '' TERM; exec yes")
    wait_until((bench.log.parent / "agent.log.2").exists, "the flood runs")
    stopped = bench.runner.stop(handle, 50)
    assert isinstance(stopped, Stopped) and stopped.forced


def test_a_start_that_fails_says_why_and_leaves_nothing(bench: Bench) -> None:
    (bench.folder / "plain").write_text("no program")
    (bench.folder / "odd").write_text("no first line")
    (bench.folder / "odd").chmod(0o755)
    (bench.folder / "lost").write_text("#!/no/such/interpreter\n")
    (bench.folder / "lost").chmod(0o755)
    cases: list[tuple[SpawnOrder, str]] = [
        (bench.order("no-such-program"), "no program 'no-such-program' on the agent's PATH"),
        (bench.order("./missing"), "the program './missing' does not exist"),
        (bench.order("./plain"), "may not be executed"),
        (bench.order("./odd"), "is no program this machine can run"),
        (bench.order("./lost"), "interpreter that './lost' names"),
        (bench.order("true", folder=bench.folder / "gone"), "session folder .* does not exist"),
        (bench.order("true", folder=bench.folder / "plain"), "is not a folder"),
        (bench.order("true", "x" * 3_000_000), "too long"),
        (bench.order(), "command is empty"),
        (bench.order("true", "a\0b"), "cannot be handed over"),
        (bench.order("true", environment={"A=B": ""}), "cannot be handed over"),
    ]
    for order, reason in cases:
        with pytest.raises(SpawnFailed, match=reason):
            bench.runner.spawn(order)
    bench.log.unlink()
    bench.log.mkdir()
    with pytest.raises(SpawnFailed, match="log .* cannot be opened"):
        bench.runner.spawn(bench.order("true"))
    bench.log.rmdir()
    assert bench.runner.list_own() == ()
    assert bench.end_of(bench.shell("exit 0")).exit_code == 0, "the session can start after all that"


def test_a_guard_that_cannot_start_is_a_failed_start(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(SpawnFailed, match="its guard gave no answer"):
        bench.shell("exit 0")
    monkeypatch.setattr(sys, "executable", "/no/python")
    with pytest.raises(SpawnFailed, match="starting the guard failed"):
        bench.shell("exit 0")


def test_a_session_never_gets_a_second_container(bench: Bench) -> None:
    outcomes: list[str] = []

    def start(incarnation: int) -> None:
        try:
            bench.shell("sleep 1000", incarnation=incarnation)
            outcomes.append("started")
        except SpawnFailed as error:
            outcomes.append(error.reason)

    threads = [threading.Thread(target=start, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["it has a running container already"] * 3 + ["started"]
    (handle,) = bench.runner.list_own()
    bench.runner.stop(handle, 5_000)
    assert bench.runner.look(bench.shell("sleep 1000", incarnation=9)) == Alive()


def test_a_killed_guard_takes_its_agent_along(bench: Bench) -> None:
    handle = bench.shell(f"({IGNORES_TERM}) & {IGNORES_TERM}")
    bench.says("ready")
    os.kill(parent_of(pid_of(handle)), signal.SIGKILL)
    ended = bench.end_of(handle)
    assert (ended.exit_code, ended.signal) == (None, None), "nobody saw how it ended"
    assert bench.new_runner().list_own() == ()


def test_a_stopped_guard_does_not_protect_its_agent(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turnkeel_adapters.runners.process._KILL_LIMIT_MS", 600)
    handle = bench.shell("sleep 1000")
    os.kill(parent_of(pid_of(handle)), signal.SIGSTOP)
    assert isinstance(bench.runner.stop(handle, 0), Stopped)
    assert not runs(pid_of(handle))


def test_what_cannot_be_ended_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = bench.shell("sleep 1000")
    other = bench.new_runner()
    with monkeypatch.context() as patch:
        patch.setattr("turnkeel_adapters.runners.process._KILL_LIMIT_MS", 100)
        patch.setattr("turnkeel_adapters.runners.census.signal_process", cannot_signal)
        outcome = other.stop(handle, 0)
    assert isinstance(outcome, StillThere)
    assert pid_of(handle) in outcome.pids
    assert bench.runner.look(handle) == Alive()


@pytest.mark.parametrize("script", ["echo ready; sleep 1000", IGNORES_TERM])
def test_no_agent_outlives_its_host(bench: Bench, script: str) -> None:
    host = start_host(bench, script)
    try:
        agent = int(host.words[0].split(":")[0])
        os.kill(host.process.pid, signal.SIGKILL)
        wait_until(lambda: not runs(agent), "the agent ends with its host")
        wait_until(lambda: bench.runner.list_own() == (), "the guard goes too")
    finally:
        host.close()


def test_an_agent_ends_with_its_host_even_if_a_fork_of_the_host_lives_on(bench: Bench) -> None:
    script = "import os\nfork = os.fork()\nif fork == 0:\n    time.sleep(1000)\nprint(fork, flush=True)\n"
    host = start_host(bench, "echo ready; sleep 1000", before_sleep=script)
    try:
        agent = int(host.words[0].split(":")[0])
        assert host.process.stdout is not None
        fork = int(host.process.stdout.readline())
        os.kill(host.process.pid, signal.SIGKILL)
        try:
            wait_until(lambda: not runs(agent), "the agent ends with its host")
            assert runs(fork), "the fork, which holds the guard's pipe, was not waited for"
        finally:
            os.kill(fork, signal.SIGKILL)
    finally:
        host.close()


def test_a_new_host_sees_and_stops_what_an_earlier_one_left(bench: Bench) -> None:
    host = start_host(bench, IGNORES_TERM)
    try:
        (handle,) = bench.runner.list_own()
        assert (handle.session, handle.incarnation, handle.container_id) == ("main/x", 4, host.words[0])
        assert abs(handle.spawned_at_ms - int(host.words[1])) < 2_000
        os.kill(host.process.pid, signal.SIGKILL)
        stopped = bench.runner.stop(handle, 10)
        assert isinstance(stopped, Stopped) and stopped.forced
        assert bench.runner.list_own() == ()
        assert isinstance(bench.runner.look(handle), Ended)
        assert isinstance(bench.runner.stop(handle, 10), Stopped)
    finally:
        host.close()


def test_a_host_never_takes_itself_for_a_container(bench: Bench) -> None:
    script = HOST.split("handle =")[0] + (
        "from turnkeel_adapters.runners import Handle\n"
        "handle = Handle(runtime='process', container_id='1:1', session='main/x', incarnation=1, spawned_at_ms=1)\n"
        "print(runner.list_own(), type(runner.stop(handle, 0)).__name__)\n"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "TURNKEEL_CONTAINER": f"{bench.install_id}/main/x/1",
    }
    command = [sys.executable, "-c", script, bench.install_id, str(bench.folder), ""]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("() Stopped\n", 0)


def test_LO_03_two_installs_do_not_see_each_other(bench: Bench, tmp_path: Path) -> None:
    handle = bench.shell("sleep 1000")
    other = Bench(tmp_path, f"{bench.install_id}other")
    assert other.runner.list_own() == ()
    assert isinstance(other.runner.look(handle), Ended)
    assert isinstance(other.runner.stop(handle, 0), Stopped)
    assert bench.runner.look(handle) == Alive()
    other.runner.close()


def test_a_recycled_pid_is_not_mistaken_for_a_container(bench: Bench) -> None:
    with subprocess.Popen(["sleep", "1000"]) as stranger:
        handle = Handle(
            runtime="process", container_id=f"{stranger.pid}:1", session="main/x", incarnation=1, spawned_at_ms=1
        )
        assert isinstance(bench.runner.look(handle), Ended)
        assert isinstance(bench.runner.stop(handle, 0), Stopped)
        assert stranger.poll() is None
        stranger.kill()


def test_many_starts_and_stops_leak_no_file_thread_or_process(bench: Bench) -> None:
    def state() -> tuple[int, int, str]:
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
        return len(os.listdir("/proc/self/fd")), threading.active_count(), children.read_text()

    bench.end_of(bench.shell("exit 0"))
    before = state()
    for number in range(50):
        handle = bench.shell("exit 0" if number % 2 else "sleep 1000", incarnation=number)
        if number % 2:
            bench.end_of(handle)
        else:
            bench.runner.stop(handle, 5_000)
        bench.runner.forget(handle)
    assert state() == before


def test_close_ends_everything_and_is_final(bench: Bench) -> None:
    handles = [bench.shell(IGNORES_TERM, session=f"main/{name}") for name in "abcd"]
    started = time.monotonic()
    bench.runner.close()
    assert time.monotonic() - started < 4, "side by side: one grace, not four"
    assert not any(runs(pid_of(handle)) for handle in handles)
    with pytest.raises(RunnerError, match="closed"):
        bench.shell("exit 0")
    bench.runner.close()


SOURCE = {"PATH": "/bin", "HOME": "/root", "LC_ALL": "C", "LC_TIME": "C", "API_KEY": "secret"}


@pytest.mark.parametrize(
    ("name", "allow", "extra", "expected"),
    [
        ("nothing is allowed by default", (), {}, {}),
        ("an exact name is taken", ("PATH",), {}, {"PATH": "/bin"}),
        ("a name is no prefix", ("API",), {}, {}),
        ("a prefix takes all names with it", ("LC_*",), {}, {"LC_ALL": "C", "LC_TIME": "C"}),
        ("a name that is not set is left out", ("TZ",), {}, {}),
        ("extra wins", ("PATH",), {"PATH": "/x", "A": ""}, {"PATH": "/x", "A": ""}),
    ],
)
def test_the_environment_is_an_allow_list(
    name: str, allow: tuple[str, ...], extra: dict[str, str], expected: dict[str, str]
) -> None:
    assert compose_environment(SOURCE, allow, extra) == expected, name


@pytest.mark.parametrize(
    ("allow", "extra"),
    [(("*",), {}), (("",), {}), (("A*B",), {}), (("A=B",), {}), ((), {"A=B": "x"}), ((), {"": "x"}), ((), {"A": "\0"})],
)
def test_entries_that_cannot_be_meant_are_refused(allow: tuple[str, ...], extra: dict[str, str]) -> None:
    with pytest.raises(EnvironmentRefused):
        compose_environment(SOURCE, allow, extra)


class HostProcess:
    """A process of its own that runs one agent, and what it printed of it."""

    def __init__(self, process: "subprocess.Popen[str]", words: list[str]) -> None:
        self.process = process
        self.words = words

    def close(self) -> None:
        self.process.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process.wait()


def start_host(bench: Bench, script: str, before_sleep: str = "") -> HostProcess:
    program = HOST.replace("time.sleep(1000)", f"{before_sleep}time.sleep(1000)")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen(
        [sys.executable, "-c", program, bench.install_id, str(bench.folder), script],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    words = process.stdout.readline().split()
    log = bench.folder / "log"
    wait_until(lambda: log.exists() and "ready" in log.read_text(), "the agent of the other host runs")
    return HostProcess(process, words)
