"""Does a session store give and take the same, on disk and in memory?"""

import os
from contextlib import closing

import apsw
import pytest

from turnkeel_adapters.errors import RefusedMessage
from turnkeel_adapters.sessions.connect import ensure_schema
from turnkeel_adapters.sessions.memory import MemorySessionStore
from turnkeel_adapters.sessions.records import (
    InboundChanges,
    NewMessage,
    OutboundMark,
    RecurringRow,
    RowCharge,
    RowDelay,
)
from turnkeel_adapters.sessions.store import FileSessionStore
from turnkeel_core.facts import Ack, Claim, DeclaredTool, OpenMessage, Waiting

NOW_MS = 1_776_686_400_500
NOW = "2026-04-20 12:00:00"


class FileSession:
    def __init__(self, folder):
        self.folder, self.store = folder, FileSessionStore(folder)

    def sql(self, which, sql, values=()):
        with closing(apsw.Connection(str(self.folder / f"{which}.db"))) as db:
            return db.execute(sql, values).fetchall()

    def beat(self, at_ms):
        path = self.folder / ".heartbeat"
        path.touch()
        # Half a millisecond more: the store floors.
        os.utime(path, ns=(at_ms * 1_000_000 + 500_000,) * 2)


class MemorySession:
    def __init__(self):
        self.store = MemorySessionStore()
        self.beat = self.store.beat

    def sql(self, which, sql, values=()):
        with getattr(self.store, which)() as db:
            return db.execute(sql, values).fetchall()


@pytest.fixture(params=["on disk", "in memory"])
def session(request, tmp_path):
    if request.param == "in memory":
        made = MemorySession()
        yield made
        made.store.close()
    else:
        for which in ("inbound", "outbound"):
            ensure_schema(tmp_path / f"{which}.db", which)
        yield FileSession(tmp_path)


def insert(session, message_id="m", **fields):
    return session.store.insert(NewMessage(message_id=message_id, content="{}", **fields), NOW_MS)


def ack(session, message_id, status, changed=NOW):
    session.sql("outbound", "INSERT OR REPLACE INTO processing_ack VALUES (?, ?, ?)", (message_id, status, changed))


def reply(session, message_id, seq, **columns):
    row = {"timestamp": NOW, "kind": "chat", "content": "hi", "id": message_id, "seq": seq, **columns}
    names, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
    session.sql("outbound", f"INSERT INTO messages_out ({names}) VALUES ({marks})", row)


def state(session, key, value, updated_at="2026-04-20T12:00:00.250Z"):
    session.sql("outbound", "INSERT OR REPLACE INTO session_state VALUES (?, ?, ?)", (key, value, updated_at))


def set_row(session, message_id, **columns):
    changes = ", ".join(f"{name} = :{name}" for name in columns)
    session.sql("inbound", f"UPDATE messages_in SET {changes} WHERE id = :id", {**columns, "id": message_id})


def rows(session, columns="id, status, tries, process_after"):
    return session.sql("inbound", f"SELECT {columns} FROM messages_in ORDER BY seq")


def test_an_inserted_message_is_open_and_due(session):
    assert [insert(session, "a"), insert(session, "b", triggers=False, on_wake=True)] == [2, 4]
    assert session.store.read(NOW_MS).messages == (
        OpenMessage(message_id="a", since_at_ms=NOW_MS),
        OpenMessage(message_id="b", triggers=False, first_poll_only=True, since_at_ms=NOW_MS),
    )
    assert session.store.payload("a") == "{}" and session.store.payload("nobody") is None


def test_the_same_id_is_refused_and_changes_nothing(session):
    insert(session)
    with pytest.raises(RefusedMessage, match="duplicate"):
        session.store.insert(NewMessage(message_id="m", content="other"), NOW_MS)
    assert session.store.payload("m") == "{}"
    assert insert(session, "next") == 4


