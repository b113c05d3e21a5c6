"""All of `turnkeel.db`, by table family."""

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from turnkeel_adapters.state.charges import Charges
from turnkeel_adapters.state.database import StateDatabase
from turnkeel_adapters.state.dead import DeadRecords
from turnkeel_adapters.state.incarnations import Incarnations
from turnkeel_adapters.state.journal import Journal
from turnkeel_adapters.state.notes import Notes
from turnkeel_adapters.state.pauses import Pauses
from turnkeel_adapters.state.registry import Registry

FILE_NAME: Final = "turnkeel.db"


class HostState:
    """The host's own store. Reading commands open it with `read_only=True`: not a byte changes.

    `redact` takes the secrets out of every reason and detail before it is stored; payloads stay as they are.
    """

    def __init__(self, data_dir: Path, *, read_only: bool = False, redact: Callable[[str], str] = str) -> None:
        self.database = StateDatabase(data_dir / FILE_NAME, read_only=read_only)
        self.incarnations = Incarnations(self.database)
        self.charges = Charges(self.database)
        self.dead = DeadRecords(self.database, redact)
        self.notes = Notes(self.database, redact)
        self.pauses = Pauses(self.database, redact)
        self.journal = Journal(self.database, redact)
        self.registry = Registry(self.database)

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
