"""Do the files of a reply travel with it, stay for another try, and go when it is proven, and no others?"""

import hashlib

import pytest

from turnkeel.delivery.mirror import is_plain_name, reply_id_of
from turnkeel_adapters.channels import read_attachment
from turnkeel_adapters.lifecycle.payloads import AttachedFile, Outgoing
from turnkeel_adapters.wire import dumps
from turnkeel_core import OutboxRow, Permanent, Transient
from turnkeel_core.turn_identity import encode_parts

SECOND = 1_000


@pytest.fixture
def folder(office):
    """The files of reply r1."""
    place = office.files.store("main/a").folder / "outbox" / "r1"
    place.mkdir(parents=True)
    (place / "a.txt").write_bytes(b"hello")
    return place


def queue(office, name="outbox/r1", **more):
    file = AttachedFile(name="a.txt", size=5, sha256=hashlib.sha256(b"hello").hexdigest())
    said = Outgoing(parts=("text",), chat="here", folder=name, files=(file,))
    office.queue("r1", payload=dumps(said), **more)


def test_files_are_named_to_the_channel_and_gone_after_the_receipt(office, folder):
    contents, deliver = [], office.chat.deliver

    def read(dispatch, part, key):
        contents.extend(read_attachment(one) for one in dispatch.attachments)
        return deliver(dispatch, part, key)

    office.chat.deliver = read
    queue(office)
    office.play(SECOND)
    assert (office.row("r1").status, contents) == ("delivered", [b"hello"])
    assert not folder.exists()
    assert folder.parent.exists()


@pytest.mark.parametrize("step", [Transient("busy"), Permanent("too big")], ids=["once more", "never"])
def test_files_stay_while_the_reply_is_not_delivered(office, folder, step):
    office.chat.script(step)
    queue(office)
    office.play(SECOND)
    assert (folder / "a.txt").read_bytes() == b"hello"


@pytest.mark.parametrize("name", ["../../b/outbox/x", "..", ".", "../inbound.db", "/etc", "a/b", ""])
def test_a_reply_with_the_name_of_another_place_removes_nothing_there(office, name):
    other = office.files.store("main/a").folder.parent / "b" / "outbox" / "x"
    other.mkdir(parents=True)
    mine = office.files.store("main/a").folder
    before = sorted(mine.iterdir())
    office.queue("r1", source=name or "r9")
    office.play(SECOND)
    assert office.row("r1").status == "delivered"
    assert other.exists()
    assert sorted(mine.iterdir()) == before


@pytest.mark.parametrize("name", ["outbox/..", "..", "", "/"])
def test_files_without_a_place_of_their_own_make_the_payload_invalid(office, name):
    queue(office, name)
    office.play(SECOND)
    assert office.row("r1").status == "failed_terminal"
    assert office.row("r1").reason == "invalid payload: its files have no place"


@pytest.mark.parametrize("reply_id", ["r1", "out-1:2", "12:x", "", "ü", "a/b"])
def test_a_replys_own_id_is_read_back_from_its_source(reply_id):
    row = OutboxRow(
        row_id="x", kind="final", channel="c", lane="l", ordinal=0, queued_at_ms=0, idempotency_key="k",
        session="main/a", source=encode_parts("main/a", reply_id),
    )  # fmt: skip
    assert reply_id_of(row) == reply_id


@pytest.mark.parametrize("source", [None, "notice-t1", "6:main/a", "6:main/b2:r1", "6:main/a3:r1", "6:main/ax:r1"])
def test_what_no_container_of_the_session_wrote_has_no_such_id(source):
    row = OutboxRow(
        row_id="x", kind="final", channel="c", lane="l", ordinal=0, queued_at_ms=0, idempotency_key="k",
        session="main/a", source=source,
    )  # fmt: skip
    assert reply_id_of(row) is None


def test_names_of_one_entry_are_plain_and_no_others():
    names = ["a", "a.b", "...", "", ".", "..", "a/b", "/", "a\0"]
    assert [is_plain_name(name) for name in names] == [True] * 3 + [False] * 6
