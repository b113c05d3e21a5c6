"""Do threads that wait for each other share one commit, each back only after it, with its error for itself alone?"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from turnkeel_adapters.state import shared_calls, shared_commits
from turnkeel_adapters.state.database import StateDatabase, StateFault
from turnkeel_adapters.state.store import FILE_NAME, HostState

ROOT = Path(__file__).parents[2]
PATHS = os.pathsep.join(str(ROOT / part) for part in ("core", "adapters", "shell"))


class Crowd:
    """Threads that all wait before the first of them ends; `back` and `failed` are those that are back, and how."""

    def __init__(self, path, way):
        self.path = path
        self.way = way
        self.database = StateDatabase(path)
        self.commits, self.at_commit, self.back, self.failed = 0, lambda: None, [], {}
        self.database._connection.exec_trace = self._trace

    def _trace(self, cursor, statement, bindings):
        if statement == "COMMIT":
            self.at_commit()
            self.commits += 1
        return True

    def start(self, parts):
        """All parts, in the order in which the lock lets them in; the first waits for the others to come."""
        inside, commits = threading.Event(), self.database._commits

        def run(name, part):
            def do(db):
                if name == 0:
                    inside.set()
                    others = len(parts) - (self.way != "calls")  # a call that is being made is among the calls still
                    until(lambda: commits._waiting + len(commits._calls) >= others)
                part(db)

            try:
                share(self.database, self.way, name, do)
                self.back.append(name)
            except Exception as error:
                self.failed[name] = error

        self.threads = [threading.Thread(target=run, args=(name, part)) for name, part in enumerate(parts)]
        self.threads[0].start()
        assert inside.wait(60)
        for thread in self.threads[1:]:
            thread.start()
        return self

    def join(self):
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()

    def on_disk(self):
        with closing(apsw.Connection(str(self.path), apsw.SQLITE_OPEN_READONLY)) as other:
            return {name for (name,) in other.execute("SELECT name FROM session")}


def share(database, way, number, step):
    """As a block, as a call, or now one and then the other."""
    if way == "calls" or (way == "both" and number % 2):
        database.run_shared(step)
        return
    with database.shared_transaction() as db:
        step(db)


def until(true):
    ends = time.monotonic() + 60
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.001)


def write(name):
    return lambda db: db.execute("INSERT INTO session (name, seen_at_ms) VALUES (?, 1)", (name,)).fetchall()


def fail(name):
    def part(db):
        write(name)(db)
        raise ZeroDivisionError(name)

    return part


@pytest.fixture(params=["blocks", "calls", "both"])
def crowd(tmp_path, request):
    crowd = Crowd(tmp_path / FILE_NAME, request.param)
    yield crowd
    crowd.database.close()


def test_nobody_is_back_before_the_commit_that_all_share(crowd):
    reached, go_on = threading.Event(), threading.Event()
    crowd.at_commit = lambda: (reached.set(), go_on.wait(60))
    crowd.start([write(str(number)) for number in range(10)])
    assert reached.wait(60)
    time.sleep(0.2)  # longer than any of them looks whether it must commit itself
    assert (crowd.back, crowd.on_disk()) == ([], set())
    go_on.set()
    crowd.join()
    assert (sorted(crowd.back), crowd.commits) == (list(range(10)), 1)
    assert crowd.on_disk() == {str(number) for number in range(10)}


@pytest.mark.parametrize("who", [0, 4, 9])
def test_one_error_among_ten_harms_only_its_own(crowd, who):
    parts = [write(str(number)) for number in range(10)]
    parts[who] = fail(str(who))
    crowd.start(parts).join()
    assert {name: type(error) for name, error in crowd.failed.items()} == {who: ZeroDivisionError}
    assert crowd.on_disk() == {str(number) for number in range(10)} - {str(who)}
    assert len(crowd.back) == 9


def test_an_error_of_all_leaves_nothing_and_no_lock(crowd):
    crowd.start([fail(str(number)) for number in range(3)]).join()
    assert (len(crowd.failed), crowd.on_disk()) == (3, set())
    with closing(StateDatabase(crowd.path)) as other, other.transaction() as db:
        write("other")(db)
    assert crowd.database.rows("SELECT name FROM session") == [("other",)]


def test_a_commit_that_fails_fails_for_all_who_share_it(crowd):
    def refuse():
        raise apsw.FullError("no room")

    crowd.at_commit = refuse
    crowd.start([write(str(number)) for number in range(5)]).join()
    assert (len(crowd.failed), crowd.back, crowd.on_disk()) == (5, [], set())
    assert all(isinstance(error, StateFault) and "disk full" in str(error) for error in crowd.failed.values())
    crowd.at_commit = lambda: None
    crowd.start([write("after")]).join()
    assert crowd.on_disk() == {"after"}


def test_a_disk_that_fills_up_in_one_part_is_told_to_all_whose_changes_it_undid(crowd):
    def fill(db):
        db.execute("INSERT INTO policy (digest, text) VALUES ('d', ?)", ("x" * 200_000,)).fetchall()

    [[pages]] = crowd.database.rows("PRAGMA page_count")
    crowd.database.rows(f"PRAGMA max_page_count = {pages}")
    crowd.start([write("0"), fill]).join()
    assert all(isinstance(error, StateFault) and "disk full" in str(error) for error in crowd.failed.values())
    assert crowd.on_disk() == {str(name) for name in crowd.back}, "who is back is on the disk"
    crowd.start([write("after")]).join()
    assert "after" in crowd.on_disk()


def test_a_commit_waits_for_nobody_who_was_stopped_before_he_came(crowd):
    crowd.database._commits._waiting += 1
    crowd.start([write("0")])
    crowd.join()
    assert crowd.on_disk() == {"0"}


@pytest.mark.parametrize("how", ["query", "transaction", "reading", "close"])
def test_another_use_of_the_connection_commits_first_what_is_shared(crowd, how, monkeypatch):
    monkeypatch.setattr(shared_commits, "_LOOK_S", 10)
    crowd.database._commits._waiting += 1  # somebody will come, so the part is left to him
    ended = threading.Event()

    def part(db):
        write("0")(db)
        ended.set()

    crowd.start([part])
    assert ended.wait(60)
    if how == "query":
        assert crowd.database.rows("SELECT name FROM session") == [("0",)]
    elif how == "close":
        crowd.database.close()
    else:
        with getattr(crowd.database, how)():
            assert crowd.on_disk() == {"0"}
    assert crowd.on_disk() == {"0"}
    crowd.join()


def test_a_shared_transaction_inside_another_is_a_part_of_that(crowd):
    with pytest.raises(ZeroDivisionError), crowd.database.transaction():
        share(crowd.database, crowd.way, 1, write("0"))
        raise ZeroDivisionError
    assert crowd.on_disk() == set()


def test_so_many_that_nobody_waits_too_long_share_a_commit(crowd):
    crowd.start([write(str(number)) for number in range(150)]).join()
    assert len(crowd.on_disk()) == 150
    assert 3 <= crowd.commits < 75


def test_sixteen_threads_find_each_of_their_rows_on_the_disk_when_they_are_back(crowd):
    def work(thread):
        with closing(apsw.Connection(str(crowd.path), apsw.SQLITE_OPEN_READONLY)) as other:
            other.set_busy_timeout(10_000)
            for number in range(20):
                name = f"{thread}/{number}"
                share(crowd.database, crowd.way, thread, write(name))
                if not other.execute("SELECT 1 FROM session WHERE name = ?", (name,)).fetchall():
                    missed.append(name)

    missed: list[str] = []
    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (missed, len(crowd.on_disk())) == ([], 320)
    assert crowd.commits < 320, "some were shared"


WRITER = """
import sys, threading
from pathlib import Path
from turnkeel_adapters.state import durability
from turnkeel_adapters.state.store import HostState
durability.journal_mode_for = lambda path: sys.argv[2]
state = HostState(Path(sys.argv[1]))
first = len(state.registry.known())
def work(thread):
    number = 0
    while True:
        name = f"{first}/{thread}/{number}"
        def step(db):
            db.execute("INSERT INTO session (name, seen_at_ms) VALUES (?, 1)", (name,)).fetchall()
            db.execute("INSERT INTO pause (session, since_at_ms) VALUES (?, 1)", (name,)).fetchall()
        if thread % 2:
            state.database.run_shared(step)
        else:
            with state.database.shared_transaction() as db:
                step(db)
        print(name + "\\n", end="", flush=True)
        number += 1
