"""Does one broken session say what is wrong, stay as it is, leave the others alone, and heal by itself?"""

import asyncio
import os
import shutil
import subprocess
import time
from pathlib import Path

import apsw
import pytest
from attrs import evolve

from turnkeel.events import FaultCleared, FaultSeen, Settled, Woke
from turnkeel_adapters.errors import BadSessionName
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.sessions.records import NewMessage
from turnkeel_adapters.state.database import StateFault
from turnkeel_adapters.state.incarnations import Incarnations
from turnkeel_core import StartPolicy

from .conftest import cannot_mount


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5_000])


def _text(path: Path) -> None:
    path.write_bytes(b"Dear diary, today nothing was a database." * 200)


def _foreign(path: Path) -> None:
    path.unlink()
    db = apsw.Connection(str(path))
    db.execute("CREATE TABLE recipes (id TEXT, cake TEXT); INSERT INTO recipes VALUES ('1', 'plain')").fetchall()
    db.close()


def _missing(path: Path) -> None:
    path.unlink()


def _link(path: Path) -> None:
    real = path.with_name("elsewhere.db")
    path.rename(real)
    path.symlink_to(real)


BREAKS = {
    "empty": _empty,
    "cut short": _cut,
    "no database": _text,
    "foreign tables": _foreign,
    "a link": _link,
    "missing": _missing,
}


def test_broken_files_are_named_left_as_they_are_and_their_sessions_healed_when_they_are_restored(lab, quick):
    [fine] = lab.send("fine", "hello")
    cases = [(how, file) for how in BREAKS for file in ("inbound.db", "outbound.db")]
    cases.remove(("missing", "outbound.db"))  # made anew by the start that needs it
    paths, sent, kept, damage = {}, {}, {}, {}
    for number, (how, file) in enumerate(cases):
        name = f"broken{number}"
        [sent[name]] = lab.send(name, how)
        path = paths[name] = lab.session(name) / file
        kept[name] = path.read_bytes()
        BREAKS[how](path)
        damage[name] = _state(path)

    async def script(live):
        await live.until(lambda: lab.fates("fine")[fine].answered_once)
        await live.until(lambda: len(lab.faults()) == len(cases))
        await asyncio.sleep(0.5)  # a second look must not change the files either
        for name, path in paths.items():
            assert _state(path) == damage[name], name
            [fault] = lab.faults(name)
            assert fault.subject == path.name and f"v2-sessions/main/{name}/{path.name}" in fault.detail
            assert len(live.of(FaultSeen, f"main/{name}")) == 1, f"{name}: the same fault is told once"
            path.unlink(missing_ok=True)
            path.write_bytes(kept[name])
        for name, key in sent.items():
            await live.until(lambda name=name, key=key: lab.fates(name)[key].answered_once)
            await live.until(lambda name=name: live.of(FaultCleared, f"main/{name}"))

    lab.run(evolve(quick, start=StartPolicy(max_running=20)), script)
    assert not lab.faults()


def test_an_outbound_file_that_was_never_made_is_made_by_the_start_that_needs_it(lab, quick):
    [sent] = lab.send("a", "hello")
    (lab.session("a") / "outbound.db").unlink()
    lab.run(quick, lambda live: live.until(lambda: lab.open_rows("a") == 0))
    assert lab.fates("a")[sent].answered_once
    assert not lab.faults()


def _state(path: Path) -> tuple[str, bytes]:
    return os.readlink(path) if path.is_symlink() else "", path.read_bytes() if path.exists() else b"(missing)"


@pytest.mark.parametrize("broken", ["cut short", "a link"])
def test_a_fault_that_went_away_while_no_host_ran_is_forgotten_by_the_next_host(lab, quick, broken):
    folder = lab.session("broken")
    [sent] = lab.send("broken", "hello")
    kept = (folder / "inbound.db").read_bytes()
    BREAKS[broken](folder / "inbound.db")
    live = lab.run(quick)
    assert live.summary is not None and live.summary.faulty == ("main/broken",)
    assert lab.faults("broken")
    (folder / "inbound.db").unlink()
    (folder / "inbound.db").write_bytes(kept)
    lab.run(quick)
    assert lab.fates("broken")[sent].answered_once
    assert not lab.faults() and not lab.holds()


