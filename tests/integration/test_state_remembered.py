"""Is a record that is remembered from one transaction to the next always the one in the file?"""

import random
import threading
import time
from contextlib import closing

import apsw
import pytest
from attrs import evolve

from turnkeel_adapters.lifecycle.store import StateLifecycle
from turnkeel_adapters.state import remembered
from turnkeel_adapters.state.database import StateDatabase, StateFault
from turnkeel_adapters.state.registry import Registry
from turnkeel_adapters.state.store import FILE_NAME
from turnkeel_core import AcceptTurn, EnqueueRow, NoteAck, OutboxRow, Turn

NOW = 1_790_000_000_000


def turn(key, **more):
    return Turn(turn_id=key, session="main/a", accepted_at_ms=NOW, **more)


def row(key, of=None):
    return OutboxRow(
        row_id=key, kind="final", channel="c", lane="l", ordinal=0, queued_at_ms=NOW, idempotency_key=key, turn_id=of
    )


def until(true):
    ends = time.monotonic() + 60
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.001)


class Side:
    """One process's store, and its connection."""

    def __init__(self, path):
        self.database = StateDatabase(path)
        self.store = StateLifecycle(self.database)
        self.statements = []
        self.database._connection.exec_trace = lambda cursor, text, bindings: self.statements.append(text) or True

    def accept(self, *keys):
        with self.store.transaction() as work:
            assert work.apply([AcceptTurn(turn(key)) for key in keys], NOW, dict.fromkeys(keys, "{}")) == ()

    def due(self, key, at_ms):
        with self.store.transaction() as work:
            before = work.tables.turns.get(key)
            assert work.tables.turns.update(before, evolve(before, due_at_ms=at_ms))

    def seen(self, key):
        with self.store.transaction() as work:
            found = work.tables.turns.get(key)
        return None if found is None else found.due_at_ms

    def reads(self, act):
        self.statements.clear()
        act()
        return sum(text.startswith("SELECT") for text in self.statements)


@pytest.fixture
def path(tmp_path):
    return tmp_path / FILE_NAME


@pytest.fixture
def ours(path):
    side = Side(path)
    yield side
    side.database.close()


@pytest.fixture
def theirs(path, ours):
    side = Side(path)
    yield side
    side.database.close()


def test_a_record_is_read_once_as_long_as_nobody_else_writes(ours):
    ours.accept("t1")
    ours.due("t1", 7)
    assert ours.reads(lambda: ours.seen("t1")) == 0
    ours.database._connection.remembered.forget()
    assert [ours.reads(lambda: ours.seen("t1")) for _ in range(3)] == [1, 0, 0]
    assert ours.seen("t1") == 7


def test_what_another_process_has_committed_is_seen(ours, theirs):
    ours.accept("t1")
    assert (ours.seen("t1"), ours.seen("t2")) == (None, None)
    theirs.due("t1", 7)
    theirs.accept("t2")
    theirs.due("t2", 8)
    assert (ours.seen("t1"), ours.seen("t2")) == (7, 8)


def test_what_another_process_has_committed_is_seen_by_a_reader_too(ours, theirs):
    ours.accept("t1")
    assert ours.seen("t1") is None
    theirs.due("t1", 7)
    with ours.store.reading() as work:
        assert work.tables.turns.get("t1").due_at_ms == 7


def test_two_stores_of_one_database_know_the_same(ours):
    ours.accept("t1")
    other = StateLifecycle(ours.database)
    with other.transaction() as work:
        before = work.tables.turns.get("t1")
        work.tables.turns.update(before, evolve(before, due_at_ms=9))
    assert ours.seen("t1") == 9


@pytest.mark.parametrize("way", ["block", "call"])
def test_what_was_undone_is_forgotten(ours, way):
    ours.accept("t1")

    def fails(work):
        work.apply([AcceptTurn(turn("t2")), NoteAck("t1", "completed", NOW)], NOW, {"t2": "{}"})
        assert work.tables.turns.get("t1").ack == "completed"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        if way == "call":
            ours.store.run(fails)
        else:
            with ours.store.transaction() as work:
                fails(work)
    with ours.store.transaction() as work:
        assert work.tables.turns.get("t1").ack is None
        assert work.tables.turns.get("t2") is None
        assert work.tables.outbox.of_turn("t2") == ()


