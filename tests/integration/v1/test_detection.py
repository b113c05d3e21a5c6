"""Does every acceptance criterion of B-01 hold? Each test has the words of the criterion that it proves."""

import ast
import importlib
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import apsw
import pytest

import turnkeel_adapters.v1_messages as v1_messages
from turnkeel_adapters.errors import RefusedMessage
from turnkeel_adapters.timestamps import parse_sqlite_utc
from turnkeel_adapters.v1_messages import UnknownMessage, V1Fault, dispatch, read_dispatched, reading_v1
from turnkeel_core import (
    DispatchSnapshot,
    InterruptedPolicy,
    InterruptedSnapshot,
    MessageKey,
    find_interrupted,
    plan_dispatch_mark,
)

MINUTE_MS = 60_000
THRESHOLD_MS = InterruptedPolicy().stale_ms


def at(clock):
    return parse_sqlite_utc(f"2026-05-01T{clock}Z")


def keys(*ids, chat="A"):
    return tuple(MessageKey(chat, message_id) for message_id in ids)


def mark(database, batch, clock):
    with database.open() as messages:
        return messages.mark_dispatched(plan_dispatch_mark(DispatchSnapshot(now_ms=at(clock), batch=batch)))


def found(database, now_ms, policy=InterruptedPolicy()):
    with reading_v1(database.path) as db:
        scan = read_dispatched(db)
    return find_interrupted(InterruptedSnapshot(now_ms=now_ms, dispatched=scan.dispatched), policy)


class TestMessagesTableGainsProcessingStartedAtTextViaSafeAdditiveMigration:
    def test_the_column_is_text_and_null_and_nothing_else_of_the_table_changes(self, database):
        before, table = database.dump(), database.run("PRAGMA table_info(messages)")
        database.open().close()
        added = database.run("PRAGMA table_info(messages)")[len(table) :]
        assert [(row[1], row[2], row[3], row[4]) for row in added] == [("processing_started_at", "TEXT", 0, None)]
        assert database.run("PRAGMA table_info(messages)")[: len(table)] == table
        assert database.run("SELECT processing_started_at FROM messages") == [(None,)]
        assert database.dump() == before

    def test_a_second_start_keeps_every_marker(self, database):
        database.store("m1", "10:00:00.000")
        mark(database, keys("m1"), "10:01:00.000")
        database.open().close()
        assert database.markers() == {"m1": "2026-05-01T10:01:00.000Z"}

    def test_an_error_of_the_migration_is_not_taken_for_a_column_that_is_there(self, database):
        with closing(apsw.Connection(str(database.path))) as holder:
            holder.execute("BEGIN EXCLUSIVE").fetchall()
            with pytest.raises(V1Fault, match="Busy"):
                v1_messages.V1Messages(database.path, assistant="Andy", busy_timeout_ms=1)
        assert "processing_started_at" not in [row[1] for row in database.run("PRAGMA table_info(messages)")]

    def test_another_database_is_refused_and_left_as_it_is(self, tmp_path):
        path = tmp_path / "other.db"
        with closing(apsw.Connection(str(path))) as db:
            db.execute("CREATE TABLE messages (id TEXT)").fetchall()
        before = path.read_bytes()
        with pytest.raises(V1Fault, match="it lacks chat_jid"):
            v1_messages.V1Messages(path, assistant="Andy")
        assert path.read_bytes() == before

    def test_a_file_that_is_missing_is_not_made(self, tmp_path):
        with pytest.raises(V1Fault, match="there is no such file"):
            v1_messages.V1Messages(tmp_path / "none.db", assistant="Andy")
        assert list(tmp_path.iterdir()) == []