@pytest.mark.parametrize(("message_id", "content"), [("", "x"), ("m", "\ud800"), ("\udfff", "x")])
def test_what_is_no_text_is_refused(session, message_id, content):
    with pytest.raises(RefusedMessage):
        session.store.insert(NewMessage(message_id=message_id, content=content), NOW_MS)
    assert rows(session) == []


@pytest.mark.parametrize("content", ["", "not json", "a\x00b", "\x00", "é\U0001f600", "x" * 10_000_000])
def test_any_text_is_kept_as_it_is(session, content):
    session.store.insert(NewMessage(message_id="m", content=content), NOW_MS)
    assert session.store.payload("m") == content
    assert len(session.store.read(NOW_MS).messages) == 1
    assert session.store.history(10)[0].text == content


@pytest.mark.parametrize(
    ("text", "due_at_ms", "never_due"),
    [
        (None, None, False),
        ("2026-04-20 12:00:05", 1_776_686_405_000, False),
        ("2026-04-20T12:00:05.250Z", 1_776_686_405_250, False),
        ("2026-04-20T14:00:05+02:00", 1_776_686_405_000, False),
        ("2026-04-21", 1_776_729_600_000, False),
        ("2026-04-20T12:01", 1_776_686_460_000, False),
        ("12:00:00", 946_728_000_000, False),
        ("now", 0, False),
        ("2461151.0", 1_776_686_400_000, False),
        ("garbage", None, True),
        ("", None, True),
        ("2026-04-20T12:00:05+0200", None, True),
        ("1776686400", None, True),
        (" 2026-04-20 12:00:05", None, True),
    ],
)
def test_due_times_are_read_as_the_container_reads_them(session, text, due_at_ms, never_due):
    insert(session)
    set_row(session, "m", process_after=text)
    reading = session.store.read(NOW_MS)
    assert [(row.due_at_ms, row.never_due) for row in reading.messages] == [(due_at_ms, never_due)]
    assert [fault.column for fault in reading.row_faults] == ["process_after"] * never_due


@pytest.mark.parametrize(
    ("tries", "expected", "faults"),
    [(0, 0, 0), (7, 7, 0), (None, None, 0), (2**62, 2**62, 0), ("many", None, 1), (b"\x00", None, 1), (1.5, None, 1)]
    + [(-1, None, 1), ("3", 3, 0)],
)
def test_tries_that_are_no_count_are_reported(session, tries, expected, faults):
    insert(session)
    set_row(session, "m", tries=tries)
    reading = session.store.read(NOW_MS)
    assert [row.tries for row in reading.messages] == [expected]
    assert [fault.column for fault in reading.row_faults] == ["tries"] * faults


def test_a_row_that_cannot_be_named_or_judged_is_reported_and_left_out(session):
    insert(session, "good")
    odd = [(None, 10, "pending"), (b"raw", 12, "pending"), ("odd", 14, "processing"), ("n", 16, None)]
    for message_id, seq, status in odd:
        sql = "INSERT INTO messages_in (id, seq, status, kind, timestamp, content) VALUES (?, ?, ?, 'chat', 'x', '')"
        session.sql("inbound", sql, (message_id, seq, status))
    reading = session.store.read(NOW_MS)
    assert [row.message_id for row in reading.messages] == ["good"]
    found = [(fault.message_id, fault.column) for fault in reading.row_faults]
    assert found == [(None, "id"), (None, "id"), ("odd", "status"), ("n", "status")]


def test_claims_come_in_row_order_with_their_resolution(session):
    stamps = [("b", NOW), ("a", "2026-04-20T12:00:00.123Z"), ("c", "soon"), ("b", "2026-04-20 12:00:01")]
    for message_id, changed in stamps:
        ack(session, message_id, "processing", changed)
    reading = session.store.read(NOW_MS)
    assert reading.claims == (
        Claim(message_id="a", claimed_at_ms=1_776_686_400_123),
        Claim(message_id="c", claimed_at_ms=None, resolution_ms=1000),
        Claim(message_id="b", claimed_at_ms=1_776_686_401_000, resolution_ms=1000),
    )
    assert [fault.message_id for fault in reading.row_faults] == ["c"]


