"""Does the container's half of the session files keep the contract?"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import apsw
import pytest

from turnkeel_adapters.errors import SessionFault
from turnkeel_adapters.sessions.container_side import ClaimedWork, ClaimLost, ContainerFiles, ErrorNote, Reply, Routing
from turnkeel_adapters.sessions.schema import INBOUND_SCHEMA, OUTBOUND_SCHEMA

Value: TypeAlias = int | str | None

NOW_MS = 1_767_225_600_500  # 2026-01-01 00:00:00.500 UTC
BEFORE_ON_WAKE = "id TEXT PRIMARY KEY, seq INTEGER UNIQUE, kind TEXT NOT NULL, timestamp TEXT NOT NULL, status TEXT \
    DEFAULT 'pending', process_after TEXT, platform_id TEXT, channel_type TEXT, thread_id TEXT, content TEXT NOT NULL"


class Folder:
    """A session folder as the host made it."""

    def __init__(self, path: Path, inbound_schema: str = INBOUND_SCHEMA) -> None:
        self.path = path
        self.run("inbound", inbound_schema)
        self.run("outbound", OUTBOUND_SCHEMA)

    def run(self, name: str, sql: str, values: tuple[Value, ...] = ()) -> list[tuple[object, ...]]:
        db = apsw.Connection(str(self.path / f"{name}.db"))
        try:
            db.set_busy_timeout(5_000)
            return list(db.execute(sql, values or None).fetchall())
        finally:
            db.close()

    def insert(self, message_id: str, seq: int | None, **columns: Value) -> None:
        row: dict[str, Value] = {"id": message_id, "seq": seq, "kind": "chat", "timestamp": "t", "content": "{}"}
        row |= columns
        marks = ",".join("?" * len(row))
        self.run("inbound", f"INSERT INTO messages_in ({','.join(row)}) VALUES ({marks})", tuple(row.values()))

    def acks(self) -> dict[object, object]:
        return {key: status for key, status in self.run("outbound", "SELECT message_id, status FROM processing_ack")}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def files(folder: Folder) -> Iterator[ContainerFiles]:
    opened = ContainerFiles(folder.path)
    yield opened
    opened.close()


def claimed(work: ClaimedWork | None) -> tuple[str, tuple[str, ...]] | None:
    return None if work is None else (work.message.message_id, work.context_ids)


def claim(files: ContainerFiles) -> ClaimedWork:
    work = files.claim_next(NOW_MS, first_poll=False)
    assert work is not None
    return work


@pytest.mark.parametrize(
    ("name", "rows", "expected"),
    [
        ("nothing there", [], None),
        ("the oldest comes first, whatever the order of insertion", [("b", 4, {}), ("a", 2, {})], ("a", ())),
        ("context alone is left alone", [("a", 2, {"trigger": 0})], None),
        (
            "older context rides along, later context stays",
            [("c1", 2, {"trigger": 0}), ("m", 4, {}), ("c2", 6, {"trigger": 0})],
            ("m", ("c1",)),
        ),
        (
            "a row that is not due is passed over",
            [("a", 2, {"process_after": "2026-01-01 00:00:01"}), ("b", 4, {})],
            ("b", ()),
        ),
        (
            "a due time is compared in whole seconds",
            [("a", 2, {"process_after": "2026-01-01T00:00:00.999Z"})],
            ("a", ()),
        ),
        (
            "a due time with an offset is an instant",
            [("a", 2, {"process_after": "2026-01-01T02:00:00+02:00"})],
            ("a", ()),
        ),
        ("a due time that SQLite cannot read never comes", [("a", 2, {"process_after": "soon"})], None),
        (
            "context that is not due stays",
            [("c", 2, {"trigger": 0, "process_after": "2027-01-01"}), ("m", 4, {})],
            ("m", ()),
        ),
        ("a paused row is not taken", [("a", 2, {"status": "paused"})], None),
        ("a row for a first poll is not seen later", [("a", 2, {"on_wake": 1})], None),
        ("a trigger other than 0 and 1 is nobody's", [("a", 2, {"trigger": 2})], None),
        ("a row without a number counts as the oldest", [("b", 2, {}), ("a", None, {})], ("a", ())),
        ("an id that is no UTF-8 does not stop the others", [("a", 2, {}), ("b", 4, {})], ("b", ())),
    ],
)
def test_the_oldest_due_message_is_claimed_with_its_context(
    folder: Folder,
    files: ContainerFiles,
    name: str,
    rows: list[tuple[str, int | None, dict[str, Value]]],
    expected: tuple[str, tuple[str, ...]] | None,
) -> None:
    for message_id, seq, columns in rows:
        folder.insert(message_id, seq, **columns)
    if "UTF-8" in name:
        folder.run("inbound", "UPDATE messages_in SET id = CAST(x'ff61' AS TEXT) WHERE id = 'a'")
    assert claimed(files.claim_next(NOW_MS, first_poll=False)) == expected
    wanted = {} if expected is None else dict.fromkeys((expected[0], *expected[1]), "processing")
    assert folder.acks() == wanted


def test_acked_rows_never_hide_older_ones(folder: Folder, files: ContainerFiles) -> None:
    for number in range(25):
        folder.insert(f"m{number:02d}", 2 * number + 2)
    order: list[str] = []
    while (work := files.claim_next(NOW_MS, first_poll=False)) is not None:
        order.append(work.message.message_id)
        files.settle(work, "completed", None, NOW_MS)
    assert order == [f"m{number:02d}" for number in range(25)]


def test_rows_there_at_the_first_poll_stay_open_and_later_ones_do_not(folder: Folder, files: ContainerFiles) -> None:
    folder.insert("wake1", 2, on_wake=1)
    folder.insert("wake2", 4, on_wake=1)
    assert claimed(files.claim_next(NOW_MS, first_poll=True)) == ("wake1", ())
    folder.insert("wake3", 6, on_wake=1)
    assert claimed(files.claim_next(NOW_MS, first_poll=False)) == ("wake2", ())
    assert files.claim_next(NOW_MS, first_poll=False) is None


def test_files_from_before_trigger_and_on_wake_are_read_with_the_defaults(tmp_path: Path) -> None:
    folder = Folder(tmp_path, f"CREATE TABLE messages_in ({BEFORE_ON_WAKE})")
    folder.insert("old", 2, content="not JSON")
    files = ContainerFiles(tmp_path)
    work = claim(files)
    files.close()
    assert (work.message.message_id, work.message.content) == ("old", "not JSON")


def test_content_that_is_no_utf8_is_replaced_not_refused(folder: Folder, files: ContainerFiles) -> None:
    folder.insert("m", 2)
    folder.run("inbound", "UPDATE messages_in SET content = CAST(x'41ff42' AS TEXT)")
    assert claim(files).message.content == "A\ufffdB"


def test_a_claim_is_stamped_with_milliseconds_and_counts_as_progress(folder: Folder, files: ContainerFiles) -> None:
    folder.insert("m", 2)
    claim(files)
    stamp = "2026-01-01T00:00:00.500Z"
    assert folder.run("outbound", "SELECT status_changed FROM processing_ack") == [(stamp,)]
    assert folder.run("outbound", "SELECT updated_at FROM container_state") == [(stamp,)]


@pytest.mark.parametrize(
    ("inbound_seq", "outbound_seq", "expected"), [(2, None, 3), (3, None, 5), (2, 7, 9), (40, 7, 41), (None, None, 1)]
)
def test_a_reply_gets_the_next_odd_number_over_both_files(
    folder: Folder, files: ContainerFiles, inbound_seq: int | None, outbound_seq: int | None, expected: int
) -> None:
    folder.insert("m", inbound_seq)
    if outbound_seq is not None:
        folder.run(
            "outbound",
            "INSERT INTO messages_out (id, seq, timestamp, kind, content) VALUES ('o', ?, '2026', 'chat', '{}')",
            (outbound_seq,),
        )
    files.settle(claim(files), "completed", Reply(text="hi"), NOW_MS)
    assert folder.run("outbound", "SELECT seq FROM messages_out WHERE id != 'o'") == [(expected,)]


def test_settling_writes_ack_and_reply_and_clears_tool_and_note(folder: Folder, files: ContainerFiles) -> None:
    folder.insert("c", 2, trigger=0)
    folder.insert("m", 4, platform_id="p", channel_type="ch", thread_id="t")
    work = claim(files)
    files.declare_tool("Bash", 600_000, NOW_MS)
    files.note_error("m", ErrorNote(reason="exit_3"), NOW_MS)
    reply = Reply(text="naïve \x00 \ud800", in_reply_to="m", routing=work.message.routing)
    files.settle(work, "completed", reply, NOW_MS)
    assert folder.acks() == {"m": "completed", "c": "completed"}
    state = folder.run("outbound", "SELECT current_tool, tool_declared_timeout_ms FROM container_state")
    assert state == [(None, None)]
    assert folder.run("outbound", "SELECT key FROM session_state") == []
    ((*columns, content),) = folder.run(
        "outbound",
        "SELECT seq, in_reply_to, timestamp, kind, platform_id, channel_type, thread_id, content FROM messages_out",
    )
    assert columns == [5, "m", "2026-01-01 00:00:00", "chat", "p", "ch", "t"]
    assert json.loads(str(content)) == {"text": "naïve \x00 ?"}


def test_a_failed_message_keeps_its_reason_and_its_context_is_done(folder: Folder, files: ContainerFiles) -> None:
    folder.insert("c", 2, trigger=0)
    folder.insert("m", 4)
    files.settle(claim(files), "failed", None, NOW_MS, ErrorNote(reason="no_output", detail="x" * 10_000 + "end"))
    assert folder.acks() == {"m": "failed", "c": "completed"}
    ((value,),) = folder.run("outbound", "SELECT value FROM session_state WHERE key = 'turnkeel:error:m'")
    note = json.loads(str(value))
    assert (note["reason"], note["at_ms"]) == ("no_output", NOW_MS)
    assert (len(note["detail"]), note["detail"][-3:]) == (8_192, "end")


@pytest.mark.parametrize(
    "meanwhile",
    [
        "DELETE FROM processing_ack",
        "UPDATE processing_ack SET status = 'completed'",
        "UPDATE processing_ack SET status_changed = '2026-01-01T00:00:09.000Z'",
    ],
    ids=["taken back by the host", "settled by another", "claimed anew by another"],
)
def test_a_lost_claim_writes_nothing(folder: Folder, files: ContainerFiles, meanwhile: str) -> None:
    folder.insert("m", 2)
    work = claim(files)
    folder.run("outbound", meanwhile)
    before = folder.acks()
    with pytest.raises(ClaimLost, match="end this process"):
        files.settle(work, "completed", Reply(text="late"), NOW_MS)
    assert (folder.acks(), folder.run("outbound", "SELECT * FROM messages_out")) == (before, [])


def test_a_failing_write_leaves_neither_ack_nor_reply(folder: Folder, files: ContainerFiles) -> None:
    folder.insert("m", 2)
    work = claim(files)
    folder.run("outbound", "CREATE TRIGGER no BEFORE INSERT ON messages_out BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(apsw.ConstraintError):
        files.settle(work, "completed", Reply(text="hi"), NOW_MS)
    assert folder.acks() == {"m": "processing"}
    folder.run("outbound", "DROP TRIGGER no")
    files.settle(work, "completed", Reply(text="hi"), NOW_MS)
    assert folder.acks() == {"m": "completed"}


def test_a_fresh_container_forgets_what_the_last_one_left(folder: Folder, files: ContainerFiles) -> None:
    folder.insert("m", 2)
    folder.run("outbound", "INSERT INTO processing_ack VALUES ('old', 'completed', 't')")
    claim(files)
    files.declare_tool("Bash", None, NOW_MS)
    files.declare_waiting("rate_limit", NOW_MS + 1, NOW_MS)
    files.note_error("m", ErrorNote(reason="exit_3"), NOW_MS)
    files.clear_stale_claims()
    assert folder.acks() == {"old": "completed"}
    assert folder.run("outbound", "SELECT current_tool FROM container_state") == [(None,)]
    assert folder.run("outbound", "SELECT key FROM session_state") == [("turnkeel:error:m",)]


def test_a_wait_is_declared_and_cleared(folder: Folder, files: ContainerFiles) -> None:
    files.declare_waiting("approval", NOW_MS + 5, NOW_MS)
    ((value, updated_at),) = folder.run("outbound", "SELECT value, updated_at FROM session_state")
    assert json.loads(str(value)) == {"reason": "approval", "until_at_ms": NOW_MS + 5}
    assert updated_at == "2026-01-01T00:00:00.500Z"
    files.clear_waiting(NOW_MS)
    assert folder.run("outbound", "SELECT key FROM session_state") == []


def test_an_extra_reply_settles_nothing(folder: Folder, files: ContainerFiles) -> None:
    folder.insert("m", 2)
    folder.run("inbound", "INSERT INTO session_routing VALUES (1, 'ch', 'p', NULL)")
    claim(files)
    assert files.default_routing() == Routing(platform_id="p", channel_type="ch")
    files.send(Reply(text="on it", in_reply_to="m"), NOW_MS)
    assert folder.acks() == {"m": "processing"}
    assert folder.run("outbound", "SELECT seq, in_reply_to FROM messages_out") == [(3, "m")]


def test_missing_state_tables_are_made_and_old_ones_completed(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.run("outbound", "DROP TABLE container_state; DROP TABLE session_state")
    folder.run("outbound", "CREATE TABLE session_state (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
    files = ContainerFiles(tmp_path)
    files.note_error("m", ErrorNote(reason="r"), NOW_MS)
    files.progress(NOW_MS)
    files.close()
    assert folder.run("outbound", "SELECT length(updated_at) FROM session_state") == [(24,)]


@pytest.mark.parametrize(
    ("state", "kind"),
    [("gone", "missing"), ("empty", "empty"), ("foreign", "not_sqlite"), ("tableless", "wrong_schema")],
)
def test_an_outbound_file_that_cannot_be_used_is_named(folder: Folder, state: str, kind: str) -> None:
    path = folder.path / "outbound.db"
    match state:
        case "gone":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "foreign":
            path.write_bytes(b"no database " * 100)
        case _:
            folder.run("outbound", "DROP TABLE processing_ack")
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(SessionFault) as caught:
        ContainerFiles(folder.path)
    assert (caught.value.kind, caught.value.path) == (kind, path)
    assert (path.read_bytes() if path.exists() else None) == before


def test_inbound_is_never_changed_and_never_held_open(folder: Folder, files: ContainerFiles) -> None:
    folder.insert("m", 2)
    before = (folder.path / "inbound.db").read_bytes()
    files.settle(claim(files), "completed", Reply(text="hi"), NOW_MS)
    assert (folder.path / "inbound.db").read_bytes() == before
    # An exclusive lock is to be had at once: nobody reads.
    folder.run("inbound", "BEGIN EXCLUSIVE; COMMIT")


def test_a_busy_inbound_file_does_not_throw_an_answer_away(
    folder: Folder, files: ContainerFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("turnkeel_adapters.sessions.connect.reading.__wrapped__.__defaults__", (50,))
    folder.insert("m", 2)
    work = claim(files)
    host = apsw.Connection(str(folder.path / "inbound.db"))
    host.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(SessionFault, match="busy"):
            files.claim_next(NOW_MS, first_poll=False)
        files.settle(work, "completed", Reply(text="hi"), NOW_MS)
    finally:
        host.close()
    assert folder.acks() == {"m": "completed"}
    assert folder.run("outbound", "SELECT seq FROM messages_out") == [(3,)]


def test_the_heartbeat_is_created_and_moved(folder: Folder, files: ContainerFiles) -> None:
    beat = folder.path / ".heartbeat"
    files.touch_heartbeat()
    first = beat.stat().st_mtime_ns
    os.utime(beat, ns=(1, 1))
    files.touch_heartbeat()
    assert beat.stat().st_mtime_ns >= first
