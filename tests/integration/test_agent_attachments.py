"""Do files get beside a reply whole or not at all, and nowhere else?"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from turnkeel.agent import Agent, ClaimLost, OutputRefused
from turnkeel.agent.place import read_limits
from turnkeel_adapters.errors import SessionFault
from turnkeel_adapters.sessions.container_side import ContainerFiles
from turnkeel_adapters.sessions.schema import INBOUND_SCHEMA, OUTBOUND_SCHEMA
from turnkeel_core import OutputPolicy

SMALL = OutputPolicy(output_limit_bytes=20, attachment_limit_bytes=1_000)


class Session:
    """A session folder with one message to answer."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        for name, schema in (("inbound", INBOUND_SCHEMA), ("outbound", OUTBOUND_SCHEMA)):
            self.run(name, schema)
        self.run(
            "inbound",
            "INSERT INTO messages_in (id, seq, kind, timestamp, content) VALUES ('m', 2, 'chat', '2026', '{}')",
        )

    def run(self, name: str, sql: str) -> list[tuple[object, ...]]:
        db = apsw.Connection(str(self.path / f"{name}.db"))
        try:
            return list(db.execute(sql).fetchall())
        finally:
            db.close()

    def replies(self) -> dict[str, dict[str, object]]:
        rows = self.run("outbound", "SELECT id, content FROM messages_out")
        return {str(key): json.loads(str(text)) for key, text in rows}

    def outbox(self) -> dict[str, bytes]:
        found = [path for path in (self.path / "outbox").rglob("*") if not path.is_dir() or path.is_symlink()]
        return {str(path.relative_to(self.path / "outbox")): path.read_bytes() for path in found}

    def acks(self) -> list[tuple[object, ...]]:
        return self.run("outbound", "SELECT message_id, status FROM processing_ack")


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path / "session")


@pytest.fixture
def agent(session: Session) -> Iterator[Agent]:
    with Agent(session.path, handle_sigterm=False, limits=SMALL) as opened:
        yield opened


@pytest.fixture
def files(tmp_path: Path) -> Path:
    place = tmp_path / "made"
    place.mkdir()
    for name, size in (("plot.png", 400), ("table, 1.csv", 600), ("one more.txt", 1), ("résumé.pdf", 3)):
        (place / name).write_bytes(b"x" * size)
    return place


def test_files_lie_beside_the_reply_that_names_them(session, agent, files):
    message = agent.next_message()
    agent.reply(message, "here you are", [files / "plot.png", str(files / "table, 1.csv")])
    [(key, content)] = session.replies().items()
    assert content == {"text": "here you are", "files": ["plot.png", "table, 1.csv"]}
    assert session.outbox() == {f"{key}/plot.png": b"x" * 400, f"{key}/table, 1.csv": b"x" * 600}
    assert session.acks() == [("m", "completed")]


def test_an_extra_text_takes_files_along_too(session, agent, files):
    agent.say("look", [files / "résumé.pdf"])
    [(key, content)] = session.replies().items()
    assert content["files"] == ["résumé.pdf"] and session.outbox() == {f"{key}/résumé.pdf": b"xxx"}


def test_a_reply_without_files_is_as_it_was(session, agent):
    agent.reply(agent.next_message(), "plain")
    assert list(session.replies().values()) == [{"text": "plain"}]


def _link(place: Path) -> Path:
    (place / "link.txt").symlink_to(place / "plot.png")
    return place / "link.txt"


def _fifo(place: Path) -> Path:
    os.mkfifo(place / "fifo.txt")
    return place / "fifo.txt"


def _named(place: Path, name: str) -> Path:
    (place / name).write_bytes(b"x")
    return place / name