def test_acks_are_those_of_open_rows_alone(session):
    for message_id in ("done", "failed", "open", "settled"):
        insert(session, message_id)
    set_row(session, "settled", status="completed")
    acks = {"done": "completed", "failed": "failed", "open": "processing", "settled": "completed"}
    for message_id, status in acks.items():
        ack(session, message_id, status)
    ack(session, "unknown", "completed")
    acks = session.store.read(NOW_MS).acks
    assert acks == (Ack(message_id="done", outcome="completed"), Ack(message_id="failed", outcome="failed"))


def test_a_row_recurs_once_its_occurrence_has_ended(session):
    for message_id, cron in (("done", "0 9 * * *"), ("acked", "@daily"), ("open", "* * * * *"), ("plain", None)):
        insert(session, message_id, recurrence=cron)
    set_row(session, "done", status="completed")
    set_row(session, "plain", status="completed")
    ack(session, "acked", "completed")
    expected = (
        RecurringRow(message_id="done", cron="0 9 * * *", kind="chat"),
        RecurringRow(message_id="acked", cron="@daily", kind="chat"),
    )
    assert session.store.read(NOW_MS).recurring == expected


@pytest.mark.parametrize(
    ("tool", "timeout", "started", "expected"),
    [
        (None, None, None, None),
        ("Bash", 5000, None, DeclaredTool(name="Bash", timeout_ms=5000, started_at_ms=NOW_MS)),
        ("Bash", "soon", NOW, DeclaredTool(name="Bash", started_at_ms=NOW_MS - 500, resolution_ms=1000)),
        ("Web", 1.5, "x", DeclaredTool(name="Web", timeout_ms=1, started_at_ms=None, resolution_ms=1000)),
        ("Web", float("inf"), None, DeclaredTool(name="Web", started_at_ms=NOW_MS)),
    ],
)
def test_a_declared_tool_is_read_with_its_timeout(session, tool, timeout, started, expected):
    sql = "INSERT INTO container_state VALUES (1, ?, ?, ?, '2026-04-20T12:00:00.500Z')"
    session.sql("outbound", sql, (tool, timeout, started))
    reading = session.store.read(NOW_MS)
    assert reading.tool == expected
    assert reading.progress_at_ms == NOW_MS


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('{"reason": "limit", "until_at_ms": 5}', Waiting(reason="limit", since_at_ms=NOW_MS - 250, until_at_ms=5)),
        ('{"reason": "ask", "until_at_ms": null}', Waiting(reason="ask", since_at_ms=NOW_MS - 250)),
        ('{"reason": 5, "until_at_ms": 5}', None),
        ('{"reason": "x", "until_at_ms": true}', None),
        ('{"reason": "x", "until_at_ms": 1.5}', None),
        ("[" * 100_000, None),
        ("", None),
        ("[]", None),
    ],
)
def test_a_wait_is_believed_only_if_it_is_well_formed(session, value, expected):
    state(session, "turnkeel:waiting", value)
    reading = session.store.read(NOW_MS)
    assert reading.waiting == expected
    assert [fault.table for fault in reading.row_faults] == ["session_state"] * (expected is None)


def test_a_wait_without_a_time_is_not_believed(session):
    state(session, "turnkeel:waiting", '{"reason": "x", "until_at_ms": null}', updated_at="")
    assert session.store.read(NOW_MS).waiting is None


def test_progress_is_the_newest_of_tool_reply_and_ack(session):
    assert session.store.read(NOW_MS).progress_at_ms is None
    ack(session, "a", "completed", "2026-04-20 12:00:03")
    reply(session, "r", 3, timestamp="2026-04-20 12:00:02")
    assert session.store.read(NOW_MS).progress_at_ms == 1_776_686_403_000


