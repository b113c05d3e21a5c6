"""Does a running agent's log leave out what became a secret after it was started?"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from turnkeel_adapters.runners import ProcessRunner, SpawnOrder
from turnkeel_adapters.runners.guard.redacting import LogRedactor
from turnkeel_adapters.runners.guarded import GuardLink
from turnkeel_core import Redactions, redactions_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="guards need Linux to find every descendant")

TELLS = (
    'printf "it is new-"; echo > waits; while [ ! -e go ]; do sleep 0.02; done; echo "secret-key, not old-secret-key"'
)


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


HOST = """
import sys, time
from pathlib import Path
from turnkeel_adapters.runners import ProcessRunner, SpawnOrder
from turnkeel_core import redactions_of
folder, script = Path(sys.argv[2]), sys.argv[3]
runner = ProcessRunner(install_id=sys.argv[1], now_ms=lambda: 0, log_max_bytes=9999, log_keep=1, run_dir=folder / "run",
                       orphan_limit_ms=60_000, redactions=lambda: redactions_of(("old-secret-key",)))
runner.spawn(SpawnOrder(session="main/x", incarnation=1, folder=folder, argv=("sh", "-c", script),
                        environment={"PATH": "/usr/bin:/bin"}, log_path=folder / "log"))
print(flush=True)
time.sleep(1000)
"""


class Bench:
    """A runner that knows of one secret, and may learn of another."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.known = folder, redactions_of(("old-secret-key",))
        self.install = f"h{os.getpid()}x{time.monotonic_ns()}"
        self.runner = ProcessRunner(
            install_id=self.install, now_ms=lambda: 0, log_max_bytes=9999, log_keep=1, run_dir=folder / "run",
            orphan_limit_ms=60_000, redactions=lambda: self.known,
        )  # fmt: skip

    def spawn(self) -> None:
        order = SpawnOrder(
            session="main/x", incarnation=1, folder=self.folder, argv=("sh", "-c", TELLS),
            environment={"PATH": "/usr/bin:/bin"}, log_path=self.folder / "log",
        )  # fmt: skip
        self.runner.spawn(order)
        wait_until((self.folder / "waits").exists)

    def learn(self) -> None:
        self.known = redactions_of(("old-secret-key", "new-secret-key"))

    def log(self) -> str:
        (self.folder / "go").touch()
        wait_until(lambda: "not" in (self.folder / "log").read_text())
        return (self.folder / "log").read_text()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    one = Bench(tmp_path)
    yield one
    one.runner.close()


def test_what_becomes_a_secret_while_an_agent_runs_is_left_out_from_then_on(bench: Bench) -> None:
    bench.spawn()
    bench.learn()
    bench.runner.hide_more()
    assert bench.log() == "it is [REDACTED], not [REDACTED]\n"


def test_a_host_that_takes_an_agent_over_hides_what_it_knows(bench: Bench) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", HOST, bench.install, str(bench.folder), TELLS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as host:
        assert host.stdout is not None and host.stdout.readline() == b"\n"
        host.kill()
    wait_until((bench.folder / "waits").exists)
    bench.learn()
    (handle,) = bench.runner.list_own()
    bench.runner.adopt(handle, bench.folder / "log")
    assert bench.log() == "it is [REDACTED], not [REDACTED]\n"


def test_what_a_log_still_holds_back_is_hidden_by_the_new_rules() -> None:
    log = LogRedactor(redactions_of(()).patterns, 0)
    written = log.feed(b"first line\nthe new-")
    log.hide(redactions_of(("new-secret",)).patterns, 10)
    assert written + log.feed(b"secret\n") + log.end() == b"first line\nthe [REDACTED]\n"


def test_no_line_to_a_guard_is_cut_short_and_none_is_waited_for() -> None:
    """A guard that does not read, more to say than a pipe holds, and a stop after it."""
    guard_end, control = os.pipe()
    status, said = os.pipe()
    heard: list[bytes] = []
    redactions: Redactions = redactions_of([f"{number:07}-{'x' * 40}" for number in range(9_000)])
    told = {"patterns": list(redactions.patterns), "longest_bytes": redactions.longest_bytes}
    link = GuardLink(
        os.fdopen(control, "wb", buffering=0), os.fdopen(status, "rb", buffering=0), kill=bool, reap=lambda: None
    )
    link.hide(told)
    link.stop(5)

    def read() -> None:
        while not b"".join(heard[-2:]).endswith(b"stop 5\n"):
            heard.append(os.read(guard_end, 65_536))
        os.close(said)
        os.close(guard_end)

    thread = threading.Thread(target=read)
    thread.start()
    assert link.wait(60_000)  # it says the rest, and sees the guard end
    thread.join()
    hide, stop = b"".join(heard).splitlines()
    assert json.loads(hide.partition(b" ")[2]) == told and stop == b"stop 5"
