"""What happens to a session file that is broken, locked, strange or old: is it named, and left as it was?"""

import errno
import os
import shutil
import threading
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from turnkeel_adapters.errors import AdapterError, SessionFault
from turnkeel_adapters.sessions.connect import ensure_schema, open_for_writing
from turnkeel_adapters.sessions.faults import faults_named
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.sessions.records import InboundChanges, NewMessage
from turnkeel_adapters.sessions.store import FileSessionStore
from turnkeel_adapters.sessions.tree import SessionTree

NOW_MS = 1_776_686_400_500
MESSAGE = NewMessage(message_id="new", content="x")
FILES = ("inbound.db", "outbound.db")


@pytest.fixture
def folder(tmp_path):
    made = SessionTree(tmp_path).create(SessionName.parse("chat"))
    FileSessionStore(made).insert(NewMessage(message_id="first", content="x" * 20_000), NOW_MS)
    sql(made / "outbound.db", "INSERT INTO processing_ack VALUES ('first', 'processing', '2026-04-20 12:00:00')")
    return made


def sql(path, statement, values=()):
    with closing(apsw.Connection(str(path))) as db:
        return db.execute(statement, values).fetchall()


def contents(folder):
    """Return what every file of the folder holds, links and pipes by name only."""
    return {path.name: path.read_bytes() if _is_plain(path) else None for path in folder.iterdir()}


def _is_plain(path):
    return path.is_file() and not path.is_symlink()


def fault_of(act):
    with pytest.raises(SessionFault) as caught:
        act()
    return caught.value


def replaced(path, make):
    path.unlink()
    make(path)


BROKEN = {
    "empty": ("empty", lambda path: path.write_bytes(b"")),
    "not SQLite": ("not_sqlite", lambda path: path.write_bytes(b"this is a letter, not a database\n" * 100)),
    "a header cut short": ("corrupt", lambda path: path.write_bytes(path.read_bytes()[:50])),
    "cut after its first page": ("corrupt", lambda path: os.truncate(path, 4096)),
    "pages overwritten": ("corrupt", lambda path: path.write_bytes(path.read_bytes()[:100] + b"\xff" * 40_000)),
    "another schema": ("wrong_schema", lambda path: replaced(path, lambda new: sql(new, "CREATE TABLE t (a)"))),
    "a folder": ("not_sqlite", lambda path: replaced(path, os.mkdir)),
    "a pipe nobody writes": ("not_sqlite", lambda path: replaced(path, os.mkfifo)),
    "a link": ("link", lambda path: path.symlink_to(path.rename(path.with_suffix(".real")))),
    "a link to nowhere": ("link", lambda path: replaced(path, lambda new: new.symlink_to("nowhere"))),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_file_is_named_and_left_as_it_was(folder, name, how):
    kind, damage = BROKEN[how]
    damage(folder / name)
    before = contents(folder)
    store = FileSessionStore(folder)
    fault = fault_of(lambda: store.read(NOW_MS))
    assert (fault.kind, fault.path.name) == (kind, name)
    assert str(folder / name) in str(fault) and kind in str(fault)
    write = (lambda: store.insert(MESSAGE, NOW_MS)) if name == "inbound.db" else store.release_claims
    assert fault_of(write).path.name == name
    assert contents(folder) == before


def test_a_missing_inbound_file_is_not_made_by_opening(folder):
    (folder / "inbound.db").unlink()
    store = FileSessionStore(folder)
    insert, payload = lambda: store.insert(MESSAGE, NOW_MS), lambda: store.payload("m")
    for act in (lambda: store.read(NOW_MS), insert, store.prepare, payload):
        assert fault_of(act).kind == "missing"
    assert not (folder / "inbound.db").exists()


def test_a_missing_outbound_file_means_that_nothing_was_said(folder):
    (folder / "outbound.db").unlink()
    store = FileSessionStore(folder)
    reading = store.read(NOW_MS)
    assert reading.outbound_missing and reading.claims == () and len(reading.messages) == 1
    assert store.release_claims() == () and store.due_outbound(NOW_MS) == () and store.error_note("first") is None
    assert [line.message_id for line in store.history(5)] == ["first"]
    assert not (folder / "outbound.db").exists()


def test_a_missing_folder_is_missing(tmp_path):
    store = FileSessionStore(tmp_path / "nowhere")
    assert fault_of(lambda: store.read(NOW_MS)).kind == "missing"
    assert store.signature().inbound is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FILES)