def test_a_mark_tells_whether_the_container_got_further(session):
    store = session.store
    start = store.read(NOW_MS).mark
    assert start == OutboundMark(replies=0, acks=0) and store.read(NOW_MS).progressed is None
    ack(session, "a", "processing")
    assert store.read(NOW_MS, start).progressed is False
    reply(session, "r", 3)
    after_reply = store.read(NOW_MS, start)
    assert after_reply.progressed is True
    assert store.read(NOW_MS, after_reply.mark).progressed is False
    ack(session, "a", "completed")
    assert store.read(NOW_MS, after_reply.mark).progressed is True


def test_a_released_claim_does_not_hide_later_progress(session):
    store = session.store
    ack(session, "a", "completed")
    for message_id in "bcd":
        ack(session, message_id, "processing")
    mark = store.read(NOW_MS).mark
    assert store.release_claims() == ("b", "c", "d")
    ack(session, "b", "completed")
    assert store.read(NOW_MS, mark).progressed is True


def test_claims_are_released_and_final_words_stay(session):
    for message_id, status in (("x", "processing"), ("done", "completed"), ("a", "processing")):
        ack(session, message_id, status)
    assert session.store.release_claims() == ("x", "a")
    assert session.store.release_claims() == ()
    assert session.sql("outbound", "SELECT message_id FROM processing_ack") == [("done",)]


def test_changes_touch_only_what_they_may(session):
    for message_id in ("settle", "again", "charge", "delay", "fail", "paused"):
        insert(session, message_id)
    set_row(session, "again", status="failed")
    set_row(session, "paused", status="paused")
    changes = InboundChanges(
        settled=("settle", "again", "unknown"),
        charges=(
            RowCharge(message_id="charge", tries=2, retry_at_ms=NOW_MS + 9_999),
            RowCharge(message_id="paused", tries=4),
        ),
        delays=(RowDelay(message_id="delay", retry_at_ms=NOW_MS), RowDelay(message_id="paused", retry_at_ms=NOW_MS)),
        failed=("fail", "paused", "settle"),
    )
    expected = [
        ("settle", "completed", 0, None),
        ("again", "completed", 0, None),
        ("charge", "pending", 2, "2026-04-20 12:00:10"),
        ("delay", "pending", 0, NOW),
        ("fail", "failed", 0, None),
        ("paused", "paused", 0, None),
    ]
    session.store.write_inbound(changes)
    assert rows(session) == expected
    session.store.write_inbound(changes)
    assert rows(session) == expected


@pytest.mark.parametrize(
    ("before", "after"), [(0, 3), (2, 3), (3, 3), (5, 5), (None, 3), ("many", 3), (b"x", 3), (2.5, 3)]
)
def test_a_charge_only_raises_a_count(session, before, after):
    insert(session)
    set_row(session, "m", tries=before)
    session.store.write_inbound(InboundChanges(charges=(RowCharge(message_id="m", tries=3),)))
    assert rows(session, "tries, process_after") == [(after, None)]


def test_nothing_to_change_writes_nothing(session):
    before = session.store.signature()
    session.store.write_inbound(InboundChanges())
    session.store.prepare()
    session.store.release_claims()
    session.store.roll_back()
    session.store.read(NOW_MS)
    assert session.store.signature() == before


def test_every_write_changes_the_signature(session):
    seen = [session.store.signature()]
    for act in (
        lambda: insert(session),
        lambda: session.store.write_inbound(InboundChanges(failed=("m",))),
        lambda: ack(session, "m", "processing"),
        session.store.release_claims,
        lambda: session.beat(NOW_MS),
    ):
        act()
        seen += [session.store.signature()]
    assert len(set(seen)) == len(seen)


def test_a_recurrence_is_cloned_once(session):
    insert(session, "first", recurrence="0 9 * * *", triggers=False, on_wake=True, platform_id="p")
    assert session.store.clone_recurrence("first", "second", NOW_MS + 1000, NOW_MS) is True
    assert session.store.clone_recurrence("first", "third", NOW_MS + 1000, NOW_MS) is False
    assert session.store.clone_recurrence("nobody", "third", NOW_MS, NOW_MS) is False
    columns = "id, seq, recurrence, series_id, trigger, on_wake, platform_id, process_after"
    assert rows(session, columns) == [
        ("first", 2, None, "first", 0, 1, "p", None),
        ("second", 4, "0 9 * * *", "first", 1, 0, "p", "2026-04-20T12:00:01.500Z"),
    ]


