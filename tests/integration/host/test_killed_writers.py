"""What does a writer that was killed in the middle of a commit leave, and is it read rightly?"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import apsw
import pytest
from attrs import evolve

from turnkeel.events import Charged, Died, FaultSeen, Stopping
from turnkeel_adapters.errors import SessionFault
from turnkeel_adapters.sessions.evidence import read_files

PATHS = os.pathsep.join(str(Path(__file__).parents[3] / part) for part in ("core", "adapters", "shell"))

# A journal is deleted by the commit, and that deletion is the commit: this one acts at exactly that instant.
AT_THE_COMMIT = """
import os, signal, time, apsw
class AtTheCommit(apsw.VFS):
    def __init__(self):
        super().__init__("at-the-commit", "", makedefault=True)
    def xDelete(self, name, sync):
        if name.endswith("{file}-journal") and armed:
            {act}
        return super().xDelete(name, sync)
armed, vfs = False, AtTheCommit()
"""

# Pairs of rows in transactions of a few pages; each is told on stdout once its commit has returned.
WRITES = """
import sqlite3, sys
out = sqlite3.connect(sys.argv[1], isolation_level=None)
out.execute("PRAGMA synchronous = FULL")
[[top]] = out.execute("SELECT coalesce(max(seq), -1) FROM messages_out").fetchall()
while True:
    out.execute("BEGIN IMMEDIATE")
    for half in ("a", "b"):
        top += 2
        out.execute("INSERT INTO messages_out (id, seq, timestamp, kind, content)"
                    " VALUES (?, ?, datetime('now'), 'chat', ?)", (f"{top}{half}", top, "x" * 6000))
    out.execute("COMMIT")
    print(top, flush=True)
"""

# What `turnkeel send` does, again and again.
SENDS = """
import sys
from pathlib import Path
from turnkeel.cli.send import accept
while True:
    print(accept(Path(sys.argv[1]), "a", "again").turn_id, flush=True)
"""


def python(text, *arguments):
    """A program; what it prints can be read."""
    command = [sys.executable, "-c", text, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": PATHS})


def killed(writer, after_s):
    """SIGKILL after so long; returns the lines it had printed."""
    time.sleep(after_s)
    writer.kill()
    said, _ = writer.communicate()
    return [line for line in said.split("\n")[:-1] if line]


def killed_by_itself(writer):
    writer.communicate(timeout=60)
    return writer.returncode == -signal.SIGKILL


def counter(path):
    """The file's change counter (bytes 24 to 27 of the header)."""
    return int.from_bytes(path.read_bytes()[24:28], "big")


def is_hot(path):
    """Is there a journal whose header is whole?"""
    journal = path.with_name(f"{path.name}-journal")
    return journal.exists() and journal.read_bytes()[:8] == bytes.fromhex("d9d505f920a163d7")


def whole(path):
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        db.close()


@pytest.mark.parametrize("rounds", [10, pytest.param(150, marks=pytest.mark.long)])
def test_a_container_killed_while_it_writes_leaves_whole_transactions_and_loses_no_commit(lab, seed, rounds):
    rng = random.Random(seed)
    path, store = lab.session("a") / "outbound.db", lab.sessions.store("main/a")
    hot = told = 0
    for n in range(rounds):
        writer = python(WRITES, path)
        first = writer.stdout.readline()
        lines = [first.strip(), *killed(writer, rng.uniform(0.0, 0.03))]
        told += len(lines)
        hot += is_hot(path)
        # A writer that may live is never rolled back: its journal stays as it is.
        if is_hot(path):
            before = (path.read_bytes(), path.with_name("outbound.db-journal").read_bytes())
            with pytest.raises(SessionFault) as fault:
                read_files(store, 0, None, writer_dead=False)
            assert fault.value.kind == "hot_journal"
            assert (path.read_bytes(), path.with_name("outbound.db-journal").read_bytes()) == before
        read_files(store, 0, None, writer_dead=True)
        assert not is_hot(path)
        [[rows, top]] = lab.sql("a", "SELECT count(*), max(seq) FROM messages_out", file="outbound.db")
        assert rows % 2 == 0 and 2 * rows == top + 1, "half a transaction"
        assert top >= int(lines[-1]), "a commit that had returned is gone"
        assert whole(path)
    assert rounds < 100 or hot > 0
    print(f"{rounds} writers killed: {told} commits told, {hot} hot journals")