def test_broken_sessions_take_no_slot_from_the_others(lab, quick, agent):
    # Alone in the only slot when its file breaks; and a second one first in the queue.
    lab.send("broken", "hello")
    lab.session("queued")
    config = evolve(quick, start=StartPolicy(max_running=1))

    async def script(live):
        await live.until(lambda: lab.sql("broken", "SELECT 1 FROM processing_ack", file="outbound.db"))
        lab.send("queued", "hello")
        await live.until(lambda: [hold.session for hold in lab.holds()] == ["main/queued"])
        lab.send("fine", "hello")
        await live.until(lambda: len(lab.holds()) == 2)
        _text(lab.session("queued") / "inbound.db")
        _text(lab.session("broken") / "inbound.db")
        await live.until(lambda: live.of(FaultSeen, "main/broken") and live.of(FaultSeen, "main/queued"))
        lab.kill_agent("main/broken")  # if it has not ended by itself, for want of its file
        await live.until(lambda: live.of(Woke, "main/fine"))
        await live.until(lambda: lab.open_rows("fine") == 0)

    lab.run(evolve(config, agent=evolve(quick.agent, environment=(("WORK_MS", "0"),))), script)


@pytest.mark.parametrize("count", [1, pytest.param(20, marks=pytest.mark.long)])
def test_a_locked_session_does_not_stop_the_others_and_goes_on_when_the_lock_does(lab, quick, count):
    names = [f"locked{n}" for n in range(count)]
    for name in names:
        lab.send(name, "hello")
    holders = [apsw.Connection(str(lab.session(name) / "inbound.db")) for name in names]
    for db in holders:
        db.execute("BEGIN EXCLUSIVE").fetchall()
    took: list[float] = []

    async def script(live):
        await asyncio.sleep(0.5)
        [fine] = lab.send("fine", "hello")
        sent = time.monotonic()
        took.append(await live.until(lambda: lab.fates("fine")[fine].answered_once) - sent)
        if count > 1:  # a lock is told when it lasts: after several waits of SQLite's own
            await live.until(lambda: live.of(FaultSeen))
            assert all(fault.kind == "busy" and fault.subject == "inbound.db" for fault in lab.faults())
        for db in holders:
            db.execute("ROLLBACK").fetchall()
        for name in names:
            await live.until(lambda name=name: not lab.open_rows(name))

    try:
        lab.run(evolve(quick, start=StartPolicy(max_running=count + 1)), script)
    finally:
        for db in holders:
            db.close()
    assert not lab.faults()
    print(f"with {count} sessions locked, another was answered after {took[0]:.2f} s")


def test_a_read_only_file_is_reported_and_the_others_go_on(lab, quick):
    folder = lab.session("frozen")
    [sent] = lab.send("frozen", "hello")
    [fine] = lab.send("fine", "hello")
    with _read_only(folder):

        async def script(live):
            await live.until(lambda: lab.fates("fine")[fine].answered_once)
            await live.until(lambda: lab.faults("frozen") or live.of(Woke, "main/frozen"))

        lab.run(quick, script)
        assert lab.fates("frozen")[sent].status == "pending"
        assert lab.faults("frozen")
    lab.run(quick)
    assert lab.fates("frozen")[sent].answered_once
    assert not lab.faults()


