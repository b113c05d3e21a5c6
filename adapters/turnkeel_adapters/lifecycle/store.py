"""How are the tables of `turnkeel.db` one lifecycle store?"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
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
    """All table families on one connection."""

    def __init__(self, connection: apsw.Connection, redact: Callable[[str], str]) -> None:
        self.turns = TurnRows(connection, redact)
        self.outbox = OutboxRows(connection, redact)
        self.receipts = Receipts(connection)
        self.identities = Identities(connection)
        self.sources = Sources(connection)
        self.life = LifeLines(connection, redact)
        self.dead = DeadRows(connection, redact)


class StateLifecycle:
    """The lifecycle store in `turnkeel.db`; the database was opened with synchronous=FULL or not at all.

    `redact` takes the secrets out of every reason and error before it is stored; payloads stay as they are.
    """

    def __init__(self, database: StateDatabase, redact: Callable[[str], str] = str) -> None:
        self._database = database
        self._redact = redact

    @contextmanager
    def transaction(self) -> Generator[LifecycleWork, None, None]:
        """One decision's snapshot and actions: durable at the end, or nothing of it. StateFault.

        Threads that wait for each other share one commit; each comes back after it.
        """
        with self._database.shared_transaction() as connection:
            yield LifecycleWork(StateTables(connection, self._redact))

    @contextmanager
    def reading(self) -> Generator[LifecycleWork, None, None]:
        """All of it as of one instant, to look and not to write: nobody is kept from writing meanwhile. StateFault."""
        with self._database.reading() as connection:
            yield LifecycleWork(StateTables(connection, self._redact))

    def run(self, step: Callable[[LifecycleWork], T]) -> T:
        """One transaction as a call."""
        with self.transaction() as work:
            return step(work)
