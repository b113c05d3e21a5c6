"""Is what `turnkeel.db` acknowledged on the disk, and is a file it cannot use told apart from a fault of its own?"""

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import apsw
import pytest

from turnkeel_adapters.state import database as database_module
from turnkeel_adapters.state import durability, migrations
from turnkeel_adapters.state.database import StateDatabase, StateFault
from turnkeel_adapters.state.store import FILE_NAME, HostState
from turnkeel_adapters.system.filesystem import FileSystem

ROOT = Path(__file__).parents[2]
VERSION_1 = (Path(__file__).parent / "turnkeel_db_version_1.sql").read_text(encoding="utf-8")
PATHS = os.pathsep.join(str(ROOT / part) for part in ("core", "adapters", "shell"))


@pytest.fixture
def path(tmp_path):
    return tmp_path / FILE_NAME


@pytest.fixture
def database(path):
    database = StateDatabase(path)
    yield database
    database.close()


@pytest.fixture
def impatient(monkeypatch):
    """Locks are waited for only briefly."""
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_MS", 50)


def python(code, *arguments):
    """Start another process of this project."""
    environment = {"PYTHONPATH": PATHS, "PATH": os.environ["PATH"]}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], env=environment, stdout=subprocess.PIPE, text=True
    )


def names(path):
    with closing(StateDatabase(path)) as database:
        return {name for (name,) in database.rows("SELECT name FROM session")}


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


# What makes a commit durable


MODES = {
    "ext4": "wal", "xfs": "wal", "overlay": "wal", "tmpfs": "wal",
    "nfs4": "delete", "cifs": "delete", "9p": "delete", "virtiofs": "delete", "fuse.sshfs": "delete",
    "fuse.unheard-of": "delete", None: "delete",
}  # fmt: skip


@pytest.fixture(params=["wal", "delete"])
def mode(request, monkeypatch):
    """Either journal, whatever the tests' own file system is."""
    monkeypatch.setattr(durability, "journal_mode_for", lambda path: request.param)
    return request.param


@pytest.mark.parametrize(("kind", "mode"), MODES.items(), ids=str)
def test_the_file_system_chooses_the_journal(path, monkeypatch, kind, mode):
    found = None if kind is None else FileSystem(mount_point="/", kind=kind, source="x")
    monkeypatch.setattr(durability, "file_system_of", lambda path: found)
    assert durability.journal_mode_for(path) == mode
    with closing(StateDatabase(path)) as database:
        assert database.rows("PRAGMA journal_mode") == [(mode,)]


def test_a_file_system_that_cannot_be_told_gets_the_rollback_journal(path, monkeypatch):
    monkeypatch.setattr(durability, "file_system_of", lambda path: Path("/nowhere").read_bytes())
    assert durability.journal_mode_for(path) == "delete"


def test_the_connection_is_durable_and_checks_references(mode, database):
    for pragma, value in (("synchronous", 2), ("journal_mode", mode), ("foreign_keys", 1)):
        assert database.rows(f"PRAGMA {pragma}") == [(value,)]


def test_a_closed_database_is_one_plain_file(mode, path):
    with closing(StateDatabase(path)) as database, database.transaction() as db:
        db.execute("INSERT INTO session (name, seen_at_ms) VALUES ('kept', 1)")
    assert os.listdir(path.parent) == [path.name]
    assert path.read_bytes()[18:20] == b"\x01\x01", "no write-ahead log"
    assert names(path) == {"kept"}


@pytest.mark.parametrize("read_only", [False, True], ids=["a writer", "a reader"])
def test_a_file_that_another_has_open_is_left_in_its_mode(mode, path, database, read_only):
    with closing(StateDatabase(path, read_only=read_only)) as other:
        assert other.rows("PRAGMA journal_mode") == [(mode,)]
        database.close()
        assert other.rows("SELECT count(*) FROM session") == [(0,)]
        assert other.rows("PRAGMA journal_mode") == [(mode,)]
    StateDatabase(path).close()
    assert os.listdir(path.parent) == [path.name]


