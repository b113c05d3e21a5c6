"""What is wrong with a session, what does it wait for, and which crons are parked?"""

from collections.abc import Callable
from typing import cast

from attrs import frozen

from turnkeel_adapters.state.database import StateDatabase


@frozen(kw_only=True)
class Fault:
    """Something about `subject` (a file, a row, the start) that keeps a session or a part of it from working."""

    session: str
    subject: str
    kind: str
    detail: str
    first_at_ms: int
    last_at_ms: int


@frozen(kw_only=True)
class Hold:
    """A session with due messages that may not start now, and why."""

    session: str
    reason: str
    until_at_ms: int | None
    since_at_ms: int


@frozen(kw_only=True)
class Parked:
    """A cron text that was refused; the row stays as it is and is not looked at again."""

    session: str
    message_id: str
    cron: str
    reason: str
    parked_at_ms: int


class Notes:
    """Faults, holds and parked crons in `turnkeel.db`."""

    def __init__(self, database: StateDatabase, redact: Callable[[str], str] = str) -> None:
        self._database = database
        self._redact = redact

    def report_fault(self, session: str, subject: str, kind: str, detail: str, at_ms: int) -> None:
        """Keep it until it is cleared; the first sighting of the same kind stays."""
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO fault (session, subject, kind, detail, first_at_ms, last_at_ms) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (session, subject) DO UPDATE SET detail = excluded.detail,"
                " last_at_ms = excluded.last_at_ms,"
                " first_at_ms = iif(kind = excluded.kind, first_at_ms, excluded.first_at_ms), kind = excluded.kind",
                (session, subject, kind, self._redact(detail), at_ms, at_ms),
            )

    def clear_fault(self, session: str, subject: str) -> None:
        """The cause is gone."""
        with self._database.transaction() as db:
            db.execute("DELETE FROM fault WHERE session = ? AND subject = ?", (session, subject))

    def turn_faults(self, session: str, gone: frozenset[str], come: dict[str, tuple[str, str]], at_ms: int) -> None:
        """Clear the faults in `gone` and keep those that have `come` (subject: kind, detail), in one transaction."""
        with self._database.transaction():
            for subject in gone:
                self.clear_fault(session, subject)
            for subject, (kind, detail) in come.items():
                self.report_fault(session, subject, kind, detail, at_ms)

    def clear(self) -> None:
        """A host begins: faults and holds of the one before are seen again, or gone. Parked crons stay."""
        with self._database.transaction() as db:
            db.execute("DELETE FROM fault; DELETE FROM hold")

    def clear_session(self, session: str) -> tuple[tuple[Fault, ...], tuple[Hold, ...]]:
        """The operator says that the causes are mended: drop the faults and the hold of a session; returns them.

        A host at work sees that they are gone and looks at once; what is still wrong it notes anew.
        """
        with self._database.transaction() as db:
            faults = self.faults(session)
            holds = tuple(hold for hold in self.holds() if hold.session == session)
            db.execute("DELETE FROM fault WHERE session = ?", (session,))
            db.execute("DELETE FROM hold WHERE session = ?", (session,))
            return faults, holds

    def noted(self) -> frozenset[str]:
        """The sessions with a fault or a hold."""
        rows = self._database.rows("SELECT session FROM fault UNION SELECT session FROM hold")
        return frozenset(name for (name,) in cast("list[tuple[str]]", rows))

    def faults(self, session: str | None = None) -> tuple[Fault, ...]:
        """Of one session, or of all."""
        rows = self._database.rows(
            "SELECT session, subject, kind, detail, first_at_ms, last_at_ms FROM fault"
            " WHERE ?1 IS NULL OR session = ?1 ORDER BY session, subject",
            session,
        )
        typed = cast("list[tuple[str, str, str, str, int, int]]", rows)
        return tuple(
            Fault(session=s, subject=subject, kind=kind, detail=detail, first_at_ms=first, last_at_ms=last)
            for s, subject, kind, detail, first, last in typed
        )

    def hold(self, session: str, reason: str, until_at_ms: int | None, at_ms: int) -> None:
        """The session waits; the instant at which the same wait began stays."""
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO hold (session, reason, until_at_ms, since_at_ms) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (session) DO UPDATE SET until_at_ms = excluded.until_at_ms,"
                " since_at_ms = iif(reason = excluded.reason, since_at_ms, excluded.since_at_ms),"
                " reason = excluded.reason",
                (session, reason, until_at_ms, at_ms),
            )

    def release_hold(self, session: str) -> None:
        """The session waits no longer."""
        with self._database.transaction() as db:
            db.execute("DELETE FROM hold WHERE session = ?", (session,))

    def holds(self) -> tuple[Hold, ...]:
        """All sessions that wait."""
        rows = self._database.rows("SELECT session, reason, until_at_ms, since_at_ms FROM hold ORDER BY since_at_ms")
        typed = cast("list[tuple[str, str, int | None, int]]", rows)
        return tuple(Hold(session=s, reason=r, until_at_ms=until, since_at_ms=since) for s, r, until, since in typed)

    def park(self, parked: Parked) -> bool:
        """Remember a refused cron text; False if this very text was parked before."""
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO parked (session, message_id, cron, reason, parked_at_ms) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (session, message_id) DO UPDATE SET cron = excluded.cron, reason = excluded.reason,"
                " parked_at_ms = excluded.parked_at_ms WHERE cron <> excluded.cron",
                (parked.session, parked.message_id, parked.cron, self._redact(parked.reason), parked.parked_at_ms),
            )
            return db.changes() > 0

    def parked(self, session: str) -> tuple[Parked, ...]:
        """The refused cron texts of one session."""
        rows = self._database.rows(
            "SELECT session, message_id, cron, reason, parked_at_ms FROM parked WHERE session = ? ORDER BY message_id",
            session,
        )
        typed = cast("list[tuple[str, str, str, str, int]]", rows)
        return tuple(Parked(session=s, message_id=m, cron=c, reason=r, parked_at_ms=at) for s, m, c, r, at in typed)
