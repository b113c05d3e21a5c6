"""Does a look at a database file leave the locks of this process on it?

A trial with killed hosts found an inbound.db torn: a reader had opened the file by itself, closed it, and so taken the
lock off a transaction of another thread, into which another process wrote.
"""

import errno
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from turnkeel.cli.doctor_data import check_database
from turnkeel_adapters.database_file import copy_database, read_header, says_wal
from turnkeel_adapters.sessions.connect import ensure_schema, open_for_writing, open_read_only
from turnkeel_adapters.v1_messages import connect as v1

ROOT = Path(__file__).parents[2]
WRITER = """
import sys, apsw
db = apsw.Connection(sys.argv[1], apsw.SQLITE_OPEN_READWRITE)
try:
    db.execute("BEGIN IMMEDIATE").fetchall()
    print("wrote into it")
except apsw.BusyError:
    print("kept out")
"""


def another_writer(path):
    done = subprocess.run([sys.executable, "-c", WRITER, str(path)], capture_output=True, text=True, timeout=60)
    return done.stdout.strip() or done.stderr


def look_at_v1(path, tmp_path):
    with v1.reading(path):
        pass


LOOKS = {
    "its header": lambda path, tmp_path: read_header(path),
    "its mode": lambda path, tmp_path: says_wal(path),
    "a copy": lambda path, tmp_path: copy_database(path, tmp_path / "copy"),
    "a session's reader": lambda path, tmp_path: open_read_only(path).close(),
    "a second writer that is let go": lambda path, tmp_path: open_for_writing(path, 0).close(),
    "the reader of one table of messages": look_at_v1,
    "doctor": lambda path, tmp_path: check_database(path.parent),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
def test_a_look_takes_no_lock_off_a_transaction_of_this_process(tmp_path, look):
    path = tmp_path / "turnkeel.db"
    ensure_schema(path, "inbound")
    with closing(apsw.Connection(str(path))) as db:
        db.execute("CREATE TABLE messages (id, chat_jid, sender, content, timestamp, is_from_me, is_bot_message)")
        db.execute("BEGIN IMMEDIATE").fetchall()
        db.execute("UPDATE messages_in SET tries = 0").fetchall()
        assert another_writer(path) == "kept out"
        try:
            look(path, tmp_path)
        except Exception as error:
            print(repr(error))  # it may well find that the file is locked
        assert another_writer(path) == "kept out"
    assert another_writer(path) == "wrote into it"


def test_the_bytes_are_those_of_the_file(tmp_path):
    path, copy = tmp_path / "a.db", tmp_path / "b.db"
    with closing(apsw.Connection(str(path))) as db:
        db.execute("CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(3000000)), ('end')").fetchall()
    copy_database(path, copy)
    assert copy.read_bytes() == path.read_bytes() and read_header(path) == path.read_bytes()[:100]
    assert not says_wal(path)
    with closing(apsw.Connection(str(path))) as db:
        assert db.pragma("journal_mode", "wal") == "wal"
    assert says_wal(path)


@pytest.mark.parametrize("content", [b"", b"xy", b"SQLite format 3\0"])
def test_a_file_too_short_to_be_one_has_no_mode(tmp_path, content):
    (tmp_path / "a.db").write_bytes(content)
    assert (read_header(tmp_path / "a.db"), says_wal(tmp_path / "a.db")) == (content, False)


@pytest.mark.parametrize(("what", "why"), [("none", errno.ENOENT), ("a folder", errno.EISDIR), ("a link", errno.ELOOP)])
def test_what_cannot_be_read_is_told_as_the_system_does(tmp_path, what, why):
    path, real = tmp_path / "a.db", tmp_path / "real"
    real.write_bytes(b"x")
    if what == "a folder":
        path.mkdir()
    elif what == "a link":
        path.symlink_to(real)
    with pytest.raises(OSError) as told:
        read_header(path)
    assert (told.value.errno, told.value.filename) == (why, str(path)) and os.strerror(why) in str(told.value)