def test_a_locked_file_is_busy_and_left_as_it_was(folder, name):
    before = contents(folder)
    store = FileSessionStore(folder, busy_timeout_ms=20)
    with closing(apsw.Connection(str(folder / name))) as other:
        other.execute("BEGIN EXCLUSIVE").fetchall()
        assert fault_of(lambda: store.read(NOW_MS)).kind == "busy"
        write = (lambda: store.insert(MESSAGE, NOW_MS)) if name == "inbound.db" else store.release_claims
        assert fault_of(write).kind == "busy"
        other.execute("ROLLBACK").fetchall()
    assert contents(folder) == before
    assert len(store.read(NOW_MS).claims) == 1


def test_a_read_only_store_writes_nothing(folder):
    before = contents(folder)
    store = FileSessionStore(folder, read_only=True)
    changes = InboundChanges(failed=("first",))
    for act in (
        lambda: store.insert(MESSAGE, NOW_MS),
        lambda: store.write_inbound(changes),
        lambda: store.mark_delivered("r", None, NOW_MS),
        store.release_claims,
        store.roll_back,
        store.remove_heartbeat,
    ):
        assert fault_of(act).kind == "read_only"
    store.read(NOW_MS)
    store.history(5)
    assert contents(folder) == before


def leave_hot_journal(folder, name, statement):
    """Put the files in the state in which a writer killed inside this statement's transaction leaves them."""
    saved = folder / "killed"
    saved.mkdir()
    with closing(apsw.Connection(str(folder / name))) as writer:
        writer.execute("BEGIN IMMEDIATE").fetchall()
        writer.execute(statement).fetchall()
        writer.cacheflush()
        for file in (name, f"{name}-journal"):
            shutil.copy(folder / file, saved / file)
        writer.execute("ROLLBACK").fetchall()
    for file in (name, f"{name}-journal"):
        (saved / file).replace(folder / file)
    saved.rmdir()


KILLED = {
    "inbound.db": "UPDATE messages_in SET status = 'failed'",
    "outbound.db": "UPDATE processing_ack SET status = 'completed'",
}


@pytest.mark.parametrize("name", FILES)
def test_a_hot_journal_is_told_apart_and_rolled_back_on_demand(folder, name):
    expected = FileSessionStore(folder).read(NOW_MS)
    leave_hot_journal(folder, name, KILLED[name])
    before = contents(folder)
    store = FileSessionStore(folder)
    fault = fault_of(lambda: store.read(NOW_MS))
    assert (fault.kind, fault.path.name) == ("hot_journal", name)
    assert contents(folder) == before
    store.roll_back()
    store.roll_back()
    assert store.read(NOW_MS) == expected
    assert f"{name}-journal" not in os.listdir(folder)


def test_a_journal_that_names_another_file_deletes_nothing(folder, tmp_path):
    leave_hot_journal(folder, "outbound.db", KILLED["outbound.db"])
    victim = tmp_path / "precious"
    victim.write_text("keep me")
    name = str(victim).encode()
    checksum = sum(byte - 256 if byte > 127 else byte for byte in name) & 0xFFFFFFFF
    trailer = bytes(4) + name + len(name).to_bytes(4, "big") + checksum.to_bytes(4, "big")
    with (folder / "outbound.db-journal").open("ab") as journal:
        journal.write(trailer + bytes.fromhex("d9d505f920a163d7"))
    store = FileSessionStore(folder)
    for act in (store.roll_back, lambda: open_for_writing(folder / "outbound.db")):
        assert fault_of(act).kind == "corrupt"
    assert victim.read_text() == "keep me"


def test_a_file_in_wal_mode_is_read_without_making_files(folder):
    with closing(apsw.Connection(str(folder / "outbound.db"))) as db:
        assert db.pragma("journal_mode", "wal") == "wal"
    before = contents(folder)
    assert len(FileSessionStore(folder).read(NOW_MS).claims) == 1
    assert contents(folder) == before


