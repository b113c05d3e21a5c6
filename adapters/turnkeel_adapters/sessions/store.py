"""How does a host work with a session folder on disk?"""

from collections.abc import Collection, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import apsw

from turnkeel_adapters.errors import SessionFault
from turnkeel_adapters.sessions.connect import BUSY_TIMEOUT_MS, reading, roll_back_hot_journal, writing
from turnkeel_adapters.sessions.faults import faults_named
from turnkeel_adapters.sessions.operations import SessionOperations
from turnkeel_adapters.sessions.outbox_look import look_at_outbox
from turnkeel_adapters.sessions.output_checks import Attachments
from turnkeel_adapters.sessions.records import FileStamp, FolderSignature
from turnkeel_core import OutputPolicy


class FileSessionStore(SessionOperations):
    """One session folder: every operation opens, works and closes, so that no lock outlives it.

    `read_only` refuses every write with a SessionFault: for commands that look while another process is the host.
    """

    def __init__(
        self,
        folder: Path,
        *,
        read_only: bool = False,
        busy_timeout_ms: int = BUSY_TIMEOUT_MS,
        output: OutputPolicy = OutputPolicy(),
    ) -> None:
        super().__init__(_DiskFiles(folder, read_only, busy_timeout_ms), output)
        self.folder = folder
        self.read_only = read_only

    def roll_back(self, *, inbound_only: bool = False) -> None:
        """Undo what a dead writer left unfinished; outbound.db only when its container is verified dead."""
        for name in ("inbound.db",) if inbound_only else ("inbound.db", "outbound.db"):
            _refuse_if(self.read_only, self.folder / name)
            roll_back_hot_journal(self.folder / name)

    def signature(self) -> FolderSignature:
        """Stat the files without opening them: it differs whenever something was written."""
        return FolderSignature(
            inbound=_stamp(self.folder / "inbound.db"),
            outbound=_stamp(self.folder / "outbound.db"),
            heartbeat_at_ms=self.heartbeat_at_ms(),
        )

    def heartbeat_at_ms(self) -> int | None:
        """Return the heartbeat file's mtime, floored to ms; None if there is none."""
        beat = _stamp(self.folder / ".heartbeat")
        return None if beat is None else beat.mtime_ns // 1_000_000

    def remove_heartbeat(self) -> None:
        """Forget the last incarnation's heartbeat; nothing happens where there is none."""
        path = self.folder / ".heartbeat"
        _refuse_if(self.read_only, path)
        with faults_named(path):
            path.unlink(missing_ok=True)


class _DiskFiles:
    def __init__(self, folder: Path, read_only: bool, busy_timeout_ms: int) -> None:
        self._inbound = folder / "inbound.db"
        self._outbound = folder / "outbound.db"
        self._outbox = folder / "outbox"
        self._read_only = read_only
        self._busy_timeout_ms = busy_timeout_ms

    def read_inbound(self) -> AbstractContextManager[apsw.Connection]:
        return reading(self._inbound, self._busy_timeout_ms)

    @contextmanager
    def read_outbound(self) -> Generator[apsw.Connection | None, None, None]:
        # A link to nowhere is no missing file: opening it names the fault.
        if not self._outbound.exists() and not self._outbound.is_symlink():
            yield None
            return
        with reading(self._outbound, self._busy_timeout_ms) as db:
            yield db

    def write_inbound(self) -> AbstractContextManager[apsw.Connection]:
        _refuse_if(self._read_only, self._inbound)
        return writing(self._inbound, self._busy_timeout_ms)

    def write_outbound(self) -> AbstractContextManager[apsw.Connection]:
        _refuse_if(self._read_only, self._outbound)
        return writing(self._outbound, self._busy_timeout_ms)

    def attachments(self, message_out_ids: Collection[str]) -> dict[str, Attachments]:
        return look_at_outbox(self._outbox, message_out_ids)


def _refuse_if(read_only: bool, path: Path) -> None:
    if read_only:
        raise SessionFault(path, "read_only", "this command opened the session for reading only")


def _stamp(path: Path) -> FileStamp | None:
    with faults_named(path):
        try:
            found = path.lstat()
        except FileNotFoundError:
            return None
    return FileStamp(inode=found.st_ino, size=found.st_size, mtime_ns=found.st_mtime_ns)
