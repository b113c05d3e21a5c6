"""What can be wrong outside, whose fault is it, and what helps?"""

from pathlib import Path
from typing import Final, Literal, TypeAlias

FaultKind: TypeAlias = Literal[
    "missing",
    "empty",
    "not_sqlite",
    "wrong_schema",
    "corrupt",
    "busy",
    "read_only",
    "disk_full",
    "hot_journal",
    "wal",
    "denied",
    "link",
    "io",
]

_MEANING: Final[dict[FaultKind, str]] = {
    "missing": "the file does not exist; whoever made or cleaned this folder left it out: restore it, or create the "
    "session anew",
    "empty": "the file is empty, its creation was cut short; restore it, or remove the session and create it anew",
    "not_sqlite": "the file is no SQLite database, another program wrote it; restore it from a copy",
    "wrong_schema": "the tables are not those of the session contract; check which program, of which version, made it",
    "corrupt": "the database is damaged (disk fault, or a copy made while it was written); restore it from a copy",
    "busy": "another process holds the file locked for longer than the wait; end that process or try again later",
    "read_only": "the file or its file system does not allow writing; mount it writable or fix its permissions",
    "disk_full": "the disk or the quota is full, the data is unharmed; free some space",
    "hot_journal": "its writer died inside a transaction; once that process is known dead, roll the journal back",
    "wal": "a writer left the file in WAL mode with unmerged changes, which the session contract forbids; let that "
    "program close it, or convert it with journal_mode=DELETE",
    "denied": "this user may not open it; fix the owner or the permissions",
    "link": "the path is a symbolic link or leaves the data directory; replace it by a real folder or file",
    "io": "the operating system reported a read or write error; check the disk and the mount",
}


class AdapterError(Exception):
    """Something outside this program did not work; the text says what, whose fault it is and what to do."""

    @property
    def subject(self) -> str:
        """The name of the file it is about, if it is about one."""
        path = getattr(self, "path", None)
        return path.name if isinstance(path, Path) else "files"

    @property
    def category(self) -> str:
        """One word for the fault."""
        kind = getattr(self, "kind", None)
        return kind if isinstance(kind, str) else type(self).__name__


class SessionFault(AdapterError):
    """A session file cannot be used; `kind` tells the cause apart, `detail` is what was seen."""

    path: Path
    kind: FaultKind
    detail: str

    def __init__(self, path: Path, kind: FaultKind, detail: str) -> None:
        super().__init__(path, kind, detail)
        self.path = path
        self.kind = kind
        self.detail = detail

    def __str__(self) -> str:
        """Name the file, the fault, who is to blame and what to do."""
        return f"{self.path}: {self.kind}: {_MEANING[self.kind]} ({self.detail})"


class BadSessionName(AdapterError, ValueError):
    """The caller gave a text that cannot name a session."""


class RefusedMessage(AdapterError, ValueError):
    """The caller gave a message that cannot be stored."""
