"""What can be read of a data directory without changing a byte of it?"""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attrs import frozen

from turnkeel.cli.errors import CommandFailed
from turnkeel.cli.place import TREE, existing_data_dir
from turnkeel.cli.records import open_records, patiently
from turnkeel_adapters.errors import AdapterError, SessionFault
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.sessions.store import FileSessionStore
from turnkeel_adapters.sessions.tree import TreeListing
from turnkeel_adapters.state.store import FILE_NAME, HostState
from turnkeel_adapters.system.lock import Holder, LockUnavailable, probe

__all__ = ["Reading", "ReadingSessions", "ReadingStore", "open_reading", "patiently"]


class ReadingStore(FileSessionStore):
    """A session whose files are read as they are: a hot journal is reported, not rolled back."""

    def roll_back(self, *, inbound_only: bool = False) -> None:
        """Refuse, naming the file whose journal it is."""
        files = ("inbound.db",) if inbound_only else ("inbound.db", "outbound.db")
        hot = [name for name in files if (self.folder / f"{name}-journal").exists()]
        path = self.folder / (hot or files)[0]
        raise SessionFault(path, "hot_journal", "this command changes nothing; the host rolls it back at its next pass")


class ReadingSessions(FileSessions):
    """The sessions of a data directory, for reading only."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir, read_only=True)

    def store(self, session: str) -> ReadingStore:
        """The store of one session; SessionFault if its place is a link, BadSessionName if it cannot be one."""
        return ReadingStore(self.tree.folder(SessionName.parse(session)), read_only=True)


@frozen(kw_only=True)
class Reading:
    """A data directory as it is now. `state` is empty, and `has_state` False, where `turnkeel.db` cannot be read.

    `fault` says why, of a file that is there. `host` is who serves the directory, None if nobody does; `notes` are for
    the reader of the answer.
    """

    data_dir: Path
    sessions: ReadingSessions
    listing: TreeListing
    closed: frozenset[str]
    host: Holder | None
    state: HostState
    has_state: bool
    notes: tuple[str, ...]
    fault: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All sessions with a folder, in order."""
        return tuple(str(found.name) for found in self.listing.sessions)

    def known(self, session: str) -> str:
        """The full name of an existing session; CommandFailed if there is none, BadSessionName if it cannot be one."""
        name = str(SessionName.parse(session))
        if name not in self.names:
            raise CommandFailed(f"no session {name} in {self.data_dir}; `turnkeel status` lists them")
        return name


@contextmanager
def open_reading(option: Path | None, *, records: bool = False) -> Generator[Reading, None, None]:
    """Read a data directory, with or without a host at work in it; CommandFailed if it cannot be read at all.

    `records`: nor without `turnkeel.db`, if it is there, since an empty answer would be wrong.
    """
    data_dir = existing_data_dir(option)
    with ExitStack() as stack:
        host, notes = _host(data_dir)
        known = open_records(data_dir, host, stack)
        if records and known.fault is not None:
            raise CommandFailed(known.fault)
        sessions = ReadingSessions(data_dir)
        listing = sessions.find()
        _check_root(data_dir, listing)
        closed, unknown = _closed(sessions, known.state)
        yield Reading(
            data_dir=data_dir,
            sessions=sessions,
            listing=listing,
            closed=closed,
            host=host,
            state=known.state,
            has_state=known.there,
            fault=known.fault,
            notes=(*notes, *known.notes, *unknown, *_nothing_here(data_dir)),
        )


def _host(data_dir: Path) -> tuple[Holder | None, tuple[str, ...]]:
    try:
        return probe(data_dir), ()
    except LockUnavailable as fault:
        return None, (f"whether a host is at work here cannot be told: {fault}",)


def _check_root(data_dir: Path, listing: TreeListing) -> None:
    for fault in listing.faults:
        if fault.folder == data_dir / TREE:
            raise CommandFailed(fault.detail)


def _closed(sessions: ReadingSessions, state: HostState) -> tuple[frozenset[str], tuple[str, ...]]:
    ours = patiently(state.registry.closed)
    try:
        return ours | sessions.closed_in_registry(), ()
    except AdapterError as fault:
        return ours, (f"{fault}; sessions that are closed there are shown as open",)


def _nothing_here(data_dir: Path) -> tuple[str, ...]:
    if (data_dir / TREE).is_dir() or (data_dir / FILE_NAME).exists():
        return ()
    return (f"{data_dir} holds neither {TREE} nor {FILE_NAME}: no host has worked here yet",)