class TestProcessingStartedAtIsSetImmediatelyBeforeDispatchingABatchInOneTransaction:
    def test_all_messages_of_the_batch_have_one_value_when_the_queue_gets_it(self, database):
        for number in range(3):
            database.store(f"m{number}", f"10:0{number}:00.000")
        seen_by_queue = []
        with database.open() as messages:
            batch = keys("m0", "m1", "m2")
            dispatch(messages, batch, at("10:05:00.000"), lambda: seen_by_queue.append(database.markers()))
        assert seen_by_queue == [dict.fromkeys(("m0", "m1", "m2"), "2026-05-01T10:05:00.000Z")]

    def test_a_batch_dispatched_again_with_a_newer_message_has_one_value_again(self, database):
        database.store("m1", "10:00:00.000")
        mark(database, keys("m1"), "10:01:00.000")
        database.store("m2", "10:02:00.000")
        assert mark(database, keys("m1", "m2", "m1"), "10:09:00.000") == 2
        assert set(database.markers().values()) == {"2026-05-01T10:09:00.000Z"}

    def test_a_batch_with_a_message_that_is_not_stored_marks_nothing_and_hands_nothing_on(self, database):
        database.store("m1", "10:00:00.000")
        handed = []
        with database.open() as messages, pytest.raises(UnknownMessage, match="gone in chat A; nothing was marked"):
            dispatch(messages, keys("m1", "gone"), at("10:01:00.000"), lambda: handed.append(1))
        assert (handed, database.markers()) == ([], {"m1": None})

    def test_a_dispatch_set_up_that_fails_after_the_mark_leaves_the_whole_batch_marked(self, database):
        database.store("m1", "10:00:00.000")
        database.store("m2", "10:01:00.000")

        def fails():
            raise OSError("no container can be set up")

        with database.open() as messages, pytest.raises(OSError, match="no container"):
            dispatch(messages, keys("m1", "m2"), at("10:02:00.000"), fails)
        assert set(database.markers().values()) == {"2026-05-01T10:02:00.000Z"}
        told = found(database, at("10:02:00.000") + THRESHOLD_MS + 1)
        assert [one.key.message_id for one in told] == ["m1", "m2"]

    def test_a_host_killed_between_two_messages_of_a_batch_leaves_none_marked(self, database):
        for number in range(2):
            database.store(f"m{number}", f"10:0{number}:00.000")
        program = (
            "import os, sys, apsw\n"
            "from pathlib import Path\n"
            "from turnkeel_adapters.v1_messages import V1Messages\n"
            "from turnkeel_core import MarkDispatched, MessageKey\n"
            "messages = V1Messages(Path(sys.argv[1]), assistant='Andy')\n"
            "db = messages._db\n"
            "db.pragma('cache_spill', 1); seen = []\n"
            "db.set_update_hook(lambda *change: (seen.append(1), len(seen) == 2 and os._exit(9)))\n"
            "messages.mark_dispatched(MarkDispatched((MessageKey('A', 'm0'), MessageKey('A', 'm1')), 5))\n"
        )
        done = subprocess.run([sys.executable, "-c", program, str(database.path)], check=False)
        assert done.returncode == 9
        assert set(database.markers().values()) == {None}