class _read_only:
    """A folder that may not be written: a read-only bind mount, or, for another user than root, its permissions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> None:
        if os.geteuid() != 0:
            self.folder.chmod(0o555)
            for file in self.folder.glob("*.db"):
                file.chmod(0o444)
        elif not _mounts("--bind", str(self.folder), str(self.folder)):
            cannot_mount("no mount is allowed here, and root writes whatever the permissions say")
        else:
            _mounts("-o", "remount,bind,ro", str(self.folder))

    def __exit__(self, *_: object) -> None:
        if os.geteuid() != 0:
            self.folder.chmod(0o755)
            for file in self.folder.glob("*.db"):
                file.chmod(0o644)
        else:
            subprocess.run(["umount", str(self.folder)], check=True)


def _mounts(*arguments: str) -> bool:
    return (
        shutil.which("mount") is not None and subprocess.run(["mount", *arguments], capture_output=True).returncode == 0
    )


ROWS = {
    "a malformed due time": ("UPDATE messages_in SET process_after = 'tomorrow-ish'", "process_after"),
    "a huge count of tries": ("UPDATE messages_in SET tries = 9223372036854775807", None),
    "no count of tries": ("UPDATE messages_in SET tries = NULL", None),
    "a text as tries": ("UPDATE messages_in SET tries = 'many'", "tries"),
    "a negative count of tries": ("UPDATE messages_in SET tries = -7", "tries"),
    "content that is no JSON": ("UPDATE messages_in SET content = '{\"text\": '", None),
    "content with a NUL": ("UPDATE messages_in SET content = '{\"text\": \"a' || char(0) || 'b\"}'", None),
    "content as a blob": ("UPDATE messages_in SET content = x'fffe00'", None),
    "10 MB of content": (
        "UPDATE messages_in SET content = '{\"text\":\"' || printf('%.*c', 10000000, 'x') || '\"}'",
        None,
    ),
    "an unknown status": ("UPDATE messages_in SET status = 'on holiday'", "status"),
    "a malformed timestamp": ("UPDATE messages_in SET timestamp = 'once'", None),
    "an id with a NUL": ("UPDATE messages_in SET id = 'a' || char(0) || 'b'", None),
    "a due time beyond the calendar": ("UPDATE messages_in SET process_after = '99999-01-01'", "process_after"),
}


def test_odd_rows_are_answered_or_reported_and_the_next_row_and_session_go_on(lab, quick):
    [fine] = lab.send("fine", "hello")
    odd, before, after = {}, {}, {}
    for number, (what, (sql, _)) in enumerate(ROWS.items()):
        name = f"odd{number}"
        lab.send(name, what)
        lab.sql(name, sql)
        [odd[name]] = [str(key) for (key,) in lab.sql(name, "SELECT id FROM messages_in")]
        before[name] = lab.sql(name, "SELECT * FROM messages_in")
        [after[name]] = lab.send(name, "and this")
    # The echo of 10 MB is a reply of 10 MB.
    agent = evolve(quick.agent, output_limit_bytes=20_000_000)
    live = lab.run(evolve(quick, agent=agent, start=StartPolicy(max_running=20)))
    assert lab.fates("fine")[fine].answered_once
    reported = set()
    for (what, (_, column)), name in zip(ROWS.items(), odd, strict=True):
        fates = lab.fates(name)
        assert fates[after[name]].answered_once, what
        if column in (None, "tries"):
            assert fates[odd[name]].answered_once, what
        if column is not None:
            assert {(event.subject, event.kind) for event in live.of(FaultSeen, f"main/{name}")} == {
                (f"messages_in.{column} of {odd[name]}", "bad_row")
            }, what
        if column not in (None, "tries"):
            reported.add(f"main/{name}")
            assert lab.sql(name, "SELECT * FROM messages_in ORDER BY seq")[:1] == before[name], f"{what}: left as it is"
            assert [fault.kind for fault in lab.faults(name)] == ["bad_row"], what
    assert live.summary is not None and set(live.summary.faulty) == reported


@pytest.mark.parametrize("name", ["..", "a/../b", "/etc", "a/b/c", "two\nlines", "x" * 10_000, "", "nul\0", ".hidden"])
def test_a_name_that_is_no_session_is_refused_before_anything_is_made(lab, name):
    before = sorted(lab.data.rglob("*"))
    with pytest.raises(BadSessionName):
        lab.send(name, "hello")
    with pytest.raises(BadSessionName):
        SessionName.parse(name)
    assert sorted(lab.data.rglob("*")) == before


def test_folders_that_are_no_sessions_are_reported_and_nothing_in_them_is_touched(lab, quick):
    [fine] = lab.send("fine", "hello")
    root = lab.data / "v2-sessions"
    odd = root / "main" / "two\nlines"
    shutil.copytree(lab.session("fine"), odd)
    (root / "linked").symlink_to(lab.data)
    (root / "main" / "loop").symlink_to(root)
    live = lab.run(quick)
    assert lab.fates("fine")[fine].answered_once
    assert {Path(event.session).name for event in live.of(FaultSeen)} == {"two\nlines", "linked", "loop"}
    assert live.summary is not None and len(live.summary.faulty) == 3
    assert sorted(path.name for path in odd.iterdir()) == ["inbound.db", "outbound.db", "outbox"]


@pytest.mark.parametrize("becomes", ["gone", "a link", "a file"])
def test_a_session_folder_that_changes_under_a_running_agent_harms_no_other_session(lab, quick, becomes):
    folder = lab.session("moved")
    lab.send("moved", "hello")
    stuck = evolve(quick.stuck, idle_stop_ms=60_000)

    async def script(live):
        await live.until(lambda: lab.open_rows("moved") == 0)
        away = folder.with_name(".away")
        folder.rename(away)
        if becomes == "a link":
            folder.symlink_to(away)
        elif becomes == "a file":
            folder.write_text("not a folder")
        await asyncio.sleep(1)
        [fine] = lab.send("fine", "hello")
        await live.until(lambda: lab.fates("fine")[fine].answered_once)
        if becomes != "gone":
            folder.unlink()
        away.rename(folder)
        [back] = lab.send("moved", "again")
        await live.until(lambda: lab.fates("moved")[back].answered_once)

    lab.run(evolve(quick, stuck=stuck), script)
    assert not lab.faults()


def test_a_heartbeat_that_cannot_be_removed_is_a_fault_of_its_session_that_heals(lab, quick):
    folder = lab.session("odd")
    (folder / ".heartbeat").mkdir()
    [sent] = lab.send("odd", "hello")

    async def script(live):
        await live.until(lambda: lab.faults("odd"))
        assert ".heartbeat" in lab.faults("odd")[0].detail
        (folder / ".heartbeat").rmdir()
        await live.until(lambda: lab.fates("odd")[sent].answered_once)

    lab.run(quick, script)
    assert not lab.faults()


def test_a_start_whose_record_cannot_be_kept_is_taken_back_and_made_again(lab, quick, monkeypatch):
    [sent] = lab.send("a", "hello")
    keep, refused = Incarnations.started, []

    def started(self: Incarnations, *values: object) -> None:
        if not refused:
            refused.append(lab.agent_pids())
            raise StateFault(lab.data / "turnkeel.db", "disk full, says this test")
        keep(self, *values)

    monkeypatch.setattr(Incarnations, "started", started)
    live = lab.run(quick, lambda live: live.until(lambda: live.of(Settled) and not lab.faults()))
    # The one that was taken back may have answered before it was gone; then there is nothing to start again for.
    assert [event.incarnation for event in live.of(Woke)] in ([], [2])
    assert refused[0], "an agent ran when its record was refused"
    assert lab.fates("a")[sent].answered_once
    assert len(live.of(FaultSeen)) == 1 and not lab.faults()


@pytest.mark.parametrize("what", ["the session", "everything"])
def test_a_full_disk_loses_nothing_and_the_host_goes_on_when_there_is_room_again(lab, quick, what):
    small = lab.session("full") if what == "the session" else lab.data
    shelter = lab.data.with_name("shelter")
    shutil.copytree(small, shelter, symlinks=True)
    if os.geteuid() != 0 or not _mounts("-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)):
        cannot_mount("no file system can be mounted here")
    try:
        shutil.copytree(shelter, small, symlinks=True, dirs_exist_ok=True)
        sent = lab.send("full", "hello", "again")
        filler = small / "filler"

        def fill() -> None:
            with filler.open("wb", buffering=0) as file:
                try:
                    while True:
                        file.write(b"x" * 4096)
                except OSError:
                    pass

        fill()

        async def script(live):
            await live.until(lambda: live.of(FaultSeen) or live.of(Woke, "main/full"))
            if what == "the session":
                [fine] = lab.send("fine", "hello")
                await live.until(lambda: lab.fates("fine")[fine].answered_once)
            await asyncio.sleep(1.5)
            filler.unlink()
            await live.until(lambda: lab.open_rows("full") == 0)

        if what == "everything":
            filler.unlink()

            async def later(live):
                await live.until(lambda: live.of(Woke, "main/full"))
                fill()
                await script(live)

            lab.run(quick, later)
        else:
            lab.run(quick, script)
        if what == "the session":  # where both write to the full disk, chance decides who notices, and whether
            assert "disk_full" in (lab.data / "logs" / "main" / "full.log").read_text("utf-8", "replace")
        fates = lab.fates("full")
        assert fates.keys() == set(sent)
        assert all(fate.answered_once or fate.visibly_failed for fate in fates.values()), fates
        assert not lab.faults()
    finally:
        subprocess.run(["umount", str(small)], check=True)


LIMITED = """
import resource, runpy, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, resource.RLIM_INFINITY))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_host_that_may_not_let_its_files_grow_says_so_and_loses_nothing(lab, quick):
    lab.session("big")
    for number in range(12):  # of another writer: turnkeel.db has no part in them
        done = NewMessage(message_id=f"done{number}", content="x" * 500_000)
        lab.sessions.store("main/big").insert(done, 1)
    lab.sql("big", "UPDATE messages_in SET status = 'completed'")
    sent = lab.send("big", *("hello" for _ in range(12)))
    assert (lab.session("big") / "inbound.db").stat().st_size > 5_000_000
    serve = lab.serve(quick, limit=LIMITED)
    ends = time.monotonic() + 60
    while "FaultSeen" not in lab.served() and time.monotonic() < ends and serve.poll() is None:
        time.sleep(0.1)
    serve.terminate()
    assert serve.wait(60) in (0, 1)
    assert "FaultSeen" in lab.served() and str(lab.session("big") / "inbound.db") in lab.served()
    assert "Traceback" not in lab.served()
    lab.run(quick)
    fates = lab.fates("big")
    assert fates.keys() >= set(sent)
    assert all(fates[key].answered_once or fates[key].visibly_failed for key in sent)
