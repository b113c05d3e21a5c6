"""How do the lives of turns and rows lie in `turnkeel.db`? One line for each stored action."""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias, cast

import apsw

from turnkeel_adapters.lifecycle.tables import LifeLine
from turnkeel_core import AbortTurn, AwaitDelivery, ClaimRow, ClaimTurn, DeliverRow, MirrorRun, NoteAck, SettleDelivered

_BY_TURN: Final = (ClaimTurn, NoteAck, MirrorRun, AwaitDelivery, SettleDelivered, AbortTurn)
WITHOUT_WORDS: Final = frozenset(one.__name__ for one in (*_BY_TURN, ClaimRow, DeliverRow))
"""Actions of ids, instants and numbers alone: in nothing that they say can a secret stand. Most lines are theirs."""
_COLUMNS: Final = "turn_id, row_id, at_ms, what, detail, because"
_SUBJECT: Final = "coalesce(?1, 'row ' || ?2)"
SQL: Final[dict[str, str]] = {
    "add": f"INSERT INTO life (subject, id, {_COLUMNS}) VALUES ({_SUBJECT}, (SELECT coalesce(max(id), 0) + 1 FROM life"
    f" WHERE subject = {_SUBJECT}), ?1, ?2, ?3, ?4, ?5, ?6)",
    "of_turn": f"SELECT {_COLUMNS} FROM life WHERE subject = ? ORDER BY id",
    "of_row": f"SELECT {_COLUMNS} FROM life WHERE row_id = ?1 AND subject = coalesce((SELECT turn_id FROM outbox"
    " WHERE row_id = ?1), 'row ' || ?1) ORDER BY id",
}
_Row: TypeAlias = tuple[str | None, str | None, int, str, str | None, str]


class LifeLines:
    """The table `life` on a connection inside a transaction."""

    def __init__(self, connection: apsw.Connection, redact: Callable[[str], str] = str) -> None:
        self._db = connection
        self._redact = redact

    def add(self, lines: Sequence[LifeLine]) -> None:
        """After all others, in this order."""
        self._db.executemany(SQL["add"], [self._values(line) for line in lines])

    def of_turn(self, turn_id: str) -> tuple[LifeLine, ...]:
        """Those of a turn and of all of its rows."""
        return self._lines("of_turn", turn_id)

    def of_row(self, row_id: str) -> tuple[LifeLine, ...]:
        """Those of one row."""
        return self._lines("of_row", row_id)

    def _values(self, line: LifeLine) -> tuple[str | int | None, ...]:
        detail = line.detail
        if detail is not None and line.what not in WITHOUT_WORDS:
            detail = self._redact(detail)
        because = self._redact(line.because) if line.because else ""
        return (line.turn_id, line.row_id, line.at_ms, line.what, detail, because)

    def _lines(self, name: str, record_id: str) -> tuple[LifeLine, ...]:
        rows = cast("list[_Row]", self._db.execute(SQL[name], (record_id,)).fetchall())
        return tuple(
            LifeLine(turn_id=turn, row_id=row, at_ms=at, what=what, detail=detail, because=because)
            for turn, row, at, what, detail, because in rows
        )
