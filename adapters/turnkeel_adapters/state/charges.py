"""Which attempts were charged, and is the row written yet?"""

from typing import Literal, cast

from attrs import frozen

from turnkeel_adapters.state.database import StateDatabase
from turnkeel_core import ChargeAttempt, ChargeMark


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
