"""What the trials with killed hosts have found stays mended."""

import importlib.util
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import apsw
import pytest

from turnkeel.delivery.mirror import mirror_in
from turnkeel.delivery.stop import stop_session
from turnkeel_adapters.sessions import operations
from turnkeel_core import OutboxRow
from turnkeel_core.turn_identity import encode_parts

HERE = Path(__file__).parent
MANY = 250


def _follow():
    spec = importlib.util.spec_from_file_location("kills_found_follow", HERE / "test_follow.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


follow = _follow()


@pytest.fixture
def desk(tmp_path):
    found = follow.Desk(tmp_path)
    yield found
    found.state.close()


@pytest.mark.parametrize("grace_ms", [0, follow.GRACE_MS])
def test_a_reply_behind_many_older_ones_is_not_taken_for_none_by_the_next_host(desk, grace_ms):
    key = desk.accept().turn_id
    desk.policy = follow.evolve(desk.policy, turn=follow.TurnPolicy(no_reply_grace_ms=grace_ms))
    desk.container(
        f"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MANY}) INSERT INTO messages_out"
        " (id, timestamp, kind, content) SELECT 'old-' || i, '2027-01-01 00:00:00', 'chat', '{}' FROM n"
    )
    for number in range(MANY):
        desk.sessions.store(follow.S).mark_delivered(f"old-{number + 1}", None, desk.now_ms)
    desk.claim(key)
    desk.reply("new", key)
    desk.ack(key)
    desk.begin()  # the host that saw none of this was killed
    desk.look()
    desk.sync()
    desk.now_ms += grace_ms
    for _ in range(5):
        desk.look()
    assert desk.row_of("new").turn_id == key
    assert desk.turn(key).status == "delivery_pending"


@pytest.mark.parametrize("before", [(), ("earlier",)], ids=["the first reply", "a later one"])
def test_a_reply_that_is_written_with_its_ack_between_two_looks_at_the_file_is_not_taken_for_none(
    desk, monkeypatch, before
):
    key = desk.accept().turn_id
    desk.policy = follow.evolve(desk.policy, turn=follow.TurnPolicy(no_reply_grace_ms=0))
    desk.begin()
    desk.claim(key)
    for name in before:
        desk.reply(name, None)
    desk.look()
    read_acks = operations.read_terminal_acks

    def answered_meanwhile(db, ids):
        desk.reply("new", key)
        desk.ack(key)
        with closing(apsw.Connection(db.filename)) as fresh:
            return read_acks(fresh, ids)

    monkeypatch.setattr(operations, "read_terminal_acks", answered_meanwhile)
    desk.look()
    assert desk.row_of("new").turn_id == key
    assert desk.turn(key).status == "delivery_pending"


def test_replies_of_a_stopped_turn_that_were_in_the_outbox_are_marked_as_failed(desk):
    key = desk.accept().turn_id
    desk.claim(key)
    desk.reply("out", key)
    desk.look()
    stop_session(desk.store, (follow.S,), desk.now_ms)  # in another process: nobody here sees it happen
    desk.look()
    assert desk.marks() == {"out": "failed"}


def test_a_host_killed_while_it_removes_the_files_of_a_reply_leaves_no_mark_and_the_next_one_removes_the_rest(
    tmp_path, monkeypatch
):
    marked = []
    mail = SimpleNamespace(mark_sent=lambda reply_id, platform_id, now_ms: marked.append((reply_id, platform_id)))
    sessions = SimpleNamespace(mail=lambda session: mail, folder=lambda session: tmp_path)
    source = encode_parts("main/a", "out-1")
    sent = OutboxRow(
        row_id="r1", kind="final", channel="c", lane="l", ordinal=1, queued_at_ms=1, idempotency_key="r1", source=source,
        status="delivered", completed_at_ms=2, parts=1, parts_proven=1, session="main/a",
    )  # fmt: skip
    (tmp_path / "outbox" / "out-1").mkdir(parents=True)
    (tmp_path / "outbox" / "out-1" / "picture").write_text("x")
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr("turnkeel.delivery.mirror.remove_attachments", Mock(side_effect=KeyboardInterrupt))
        mirror_in(sessions, sent, (), 3)
    assert marked == []
    mirror_in(sessions, sent, (), 4)
    assert marked == [("out-1", None)] and not (tmp_path / "outbox" / "out-1").exists()
