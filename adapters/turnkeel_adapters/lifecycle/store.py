"""How are the tables of `turnkeel.db` one lifecycle store?"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import TypeVar

from turnkeel_adapters.lifecycle.evidence import Identities, Receipts, Sources
from turnkeel_adapters.lifecycle.life import LifeLines
from turnkeel_adapters.lifecycle.outbox import OutboxRows
from turnkeel_adapters.lifecycle.turns import TurnRows
from turnkeel_adapters.lifecycle.work import LifecycleWork
from turnkeel_adapters.state.database import StateDatabase
from turnkeel_adapters.state.dead import DeadRows
from turnkeel_adapters.state.remembered import StateConnection

T = TypeVar("T")


class StateTables:
    """All table families on one connection, inside one transaction."""

    def __init__(self, connection: StateConnection, redact: Callable[[str], str]) -> None:
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
        self._work: LifecycleWork | None = None

    def transaction(self) -> AbstractContextManager[LifecycleWork]:
        """One decision's snapshot and actions: durable at the end, or nothing of it. StateFault.

        Threads that wait for each other share one commit; each comes back after it.
        """
        return _Working(self._database.shared_transaction(), self._on)

    def reading(self) -> AbstractContextManager[LifecycleWork]:
        """All of it as of one instant, to look and not to write: nobody is kept from writing meanwhile. StateFault."""
        return _Working(self._database.reading(), self._on)

    def run(self, step: Callable[[LifecycleWork], T]) -> T:
        """One transaction as a call: many threads at once need a fraction of the switches between them.

        Another thread may make it, so the caller holds no lock that `step` needs. StateFault.
        """
        return self._database.run_shared(partial(self._step, step))

    def run_each(self, steps: Iterable[Callable[[LifecycleWork], T]]) -> tuple[T | Exception, ...]:
        """Each a transaction of its own, with one commit for all; StateFault is in place of what was not stored."""
        return self._database.run_each_shared([partial(self._step, step) for step in steps])

    def _step(self, step: Callable[[LifecycleWork], T], connection: StateConnection) -> T:
        return step(self._on(connection))

    def _on(self, connection: StateConnection) -> LifecycleWork:
        # It is always the database's one connection, and its lock is held.
        if self._work is None:
            self._work = LifecycleWork(StateTables(connection, self._redact))
        return self._work


class _Working(AbstractContextManager[LifecycleWork]):
    """One block of a transaction as work on its tables."""

    __slots__ = ("_block", "_on")

    def __init__(
        self, block: AbstractContextManager[StateConnection], on: Callable[[StateConnection], LifecycleWork]
    ) -> None:
        self._block = block
        self._on = on

    def __enter__(self) -> LifecycleWork:
        return self._on(self._block.__enter__())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._block.__exit__(kind, error, trace)
