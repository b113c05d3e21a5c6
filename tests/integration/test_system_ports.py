"""Do the small system ports keep their word: lock, clock, executor, install id, doorbell?"""

import asyncio
import contextvars
import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from turnkeel_adapters.system import (
    DOORBELL_NAME,
    INSTALL_ID_NAME,
    LOCK_NAME,
    AlreadyHeld,
    DataLock,
    Doorbell,
    Holder,
    InlineExecutor,
    InstallIdUnreadable,
    LockUnavailable,
    SystemClock,
    ThreadExecutor,
    install_id,
    probe,
    ring,
)
from turnkeel_adapters.system import install as install_module

HOLD = """
import sys, time
from pathlib import Path
from turnkeel_adapters.system import DataLock
lock = DataLock(Path(sys.argv[1]), started_at_ms=123, version="9.9")
lock.acquire()
print("held", flush=True)
time.sleep(1000)
"""


@pytest.fixture
def other_host(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds the lock of `tmp_path`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.stdout.close()
    process.wait()


def test_a_second_host_is_refused_and_told_who_holds_the_directory(
    tmp_path: Path, other_host: "subprocess.Popen[str]"
) -> None:
    with pytest.raises(AlreadyHeld, match=f"{tmp_path} is served by another host .*pid {other_host.pid}, version 9.9"):
        DataLock(tmp_path).acquire()


def test_a_killed_host_frees_its_directory_at_once(tmp_path: Path, other_host: "subprocess.Popen[str]") -> None:
    other_host.kill()
    other_host.wait()
    assert probe(tmp_path) is None, "the file of a dead host says nothing"
    with DataLock(tmp_path):
        holder = probe(tmp_path)
        assert holder is not None
        assert holder.pid == os.getpid()


def test_a_probe_tells_the_holder_and_changes_nothing(tmp_path: Path, other_host: "subprocess.Popen[str]") -> None:
    before = (tmp_path / LOCK_NAME).stat()
    assert probe(tmp_path) == Holder(pid=other_host.pid, started_at_ms=123, version="9.9")
    after = (tmp_path / LOCK_NAME).stat()
    assert (before.st_mtime_ns, before.st_size, before.st_ino) == (after.st_mtime_ns, after.st_size, after.st_ino)
    with pytest.raises(AlreadyHeld):
        DataLock(tmp_path).acquire()


def test_a_probe_creates_nothing(tmp_path: Path) -> None:
    assert probe(tmp_path) is None
    assert probe(tmp_path / "missing") is None
    assert list(tmp_path.iterdir()) == []


def test_probes_all_the_time_do_not_keep_a_host_from_starting(tmp_path: Path) -> None:
    (tmp_path / LOCK_NAME).touch()
    stop = threading.Event()

    def keep_probing() -> None:
        while not stop.is_set():
            probe(tmp_path)

    thread = threading.Thread(target=keep_probing)
    thread.start()
    try:
        for _ in range(20):
            with DataLock(tmp_path) as lock:
                assert lock.still_ours()
    finally:
        stop.set()
        thread.join()


def test_a_probe_does_not_take_another_probe_for_a_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / LOCK_NAME).touch()
    flock = fcntl.flock
    nested: list[Holder | None] = []

    def lock_and_probe_again(fd: int, kind: int) -> None:
        flock(fd, kind)
        monkeypatch.setattr(fcntl, "flock", flock)
        nested.append(probe(tmp_path))

    monkeypatch.setattr(fcntl, "flock", lock_and_probe_again)
    assert probe(tmp_path) is None
    assert nested == [None]