def test_a_file_moved_with_its_log_to_another_file_system_changes_its_journal(path, monkeypatch):
    monkeypatch.setattr(database_module, "leave_plain", lambda connection: None)
    for number, mode in enumerate(("wal", "delete", "wal")):
        monkeypatch.setattr(durability, "journal_mode_for", lambda path, mode=mode: mode)
        with closing(StateDatabase(path)) as database, database.transaction() as db:
            assert db.execute("PRAGMA journal_mode").fetchall() == [(mode,)]
            db.execute("INSERT INTO session (name, seen_at_ms) VALUES (?, 1)", (f"{number}",))
    assert names(path) == {"0", "1", "2"}


def test_a_log_does_not_grow_with_all_that_is_ever_written(path, monkeypatch):
    monkeypatch.setattr(durability, "journal_mode_for", lambda path: "wal")
    with closing(StateDatabase(path)) as database, closing(StateDatabase(path, read_only=True)) as reader:
        for number in range(60):
            with database.transaction() as db:
                db.execute("INSERT INTO policy (digest, text) VALUES (?, ?)", (f"{number}", "x" * 300_000))
            assert reader.rows("SELECT count(*) FROM policy") == [(number + 1,)]
        assert path.stat().st_size > 10_000_000
        assert path.with_name(f"{path.name}-wal").stat().st_size < 6_000_000


def test_a_close_that_the_disk_does_not_allow_leaves_the_log_and_loses_nothing(path, monkeypatch):
    monkeypatch.setattr(durability, "journal_mode_for", lambda path: "wal")
    database = StateDatabase(path)
    with database.transaction() as db:
        db.execute("INSERT INTO session (name, seen_at_ms) VALUES ('kept', 1)")

    def refuse(cursor, statement, bindings):
        if "journal_mode = DELETE" in statement:
            raise apsw.FullError("no room")
        return True

    database._connection.exec_trace = refuse
    database.close()
    assert names(path) == {"kept"}


def test_a_connection_that_cannot_be_made_durable_is_refused(path, monkeypatch):
    monkeypatch.setattr(durability, "_FULL", 3)
    with pytest.raises(StateFault, match="cannot be made durable"):
        StateDatabase(path)


# Transactions


def test_a_nested_transaction_commits_once_with_the_outermost(path, database):
    with database.transaction() as db:
        db.execute("INSERT INTO session (name, seen_at_ms) VALUES ('outer', 1)")
        with database.transaction() as inner:
            inner.execute("INSERT INTO session (name, seen_at_ms) VALUES ('inner', 1)")
        other = apsw.Connection(str(path), apsw.SQLITE_OPEN_READONLY)
        assert other.execute("SELECT count(*) FROM session").fetchall() == [(0,)]
        other.close()
    assert database.rows("SELECT count(*) FROM session") == [(2,)]


@pytest.mark.parametrize("where", ["inner", "outer"])
def test_an_error_rolls_a_nested_transaction_back_wholly(database, where):
    with pytest.raises(ZeroDivisionError), database.transaction() as db:
        db.execute("INSERT INTO session (name, seen_at_ms) VALUES ('outer', 1)")
        with database.transaction() as inner:
            inner.execute("INSERT INTO session (name, seen_at_ms) VALUES ('inner', 1)")
            if where == "inner":
                raise ZeroDivisionError
        raise ZeroDivisionError
    assert database.rows("SELECT count(*) FROM session") == [(0,)]
    with database.transaction() as db:
        db.execute("INSERT INTO session (name, seen_at_ms) VALUES ('next', 1)")
    assert database.rows("SELECT name FROM session") == [("next",)]


