"""Which sessions did the operator pause, and why?"""

from collections.abc import Callable
from typing import Final, cast

from attrs import frozen

from turnkeel_adapters.state.database import StateDatabase

EVERY_SESSION: Final = "*"


@frozen(kw_only=True)
class Pause:
    """No new container starts while it stands. `session` None: all sessions, those to come as well."""

    session: str | None
    reason: str | None
    since_at_ms: int


class Pauses:
    """The pauses of `turnkeel.db`. That of one session and that of all are kept apart: each is resumed by itself."""

    def __init__(self, database: StateDatabase, redact: Callable[[str], str] = str) -> None:
        self._database = database
        self._redact = redact

    def pause(self, session: str | None, reason: str | None, at_ms: int) -> bool:
        """Pause a session, or all (None). False if it was paused: its start stays, a new reason replaces the old."""
        with self._database.transaction() as db:
            name = _key(session)
            known = db.execute("SELECT 1 FROM pause WHERE session = ?", (name,)).fetchall()
            db.execute(
                "INSERT INTO pause (session, reason, since_at_ms) VALUES (?, ?, ?)"
                " ON CONFLICT (session) DO UPDATE SET reason = ifnull(excluded.reason, reason)",
                (name, None if reason is None else self._redact(reason), at_ms),
            )
            return not known

    def add(self, session: str, reason: str, at_ms: int) -> None:
        """Pause a session for one reason more: what the operator said of a pause that stands is kept before it."""
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO pause (session, reason, since_at_ms) VALUES (?, ?, ?) ON CONFLICT (session) DO UPDATE"
                " SET reason = CASE WHEN instr(ifnull(reason, ''), excluded.reason) THEN reason"
                " ELSE ifnull(reason || '; ', '') || excluded.reason END",
                (session, self._redact(reason), at_ms),
            )

    def resume(self, session: str | None) -> bool:
        """End the pause of a session, or the one of all (None). False if there was none."""
        with self._database.transaction() as db:
            db.execute("DELETE FROM pause WHERE session = ?", (_key(session),))
            return db.changes() > 0

    def paused(self) -> tuple[Pause, ...]:
        """All pauses: that of all sessions first, then by name."""
        rows = self._database.rows("SELECT session, reason, since_at_ms FROM pause ORDER BY session <> '*', session")
        typed = cast("list[tuple[str, str | None, int]]", rows)
        return tuple(
            Pause(session=None if name == EVERY_SESSION else name, reason=reason, since_at_ms=at)
            for name, reason, at in typed
        )

    def is_paused(self, session: str) -> bool:
        """True if the session is paused, by itself or with all."""
        return bool(self._database.rows("SELECT 1 FROM pause WHERE session IN (?, '*')", session))


def _key(session: str | None) -> str:
    return EVERY_SESSION if session is None else session