def test_a_change_counter_that_moved_proves_no_commit(lab):
    path, store = lab.session("a") / "outbound.db", lab.sessions.store("main/a")
    text = AT_THE_COMMIT.format(file="outbound.db", act="os.kill(os.getpid(), signal.SIGKILL)") + (
        "import sys\n"
        "out = apsw.Connection(sys.argv[1])\n"
        "out.execute('PRAGMA synchronous = FULL')\n"
        "armed = True\n"
        "out.execute(\"INSERT INTO processing_ack VALUES ('m1', 'completed', datetime('now'))\")\n"
    )
    before = counter(path)
    assert killed_by_itself(python(text, path))
    assert counter(path) == before + 1 and is_hot(path)
    reading = read_files(store, 0, None, writer_dead=True)
    assert reading.acks == () and lab.sql("a", "SELECT * FROM processing_ack", file="outbound.db") == []
    assert counter(path) == before and not is_hot(path)


def test_a_send_killed_while_it_writes_the_inbox_is_accepted_once_and_holds_up_nobody(lab, quick):
    folder = lab.session("a")
    text = AT_THE_COMMIT.format(file="inbound.db", act="os.kill(os.getpid(), signal.SIGKILL)") + (
        "import sys\n"
        "from pathlib import Path\n"
        "from turnkeel.cli.send import send\n"
        "armed = True\n"
        "send(Path(sys.argv[1]), 'a', 'accepted, and nobody was told')\n"
    )

    async def script(live):
        # Beside a container that lives: of inbound.db it is no writer, so that nobody need be dead but the sender.
        [first] = lab.send("a", "first")
        await live.until(lambda: lab.fates("a")[first].answered_once)
        assert killed_by_itself(python(text, lab.data))
        [second] = lab.send("a", "second")
        await live.until(lambda: lab.fates("a")[second].answered_once)
        assert killed_by_itself(python(text, lab.data))
        assert is_hot(folder / "inbound.db")
        await live.until(lambda: not is_hot(folder / "inbound.db"), limit_s=60)
        await live.until(lambda: len(lab.fates("a")) == 4 and lab.open_rows("a") == 0)

    live = lab.run(quick, script)
    fates = lab.fates("a")
    assert len(fates) == 4 and all(fate.answered_once for fate in fates.values()) and len(live.of(Died)) == 1
    assert not live.of(Charged) and not lab.faults() and live.summary.faulty == ()
    assert whole(folder / "inbound.db")


@pytest.mark.parametrize("rounds", [4, pytest.param(100, marks=pytest.mark.long)])
def test_senders_killed_at_random_instants_beside_a_host_lose_nothing_that_was_accepted(lab, quick, seed, rounds):
    rng = random.Random(seed)
    folder = lab.session("a")
    accepted, hot = [], 0

    async def script(live):
        nonlocal hot
        for n in range(rounds):
            sender = python(SENDS, lab.data)
            accepted.append(sender.stdout.readline().strip())
            accepted.extend(killed(sender, rng.uniform(0.0, 0.03)))
            hot += is_hot(folder / "inbound.db")
            await live.until(lambda: accepted[-1] in lab.fates("a"))
        await live.until(lambda: lab.open_rows("a") == 0, limit_s=60)

    live = lab.run(quick, script)
    fates = lab.fates("a")
    assert set(accepted) <= fates.keys()
    assert len(fates) - len(accepted) <= rounds, "at most the one in hand of each was stored without being told"
    assert all(fate.answered_once for fate in fates.values())
    assert not live.of(Charged) and not lab.faults() and whole(folder / "inbound.db")
    print(f"{rounds} senders killed: {len(accepted)} accepted, {len(fates)} answered once, {hot} hot journals seen")


@pytest.mark.parametrize("hands", [pytest.param("on", marks=pytest.mark.long), "off"])
def test_a_writer_that_lives_is_waited_for_however_hot_its_journal_looks(lab, quick, agent, hands):
    folder = lab.session("a")
    [sent] = lab.send("a", "hello")
    mark = folder / "in-the-commit"

    async def script(live):
        await live.until(mark.exists)
        await live.until(lambda: not mark.exists())
        await live.until(lambda: lab.open_rows("a") == 0)

    live = lab.run(evolve(quick, agent=agent("slow_commit", HOLD_S="3" if hands == "on" else "1", HANDS=hands)), script)
    assert lab.fates("a")[sent].answered_once and lab.fates("a")[sent].tries == 0
    assert not live.of(Stopping) and not live.of(Charged) and not lab.faults()
    assert {fault.kind for fault in live.of(FaultSeen)} == {"hot_journal" if hands == "off" else "busy"}
    [[rows]] = lab.sql("a", "SELECT count(*) FROM messages_out", file="outbound.db")
    assert rows == 60 and whole(folder / "outbound.db")
