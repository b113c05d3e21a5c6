"""Which records need not be read again, because nobody can have changed them since?"""

from typing import Final, cast

import apsw
from attrs import define, field

from turnkeel_core import OutboxRow, Turn

_AT_MOST: Final = 2_000
"""Records of one kind; beyond that all are forgotten when the next transaction begins."""


@define
class Remembered:
    """Turns and outbox rows as they lie in the file, None for one that is not there; `rows_of` are a turn's rows."""

    turns: dict[str, Turn | None] = field(factory=dict[str, Turn | None])
    rows: dict[str, OutboxRow | None] = field(factory=dict[str, OutboxRow | None])
    rows_of: dict[str, list[str]] = field(factory=dict[str, list[str]])

    def forget(self) -> None:
        """All of it may be otherwise by now."""
        self.turns.clear()
        self.rows.clear()
        self.rows_of.clear()

    def is_full(self) -> bool:
        """Whether it is more than is worth its memory."""
        return max(len(self.turns), len(self.rows), len(self.rows_of)) > _AT_MOST


class StateConnection(apsw.Connection):
    """A connection to `turnkeel.db` that remembers records from one transaction to the next.

    What is remembered stands until another connection has committed, or something of this one was undone. Inside a
    transaction whoever changes a record by this connection notes it, or forgets all.
    """

    def __init__(self, filename: str, flags: int = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE) -> None:
        super().__init__(filename, flags)
        self.remembered = Remembered()
        self._version: int | None = None

    def begin(self, how: str) -> None:
        """Begin a transaction by the statement `how`, and forget what others may have changed before it."""
        self.execute(how)
        try:
            [[version]] = cast("list[tuple[int]]", self.execute("PRAGMA data_version").fetchall())
        except BaseException:
            self.undo("ROLLBACK")
            raise
        if version != self._version or self.remembered.is_full():
            self.remembered.forget()
            self._version = version

    def undo(self, how: str) -> None:
        """Take back by the statement `how` what was written; SQLite itself does if the disk is full or fails."""
        self.remembered.forget()
        if not self.get_autocommit():
            self.execute(how)