def test_a_part_undone_among_others_is_forgotten_and_theirs_stay(ours):
    ours.accept("t1")
    inside, commits = threading.Event(), ours.database._commits

    def first(work):
        inside.set()
        until(lambda: len(commits._calls) == 3)  # this one, and those that wait
        before = work.tables.turns.get("t1")
        work.tables.turns.update(before, evolve(before, due_at_ms=1))

    def second(work):
        before = work.tables.turns.get("t1")
        work.tables.turns.update(before, evolve(before, due_at_ms=2))
        raise ZeroDivisionError

    def third(work):
        found.append(work.tables.turns.get("t1").due_at_ms)

    def run(step):
        try:
            ours.store.run(step)
        except ZeroDivisionError as error:
            failed.append(error)

    found, failed = [], []
    threads = [threading.Thread(target=run, args=(step,)) for step in (first, second, third)]
    for count, thread in enumerate(threads, 1):
        thread.start()
        assert inside.wait(60)
        until(lambda count=count: count == 3 or len(commits._calls) == count)
    for thread in threads:
        thread.join(60)
    assert (found, len(failed), ours.seen("t1")) == ([1], 1, 1)


def test_a_commit_that_fails_leaves_nothing_remembered(ours):
    ours.accept("t1")

    def refuse(cursor, text, bindings):
        if text == "COMMIT":
            raise apsw.FullError("no room")
        return True

    ours.database._connection.exec_trace = refuse
    with pytest.raises(StateFault):
        ours.due("t1", 5)
    ours.database._connection.exec_trace = None
    assert ours.seen("t1") is None


def test_a_session_that_is_forgotten_takes_what_is_remembered_along(ours):
    registry = Registry(ours.database)
    ours.accept("t1")
    with ours.store.transaction() as work:
        work.apply([EnqueueRow(row("r1", "t1"))], NOW, {"r1": "{}"})
    registry.close("main/a", NOW)
    assert registry.forget("main/a")
    with ours.store.transaction() as work:
        assert (work.tables.turns.get("t1"), work.tables.outbox.get("r1"), work.tables.outbox.of_turn("t1")) == (
            None,
            None,
            (),
        )


def test_so_much_is_not_remembered_that_it_matters(ours, monkeypatch):
    monkeypatch.setattr(remembered, "_AT_MOST", 10)
    ours.accept(*(f"t{number}" for number in range(30)))
    assert len(ours.database._connection.remembered.turns) == 30
    assert ours.seen("t1") is None
    assert len(ours.database._connection.remembered.turns) == 1


def on_disk(path):
    with closing(apsw.Connection(str(path), apsw.SQLITE_OPEN_READONLY)) as db:
        turns = dict(db.execute("SELECT turn_id, due_at_ms FROM turn"))
        return turns, {key: (of, token) for key, of, token in db.execute("SELECT row_id, turn_id, token FROM outbox")}


@pytest.mark.parametrize("start", range(4))
def test_whatever_two_processes_do_each_sees_what_is_in_the_file(path, ours, theirs, start):
    draw = random.Random(start)
    for number in range(150):
        side, fails = draw.choice((ours, theirs)), draw.random() < 0.2
        key, of = f"t{draw.randrange(6)}", f"r{draw.randrange(6)}"

        def step(work, number=number, key=key, of=of, fails=fails):
            turns, rows = work.tables.turns, work.tables.outbox
            known, held = turns.get(key), rows.get(of)
            match draw.randrange(5):
                case 0 if known is None:
                    turns.insert(turn(key), "{}")
                case 1 if known is not None:
                    turns.update(known, evolve(known, due_at_ms=number))
                case 2 if held is None and known is not None:
                    rows.insert(row(of, key), "{}")
                case 3 if held is not None:
                    rows.update(held, evolve(held, token=number))
                case 4 if held is not None and draw.random() < 0.5:
                    rows.delete(of)
                case 4 if known is not None and not rows.of_turn(key):
                    turns.delete(key)
            if fails:
                raise ZeroDivisionError

        try:
            side.store.run(step)
        except ZeroDivisionError:
            pass
        turns, rows = on_disk(path)
        for one in draw.sample((ours, theirs), draw.randrange(1, 3)):
            with one.store.reading() as work:
                seen = [work.tables.turns.get(f"t{n}") for n in range(6)]
                assert {found.turn_id: found.due_at_ms for found in seen if found is not None} == turns
                held = [work.tables.outbox.get(f"r{n}") for n in range(6)]
                assert {one.row_id: (one.turn_id, one.token) for one in held if one is not None} == rows
                for n in range(6):
                    mine = {key for key, (of, _) in rows.items() if of == f"t{n}"}
                    assert {one.row_id for one in work.tables.outbox.of_turn(f"t{n}")} == mine
