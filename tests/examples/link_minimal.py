"""How does a host of another kind link the core? One table of its own, a worker it can stop, and two decisions."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from turnkeel_core import Claim, GiveUp, LeaveAlone, RetryAt, RetrySnapshot, StopIdle, StuckSnapshot
from turnkeel_core import KillIgnoringDue, KillNeverStarted, KillNoProgress
from turnkeel_core import KillOverCeiling, KillOverRunLimit, KillStaleClaim
from turnkeel_core import decide_retry, decide_stuck_action

TABLES = """
    CREATE TABLE job (id TEXT PRIMARY KEY, status TEXT DEFAULT 'pending', tries INTEGER DEFAULT 0, due_at_ms INTEGER,
                      claimed_at_ms INTEGER);
    CREATE TABLE worker (spawned_at_ms INTEGER, heartbeat_at_ms INTEGER);
"""


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def supervise(db: sqlite3.Connection, now_ms: int, stop: Callable[[], bool]) -> None:
    """One pass: read the facts at one instant, decide, and act; `stop` is True once the worker is known to be gone."""
    with transaction(db):
        spawned_at_ms, heartbeat_at_ms = db.execute("SELECT * FROM worker").fetchone()
        held = db.execute("SELECT id, claimed_at_ms FROM job WHERE claimed_at_ms NOT NULL ORDER BY rowid").fetchall()
    seen = StuckSnapshot(
        now_ms=now_ms,
        spawned_at_ms=spawned_at_ms,
        heartbeat_at_ms=heartbeat_at_ms,
        claims=tuple(Claim(message_id=job, claimed_at_ms=at_ms) for job, at_ms in held),
    )
    match decide_stuck_action(seen):
        case LeaveAlone(reason, until_ms):
            print(f"left alone ({reason}), next look at {until_ms}")
        case (KillOverCeiling() | KillNeverStarted() | KillStaleClaim() | KillNoProgress() | KillOverRunLimit()
              | KillIgnoringDue() | StopIdle()) as why:
            print(f"stop: {why}")
            if stop():
                recover(db, now_ms)


def recover(db: sqlite3.Connection, now_ms: int) -> None:
    """Charge what the dead worker held and take it back. One file: one transaction, so nothing is charged twice."""
    with transaction(db):
        for job, tries in db.execute("SELECT id, tries FROM job WHERE claimed_at_ms NOT NULL").fetchall():
            match decide_retry(RetrySnapshot(now_ms=now_ms, tries=tries)):
                case RetryAt(charged, at_ms, delay_ms):
                    db.execute("UPDATE job SET tries = ?, due_at_ms = ? WHERE id = ?", (charged, at_ms, job))
                    print(f"{job}: try {charged} failed, again in {delay_ms} ms")
                case GiveUp(charged, limit):
                    db.execute("UPDATE job SET status = 'failed' WHERE id = ?", (job,))
                    print(f"{job}: failed, {charged} of {limit} tries are used up")
        db.execute("UPDATE job SET claimed_at_ms = NULL")


def main() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.executescript(TABLES)
        db.execute("INSERT INTO worker VALUES (1000, 2000)")
        db.execute("INSERT INTO job VALUES ('hangs', 'pending', 0, NULL, 2000), ('last', 'pending', 5, NULL, 2000)")
        before = db.execute("SELECT * FROM job").fetchall()
        supervise(db, now_ms=62_000, stop=lambda: True)
        supervise(db, now_ms=62_001, stop=lambda: False)
        assert db.execute("SELECT * FROM job").fetchall() == before
        supervise(db, now_ms=62_001, stop=lambda: True)
        assert db.execute("SELECT status, tries FROM job").fetchall() == [("pending", 1), ("failed", 5)]


if __name__ == "__main__":
    main()
