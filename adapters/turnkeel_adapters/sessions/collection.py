"""Which stores does a host get for the sessions of its data directory?"""

import os
from pathlib import Path

from turnkeel_adapters.sessions.connect import BUSY_TIMEOUT_MS, ensure_schema
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.sessions.store import FileSessionStore
from turnkeel_adapters.sessions.tree import SessionTree, TreeListing
from turnkeel_core import OutputPolicy


class FileSessions:
    """The sessions below a data directory, by their texts (`group/name`)."""

    def __init__(
        self,
        data_dir: Path,
        *,
        read_only: bool = False,
        busy_timeout_ms: int = BUSY_TIMEOUT_MS,
        output: OutputPolicy = OutputPolicy(),
    ) -> None:
        """`busy_timeout_ms` is how long a call waits for a locked file; `output` are the limits of a reply."""
        self.tree = SessionTree(data_dir)
        self._read_only = read_only
        self._busy_timeout_ms = busy_timeout_ms
        self._output = output

    def find(self) -> TreeListing:
        """All sessions by their folders."""
        return self.tree.find()

    def closed_in_registry(self) -> frozenset[str]:
        """The sessions that an existing host's registry calls closed."""
        return frozenset(str(name) for name in self.tree.closed_in_registry())

    def store(self, session: str) -> FileSessionStore:
        """The store of one session; SessionFault if its place is a link, BadSessionName if it cannot be one."""
        folder = self.tree.folder(SessionName.parse(session))
        return FileSessionStore(
            folder, read_only=self._read_only, busy_timeout_ms=self._busy_timeout_ms, output=self._output
        )

    def complete(self, session: str) -> None:
        """Make the outbound.db that a container needs and did not find; one that is there stays as it is."""
        outbound = self.store(session).folder / "outbound.db"
        if not os.path.lexists(outbound):
            ensure_schema(outbound, "outbound")