def test_sixteen_threads_write_side_by_side_and_every_row_is_there(path, database):
    def write(thread):
        for number in range(20):
            with database.transaction() as db:
                db.execute("INSERT INTO session (name, seen_at_ms) VALUES (?, 1)", (f"{thread}/{number}",))
            if not database.rows("SELECT 1 FROM session WHERE name = ?", f"{thread}/{number}"):
                failures.append((thread, number))

    failures: list[tuple[int, int]] = []
    threads = [threading.Thread(target=write, args=(thread,)) for thread in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert database.rows("SELECT count(*) FROM session") == [(320,)]


WRITER = """
import sys
from pathlib import Path
from turnkeel_adapters.state import durability
from turnkeel_adapters.state.store import HostState
from turnkeel_core import ChargeAttempt
durability.journal_mode_for = lambda path: sys.argv[2]
with HostState(Path(sys.argv[1])) as state:
    number = len(state.registry.known())
    while True:
        name = f"main/{number}"
        with state.database.transaction():
            state.registry.seen((name,), number)
            state.charges.note(name, (ChargeAttempt("m", 1, 1, None, "made by a test"),), number)
        print(number, flush=True)
        number += 1
"""


def kill_rounds(folder, rounds, seed, mode):
    draw, acknowledged = random.Random(seed), -1
    for _ in range(rounds):
        writer = python(WRITER, folder, mode)
        first = writer.stdout.readline()
        time.sleep(draw.uniform(0, 0.08))
        writer.send_signal(signal.SIGKILL)
        said = [first, *writer.stdout.readlines()]
        writer.stdout.close()
        writer.wait()
        # The last line may be torn.
        acknowledged = max([acknowledged, *(int(line) for line in said if line.endswith("\n"))])
        with HostState(folder) as state:
            known = state.registry.known()
            assert known >= {f"main/{number}" for number in range(acknowledged + 1)}, f"seed {seed}"
            assert all(len(state.charges.marks(name)) == 1 for name in known), "half a transaction"
            assert state.database.rows("PRAGMA integrity_check") == [("ok",)]
    return acknowledged


def test_a_writer_killed_at_any_instant_leaves_every_acknowledged_row(tmp_path, mode):
    assert kill_rounds(tmp_path, 12, 1, mode) > 12


@pytest.mark.long
def test_a_writer_killed_two_hundred_times_leaves_every_acknowledged_row(tmp_path, mode):
    assert kill_rounds(tmp_path, 200, 2, mode) > 200


# Migrations


def schema(path):
    other = apsw.Connection(str(path), apsw.SQLITE_OPEN_READONLY)
    rows = other.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()
    version = other.execute("PRAGMA user_version").fetchall()
    other.close()
    return version[0][0], [(kind, name, None if sql is None else " ".join(sql.split())) for kind, name, sql in rows]


def test_a_new_file_has_the_newest_schema(path):
    StateDatabase(path).close()
    assert schema(path)[0] == len(migrations.MIGRATIONS)


def make_version_1(path):
    old = apsw.Connection(str(path))
    old.execute(VERSION_1).fetchall()
    old.close()


def test_a_file_of_version_1_is_brought_up_to_date_and_keeps_its_rows(tmp_path, path):
    make_version_1(path)
    fresh = tmp_path / "fresh.db"
    StateDatabase(fresh).close()
    with HostState(tmp_path) as state:
        assert state.registry.closed() == {"main/closed"}
        assert [row.number for row in state.incarnations.history("main/a", limit=9)] == [2, 1]
        assert state.charges.of_message("main/a", "m1")[0].tries == 1
        assert state.dead.of_message("main/a", "m2")[0].payload == "hello"
        assert [fault.kind for fault in state.notes.faults()] == ["corrupt"]
        assert [line.decision for line in state.journal.of_session("main/a", limit=9)] == ["plan_sweep"]
    assert schema(path) == schema(fresh)


BROKEN = "CREATE TABLE later (x INTEGER) STRICT; INSERT INTO later VALUES (1); SELECT nonsense;"


def test_a_migration_that_fails_leaves_the_old_version_whole(tmp_path, path, monkeypatch):
    make_version_1(path)
    before = schema(path)
    monkeypatch.setattr(database_module, "MIGRATIONS", (*migrations.MIGRATIONS[:1], BROKEN))
    with pytest.raises((apsw.Error, StateFault)):
        StateDatabase(path)
    assert schema(path) == before
    monkeypatch.undo()
    StateDatabase(path).close()


KILLED_IN_MIGRATION = """
import os, sys
from pathlib import Path
from turnkeel_adapters.state import database
class Connection(database.StateConnection):
    def execute(self, sql, *rest, **more):
        if sql.startswith("PRAGMA user_version ="):
            self.cache_flush()
            os.kill(os.getpid(), 9)
        return super().execute(sql, *rest, **more)
database.StateConnection = Connection
database.StateDatabase(Path(sys.argv[1]))
"""


def test_a_process_killed_inside_a_migration_leaves_a_file_that_opens(path):
    killed = python(KILLED_IN_MIGRATION, path)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    StateDatabase(path).close()
    assert schema(path)[0] == len(migrations.MIGRATIONS)


OPENER = """
import sys
from pathlib import Path
from turnkeel_adapters.state.store import HostState
sys.stdin.read(1)
with HostState(Path(sys.argv[1])) as state:
    state.registry.seen((sys.argv[2],), 1)
"""


def test_processes_that_open_a_new_file_at_once_all_find_it_usable(tmp_path):
    environment = {"PYTHONPATH": PATHS, "PATH": os.environ["PATH"]}
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER, str(tmp_path), f"main/{number}"],
            env=environment,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    time.sleep(0.3)
    said = [opener.communicate("x")[1] for opener in openers]
    assert [opener.returncode for opener in openers] == [0] * 4, said
    with HostState(tmp_path) as state:
        assert state.registry.known() == {f"main/{number}" for number in range(4)}


