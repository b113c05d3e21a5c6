"""How does delivery reach the session folders of a data directory?"""

from pathlib import Path

from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.sessions.store import FileSessionStore


class FileMailboxes:
    """The session folders as delivery uses them."""

    def __init__(self, sessions: FileSessions) -> None:
        self._sessions = sessions

    def mail(self, session: str) -> FileSessionStore:
        """The files of one session; SessionFault if its place is a link, BadSessionName if it cannot be one."""
        return self._sessions.store(session)

    def folder(self, session: str) -> Path:
        """Where they lie; the same faults."""
        return self._sessions.store(session).folder

    def exists(self, session: str) -> bool:
        """Whether the session has a folder."""
        return self.folder(session).exists()

    def create(self, session: str) -> None:
        """Make the session if it is new."""
        self._sessions.tree.create(SessionName.parse(session))