def test_a_clone_whose_id_is_taken_leaves_the_series_alone(session):
    insert(session, "first", recurrence="@daily")
    insert(session, "taken")
    with pytest.raises(RefusedMessage, match="duplicate"):
        session.store.clone_recurrence("first", "taken", NOW_MS, NOW_MS)
    assert rows(session, "id, recurrence") == [("first", "@daily"), ("taken", None)]


def test_error_notes_are_found_by_message(session):
    state(session, "turnkeel:error:m", '{"reason": "exit_3"}')
    assert session.store.error_note("m") == '{"reason": "exit_3"}'
    assert session.store.error_note("other") is None


@pytest.mark.parametrize(
    ("deliver_after", "due", "reported"),
    [
        (None, True, False),
        ("2026-04-20T12:00:00.500Z", True, False),
        ("2026-04-20T12:00:00.501Z", False, False),
        ("2026-04-20T14:00:00+02:00", True, False),
        ("2026-04-20 13:00:00", False, False),
        ("now", True, False),
        ("garbage", True, True),
        ("", True, True),
    ],
)
def test_replies_are_due_at_an_instant(session, deliver_after, due, reported):
    reply(session, "r", 3, deliver_after=deliver_after)
    found = session.store.due_outbound(NOW_MS)
    assert [row.message_id for row in found] == ["r"] * due
    assert [row.fault.column for row in found if row.fault] == ["deliver_after"] * reported


def test_a_settled_reply_is_never_due_again(session):
    for seq, message_id in ((1, "sent"), (3, "given up"), (5, "waiting")):
        reply(session, message_id, seq, in_reply_to="m", platform_id="p")
    session.store.mark_delivered("sent", "platform-1", NOW_MS)
    session.store.mark_delivery_failed("given up", NOW_MS)
    session.store.mark_delivered("given up", "late", NOW_MS)
    (due,) = session.store.due_outbound(NOW_MS)
    assert (due.message_id, due.content, due.in_reply_to, due.platform_id) == ("waiting", "hi", "m", "p")
    assert [line.status for line in session.store.history(10)] == ["delivered", "failed", "waiting"]


def test_a_reply_without_an_id_is_settled_too(session):
    reply(session, None, 1)
    (due,) = session.store.due_outbound(NOW_MS)
    session.store.mark_delivered(due.message_id, None, NOW_MS)
    assert session.store.due_outbound(NOW_MS) == ()


def test_history_merges_both_directions_page_by_page(session):
    for index in range(4):
        insert(session, f"m{index}")
        reply(session, f"r{index}", 2 * index + 3, in_reply_to=f"m{index}")
    ack(session, "m3", "processing")
    everything = session.store.history(100)
    assert [line.message_id for line in everything] == ["m0", "r0", "m1", "r1", "m2", "r2", "m3", "r3"]
    assert (everything[6].claim, everything[6].status, everything[7].in_reply_to) == ("processing", "pending", "m3")
    assert (everything[0].at_ms, everything[1].at_ms) == (NOW_MS, NOW_MS - 500)
    paged, after_seq = [], None
    while page := session.store.history(3, after_seq):
        paged += page
        after_seq = page[-1].seq
    assert tuple(paged) == everything


def test_a_heartbeat_is_floored_and_can_be_removed(session):
    assert session.store.heartbeat_at_ms() is None
    session.beat(NOW_MS)
    assert session.store.heartbeat_at_ms() == NOW_MS == session.store.signature().heartbeat_at_ms
    session.store.remove_heartbeat()
    session.store.remove_heartbeat()
    assert session.store.heartbeat_at_ms() is None