def test_unmerged_wal_changes_are_a_fault_not_old_news(folder):
    with closing(apsw.Connection(str(folder / "outbound.db"))) as db:
        db.pragma("journal_mode", "wal")
        db.execute("DELETE FROM processing_ack").fetchall()
        before = contents(folder)
        assert fault_of(lambda: FileSessionStore(folder).read(NOW_MS)).kind == "wal"
        assert contents(folder) == before


def test_a_text_that_is_not_utf8_is_a_fault_of_the_file(folder):
    sql(folder / "outbound.db", "UPDATE processing_ack SET status_changed = CAST(x'ff' AS TEXT)")
    assert fault_of(lambda: FileSessionStore(folder).read(NOW_MS)).kind == "corrupt"


def test_a_content_that_is_not_utf8_hides_nothing(folder):
    sql(folder / "inbound.db", "UPDATE messages_in SET content = CAST(x'41ff42' AS TEXT)")
    store = FileSessionStore(folder)
    assert store.payload("first") == "A\ufffdB" == store.history(1)[0].text
    assert len(store.read(NOW_MS).messages) == 1


def test_a_full_disk_is_no_corruption(folder):
    path = folder / "inbound.db"
    with closing(open_for_writing(path)) as db:
        db.pragma("max_page_count", 1)
        fault = fault_of(lambda: _insert_big(path, db))
    assert fault.kind == "disk_full" and "free some space" in str(fault)
    assert len(FileSessionStore(folder).read(NOW_MS).messages) == 1


def _insert_big(path, db):
    sql = "INSERT INTO messages_in (id, kind, timestamp, content) VALUES ('big', 'chat', '', zeroblob(1000000))"
    with faults_named(path):
        db.execute(sql).fetchall()


def test_a_write_without_the_right_is_read_only(folder):
    path = folder / "inbound.db"

    def write():
        with faults_named(path), closing(apsw.Connection(str(path), apsw.SQLITE_OPEN_READONLY)) as db:
            db.execute("DELETE FROM messages_in").fetchall()

    assert fault_of(write).kind == "read_only"


@pytest.mark.parametrize(
    ("code", "kind"),
    [(errno.ENOENT, "missing"), (errno.EACCES, "denied"), (errno.ENOSPC, "disk_full"), (errno.EDQUOT, "disk_full")]
    + [(errno.EROFS, "read_only"), (errno.ELOOP, "link"), (errno.EIO, "io")],
)
def test_errors_of_the_operating_system_have_their_kind(tmp_path, code, kind):
    def fail():
        with faults_named(tmp_path):
            raise OSError(code, os.strerror(code))

    fault = fault_of(fail)
    assert fault.kind == kind and fault.detail == os.strerror(code) and isinstance(fault, AdapterError)


def test_a_mistake_of_our_own_is_not_blamed_on_the_file(folder):
    incomplete = "INSERT INTO messages_in (id) VALUES (1)"
    for statement, error in (("SELEC", apsw.SQLError), (incomplete, apsw.ConstraintError)):
        with pytest.raises(error), faults_named(folder):
            sql(folder / "inbound.db", statement)


LEGACY_INBOUND = """
CREATE TABLE messages_in (id TEXT PRIMARY KEY, seq INTEGER UNIQUE, kind TEXT NOT NULL, timestamp TEXT NOT NULL,
  status TEXT DEFAULT 'pending', process_after TEXT, recurrence TEXT, tries INTEGER DEFAULT 0, platform_id TEXT,
  channel_type TEXT, thread_id TEXT, content TEXT NOT NULL);
CREATE TABLE delivered (message_out_id TEXT PRIMARY KEY, delivered_at TEXT NOT NULL);
INSERT INTO messages_in (id, seq, kind, timestamp, content, recurrence)
  VALUES ('old', 2, 'chat', '2026-04-20 12:00:00', 'x', '@daily');
INSERT INTO delivered VALUES ('r', '2026-04-20 12:00:00');
"""
LEGACY_OUTBOUND = """
CREATE TABLE messages_out (id TEXT PRIMARY KEY, seq INTEGER UNIQUE, in_reply_to TEXT, timestamp TEXT NOT NULL,
  deliver_after TEXT, recurrence TEXT, kind TEXT NOT NULL, platform_id TEXT, channel_type TEXT, thread_id TEXT,
  content TEXT NOT NULL);
CREATE TABLE processing_ack (message_id TEXT PRIMARY KEY, status TEXT NOT NULL, status_changed TEXT NOT NULL);
INSERT INTO messages_out (id, seq, timestamp, kind, content) VALUES ('r', 3, '2026-04-20 12:00:01', 'chat', 'x');
"""


