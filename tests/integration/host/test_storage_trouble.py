"""Does trouble with the disk under a host at work stay where it is, cost no message anything, and heal by itself?"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest
from attrs import evolve

from turnkeel.cli.send import accept
from turnkeel.events import Charged, Died, FaultCleared, FaultSeen, Woke
from turnkeel_adapters.sessions.records import NewMessage
from turnkeel_adapters.state.database import StateFault
from turnkeel_adapters.state.store import HostState
from turnkeel_core import StartPolicy

from .conftest import cannot_mount


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _cut(path: Path) -> None:
    os.truncate(path, 5_000)


def _garbled(path: Path) -> None:
    path.write_bytes(b"Dear diary, today nothing was a database." * 200)


def _foreign(path: Path) -> None:
    path.unlink()
    db = apsw.Connection(str(path))
    db.execute("CREATE TABLE recipes (id TEXT, cake TEXT)").fetchall()
    db.close()


def _link(path: Path) -> None:
    real = path.with_name("elsewhere.db")
    path.rename(real)
    path.symlink_to(real)


FILES = ("inbound.db", "outbound.db")
BREAKS = {"empty": _empty, "cut short": _cut, "no database": _garbled, "foreign tables": _foreign, "a link": _link}


@pytest.fixture
def idle(quick):
    """A host whose agents end as soon as they have nothing to do, so that the files are its own alone."""
    return evolve(quick, stuck=evolve(quick.stuck, idle_stop_ms=50), start=StartPolicy(max_running=20))


def later(lab, name: str, ms: int) -> str:
    """Store a message that becomes due in `ms`; nothing needs to be written when it does."""
    now_ms = time.time_ns() // 1_000_000
    message = NewMessage(message_id=f"later-{name}", content='{"text": "later"}', due_at_ms=now_ms + ms)
    lab.session(name)
    lab.sessions.store(name).insert(message, now_ms)
    return message.message_id


async def served(lab, live, *names: str) -> None:
    """Wait until every message of these sessions is answered and no agent of theirs runs any more."""
    for name in names:
        await live.until(lambda name=name: not lab.open_rows(name))
        await live.until(lambda name=name: len(live.of(Died, f"main/{name}")) == len(live.of(Woke, f"main/{name}")))


async def answered(lab, live, name: str, key: str, limit_s: float = 60) -> None:
    await live.until(lambda: key in (fates := lab.fates(name)) and fates[key].answered_once, limit_s)


@pytest.mark.long
def test_files_that_break_while_they_are_served_are_quarantined_charge_nothing_and_heal(lab, idle):
    cases = {f"s{n}": (how, file) for n, (how, file) in enumerate((h, f) for h in BREAKS for f in FILES)}
    for name in (*cases, "fine"):
        lab.send(name, "before")
    kept: dict[str, bytes] = {}

    async def script(live):
        await served(lab, live, *cases)
        for name, (how, file) in cases.items():
            path = lab.session(name) / file
            kept[name] = path.read_bytes()
            BREAKS[how](path)
        await live.until(lambda: {fault.session for fault in lab.faults()} == {f"main/{name}" for name in cases})
        for name, (_, file) in cases.items():
            [fault] = lab.faults(name)
            assert fault.subject == file and f"v2-sessions/main/{name}/{file}" in fault.detail
        [fine] = lab.send("fine", "meanwhile")
        await answered(lab, live, "fine", fine)
        first = {fault.session: fault.first_at_ms for fault in lab.faults()}
        await asyncio.sleep(1)  # looked at again, more than once
        assert {fault.session: fault.first_at_ms for fault in lab.faults()} == first
        assert all(len(live.of(FaultSeen, f"main/{name}")) == 1 for name in cases), "each is told once"
        for name, (_, file) in cases.items():
            path = lab.session(name) / file
            path.unlink(missing_ok=True)
            path.write_bytes(kept[name])
        await live.until(lambda: not lab.faults())
        for name in cases:
            [after] = lab.send(name, "after")
            await answered(lab, live, name, after)

    live = lab.run(idle, script)
    assert not live.of(Charged)
    for name in (*cases, "fine"):
        assert [fate.answered_once and fate.tries == 0 for fate in lab.fates(name).values()] == [True, True]
    assert {event.session for event in live.of(FaultCleared)} == {f"main/{name}" for name in cases}


@pytest.mark.long
def test_an_outbound_file_locked_for_long_is_told_waited_for_and_costs_nothing(lab, idle):
    lab.send("locked", "before")
    lab.session("fine")

    async def script(live):
        await served(lab, live, "locked")
        with _locked(lab.session("locked") / "outbound.db"):
            [sent] = lab.send("locked", "during")
            [fine] = lab.send("fine", "hello")
            await answered(lab, live, "fine", fine)
            await live.until(lambda: lab.faults("locked"))
            assert (lab.faults("locked")[0].subject, lab.faults("locked")[0].kind) == ("outbound.db", "busy")
        await live.until(lambda: not lab.open_rows("locked"))
        assert lab.fates("locked")[sent].answered_once

    live = lab.run(idle, script)
    assert not live.of(Charged) and not lab.faults()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """The file locked by another process."""
    hold = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "db.execute('BEGIN EXCLUSIVE'); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        yield
    finally:
        holder.communicate()


def test_a_session_folder_that_is_deleted_under_its_agent_and_made_again_is_served_again(lab, quick):
    lab.send("a", "before")
    config = evolve(quick, stuck=evolve(quick.stuck, idle_stop_ms=60_000))

    async def script(live):
        await live.until(lambda: not lab.open_rows("a"))
        folder = lab.session("a")
        while folder.exists():  # its agent writes its heartbeat meanwhile
            shutil.rmtree(folder, ignore_errors=True)
        [fine] = lab.send("fine", "hello")
        await answered(lab, live, "fine", fine)
        [after] = lab.send("a", "after")
        # The agent had the old files open; what it wrote to them would be lost, so it must not take the message.
        await answered(lab, live, "a", after)
        assert lab.fates("a")[after].tries == 0

    live = lab.run(config, script)
    assert not live.of(Charged) and not lab.faults()


@pytest.mark.parametrize("with_agent", [False, True], ids=["no agent runs", "its agent runs"])
def test_a_session_folder_replaced_by_a_link_is_refused_and_nothing_is_written_through_it(lab, idle, with_agent):
    decoy = lab.data.with_name("elsewhere")
    folder = lab.session("a")
    shutil.copytree(folder, decoy)
    (decoy / ".heartbeat").touch()
    lab.send("a", "before")
    db = apsw.Connection(str(decoy / "inbound.db"))
    db.execute(
        "INSERT INTO messages_in (id, seq, kind, timestamp, content) VALUES ('x', 2, 'chat', '2026', '{}')"
    ).fetchall()
    db.close()
    before = {path.name: path.read_bytes() for path in decoy.iterdir() if path.is_file()}
    stuck = evolve(idle.stuck, idle_stop_ms=60_000 if with_agent else 50)

    async def script(live):
        if with_agent:
            await live.until(lambda: not lab.open_rows("a"))
        else:
            await served(lab, live, "a")
        away = folder.with_name(".away")
        folder.rename(away)
        folder.symlink_to(decoy)
        await live.until(lambda: live.of(FaultSeen))
        [fine] = lab.send("fine", "hello")
        await answered(lab, live, "fine", fine)
        [again] = lab.send("fine", "and again: a session that was idle is noticed too")
        await answered(lab, live, "fine", again)
        # Accepted it is, and durable; its inbox is not where a link leads.
        waits = accept(lab.data, "a", "into the decoy").waits
        assert waits is not None and "link" in waits
        await asyncio.sleep(0.5)
        names = {path.name: path.read_bytes() for path in decoy.iterdir() if path.is_file()}
        if with_agent:  # whose own files these are: it may beat where its folder was
            names.pop(".heartbeat"), before.pop(".heartbeat")
        assert names == before
        folder.unlink()
        away.rename(folder)
        [after] = lab.send("a", "after")
        await answered(lab, live, "a", after)

    live = lab.run(evolve(idle, stuck=stuck), script)
    told = live.of(FaultSeen)
    assert any(str(folder) in f"{event.session} {event.detail}" for event in told)
    assert not [event for event in told if not event.session], "it is one session's trouble, not the host's"
    assert not live.of(Charged) and not lab.faults()


# Permissions: root reads everything, so the host of this test gives up that power first

POWERLESS = """
import ctypes, os, runpy, sys
if os.geteuid() == 0:
    libc, data = ctypes.CDLL(None, use_errno=True), (ctypes.c_uint32 * 6)()
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    assert libc.capget(header, data) == 0
    for column in (0, 1):
        data[column] &= ~(1 << 1 | 1 << 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert libc.capset(header, data) == 0, os.strerror(ctypes.get_errno())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.long
@pytest.mark.parametrize("closed", ["inbound.db", "outbound.db", "."], ids=["inbound", "outbound", "the folder"])
def test_what_the_host_may_not_read_is_named_and_the_others_are_served_and_it_heals(lab, idle, closed):
    for name in ("closed", "fine"):
        lab.send(name, "before")
    host = lab.serve(idle, limit=POWERLESS)
    path = lab.session("closed") / closed
    try:
        _wait(host, lambda: not lab.open_rows("closed") and not lab.open_rows("fine"))
        _wait(host, lambda: len(_told(lab, "Died", "main/closed")) == len(_told(lab, "Woke", "main/closed")) > 0)
        before = len(_told(lab, "FaultCleared"))
        during = later(lab, "closed", 500)
        path.chmod(0)
        _wait(host, lambda: _told(lab, "FaultSeen", "main/closed"))
        [fine] = lab.send("fine", "meanwhile")
        _wait(host, lambda: lab.fates("fine")[fine].answered_once)
        assert "denied" in str(_told(lab, "FaultSeen", "v2-sessions/main/closed"))
        if closed != ".":
            [fault] = lab.faults("closed")
            assert (fault.subject, fault.kind) == (closed, "denied")
        path.chmod(0o755 if closed == "." else 0o644)
        _wait(host, lambda: lab.fates("closed")[during].answered_once)
        _wait(host, lambda: len(_told(lab, "FaultCleared")) > before and not lab.faults())
    finally:
        path.chmod(0o755 if closed == "." else 0o644)
        host.terminate()
        assert host.wait(60) == 0, lab.served()
    assert not _told(lab, "Charged") and not lab.faults()


def _told(lab, event: str, session: str = "") -> list[dict]:
    lines = [json.loads(line) for line in lab.served().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event and session in str(line["what"])]


def _wait(host: "subprocess.Popen[str]", true, limit_s: float = 60) -> None:
    ends = time.monotonic() + limit_s
    while not true():
        assert host.poll() is None, "the host ended meanwhile"
        assert time.monotonic() < ends, f"waited {limit_s} s in vain"
        time.sleep(0.02)


# File systems of their own: full, and read-only


@contextmanager
def _small_disk(place: Path, size: str = "2m") -> Iterator[None]:
    """What lies in `place` on a small file system; skipped where none can be mounted."""
    shelter = place.with_name(f".{place.name}-shelter")
    place.mkdir(exist_ok=True)
    shutil.copytree(place, shelter, symlinks=True)
    if os.geteuid() != 0 or not _mounts("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)):
        cannot_mount("no file system can be mounted here")
    try:
        shutil.copytree(shelter, place, symlinks=True, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def _mounts(*arguments: str) -> bool:
    found = shutil.which("mount")
    return found is not None and subprocess.run(["mount", *arguments], capture_output=True).returncode == 0


def _fill(place: Path) -> Path:
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return filler


def test_a_session_whose_disk_fills_up_before_its_answer_is_taken_over_is_told_and_healed(lab, idle):
    folder = lab.session("full")
    lab.session("fine")
    with _small_disk(folder):

        async def script(live):
            lab.send("full", "before")
            await served(lab, live, "full")
            # Held back by a lock, the host finds the answer of this container on a disk that is full by then.
            with _locked(folder / "inbound.db"):
                ack = "INSERT INTO processing_ack VALUES ('m', 'completed', datetime('now'))"
                lab.sql("full", ack, file="outbound.db")
            lab.sql("full", "INSERT INTO messages_in (id, seq, kind, timestamp, content, process_after)"
                    " VALUES ('m', 100, 'chat', '2026', '{}', '2999-01-01')")  # fmt: skip
            filler = _fill(folder)
            await live.until(lambda: lab.faults("full"))
            assert (lab.faults("full")[0].subject, lab.faults("full")[0].kind) == ("inbound.db", "disk_full")
            answer = accept(lab.data, "full", "x" * 50_000)
            assert answer.waits is not None and "disk_full" in answer.waits
            [fine] = lab.send("fine", "hello")
            await answered(lab, live, "fine", fine)
            filler.unlink()
            await answered(lab, live, "full", answer.turn_id)
            settled = "SELECT 1 FROM messages_in WHERE id = 'm' AND status <> 'pending'"
            await live.until(lambda: lab.sql("full", settled))
            await live.until(lambda: not lab.faults())

        live = lab.run(idle, script)
        assert not live.of(Charged)
        assert {status for (status,) in lab.sql("full", "SELECT status FROM messages_in")} == {"completed"}


@pytest.mark.long
def test_a_disk_that_is_full_when_a_start_is_to_be_noted_delays_the_start_and_no_more(lab, idle):
    with _small_disk(lab.data):
        lab.send("a", "before")

        async def script(live):
            await served(lab, live, "a")
            sent = later(lab, "a", 1_500)
            filler = _fill(lab.data)
            with pytest.raises(StateFault, match="disk full"):
                lab.send("a", "x" * 50_000)
            await live.until(lambda: [event for event in live.of(FaultSeen) if "disk" in event.detail.lower()])
            assert len(live.of(Woke, "main/a")) == 1, "no container without a record"
            filler.unlink()
            await answered(lab, live, "a", sent)

        live = lab.run(idle, script)
        assert not live.of(Charged) and not lab.faults()
        assert [fate.tries for fate in lab.fates("a").values()] == [0, 0]


def test_a_disk_without_room_for_logs_loses_log_lines_and_no_answers(lab, idle):
    logs = lab.data / "logs"
    chatty = "echo answer; head -c 3000000 /dev/zero | tr '\\0' 'l' >&2"
    config = evolve(idle, agent=evolve(idle.agent, argv=("sh", "-c", chatty), speaks_contract=False))
    with _small_disk(logs, "64k"):
        _fill(logs)
        sent = lab.send("a", "one", "two")
        live = lab.run(config)
    assert all(lab.fates("a")[key].answered_once for key in sent)
    assert not live.of(Charged)


@pytest.mark.long
def test_a_folder_that_turns_read_only_under_a_host_holds_its_session_until_it_turns_back(lab, idle):
    folder = lab.session("frozen")
    lab.session("fine")
    with _small_disk(folder):

        async def script(live):
            lab.send("frozen", "before")
            await served(lab, live, "frozen")
            (folder / ".heartbeat").touch()
            sent = later(lab, "frozen", 1_000)
            assert _mounts("-o", "remount,ro", str(folder))
            await live.until(lambda: lab.faults("frozen"))
            assert lab.faults("frozen")[0].kind == "read_only" and str(folder) in lab.faults("frozen")[0].detail
            [fine] = lab.send("fine", "hello")
            await answered(lab, live, "fine", fine)
            answer = accept(lab.data, "frozen", "not now")
            assert answer.waits is not None and "read_only" in answer.waits
            assert _mounts("-o", "remount,rw", str(folder))
            await answered(lab, live, "frozen", answer.turn_id)
            await answered(lab, live, "frozen", sent)

        live = lab.run(idle, script)
        assert not live.of(Charged) and not lab.faults()


def test_what_an_operator_cleared_is_looked_at_again_at_once_and_told_anew_if_it_still_is_wrong(lab, idle):
    slow = evolve(idle, host=evolve(idle.host, fault_retry_ms=60_000))
    lab.send("a", "before")
    folder = lab.session("a")

    def clear() -> None:
        with HostState(lab.data) as state:
            assert state.notes.clear_session("main/a")[0]

    async def script(live):
        await served(lab, live, "a")
        kept = (folder / "inbound.db").read_bytes()
        _garbled(folder / "inbound.db")
        await live.until(lambda: lab.faults("a"))
        await asyncio.sleep(0.5)
        told = len(live.of(FaultSeen, "main/a"))  # 2, if the host looked while the file was being spoiled
        clear()
        await live.until(lambda: len(live.of(FaultSeen, "main/a")) == told + 1 and lab.faults("a"))
        await asyncio.sleep(0.5)
        (folder / "inbound.db").write_bytes(kept)
        clear()
        [after] = lab.send("a", "after")
        await answered(lab, live, "a", after)

    live = lab.run(slow, script)
    assert len(live.of(FaultSeen, "main/a")) <= 3 and len(live.of(FaultCleared, "main/a")) == 1
    assert not lab.faults()
