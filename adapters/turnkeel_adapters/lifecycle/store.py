"""How are the tables of `turnkeel.db` one lifecycle store?"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TypeVar

import apsw

from turnkeel_adapters.lifecycle.evidence import Identities, Receipts, Sources
from turnkeel_adapters.lifecycle.life import LifeLines
from turnkeel_adapters.lifecycle.outbox import OutboxRows
from turnkeel_adapters.lifecycle.turns import TurnRows
from turnkeel_adapters.lifecycle.work import LifecycleWork
from turnkeel_adapters.state.database import StateDatabase
from turnkeel_adapters.state.dead import DeadRows

T = TypeVar("T")


class StateTables:
    """All table families on one connection, inside one transaction."""

    def __init__(self, connection: apsw.Connection, redact: Callable[[str], str]) -> None:
        self.turns = TurnRows(connection, redact)
        self.outbox = OutboxRows(connection, redact)
        self.receipts = Receipts(connection)
        self.identities = Identities(connection)
        self.sources = Sources(connection)
        self.life = LifeLines(connection, redact)
        self.dead = DeadRows(connection, redact)

    def forget(self) -> None:
        """Another transaction begins: what was read in the last one may have changed."""
        self.turns.forget()
        self.outbox.forget()


class StateLifecycle:
    """The lifecycle store in `turnkeel.db`; the database was opened with synchronous=FULL or not at all.

    `redact` takes the secrets out of every reason and error before it is stored; payloads stay as they are.
    """

    def __init__(self, database: StateDatabase, redact: Callable[[str], str] = str) -> None:
        self._database = database
        self._redact = redact
        self._inside = _Inside()

    def transaction(self) -> AbstractContextManager[LifecycleWork]:
        """One decision's snapshot and actions: durable at the end, or nothing of it. StateFault.

        Threads that wait for each other share one commit; each comes back after it.
        """
        return _Working(self._database.shared_transaction(), self._redact, self._inside)

    def reading(self) -> AbstractContextManager[LifecycleWork]:
        """All of it as of one instant, to look and not to write: nobody is kept from writing meanwhile. StateFault."""
        return _Working(self._database.reading(), self._redact, self._inside)

    def run(self, step: Callable[[LifecycleWork], T]) -> T:
        """One transaction as a call."""
        with self.transaction() as work:
            return step(work)


class _Inside:
    """The tables of the transaction under way, and how many blocks are inside it; guarded by the database's lock."""

    def __init__(self) -> None:
        self.depth = 0
        self.tables: StateTables | None = None


class _Working(AbstractContextManager[LifecycleWork]):
    """One block's work. Inside another block it goes on with what that one has read and written."""

    def __init__(
        self, block: AbstractContextManager[apsw.Connection], redact: Callable[[str], str], inside: _Inside
    ) -> None:
        self._block = block
        self._redact = redact
        self._inside = inside

    def __enter__(self) -> LifecycleWork:
        connection, inside = self._block.__enter__(), self._inside
        if inside.tables is None:
            inside.tables = StateTables(connection, self._redact)
        if inside.depth == 0:
            inside.tables.forget()
        inside.depth += 1
        return LifecycleWork(inside.tables)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._inside.depth -= 1
        return self._block.__exit__(kind, error, trace)