@pytest.fixture
def old_folder(tmp_path):
    sql(tmp_path / "inbound.db", LEGACY_INBOUND)
    sql(tmp_path / "outbound.db", LEGACY_OUTBOUND)
    return tmp_path


def test_an_old_session_is_read_as_it_is(old_folder):
    before = contents(old_folder)
    store = FileSessionStore(old_folder)
    reading = store.read(NOW_MS)
    assert [(row.message_id, row.triggers, row.first_poll_only) for row in reading.messages] == [("old", True, False)]
    assert (reading.tool, reading.waiting, reading.row_faults) == (None, None, ())
    assert store.error_note("old") is None
    assert [(line.message_id, line.status) for line in store.history(5)] == [("old", "pending"), ("r", "delivered")]
    assert contents(old_folder) == before


def test_an_old_session_is_brought_up_to_date_once(old_folder):
    store = FileSessionStore(old_folder)
    store.prepare()
    migrated = store.signature()
    store.prepare()
    assert store.signature() == migrated
    columns = "series_id, trigger, source_session_id, on_wake"
    assert sql(old_folder / "inbound.db", f"SELECT {columns} FROM messages_in") == [("old", 1, None, 0)]
    assert sql(old_folder / "inbound.db", "SELECT status FROM delivered") == [("delivered",)]
    assert store.insert(MESSAGE, NOW_MS) == 4


@pytest.mark.parametrize("act", ["insert", "clone_recurrence"])
def test_an_old_session_takes_new_rows_without_being_prepared(old_folder, act):
    store = FileSessionStore(old_folder)
    if act == "insert":
        assert store.insert(MESSAGE, NOW_MS) == 4
    else:
        assert store.clone_recurrence("old", "new", NOW_MS, NOW_MS)
    assert sql(old_folder / "inbound.db", "SELECT id, series_id FROM messages_in ORDER BY seq") == [
        ("old", "old"),
        ("new", "new" if act == "insert" else "old"),
    ]


def test_a_failing_migration_changes_nothing(tmp_path):
    sql(tmp_path / "inbound.db", f"{LEGACY_INBOUND} CREATE TABLE idx_messages_in_series (x)")
    before = contents(tmp_path)
    with pytest.raises((SessionFault, apsw.Error)):
        FileSessionStore(tmp_path).prepare()
    assert contents(tmp_path) == before


def test_writers_at_the_same_moment_get_seqs_of_their_own(folder):
    gate, seqs = threading.Barrier(4), []

    def insert(writer):
        gate.wait()
        store = FileSessionStore(folder)
        for index in range(10):
            seqs.append(store.insert(NewMessage(message_id=f"{writer}-{index}", content="x"), NOW_MS))

    threads = [threading.Thread(target=insert, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seqs) == list(range(4, 84, 2))


def test_a_journal_that_its_writer_removes_while_it_is_looked_at_is_no_fault(folder, monkeypatch):
    """A commit ended between our look for the journal and the reading: the host told that inbound.db is missing."""
    (folder / "inbound.db-journal").touch()
    opening = Path.open

    def commit_ends_before(path, *rest):
        if path.name.endswith("-journal"):
            path.unlink()
        return opening(path, *rest)

    monkeypatch.setattr(Path, "open", commit_ends_before)
    open_for_writing(folder / "inbound.db").close()
    assert "inbound.db-journal" not in os.listdir(folder)


def test_a_schema_is_made_twice_without_harm(tmp_path):
    for _ in range(2):
        ensure_schema(tmp_path / "inbound.db", "inbound")
    assert os.listdir(tmp_path) == ["inbound.db"]
