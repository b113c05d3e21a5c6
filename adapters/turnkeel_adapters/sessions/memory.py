"""How does a host work with a session that lives in memory only: in tests, simulators, dry runs?"""

from collections.abc import Collection, Generator
from contextlib import contextmanager
from threading import RLock

import apsw

from turnkeel_adapters.sessions.connect import transaction
from turnkeel_adapters.sessions.operations import SessionOperations
from turnkeel_adapters.sessions.output_checks import Attachments
from turnkeel_adapters.sessions.records import FileStamp, FolderSignature
from turnkeel_adapters.sessions.schema import INBOUND_SCHEMA, OUTBOUND_SCHEMA


class MemorySessionStore(SessionOperations):
    """The same operations over two databases in memory; `beat` and `outbound` are the container's side.

    One lock guards both databases, so that threads may share a store.
    """

    def __init__(self) -> None:
        self._memory = _MemoryFiles()
        self._beat_at_ms: int | None = None
        super().__init__(self._memory)

    @contextmanager
    def inbound(self) -> Generator[apsw.Connection, None, None]:
        """Hold a write transaction on the inbound database, as another writer of the host's side would."""
        with self._memory.write_inbound() as db:
            yield db

    @contextmanager
    def outbound(self) -> Generator[apsw.Connection, None, None]:
        """Hold a write transaction on the outbound database, as the container would."""
        with self._memory.write_outbound() as db:
            yield db

    def beat(self, at_ms: int) -> None:
        """Set the heartbeat, as the container would."""
        self._beat_at_ms = at_ms

    def roll_back(self, *, inbound_only: bool = False) -> None:
        """Do nothing: no transaction in memory outlives its writer."""

    def signature(self) -> FolderSignature:
        """Count the changes: it differs whenever something was written."""
        inbound, outbound = self._memory.changes()
        return FolderSignature(inbound=inbound, outbound=outbound, heartbeat_at_ms=self._beat_at_ms)

    def heartbeat_at_ms(self) -> int | None:
        """Return the last heartbeat; None if there is none."""
        return self._beat_at_ms

    def remove_heartbeat(self) -> None:
        """Forget the last incarnation's heartbeat."""
        self._beat_at_ms = None

    def close(self) -> None:
        """Give the memory back; the store is of no use after that."""
        self._memory.close()


class _MemoryFiles:
    def __init__(self) -> None:
        self._lock = RLock()
        self._inbound = _database(INBOUND_SCHEMA)
        self._outbound = _database(OUTBOUND_SCHEMA)

    @contextmanager
    def read_inbound(self) -> Generator[apsw.Connection, None, None]:
        with self._lock, transaction(self._inbound, "DEFERRED"):
            yield self._inbound

    @contextmanager
    def read_outbound(self) -> Generator[apsw.Connection | None, None, None]:
        with self._lock, transaction(self._outbound, "DEFERRED"):
            yield self._outbound

    @contextmanager
    def write_inbound(self) -> Generator[apsw.Connection, None, None]:
        with self._lock, transaction(self._inbound):
            yield self._inbound

    @contextmanager
    def write_outbound(self) -> Generator[apsw.Connection, None, None]:
        with self._lock, transaction(self._outbound):
            yield self._outbound

    def attachments(self, message_out_ids: Collection[str]) -> dict[str, Attachments]:
        return {}

    def changes(self) -> tuple[FileStamp, FileStamp]:
        with self._lock:
            inbound, outbound = (db.total_changes() for db in (self._inbound, self._outbound))
        return FileStamp(inode=1, size=0, mtime_ns=inbound), FileStamp(inode=2, size=0, mtime_ns=outbound)

    def close(self) -> None:
        with self._lock:
            self._inbound.close()
            self._outbound.close()


def _database(schema: str) -> apsw.Connection:
    db = apsw.Connection(":memory:")
    db.execute(schema).fetchall()
    return db