COMER = """
import os, sys
from pathlib import Path
from turnkeel_adapters.state import durability
from turnkeel_adapters.state.store import HostState
durability.journal_mode_for = lambda path: sys.argv[3]
for number in range(25):
    with HostState(Path(sys.argv[1])) as state:
        state.registry.seen((f"main/{sys.argv[2]}-{number}",), 1)
        assert f"main/{sys.argv[2]}-{number}" in state.registry.known()
"""


def test_processes_that_open_write_and_close_all_the_time_lose_nothing_and_leave_one_plain_file(tmp_path, mode):
    comers = [python(COMER, tmp_path, number, mode) for number in range(3)]
    while any(comer.poll() is None for comer in comers):
        if (tmp_path / FILE_NAME).exists():
            with suppress(StateFault), HostState(tmp_path, read_only=True) as state:
                state.registry.known()
    for comer in comers:
        comer.communicate()
    assert [comer.returncode for comer in comers] == [0, 0, 0]
    with HostState(tmp_path) as state:
        assert state.registry.known() == {f"main/{who}-{number}" for who in range(3) for number in range(25)}
        assert state.database.rows("PRAGMA integrity_check") == [("ok",)]
    assert os.listdir(tmp_path) == [FILE_NAME]


def test_a_schema_of_the_future_is_refused_and_left_alone(path):
    StateDatabase(path).close()
    other = apsw.Connection(str(path))
    other.execute("PRAGMA user_version = 99").fetchall()
    other.close()
    before = digest(path)
    for read_only in (False, True):
        with pytest.raises(StateFault, match="newer turnkeel.*schema 99") as told:
            StateDatabase(path, read_only=read_only)
        assert str(path) in str(told.value)
    assert digest(path) == before


# Reading only


def test_reading_changes_no_byte_and_makes_no_file(tmp_path, path):
    with HostState(tmp_path) as state:
        state.registry.seen(("main/a",), 1)
    before, stamp = digest(path), path.stat().st_mtime_ns
    with HostState(tmp_path, read_only=True) as state:
        assert state.registry.known() == {"main/a"}
        with pytest.raises(StateFault, match="not writable"):
            state.registry.seen(("main/b",), 1)
    assert (digest(path), path.stat().st_mtime_ns) == (before, stamp)
    assert os.listdir(tmp_path) == [FILE_NAME]


def test_reading_where_there_is_no_file_is_a_fault_and_makes_none(tmp_path):
    with pytest.raises(StateFault, match="cannot be opened"):
        HostState(tmp_path, read_only=True)
    assert os.listdir(tmp_path) == []


def test_a_reader_does_not_migrate_an_older_file(path, monkeypatch):
    make_version_1(path)
    before = digest(path)
    monkeypatch.setattr(
        database_module, "MIGRATIONS", (*migrations.MIGRATIONS, "CREATE TABLE later (x INTEGER) STRICT")
    )
    with pytest.raises(StateFault, match="start the host once"):
        StateDatabase(path, read_only=True)
    assert digest(path) == before


