"""Does nothing but the file that was recorded leave the host, whatever an agent puts in its place?"""

import errno
import hashlib
import os
import socket
import threading

import pytest
from attrs import evolve

from turnkeel_adapters.channels import (
    Attachment,
    AttachmentChanged,
    AttachmentGone,
    AttachmentUnreadable,
    describe_attachments,
    read_attachment,
    remove_attachments,
)
from turnkeel_adapters.lifecycle.payloads import AttachedFile

PLAN, SECRET = b"the plan", b"a secret"


@pytest.fixture
def outbox(tmp_path):
    """`outbox/out-1` with one file; beside it, outside, a secret of the same length."""
    folder = tmp_path / "session" / "outbox" / "out-1"
    folder.mkdir(parents=True)
    (folder / "plan.txt").write_bytes(PLAN)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "plan.txt").write_bytes(SECRET)
    return folder


def _recorded(folder, content=PLAN, name="plan.txt"):
    return Attachment(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest(), folder=folder)


def test_a_file_is_described_and_read_as_it_is(outbox):
    assert describe_attachments(outbox, ["plan.txt"]) == (
        AttachedFile(name="plan.txt", size=len(PLAN), sha256=hashlib.sha256(PLAN).hexdigest()),
    )
    assert read_attachment(_recorded(outbox)) == PLAN


def test_a_large_and_an_empty_file_are_read_whole(outbox):
    large = os.urandom(3 * (1 << 20) + 7)
    (outbox / "large").write_bytes(large)
    (outbox / "empty").touch()
    for name, content in (("large", large), ("empty", b"")):
        [found] = describe_attachments(outbox, [name])
        assert (found.size, found.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert read_attachment(_recorded(outbox, content, name)) == content


def _link(path, target):
    path.unlink() if path.is_file() or path.is_symlink() else path.rename(path.with_name("moved"))
    path.symlink_to(target)


def _hard_link(folder):
    (folder / "plan.txt").unlink()
    os.link(folder.parents[2] / "outside" / "plan.txt", folder / "plan.txt")


def _pipe(folder):
    (folder / "plan.txt").unlink()
    os.mkfifo(folder / "plan.txt")


def _socket(folder):
    (folder / "plan.txt").unlink()
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(folder / "plan.txt"))


def _folder(folder):
    (folder / "plan.txt").unlink()
    (folder / "plan.txt").mkdir()


ATTACKS = [
    ("the file is a link", lambda f: _link(f / "plan.txt", f.parents[2] / "outside" / "plan.txt")),
    ("the file is a link to itself", lambda f: _link(f / "plan.txt", "plan.txt")),
    ("the folder is a link", lambda f: _link(f, f.parents[2] / "outside")),
    ("the outbox is a link", lambda f: _link(f.parent, f.parents[2])),
    ("the file is another name of a file outside", _hard_link),
    ("the file is a pipe", _pipe),
    ("the file is a socket", _socket),
    ("the file is a folder", _folder),
]


@pytest.mark.parametrize("attack", [c[1] for c in ATTACKS], ids=[c[0] for c in ATTACKS])
def test_what_an_agent_puts_in_the_place_of_a_file_is_neither_described_nor_read(outbox, attack):
    attack(outbox)
    if outbox.parent.is_symlink():
        (outbox.parents[2] / "out-1").symlink_to("outside")
    # Even one who knows what the secret says does not get it out.
    for content in (PLAN, SECRET):
        with pytest.raises(AttachmentChanged):
            read_attachment(_recorded(outbox, content))
    with pytest.raises(AttachmentChanged):
        describe_attachments(outbox, ["plan.txt"])


NAMES = ["../out-1/plan.txt", "..", ".", "", "a/b", "/etc/passwd", "plan.txt\n", "pl\0an", "x" * 256]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_name_that_leads_elsewhere_is_no_name(outbox, name):
    with pytest.raises(AttachmentChanged, match="no name of a file"):
        read_attachment(_recorded(outbox, name=name))
    with pytest.raises(AttachmentChanged, match="no name of a file"):
        describe_attachments(outbox, [name])


CHANGES = [
    ("other bytes of the same length", SECRET),
    ("more", PLAN + b"!"),
    ("less", PLAN[:-1]),
    ("nothing", b""),
]


@pytest.mark.parametrize("content", [c[1] for c in CHANGES], ids=[c[0] for c in CHANGES])
def test_a_file_that_was_changed_after_its_digest_was_taken_is_not_sent(outbox, content):
    recorded = _recorded(outbox)
    (outbox / "plan.txt").write_bytes(content)
    with pytest.raises(AttachmentChanged, match="not the file that was recorded"):
        read_attachment(recorded)