REFUSED = {
    "one byte over, all together": (lambda p: [p / "plot.png", p / "table, 1.csv", p / "one more.txt"], "1,001 bytes"),
    "a link": (lambda p: [_link(p)], "cannot be attached"),
    "a pipe": (lambda p: [_fifo(p)], "no plain file"),
    "a folder": (lambda p: [p], "no plain file"),
    "nothing there": (lambda p: [p / "plot.png", p / "missing.txt"], "No such file"),
    "two of one name": (lambda p: [p / "plot.png", p / "plot.png"], "two attachments"),
    "a hidden name": (lambda p: [_named(p, ".netrc")], "rename it"),
    "a name with a line end": (lambda p: [_named(p, "two\nlines")], "rename it"),
    "a parent": (lambda p: [p / ".."], "rename it"),
    "no name at all": (lambda p: ["/"], "rename it"),
    "a long name": (lambda p: [_named(p, "x" * 200)], "rename it"),
}


@pytest.mark.parametrize(("paths", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_attached_is_refused_with_its_reason_and_leaves_nothing(session, agent, files, paths, words):
    message = agent.next_message()
    with pytest.raises(OutputRefused, match=words):
        agent.reply(message, "here", paths(files))
    assert session.outbox() == {} and session.replies() == {}
    assert not (session.path / "outbox").exists() or not list((session.path / "outbox").iterdir())
    agent.reply(message, "then without", [files / "plot.png"])
    assert session.acks() == [("m", "completed")], "the message stayed in hand"


def test_a_text_at_the_limit_is_taken_and_one_byte_more_is_not(session, agent):
    message = agent.next_message()
    with pytest.raises(OutputRefused, match="text of 21 bytes, the limit is 20"):
        agent.say("é" * 10 + "x")
    with pytest.raises(OutputRefused, match="the limit is 20"):
        agent.reply(message, "x" * 21)
    agent.reply(message, "é" * 10)
    assert len(session.replies()) == 1


def test_a_claim_that_was_lost_takes_its_files_away_again(session, agent, files):
    message = agent.next_message()
    session.run("outbound", "DELETE FROM processing_ack")
    with pytest.raises(ClaimLost):
        agent.reply(message, "late", [files / "plot.png"])
    assert session.outbox() == {} and session.replies() == {}


def test_an_outbox_that_is_a_link_is_not_written_through(session, agent, files, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (session.path / "outbox").symlink_to(elsewhere)
    with pytest.raises(OutputRefused, match="outbox"):
        agent.reply(agent.next_message(), "here", [files / "plot.png"])
    assert list(elsewhere.iterdir()) == []


def test_the_next_agent_takes_away_what_a_killed_one_attached_to_a_reply_it_never_wrote(session, files):
    with Agent(session.path, handle_sigterm=False) as first:
        first.reply(first.next_message(), "kept", [files / "plot.png"])
    kept = session.outbox()
    for name in ("out-" + "a" * 32, "someone-elses"):
        (session.path / "outbox" / name).mkdir()
        (session.path / "outbox" / name / "half").write_bytes(b"x")
    Agent(session.path, handle_sigterm=False).close()
    assert session.outbox() == kept | {"someone-elses/half": b"x"}


def test_a_file_that_grows_while_it_is_copied_is_stopped_at_the_limit(session, agent, files, monkeypatch):
    read = os.read

    def growing(handle: int, size: int) -> bytes:
        return read(handle, size) or b"x" * 500

    message = agent.next_message()
    monkeypatch.setattr(os, "read", growing)
    with pytest.raises(OutputRefused, match="the limit is 1,000"):
        agent.reply(message, "here", [files / "plot.png"])
    monkeypatch.undo()
    assert session.outbox() == {}


def test_the_limits_come_from_the_environment():
    assert read_limits({}) == OutputPolicy()
    given = {"TURNKEEL_OUTPUT_LIMIT": "20", "TURNKEEL_ATTACHMENT_LIMIT": "1000"}
    assert read_limits(given) == SMALL


def test_no_message_is_taken_once_another_folder_stands_in_the_place_of_the_opened_one(session):
    files = ContainerFiles(session.path)
    try:
        session.path.rename(session.path.with_name("old"))
        Session(session.path)
        with pytest.raises(SessionFault, match="took the place of the opened one"):
            files.claim_next(1_800_000_000_000, True)
    finally:
        files.close()