def test_a_lock_file_replaced_at_the_last_moment_is_not_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock

    def replace_and_lock(fd: int, kind: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        (tmp_path / LOCK_NAME).unlink()
        (tmp_path / LOCK_NAME).touch()
        flock(fd, kind)

    monkeypatch.setattr(fcntl, "flock", replace_and_lock)
    with DataLock(tmp_path) as lock:
        assert lock.still_ours()
        assert probe(tmp_path) is not None


def test_of_many_hosts_that_start_at_once_one_wins(tmp_path: Path) -> None:
    locks = [DataLock(tmp_path) for _ in range(8)]
    lost: list[AlreadyHeld] = []

    def start(lock: DataLock) -> None:
        try:
            lock.acquire()
        except AlreadyHeld as error:
            lost.append(error)

    threads = [threading.Thread(target=start, args=(lock,)) for lock in locks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lost) == 7
    for lock in locks:
        lock.release()


def test_a_child_process_does_not_inherit_the_lock(tmp_path: Path) -> None:
    lock = DataLock(tmp_path)
    lock.acquire()
    with subprocess.Popen(["sleep", "1000"], close_fds=False) as child:
        lock.release()
        assert probe(tmp_path) is None
        child.kill()


def test_the_lock_notices_that_its_file_was_removed(tmp_path: Path) -> None:
    with DataLock(tmp_path) as lock:
        lock.acquire()
        assert lock.still_ours()
        (tmp_path / LOCK_NAME).unlink()
        assert not lock.still_ours()
    lock.release()
    assert not lock.still_ours()


@pytest.mark.parametrize(
    ("name", "text"),
    [("empty", ""), ("not JSON", "pid"), ("a list", "[]"), ("odd types", '{"pid": "1", "started_at_ms": null}')],
)
def test_a_note_that_cannot_be_read_still_means_held(tmp_path: Path, name: str, text: str) -> None:
    with DataLock(tmp_path):
        (tmp_path / LOCK_NAME).write_text(text)
        assert probe(tmp_path) == Holder(), name
        with pytest.raises(AlreadyHeld, match="pid unknown"):
            DataLock(tmp_path).acquire()


def test_a_place_that_cannot_be_locked_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(LockUnavailable, match="No such file or directory"):
        DataLock(tmp_path / "missing").acquire()
    (tmp_path / LOCK_NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LockUnavailable):
        DataLock(tmp_path).acquire()
    with pytest.raises(LockUnavailable):
        probe(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_the_note_is_one_json_object(tmp_path: Path) -> None:
    (tmp_path / LOCK_NAME).write_text("x" * 1000)
    with DataLock(tmp_path, started_at_ms=5, version="1"):
        note = json.loads((tmp_path / LOCK_NAME).read_text())
    assert note == {"pid": os.getpid(), "started_at_ms": 5, "version": "1"}


def test_both_clocks_are_read_in_milliseconds() -> None:
    before = time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000
    now = SystemClock().read()
    after = time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000
    assert before[0] <= now.wall_ms <= after[0]
    assert before[1] <= now.mono_ms <= after[1]


def test_a_wait_ends_at_its_instant_and_not_before() -> None:
    clock = SystemClock()
    for event in (None, asyncio.Event()):
        until = clock.read().mono_ms + 30
        asyncio.run(clock.wait(event, until))
        assert clock.read().mono_ms >= until


@pytest.mark.parametrize("far_ms", [None, 10**13])
def test_a_wait_ends_when_its_event_is_set(far_ms: int | None) -> None:
    async def scene() -> None:
        event = asyncio.Event()
        asyncio.get_running_loop().call_later(0.01, event.set)
        await asyncio.wait_for(SystemClock().wait(event, far_ms), 20)
        assert event.is_set()

    asyncio.run(scene())


def test_a_wait_that_is_over_already_still_lets_others_run() -> None:
    async def scene() -> None:
        ran = asyncio.Event()
        asyncio.get_running_loop().call_soon(ran.set)
        await SystemClock().wait(None, 0)
        assert ran.is_set()

    asyncio.run(scene())


def test_a_wait_for_nothing_is_refused_and_a_cancelled_one_ends() -> None:
    async def scene() -> None:
        with pytest.raises(ValueError, match="event or an instant"):
            await SystemClock().wait(None, None)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(SystemClock().wait(asyncio.Event(), None), 0.01)

    asyncio.run(scene())


NOTE: contextvars.ContextVar[str] = contextvars.ContextVar("note", default="none")


def test_an_executor_hands_over_arguments_results_errors_and_context() -> None:
    def join(first: str, *, second: str) -> str:
        return f"{first} {second} {NOTE.get()}"

    def fail() -> None:
        raise LookupError("why")

    async def scene() -> None:
        NOTE.set("kept")
        threads = ThreadExecutor(1)
        for executor in (threads, InlineExecutor()):
            assert await executor.run(join, "a", second="b") == "a b kept"
            with pytest.raises(LookupError, match="why"):
                await executor.run(fail)
            executor.close()

    before = threading.active_count()
    asyncio.run(scene())
    assert threading.active_count() == before


def test_calls_in_threads_run_side_by_side_and_off_the_loop() -> None:
    meeting = threading.Barrier(3, timeout=60)

    async def scene() -> None:
        executor = ThreadExecutor(3)
        await asyncio.gather(*(executor.run(meeting.wait) for _ in range(3)))
        assert await executor.run(threading.get_ident) != threading.get_ident()
        assert await InlineExecutor().run(threading.get_ident) == threading.get_ident()
        executor.close()

    asyncio.run(scene())


def test_an_install_keeps_its_id(tmp_path: Path) -> None:
    first = install_id(tmp_path)
    assert install_id(tmp_path) == first
    assert (tmp_path / INSTALL_ID_NAME).read_text() == f"{first}\n"
    assert [one.name for one in tmp_path.iterdir()] == [INSTALL_ID_NAME], "no draft is left"


def test_all_who_make_the_id_at_once_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    everyone = threading.Barrier(8, timeout=60)
    create: Callable[[Path, str], None] = install_module._create

    def create_together(path: Path, text: str) -> None:
        everyone.wait()  # all have seen that there is no file yet
        create(path, text)

    monkeypatch.setattr(install_module, "_create", create_together)
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.append(install_id(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert len(set(made)) == 1


def test_a_file_system_without_hard_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert install_id(tmp_path) == install_id(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"a/b", b"\xff", b"x" * 65])
def test_a_file_that_holds_no_id_is_an_error_and_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / INSTALL_ID_NAME).write_bytes(content)
    with pytest.raises(InstallIdUnreadable, match="holds no install id"):
        install_id(tmp_path)
    assert (tmp_path / INSTALL_ID_NAME).read_bytes() == content


def test_each_ring_is_heard_once(tmp_path: Path) -> None:
    bell = Doorbell(tmp_path)
    assert not bell.rung()
    for _ in range(200):
        assert ring(tmp_path)
        assert bell.rung(), "also rings that follow each other faster than the kernel's own stamps tell apart"
        assert not bell.rung()


def test_rings_of_the_past_count_as_heard(tmp_path: Path) -> None:
    ring(tmp_path)
    bell = Doorbell(tmp_path)
    assert not bell.rung()
    (tmp_path / DOORBELL_NAME).unlink()
    assert not bell.rung()
    ring(tmp_path)
    assert bell.rung()


def test_a_bell_that_cannot_ring_does_not_stop_its_caller(tmp_path: Path) -> None:
    assert not ring(tmp_path / "missing")
    (tmp_path / DOORBELL_NAME).mkdir()
    assert not ring(tmp_path)
    assert not Doorbell(tmp_path / "missing").rung()
