"""How are the schedules in `turnkeel.db` one store, with the turns beside them?"""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from attrs import frozen

from turnkeel_adapters.lifecycle.store import StateTables
from turnkeel_adapters.lifecycle.work import LifecycleWork
from turnkeel_adapters.schedules.port import ScheduleTables
from turnkeel_adapters.schedules.rows import ScheduleRows
from turnkeel_adapters.state.database import StateDatabase


@frozen
class Work:
    """Turns and schedules inside one transaction; fits `ScheduleWork`."""

    lifecycle: LifecycleWork
    schedules: ScheduleTables


class StateSchedules:
    """The schedule store in `turnkeel.db`. `redact` takes the secrets out of every reason; prompts stay as they are."""

    def __init__(self, database: StateDatabase, redact: Callable[[str], str] = str) -> None:
        self._database = database
        self._redact = redact

    @contextmanager
    def transaction(self) -> Generator[Work, None, None]:
        """Everything inside, durable at the end, or nothing of it. StateFault."""
        with self._database.shared_transaction() as connection:
            tables = StateTables(connection, self._redact)
            yield Work(LifecycleWork(tables), ScheduleRows(connection, self._redact))

    @contextmanager
    def reading(self) -> Generator[Work, None, None]:
        """All of it as of one instant, to look and not to write. StateFault."""
        with self._database.reading() as connection:
            tables = StateTables(connection, self._redact)
            yield Work(LifecycleWork(tables), ScheduleRows(connection, self._redact))
