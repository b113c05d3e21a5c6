"""How do receipts, identities and taken replies lie in `turnkeel.db`? What outlasts the states of turns and rows."""

from typing import Final, cast

import apsw

from turnkeel_adapters.lifecycle.tables import CameAgain, Outcome
from turnkeel_core import KeptIdentity, Receipt

SQL: Final[dict[str, str]] = {
    "add": "INSERT INTO receipt (row_id, part, platform_id, at_ms) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
    "of_row": "SELECT part, platform_id, at_ms FROM receipt WHERE row_id = ? ORDER BY part, at_ms, platform_id",
    "identity": "SELECT identity, turn_id, coalesce(settled_at_ms, (SELECT completed_at_ms FROM turn"
    " WHERE turn.turn_id = identity.turn_id)) FROM identity WHERE identity = ?",
    "keep": "INSERT INTO identity (identity, turn_id, settled_at_ms) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
    "came_again": "UPDATE identity SET again = again + 1, again_at_ms = ? WHERE identity = ?",
    "again": "SELECT again, again_at_ms FROM identity WHERE identity = ? AND again > 0",
    "settle": "UPDATE identity SET settled_at_ms = ? WHERE identity = ?",
    "forget": "DELETE FROM identity WHERE identity = ?",
    "settled_before": "SELECT identity, turn_id, settled_at_ms FROM identity WHERE settled_at_ms IS NOT NULL AND"
    " settled_at_ms < ? AND NOT EXISTS (SELECT 1 FROM turn WHERE turn.turn_id = identity.turn_id)"
    " ORDER BY settled_at_ms, identity LIMIT ?",
    "outcome": "SELECT outcome FROM taken WHERE source = ?",
    "take": "INSERT INTO taken (source, session, outcome, at_ms) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
    "forget_sources": "DELETE FROM taken WHERE source IN (SELECT source FROM taken WHERE at_ms < ? ORDER BY at_ms"
    " LIMIT ?)",
}


class Receipts:
    """The table `receipt` on a connection inside a transaction."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection

    def add(self, row_id: str, receipts: tuple[Receipt, ...]) -> int:
        """Each once, however often it is brought; how many were new."""
        new = 0
        for receipt in receipts:
            self._db.execute(SQL["add"], (row_id, receipt.part, receipt.platform_id or "", receipt.at_ms))
            new += self._db.changes()
        return new

    def of_row(self, row_id: str) -> tuple[Receipt, ...]:
        """Part after part, each in the order of time."""
        typed = cast("list[tuple[int, str, int]]", self._db.execute(SQL["of_row"], (row_id,)).fetchall())
        return tuple(Receipt(part, platform_id or None, at_ms) for part, platform_id, at_ms in typed)


class Identities:
    """The table `identity` on a connection inside a transaction."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection

    def get(self, identity: str) -> KeptIdentity | None:
        """Whose it is."""
        return next(iter(self._kept("identity", identity)), None)

    def keep(self, identity: str, turn_id: str, settled_at_ms: int | None) -> bool:
        """False if it is known already."""
        self._db.execute(SQL["keep"], (identity, turn_id, settled_at_ms)).fetchall()
        return self._db.changes() == 1

    def came_again(self, identity: str, at_ms: int) -> None:
        """Its message was delivered once more."""
        self._db.execute(SQL["came_again"], (at_ms, identity)).fetchall()

    def again(self, identity: str) -> CameAgain | None:
        """How often that happened, None if never."""
        found = cast("list[tuple[int, int]]", self._db.execute(SQL["again"], (identity,)).fetchall())
        return CameAgain(*found[0]) if found else None

    def settle(self, identity: str, at_ms: int) -> None:
        """Its turn goes; it ended then."""
        self._db.execute(SQL["settle"], (at_ms, identity)).fetchall()

    def forget(self, identity: str) -> bool:
        """Whether it was known."""
        self._db.execute(SQL["forget"], (identity,)).fetchall()
        return self._db.changes() == 1

    def settled_before(self, at_ms: int, limit: int) -> tuple[KeptIdentity, ...]:
        """Those of turns that ended before then and are gone."""
        return self._kept("settled_before", at_ms, limit)

    def _kept(self, name: str, *bindings: str | int) -> tuple[KeptIdentity, ...]:
        typed = cast("list[tuple[str, str, int | None]]", self._db.execute(SQL[name], bindings).fetchall())
        return tuple(KeptIdentity(identity=i, turn_id=t, settled_at_ms=at) for i, t, at in typed)


class Sources:
    """The table `taken` on a connection inside a transaction."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection

    def taken(self, sources: tuple[str, ...]) -> tuple[str, ...]:
        """Those of `sources` that need not be asked about again."""
        return tuple(one for one in sources if self.outcome(one) is not None)

    def outcome(self, source: str) -> Outcome | None:
        """What it was taken as, if it was."""
        found = cast("list[tuple[Outcome]]", self._db.execute(SQL["outcome"], (source,)).fetchall())
        return found[0][0] if found else None

    def take(self, source: str, session: str, outcome: Outcome, at_ms: int) -> None:
        """The first outcome stands."""
        self._db.execute(SQL["take"], (source, session, outcome, at_ms)).fetchall()

    def forget_before(self, at_ms: int, limit: int) -> int:
        """How many of the oldest were forgotten."""
        self._db.execute(SQL["forget_sources"], (at_ms, limit)).fetchall()
        return self._db.changes()
