"""Which sessions are known, and which are closed?"""

from typing import cast

from turnkeel_adapters.state.database import StateDatabase


class Registry:
    """A cache of the sessions found by their folders; that a session is closed is known only here."""

    def __init__(self, database: StateDatabase) -> None:
        self._database = database

    def seen(self, sessions: tuple[str, ...], at_ms: int) -> None:
        """Add sessions that are new."""
        if not sessions:
            return
        with self._database.transaction() as db:
            db.executemany(
                "INSERT OR IGNORE INTO session (name, seen_at_ms) VALUES (?, ?)", [(name, at_ms) for name in sessions]
            )

    def close(self, session: str, at_ms: int) -> None:
        """Mark a session closed; it stays closed when its folder is found again."""
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO session (name, status, seen_at_ms) VALUES (?, 'closed', ?)"
                " ON CONFLICT (name) DO UPDATE SET status = 'closed'",
                (session, at_ms),
            )

    def known(self) -> frozenset[str]:
        """All sessions ever seen."""
        return self._names("")

    def closed(self) -> frozenset[str]:
        """The closed ones."""
        return self._names("WHERE status = 'closed'")

    def _names(self, where: str) -> frozenset[str]:
        rows = cast("list[tuple[str]]", self._database.rows(f"SELECT name FROM session {where}"))
        return frozenset(name for (name,) in rows)
