"""Which attempts were charged, and is the row written yet?"""

from typing import Literal, cast

from attrs import frozen

from turnkeel_adapters.state.database import StateDatabase
from turnkeel_core import Backoff, ChargeAttempt, ChargeMark, DelayRetry, Run


@frozen(kw_only=True)
class Charge:
    """One charged attempt, as kept for the operator."""

    message_id: str
    incarnation: int
    tries: int
    retry_at_ms: int | None
    reason: str
    state: Literal["noted", "applied"]
    noted_at_ms: int


class Charges:
    """The charge marks of `turnkeel.db`: noted first, then applied to the row, so that a crash repeats harmlessly."""

    def __init__(self, database: StateDatabase) -> None:
        self._database = database

    def note(self, session: str, charges: tuple[ChargeAttempt, ...], at_ms: int) -> None:
        """Durable before any row is touched; an attempt noted already stays as it is."""
        if not charges:
            return
        with self._database.transaction() as db:
            db.executemany(
                "INSERT OR IGNORE INTO charge (session, incarnation, message_id, tries, retry_at_ms, reason, state,"
                " noted_at_ms) VALUES (?, ?, ?, ?, ?, ?, 'noted', ?)",
                [
                    (
                        session,
                        charge.incarnation,
                        charge.message_id,
                        charge.tries,
                        charge.retry_at_ms,
                        charge.reason,
                        at_ms,
                    )
                    for charge in charges
                ],
            )

    def marks(self, session: str) -> tuple[ChargeMark, ...]:
        """The charges whose row or whose claim may not show them yet."""
        rows = self._database.rows(
            "SELECT message_id, incarnation, tries FROM charge WHERE session = ? AND state = 'noted'", session
        )
        typed = cast("list[tuple[str, int, int]]", rows)
        return tuple(ChargeMark(message_id=m, incarnation=i, tries=t) for m, i, t in typed)

    def backoffs(self, session: str, now_ms: int) -> tuple[Backoff, ...]:
        """The waits after the latest charge of each message that end later than now, as the host set them."""
        rows = self._database.rows(
            "SELECT message_id, tries, retry_at_ms, max(incarnation) FROM charge WHERE session = ?"
            " GROUP BY message_id HAVING retry_at_ms > ?",
            session,
            now_ms,
        )
        typed = cast("list[tuple[str, int, int, int]]", rows)
        return tuple(Backoff(message_id=m, tries=t, retry_at_ms=at) for m, t, at, _ in typed)

    def delayed(self, session: str, delays: tuple[DelayRetry, ...]) -> None:
        """The wait after the latest charge of these messages is now another one; call it once the row says so."""
        if not delays:
            return
        with self._database.transaction() as db:
            db.executemany(
                "UPDATE charge SET retry_at_ms = ?1 WHERE session = ?2 AND message_id = ?3 AND incarnation ="
                " (SELECT max(incarnation) FROM charge WHERE session = ?2 AND message_id = ?3)",
                [(delay.retry_at_ms, session, delay.message_id) for delay in delays],
            )

    def runs(self, session: str, since_ms: int, *, limit: int = 1_000) -> tuple[Run, ...]:
        """The attempts charged since then, those with which a message failed for good among them."""
        # The last attempt of a message that fails is kept with its dead record instead of a charge.
        rows = self._database.rows(
            "SELECT * FROM (SELECT message_id, incarnation, noted_at_ms AS at_ms FROM charge WHERE session = ?1"
            " ORDER BY incarnation DESC LIMIT ?3) WHERE at_ms >= ?2"
            " UNION SELECT message_id, incarnation, made_at_ms FROM dead WHERE session = ?1 AND made_at_ms >= ?2"
            " AND direction = 'inbound' AND tries IS NOT NULL AND incarnation IS NOT NULL",
            session,
            since_ms,
            limit,
        )
        typed = cast("list[tuple[str, int, int]]", rows)
        return tuple(Run(message_id=m, at_ms=at, incarnation=i) for m, i, at in typed)

    def applied(self, session: str) -> None:
        """The rows are written and the claims are released: every noted charge of the session is history."""
        with self._database.transaction() as db:
            db.execute("UPDATE charge SET state = 'applied' WHERE session = ? AND state = 'noted'", (session,))

    def of_message(self, session: str, message_id: str) -> tuple[Charge, ...]:
        """The history of one message, oldest first."""
        rows = self._database.rows(
            "SELECT message_id, incarnation, tries, retry_at_ms, reason, state, noted_at_ms FROM charge"
            " WHERE session = ? AND message_id = ? ORDER BY noted_at_ms, incarnation",
            session,
            message_id,
        )
        typed = cast("list[tuple[str, int, int, int | None, str, Literal['noted', 'applied'], int]]", rows)
        return tuple(
            Charge(message_id=m, incarnation=i, tries=t, retry_at_ms=r, reason=why, state=s, noted_at_ms=at)
            for m, i, t, r, why, s, at in typed
        )