for thread in range(6):
    threading.Thread(target=work, args=(thread,)).start()
"""


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_process_killed_among_shared_commits_leaves_every_acknowledged_row_and_no_half_one(tmp_path, mode):
    draw, acknowledged = random.Random(3), set()
    for _ in range(8):
        environment = {"PYTHONPATH": PATHS, "PATH": os.environ["PATH"]}
        command = [sys.executable, "-c", WRITER, str(tmp_path), mode]
        writer = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        first = writer.stdout.readline()
        time.sleep(draw.uniform(0, 0.08))
        writer.send_signal(signal.SIGKILL)
        said = [first, *writer.stdout.readlines()]
        writer.stdout.close()
        writer.wait()
        acknowledged |= {line.strip() for line in said if line.endswith("\n")}  # the last line may be torn
        with HostState(tmp_path) as state:
            known = state.registry.known()
            assert known >= acknowledged
            assert {pause.session for pause in state.pauses.paused()} == known, "half a transaction"
    assert len(acknowledged) > 20


def test_a_call_that_nobody_waits_for_any_more_is_not_made(crowd):
    call = shared_calls.Call(write("given up"))
    call.withdrawn = True
    crowd.database._commits._calls.append(call)
    crowd.database.run_shared(write("wanted"))
    assert crowd.on_disk() == {"wanted"}


def test_a_thread_stopped_as_it_makes_the_call_of_another_leaves_nobody_waiting(crowd, monkeypatch):
    """Wherever Ctrl-C reaches it: the other is told, its changes are undone, and the next call is made."""
    for at in ("the call's begin", "the call", "the call's way into the batch"):
        crowd.failed.clear()
        commits, inside, told = crowd.database._commits, threading.Event(), []

        def stop(*_):
            raise KeyboardInterrupt

        def leads(db, commits=commits, inside=inside, at=at):
            inside.set()
            until(lambda: commits._calls)
            if at == "the call's begin":
                monkeypatch.setattr(commits, "_make", stop)
            elif at == "the call's way into the batch":
                monkeypatch.setattr(shared_calls.Call, "join", stop)

        def lead(leads=leads, told=told):
            try:
                with crowd.database.shared_transaction() as db:
                    leads(db)
            except KeyboardInterrupt as error:
                told.append(error)

        def follow(told=told, at=at):
            try:
                crowd.database.run_shared(stop if at == "the call" else write(at))
            except RuntimeError as error:
                told.append(error)

        threads = [threading.Thread(target=lead), threading.Thread(target=follow)]
        threads[0].start()
        assert inside.wait(60)
        threads[1].start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), at
        monkeypatch.undo()
        assert sorted(type(error).__name__ for error in told) == ["KeyboardInterrupt", "RuntimeError"], at
        crowd.database.run_shared(write(f"after {at}"))
        assert f"after {at}" in crowd.on_disk()


# Several calls of one thread


def test_calls_made_together_share_a_commit_and_an_error_is_in_its_own_place(crowd):
    parts = [write("0"), fail("1"), write("2")]
    first, second, third = crowd.database.run_each_shared(parts)
    assert (type(first), type(second), type(third)) == (list, ZeroDivisionError, list)
    assert (crowd.on_disk(), crowd.commits) == ({"0", "2"}, 1)


def test_no_calls_at_all_leave_the_lock_to_other_threads(crowd):
    assert crowd.database.run_each_shared([]) == ()
    crowd.start([write("0")]).join()
    assert crowd.on_disk() == {"0"}


def test_more_calls_than_one_commit_takes_are_all_on_the_disk(crowd):
    names = {str(number) for number in range(150)}
    found = crowd.database.run_each_shared([write(name) for name in sorted(names)])
    assert (len(found), crowd.on_disk(), crowd.commits) == (150, names, 3)


def test_calls_made_together_inside_a_transaction_are_part_of_it(crowd):
    with pytest.raises(ZeroDivisionError), crowd.database.transaction():
        crowd.database.run_each_shared([write("0"), fail("1")])
    assert crowd.on_disk() == set()
    with crowd.database.transaction():
        crowd.database.run_each_shared([write("0"), write("1")])
    assert crowd.on_disk() == {"0", "1"}


def test_a_commit_that_fails_is_the_error_of_every_call_of_it(crowd):
    def refuse():
        raise apsw.FullError("no room")

    crowd.at_commit = refuse
    found = crowd.database.run_each_shared([write("0"), write("1")])
    assert [type(one) for one in found] == [StateFault, StateFault] and crowd.on_disk() == set()


def test_of_calls_made_together_a_thread_that_is_stopped_leaves_none_to_be_made_by_others(crowd):
    def stop(db):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crowd.database.run_each_shared([write("0"), stop, write("2")])
    crowd.database.run_shared(write("after"))
    assert crowd.on_disk() == {"0", "after"}, "what was made before is whole, what was not is given up"
