"""Which stores does a host get for the sessions of its data directory?"""

from pathlib import Path

from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.sessions.store import FileSessionStore
from turnkeel_adapters.sessions.tree import SessionTree, TreeListing


class FileSessions:
    """The sessions below a data directory, by their texts (`group/name`)."""

    def __init__(self, data_dir: Path, *, read_only: bool = False) -> None:
        self.tree = SessionTree(data_dir)
        self._read_only = read_only

    def find(self) -> TreeListing:
        """All sessions by their folders."""
        return self.tree.find()

    def closed_in_registry(self) -> frozenset[str]:
        """The sessions that an existing host's registry calls closed."""
        return frozenset(str(name) for name in self.tree.closed_in_registry())

    def store(self, session: str) -> FileSessionStore:
        """The store of one session; SessionFault if its place is a link, BadSessionName if it cannot be one."""
        return FileSessionStore(self.tree.folder(SessionName.parse(session)), read_only=self._read_only)
