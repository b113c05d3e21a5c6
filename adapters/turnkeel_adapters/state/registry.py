"""Which sessions are known, and which are closed?"""

from typing import Final, cast

from turnkeel_adapters.state.database import StateDatabase

# They outlive the turns, whose ends they have to know from now on.
_SETTLE_IDENTITIES: Final = (
    "UPDATE identity SET settled_at_ms = coalesce(turn.completed_at_ms, turn.accepted_at_ms) FROM turn"
    " WHERE turn.session = ? AND identity.identity = turn.identity"
)


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

    def reopen(self, session: str) -> bool:
        """Mark a closed session active again. False if it was not closed."""
        with self._database.transaction() as db:
            db.execute("UPDATE session SET status = 'active' WHERE name = ? AND status = 'closed'", (session,))
            return db.changes() > 0

    def forget(self, session: str, *, verified_gone: int | None = None) -> bool:
        """Remove every row about a session that is closed, all at once; messages that it had are still known as such.

        False, and nothing removed, if it is active or has a container that is not recorded as dead, other than number
        `verified_gone`.
        """
        with self._database.transaction() as db:
            active = db.execute("SELECT 1 FROM session WHERE name = ? AND status = 'active'", (session,)).fetchall()
            open_ones = db.execute(
                "SELECT 1 FROM incarnation WHERE session = ? AND state <> 'dead' AND number IS NOT ?",
                (session, verified_gone),
            ).fetchall()
            if active or open_ones:
                return False
            db.execute(_SETTLE_IDENTITIES, (session,))
            for table, column in self._places():
                db.execute(f"DELETE FROM {table} WHERE {column} = ?", (session,))
            db.remembered.forget()
            return True

    def rows_about(self, session: str) -> int:
        """How many rows of all tables name the session."""
        found = [
            self._database.rows(f"SELECT count(*) FROM {table} WHERE {column} = ?", session)
            for table, column in self._places()
        ]
        return sum(cast("list[tuple[int]]", rows)[0][0] for rows in found)

    def known(self) -> frozenset[str]:
        """All sessions ever seen."""
        return self._names("")

    def closed(self) -> frozenset[str]:
        """The closed ones."""
        return self._names("WHERE status = 'closed'")

    def _names(self, where: str) -> frozenset[str]:
        rows = cast("list[tuple[str]]", self._database.rows(f"SELECT name FROM session {where}"))
        return frozenset(name for (name,) in rows)

    def _places(self) -> "list[tuple[str, str]]":
        """Read from the schema, so that no table added later can be forgotten."""
        rows = self._database.rows(
            "SELECT t.name, c.name FROM sqlite_master t JOIN pragma_table_info(t.name) c"
            " WHERE t.type = 'table' AND (c.name = 'session' OR (t.name = 'session' AND c.name = 'name'))"
        )
        return cast("list[tuple[str, str]]", rows)