class TestProcessingStartedAtIsClearedWhenABotResponseIsStored:
    @pytest.fixture(autouse=True)
    def _marked(self, database):
        database.store("m1", "10:00:00.000")
        database.store("m2", "10:05:00.000")
        database.store("m1", "10:00:00.000", chat="B")
        mark(database, (*keys("m1", "m2"), *keys("m1", chat="B")), "10:06:00.000")

    def test_only_rows_of_the_same_chat_with_a_marker_and_a_timestamp_up_to_the_response(self, database):
        database.store("m0", "09:00:00.000")
        assert database.store("b1", "10:03:00.000", bot=True) == 1
        assert database.markers() == {"m0": None, "m1": None, "m2": "2026-05-01T10:06:00.000Z", "b1": None}
        assert database.markers("B") == {"m1": "2026-05-01T10:06:00.000Z"}

    def test_future_messages_in_the_same_chat_are_not_cleared_by_an_older_bot_response(self, database):
        assert database.store("b1", "10:04:59.999", bot=True) == 1
        assert database.markers()["m2"] is not None

    def test_a_response_at_the_same_millisecond_clears(self, database):
        assert database.store("b1", "10:05:00.000", bot=True) == 2

    def test_the_owner_typing_clears_nothing(self, database):
        assert database.store("mine", "10:09:00.000", from_me=True) == 0
        assert database.markers()["m1"] is not None

    def test_the_response_and_the_clearing_are_one_transaction(self, database):
        database.run(
            "CREATE TRIGGER breaks BEFORE UPDATE OF processing_started_at ON messages"
            " BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        )
        with pytest.raises(V1Fault, match="the disk is full"):
            database.store("b1", "10:09:00.000", bot=True)
        assert "b1" not in database.markers() and database.markers()["m1"] is not None

    def test_a_message_that_comes_again_or_is_edited_keeps_its_marker(self, database):
        database.store("m1", "10:00:00.000", content="edited")
        assert database.markers()["m1"] == "2026-05-01T10:06:00.000Z"
        assert database.run("SELECT content FROM messages WHERE id = 'm1' AND chat_jid = 'A'") == [("edited",)]

    def test_columns_of_the_host_that_nobody_names_stay_and_named_ones_are_stored(self, database):
        database.store("m1", "10:00:00.000", more=(("reply_to_message_id", "old"),))
        database.store("m1", "10:00:00.000")
        assert database.run("SELECT reply_to_message_id FROM messages WHERE id = 'm1' AND chat_jid = 'A'") == [("old",)]

    @pytest.mark.parametrize("column", ["processing_started_at", "content", "id = 'x'; --", "nothing"])
    def test_no_column_can_be_named_that_is_not_a_further_one_of_the_table(self, database, column):
        with pytest.raises(RefusedMessage):
            database.store("m1", "10:00:00.000", more=((column, "x"),))
        assert database.markers()["m1"] is not None

    @pytest.mark.parametrize(
        ("stamp", "stored"),
        [
            ("2026-05-01T10:00:00Z", "2026-05-01T10:00:00.000Z"),
            ("2026-05-01T12:00:00.5+02:00", "2026-05-01T10:00:00.500Z"),
            ("2026-05-01 10:00:00", "2026-05-01T10:00:00.000Z"),
        ],
    )
    def test_timestamps_are_stored_in_one_form_so_that_texts_compare_as_instants(self, database, stamp, stored):
        with database.open() as messages:
            messages.store(v1_messages.V1Message(message_id="m9", chat="A", sender="a", content="x", timestamp=stamp))
        assert database.run("SELECT timestamp FROM messages WHERE id = 'm9'") == [(stored,)]

    def test_a_timestamp_that_is_no_instant_is_refused(self, database):
        with database.open() as messages, pytest.raises(RefusedMessage, match="no instant"):
            messages.store(v1_messages.V1Message(message_id="m9", chat="A", sender="a", content="x", timestamp="now"))


class TestStartupStaleScanTellsRowsOlderThanTheThreshold:
    def test_older_than_the_threshold_is_told_and_exactly_as_old_is_not(self, database):
        database.store("m1", "10:00:00.000")
        mark(database, keys("m1"), "10:00:00.000")
        assert found(database, at("10:00:00.000") + THRESHOLD_MS) == ()
        (one,) = found(database, at("10:00:00.000") + THRESHOLD_MS + 1)
        assert (one.key, one.age_ms) == (MessageKey("A", "m1"), THRESHOLD_MS + 1)

    def test_the_default_is_longer_than_any_run_of_a_v1_host(self):
        assert max(30 * MINUTE_MS, 30 * MINUTE_MS + 30_000) < THRESHOLD_MS == 35 * MINUTE_MS

    def test_a_table_without_the_column_has_nothing_to_tell(self, database):
        with reading_v1(database.path) as db:
            assert read_dispatched(db) == v1_messages.V1Scan(migrated=False)

    @pytest.mark.parametrize("mode", ["delete", "wal"])
    def test_the_scan_changes_no_byte_and_makes_no_file(self, database, mode):
        database.run(f"PRAGMA journal_mode = {mode}")
        database.store("m1", "10:00:00.000")
        mark(database, keys("m1"), "10:00:00.000")
        before = {path.name: path.read_bytes() for path in database.path.parent.iterdir()}
        assert len(found(database, at("11:00:00.000"))) == 1
        assert {path.name: path.read_bytes() for path in database.path.parent.iterdir()} == before

    @pytest.mark.parametrize("mode", ["delete", "wal"])
    def test_the_scan_works_beside_a_host_that_writes(self, database, mode):
        database.run(f"PRAGMA journal_mode = {mode}")
        database.store("m1", "10:00:00.000")
        mark(database, keys("m1"), "10:00:00.000")
        with closing(apsw.Connection(str(database.path))) as host:
            host.execute("BEGIN IMMEDIATE").fetchall()
            host.execute("UPDATE messages SET content = 'new'").fetchall()
            assert len(found(database, at("11:00:00.000"))) == 1
            host.execute("ROLLBACK").fetchall()

    @pytest.mark.parametrize("mode", ["delete", "wal"])
    def test_what_a_killed_host_left_is_read_in_a_copy(self, database, tmp_path, mode):
        database.store("m1", "10:00:00.000")
        database.run(f"PRAGMA journal_mode = {mode}")
        left = tmp_path / "left"
        left.mkdir()
        with closing(apsw.Connection(str(database.path))) as host:
            host.pragma("cache_size", 1)
            marking = "UPDATE messages SET processing_started_at = '2026-05-01T10:00:00.000Z' WHERE id = 'm1'"
            if mode == "wal":
                host.execute(marking).fetchall()
            else:
                host.execute("BEGIN IMMEDIATE").fetchall()
                host.execute("UPDATE messages SET content = zeroblob(200000)").fetchall()
            for path in database.path.parent.glob("messages.db*"):
                if not path.name.endswith("-shm"):
                    shutil.copyfile(path, left / path.name)
        before = {path.name: path.read_bytes() for path in left.iterdir()}
        assert len(before) == 2
        with reading_v1(left / "messages.db") as db:
            marked = [one.key.message_id for one in read_dispatched(db).dispatched]
            assert db.execute("SELECT content FROM messages WHERE id = 'm1'").fetchall() == [("hello",)]
        assert marked == (["m1"] if mode == "wal" else [])
        assert {path.name: path.read_bytes() for path in left.iterdir()} == before


V1_POLL = """
SELECT * FROM (SELECT id, timestamp FROM messages WHERE timestamp > ? AND chat_jid IN (?, ?) AND is_bot_message = 0
  AND content NOT LIKE ? AND content != '' AND content IS NOT NULL ORDER BY timestamp DESC LIMIT ?) ORDER BY timestamp
"""


class TestB01DoesNotChangeGetNewMessages:
    @pytest.mark.parametrize("limit", [1, 3, 200])
    def test_the_poll_gives_what_the_hosts_own_query_gives_with_and_without_markers(self, database, limit):
        for number in range(6):
            said = ["x", "", "Andy: y"][number % 3]
            database.store(f"m{number}", f"10:0{number}:00.000", chat="AB"[number % 2], content=said)
        database.store("b1", "10:07:00.000", bot=True)
        cursor = "2026-04-30T10:00:00.000Z"

        def polled():
            with database.open() as messages:
                answer = messages.get_new_messages(("A", "B"), cursor, limit)
            return [(message.message_id, message.timestamp) for message in answer.messages]

        own = database.run(V1_POLL, (cursor, "A", "B", "Andy:%", limit))
        before = polled()
        mark(database, (*keys("m0", "m2", "m4"), *keys("m1", "m3", chat="B")), "10:08:00.000")
        assert before == own == polled() and own

    def test_the_query_does_not_know_the_marker(self):
        polling = importlib.import_module("turnkeel_adapters.v1_messages.polling")
        assert "processing" not in Path(polling.__file__).read_text()


class TestB01DoesNotRequeueReplayUnlockOrRecoverMessages:
    def test_marking_scanning_and_clearing_change_no_row_but_the_marker(self, database):
        database.store("m1", "10:00:00.000")
        database.store("m2", "10:01:00.000")
        before = database.dump()
        mark(database, keys("m1", "m2"), "10:02:00.000")
        found(database, at("12:00:00.000"))
        database.open().close()
        found(database, at("12:00:00.000"))
        assert database.dump() == before
        assert set(database.markers().values()) == {"2026-05-01T10:02:00.000Z"}
        database.store("b1", "10:03:00.000", bot=True)
        after = database.dump()
        assert [row for row in after["messages"] if row[0] != "b1"] == before["messages"]
        assert (after["chats"], after["router_state"]) == (before["chats"], before["router_state"])

    def test_a_restart_after_the_threshold_dispatches_nothing(self, database):
        database.store("m1", "10:00:00.000")
        handed = []
        with database.open() as messages:
            dispatch(messages, keys("m1"), at("10:01:00.000"), lambda: handed.append("m1"))
        for _ in range(3):
            database.open().close()
            found(database, at("20:00:00.000"))
        assert handed == ["m1"]

    def test_detection_imports_nothing_of_recovery(self):
        loaded = _loaded_by("import turnkeel_adapters.v1_messages")
        assert "turnkeel_adapters.v1_messages.store" in loaded
        assert not [name for name in loaded if "recover" in name and name.startswith("turnkeel_adapters")]
        folder = Path(v1_messages.__file__).parent
        for path in (*folder.glob("*.py"), Path(sys.modules["turnkeel_core.interrupted"].__file__)):
            names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
            assert not [name for name in names if "requeue" in name.lower() or "recover" in name.lower()], path

    def test_the_watch_over_imports_can_see_recovery(self):
        assert "turnkeel_adapters.v1_recovery.recover" in _loaded_by("import turnkeel_adapters.v1_recovery")


def _loaded_by(statement):
    program = f"import sys; {statement}; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())
