"""What was decided, on which facts, and why?"""

import hashlib
from collections.abc import Callable
from typing import Final, cast

from attrs import evolve, frozen

from turnkeel_adapters.secrets.data import redact_json
from turnkeel_adapters.state.database import StateDatabase

KEPT_LINES: Final = 50_000
_PRUNE_EVERY: Final = 1_000


@frozen(kw_only=True)
class JournalLine:
    """One decision with its snapshot, policy, actions and explanation, each as JSON text."""

    at_ms: int
    session: str
    incarnation: int
    decision: str
    policy: str
    input: str
    actions: str
    why: str


class Journal:
    """The journal of `turnkeel.db`; each policy text is kept once, the oldest lines go.

    `redact` takes the secrets out of what was seen, and then out of what follows from it.
    """

    def __init__(self, database: StateDatabase, redact: Callable[[str], str] = str) -> None:
        self._database = database
        self._redact = redact

    def append(self, line: JournalLine) -> None:
        """Durable when it returns."""
        line = self._without_secrets(line)
        digest = hashlib.sha256(line.policy.encode()).hexdigest()
        with self._database.transaction() as db:
            db.execute("INSERT OR IGNORE INTO policy (digest, text) VALUES (?, ?)", (digest, line.policy))
            db.execute(
                "INSERT INTO journal (at_ms, session, incarnation, decision, policy_digest, input, actions, why)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (line.at_ms, line.session, line.incarnation, line.decision, digest, line.input, line.actions, line.why),
            )
            newest = db.last_insert_rowid()
            if newest % _PRUNE_EVERY == 0:
                db.execute("DELETE FROM journal WHERE id <= ?", (newest - KEPT_LINES,))

    def _without_secrets(self, line: JournalLine) -> JournalLine:
        # Everything else follows from what was seen: a secret that is not in it is nowhere.
        seen = redact_json(line.input, self._redact)
        if seen == line.input:
            return line
        actions, why = (redact_json(text, self._redact) for text in (line.actions, line.why))
        return evolve(line, input=seen, actions=actions, why=why)

    def of_session(
        self, session: str, *, limit: int, before_id: int | None = None, decision: str | None = None
    ) -> tuple[JournalLine, ...]:
        """The newest lines of one session, newest first; those of one decision, if it is named."""
        rows = self._database.rows(
            "SELECT at_ms, session, incarnation, decision, text, input, actions, why FROM journal"
            " JOIN policy ON digest = policy_digest WHERE session = ?1 AND (?2 IS NULL OR journal.id < ?2)"
            " AND (?3 IS NULL OR decision = ?3) ORDER BY journal.id DESC LIMIT ?4",
            session,
            before_id,
            decision,
            limit,
        )
        typed = cast("list[tuple[int, str, int, str, str, str, str, str]]", rows)
        return tuple(
            JournalLine(
                at_ms=at, session=s, incarnation=n, decision=d, policy=policy, input=seen, actions=actions, why=why
            )
            for at, s, n, d, policy, seen, actions, why in typed
        )
