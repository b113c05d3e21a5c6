"""Where are the sessions of a data directory?"""

import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from turnkeel_adapters.errors import BadSessionName, SessionFault
from turnkeel_adapters.sessions.connect import ensure_schema, reading
from turnkeel_adapters.sessions.faults import faults_named, os_fault
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.sessions.rows import columns_of, text_of

_FILES = ("inbound.db", "outbound.db")


@frozen(kw_only=True)
class FoundSession:
    """A session and the real folder it lives in."""

    name: SessionName
    folder: Path


@frozen(kw_only=True)
class FolderFault:
    """A folder that looks like a session and is none; `detail` says why and what to do."""

    folder: Path
    detail: str


@frozen(kw_only=True)
class TreeListing:
    """All sessions, by name, and the folders that could not be used."""

    sessions: tuple[FoundSession, ...]
    faults: tuple[FolderFault, ...]


class SessionTree:
    """The folders below `v2-sessions/` of a data directory."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._root = data_dir / "v2-sessions"

    def folder(self, name: SessionName) -> Path:
        """Return a session's folder, existing or not; raise SessionFault if a link would lead out of the tree."""
        group = self._root / name.group
        for path in (group, group / name.name):
            if path.is_symlink():
                raise SessionFault(path, "link", "a symbolic link stands in its place")
        return self._root.resolve() / name.group / name.name

    def find(self) -> TreeListing:
        """List the sessions: real folders that hold an inbound.db or an outbound.db. Dot folders are none."""
        sessions: list[FoundSession] = []
        faults: list[FolderFault] = []
        for group in _entries(self._root, faults):
            if group.is_symlink():
                faults += [_link_fault(group)]
                continue
            for folder in _entries(group, faults):
                if folder.is_symlink():
                    faults += [_link_fault(folder)]
                elif _holds_session(folder, faults):
                    self._add(folder, sessions, faults)
        return TreeListing(sessions=tuple(sorted(sessions, key=lambda found: found.name)), faults=tuple(faults))

    def create(self, name: SessionName) -> Path:
        """Return the session's folder, made with both files and `outbox/` if there is none yet; never half made."""
        folder = self.folder(name)
        if not os.path.lexists(folder / _FILES[0]):
            with faults_named(folder):
                folder.parent.mkdir(parents=True, exist_ok=True)
                self._build(name, folder)
        return folder

    def closed_in_registry(self) -> frozenset[SessionName]:
        """Return the sessions that an existing host's `v2.db` calls closed; none without such a file or table."""
        path = self._data_dir / "v2.db"
        if not os.path.lexists(path):
            return frozenset()
        with reading(path) as db:
            if not columns_of(db, "sessions"):
                return frozenset()
            rows = db.execute("SELECT agent_group_id, id FROM sessions WHERE status = 'closed'").fetchall()
        return frozenset(_names(f"{text_of(group)}/{text_of(session)}" for group, session in rows))

    def _build(self, name: SessionName, folder: Path) -> None:
        # Made beside its place and renamed: whoever looks sees a whole session or none.
        draft = folder.parent / f".new-{name.name[:64]}-{secrets.token_hex(8)}"
        (draft / "outbox").mkdir(parents=True)
        try:
            ensure_schema(draft / "inbound.db", "inbound")
            ensure_schema(draft / "outbound.db", "outbound")
            _sync(draft)
            draft.rename(folder)
            _sync(folder.parent)
        except OSError:
            # Somebody else may have made it at the same moment; then theirs is the session.
            if not (folder / _FILES[0]).is_file():
                raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _add(self, folder: Path, sessions: list[FoundSession], faults: list[FolderFault]) -> None:
        try:
            name = SessionName.parse(f"{folder.parent.name}/{folder.name}")
        except BadSessionName as error:
            faults += [FolderFault(folder=folder, detail=f"{error}; rename the folder")]
        else:
            sessions += [FoundSession(name=name, folder=self._root.resolve() / name.group / name.name)]


def _entries(folder: Path, faults: list[FolderFault]) -> list[Path]:
    try:
        with os.scandir(folder) as found:
            names = [entry.name for entry in found if not entry.name.startswith(".") and entry.is_dir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        faults += [FolderFault(folder=folder, detail=str(os_fault(folder, error)))]
        return []
    return [folder / name for name in sorted(names)]


def _holds_session(folder: Path, faults: list[FolderFault]) -> bool:
    """A folder that may not be looked into is no empty one: it is told."""
    for name in _FILES:
        try:
            os.lstat(folder / name)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            faults += [FolderFault(folder=folder, detail=str(os_fault(folder, error)))]
            return False
        return True
    return False


def _names(texts: Iterator[str]) -> Iterator[SessionName]:
    for text in texts:
        try:
            yield SessionName.parse(text)
        except BadSessionName:
            # A registry name that cannot be a folder here closes nothing here.
            continue


def _link_fault(path: Path) -> FolderFault:
    return FolderFault(folder=path, detail=str(SessionFault(path, "link", "links are not followed")))


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