def test_a_file_that_is_swapped_all_the_time_is_sent_as_recorded_or_not_at_all(outbox):
    over, recorded = threading.Event(), _recorded(outbox)

    def swap():
        turn = 0
        while not over.is_set():
            turn += 1
            draft = outbox / f"draft-{turn}"
            if turn % 3 == 0:
                draft.symlink_to(outbox.parents[2] / "outside" / "plan.txt")
            else:
                draft.write_bytes((PLAN, SECRET)[turn % 2])
            os.replace(draft, outbox / "plan.txt")

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        seen = set()
        for _ in range(400):
            try:
                seen.add(read_attachment(recorded))
            except AttachmentChanged:
                seen.add(None)
    finally:
        over.set()
        swapper.join()
    assert seen <= {PLAN, None}


GONE = [
    ("the file", lambda f: (f / "plan.txt").unlink()),
    ("the folder", lambda f: f.rename(f.with_name("elsewhere"))),
    ("the outbox", lambda f: f.parent.rename(f.parents[1] / "elsewhere")),
]


@pytest.mark.parametrize("gone", [c[1] for c in GONE], ids=[c[0] for c in GONE])
def test_what_is_gone_is_said_to_be_gone(outbox, gone):
    gone(outbox)
    with pytest.raises(AttachmentGone, match="'plan.txt' cannot be read: No such file"):
        read_attachment(_recorded(outbox))


def test_a_machine_that_cannot_read_just_now_does_not_take_the_file_for_lost(outbox, monkeypatch):
    def fail(handle, size):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "read", fail)
    with pytest.raises(AttachmentUnreadable, match="Input/output error"):
        read_attachment(_recorded(outbox))


def test_no_attack_leaves_a_file_open(outbox):
    (outbox / "plan.txt").write_bytes(SECRET)
    before = len(os.listdir("/proc/self/fd"))
    for name in ("plan.txt", "missing", ".."):
        with pytest.raises((AttachmentChanged, AttachmentGone)):
            read_attachment(evolve(_recorded(outbox), name=name))
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_folder_of_a_reply_is_removed_and_a_second_time_nothing_happens(outbox):
    (outbox / "below").mkdir()
    (outbox / "below" / "link").symlink_to(outbox.parents[2] / "outside")
    for _ in range(2):
        remove_attachments(outbox)
        assert list(outbox.parent.iterdir()) == []
    assert (outbox.parents[2] / "outside" / "plan.txt").read_bytes() == SECRET


REMOVALS = [
    ("the folder is a link", lambda f: _link(f, f.parents[2] / "outside"), False),
    ("the outbox is a link", lambda f: _link(f.parent, f.parents[2]), True),
]


@pytest.mark.parametrize(("attack", "stays"), [c[1:] for c in REMOVALS], ids=[c[0] for c in REMOVALS])
def test_removing_follows_no_link(outbox, attack, stays):
    attack(outbox)
    outside = outbox.parents[2] / "outside"
    if stays:
        (outbox.parents[2] / "out-1").symlink_to("outside")
    remove_attachments(outbox)
    assert (outside / "plan.txt").read_bytes() == SECRET
    assert outbox.is_symlink() is stays


@pytest.mark.parametrize("name", ["..", "../../other/outbox/out-9", "../../other", "."], ids=repr)
def test_a_reply_whose_name_leads_elsewhere_removes_and_reads_nothing(outbox, name):
    other = outbox.parents[2] / "other" / "outbox" / "out-9"
    other.mkdir(parents=True)
    for place in (other, other.parent, other.parents[1], outbox.parent, outbox.parents[1]):
        (place / "plan.txt").write_bytes(PLAN)
    folder = outbox.parent / name
    remove_attachments(folder)
    assert all((place / "plan.txt").exists() for place in (other, outbox, outbox.parents[1]))
    if name != ".":  # which pathlib takes away: that is the outbox itself, and not one of a reply
        with pytest.raises(AttachmentChanged):
            read_attachment(_recorded(folder))
        with pytest.raises(AttachmentChanged):
            describe_attachments(folder, ["plan.txt"])


def test_only_what_lies_in_an_outbox_is_removed(outbox):
    remove_attachments(outbox.parents[1])
    remove_attachments(outbox.parent)
    assert (outbox / "plan.txt").exists()