# Files that cannot be used: each fault names the file and what helps


def garbage(path):
    path.write_bytes(b"this is no database, it is a letter to a friend " * 100)


def torn(path):
    with HostState(path.parent) as state:
        for number in range(300):
            state.registry.seen((f"main/{number}",), 1)
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)


def a_folder(path):
    path.mkdir()


def a_pipe(path):
    os.mkfifo(path)


def no_folder(path):
    path.parent.rmdir()


BAD_FILES = {
    "another program's file": (garbage, "damaged or no database: restore it from a backup"),
    "pages overwritten": (torn, "damaged or no database: restore it from a backup"),
    "a folder in its place": (a_folder, "is no plain file: move away"),
    "a pipe in its place": (a_pipe, "is no plain file: move away"),
    "its folder is missing": (no_folder, "cannot be opened: does the folder exist"),
}


@pytest.mark.parametrize(("make", "advice"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_file_that_cannot_be_used_is_told_with_path_and_advice(path, make, advice):
    make(path)
    with pytest.raises(StateFault, match=advice) as told, HostState(path.parent) as state:
        state.registry.known()
    assert (told.value.path, str(told.value).startswith(str(path))) == (path, True)


@pytest.mark.parametrize("read_only", [False, True], ids=["writing", "reading"])
@pytest.mark.parametrize("version", [0, 1, len(migrations.MIGRATIONS)])
def test_the_database_of_another_program_is_refused_and_left_as_it_is(path, version, read_only):
    other = apsw.Connection(str(path))
    other.execute(f"CREATE TABLE session (cake TEXT); PRAGMA user_version = {version}").fetchall()
    other.close()
    before = digest(path)
    with pytest.raises(StateFault, match="another program's database"):
        StateDatabase(path, read_only=read_only)
    assert (digest(path), os.listdir(path.parent)) == (before, [path.name])


def test_a_locked_file_is_told_after_the_wait(path, database, impatient):
    other = StateDatabase(path)
    with (
        database.transaction(),
        pytest.raises(StateFault, match="locked by another process") as told,
        other.transaction(),
    ):
        pass
    other.close()
    assert str(path) in str(told.value)
    with database.transaction() as db:
        db.execute("INSERT INTO session (name, seen_at_ms) VALUES ('after', 1)")


def test_a_full_disk_is_told_and_the_file_stays_whole(path, database):
    [[pages]] = database.rows("PRAGMA page_count")
    database.rows(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StateFault, match="disk full: free some space; nothing was acknowledged"):
        with database.transaction() as db:
            db.execute("INSERT INTO session (name, seen_at_ms) VALUES ('small', 1)")
            db.execute("INSERT INTO policy (digest, text) VALUES ('d', ?)", ("x" * 100_000,))
    assert database.rows("SELECT count(*) FROM session") == [(0,)]
    database.rows("PRAGMA max_page_count = 1000000")
    with database.transaction() as db:
        db.execute("INSERT INTO policy (digest, text) VALUES ('d', ?)", ("x" * 100_000,))
    assert database.rows("PRAGMA integrity_check") == [("ok",)]


LIMITED = """
import resource, signal, sys
from pathlib import Path
from turnkeel_adapters.state.database import StateFault
from turnkeel_adapters.state.store import HostState
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with HostState(Path(sys.argv[1])) as state:
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
    try:
        for number in range(100_000):
            state.registry.seen((f"main/{number:050}",), 1)
            done = number
    except StateFault as fault:
        print(done, fault, sep="|")
"""


def test_a_file_that_may_grow_no_further_is_told_and_keeps_what_it_acknowledged(tmp_path):
    writer = python(LIMITED, tmp_path)
    said, _ = writer.communicate()
    done, fault = said.strip().split("|", 1)
    assert str(tmp_path / FILE_NAME) in fault
    with HostState(tmp_path) as state:
        assert len(state.registry.known()) == int(done) + 1
