"""Which folders are sessions, and how does a new one appear?"""

import os
import threading
from contextlib import closing

import apsw
import pytest

from turnkeel_adapters.errors import SessionFault
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.sessions.store import FileSessionStore
from turnkeel_adapters.sessions.tree import SessionTree

CHAT = SessionName.parse("team/chat")


@pytest.fixture
def tree(tmp_path):
    return SessionTree(tmp_path)


def names(listing):
    return [str(found.name) for found in listing.sessions]


def test_no_data_means_no_sessions(tree):
    assert tree.find().sessions == () == tree.find().faults
    assert tree.closed_in_registry() == frozenset()


def test_a_created_session_is_whole_and_found(tree, tmp_path):
    folder = tree.create(CHAT)
    assert folder == tmp_path / "v2-sessions" / "team" / "chat"
    assert sorted(os.listdir(folder)) == ["inbound.db", "outbound.db", "outbox"]
    assert os.listdir(folder.parent) == ["chat"]
    assert [(found.name, found.folder) for found in tree.find().sessions] == [(CHAT, folder)]
    assert FileSessionStore(folder).read(0).messages == ()


def test_creating_twice_changes_nothing(tree):
    folder = tree.create(CHAT)
    before = {name: (folder / name).stat().st_mtime_ns for name in os.listdir(folder)}
    assert tree.create(CHAT) == folder
    assert {name: (folder / name).stat().st_mtime_ns for name in os.listdir(folder)} == before


def test_creators_at_the_same_moment_get_the_same_session(tree):
    gate, made = threading.Barrier(6), []

    def create():
        gate.wait()
        made.append(tree.create(CHAT))

    threads = [threading.Thread(target=create) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 6 and len(set(made)) == 1
    assert os.listdir(made[0].parent) == ["chat"]


def test_a_folder_in_the_way_is_not_overwritten(tree, tmp_path):
    folder = tmp_path / "v2-sessions" / "team" / "chat"
    (folder / "inbox").mkdir(parents=True)
    with pytest.raises(SessionFault):
        tree.create(CHAT)
    assert os.listdir(folder) == ["inbox"] and os.listdir(folder.parent) == ["chat"]


@pytest.mark.parametrize("part", ["team", "team/chat"])
def test_a_link_leads_nowhere(tree, tmp_path, part):
    elsewhere = tmp_path / "elsewhere"
    SessionTree(elsewhere).create(CHAT)
    link = tmp_path / "v2-sessions" / part
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere / "v2-sessions" / part)
    for use in (tree.folder, tree.create):
        with pytest.raises(SessionFault) as caught:
            use(CHAT)
        assert caught.value.kind == "link"
    listing = tree.find()
    assert listing.sessions == ()
    assert [fault.folder for fault in listing.faults] == [link]


def test_only_folders_with_a_session_file_are_sessions(tree, tmp_path):
    root = tmp_path / "v2-sessions"
    for name in ("one", "two"):
        tree.create(SessionName(group="main", name=name))
    (root / "main" / "two" / "inbound.db").unlink()
    (root / "main" / "empty").mkdir()
    (root / "main" / ".claude-shared").mkdir()
    (root / "main" / ".claude-shared" / "inbound.db").touch()
    (root / "main" / "a file").touch()
    (root / "main" / "odd name").mkdir()
    (root / "main" / "odd name" / "outbound.db").touch()
    listing = tree.find()
    assert names(listing) == ["main/one", "main/two"]
    assert [fault.folder.name for fault in listing.faults] == ["odd name"]
    assert "rename" in listing.faults[0].detail


def test_a_registry_tells_which_sessions_are_closed(tree, tmp_path):
    with closing(apsw.Connection(str(tmp_path / "v2.db"))) as db:
        db.execute("CREATE TABLE agent_groups (id TEXT)").fetchall()
        assert tree.closed_in_registry() == frozenset()
        db.execute("CREATE TABLE sessions (id TEXT, agent_group_id TEXT, status TEXT)").fetchall()
        rows = [("a", "g", "closed"), ("b", "g", "active"), ("..", "g", "closed"), (None, None, "closed")]
        db.executemany("INSERT INTO sessions VALUES (?, ?, ?)", rows).fetchall()
    before = (tmp_path / "v2.db").read_bytes()
    assert tree.closed_in_registry() == frozenset({SessionName(group="g", name="a")})
    assert (tmp_path / "v2.db").read_bytes() == before
    assert os.listdir(tmp_path) == ["v2.db"]
