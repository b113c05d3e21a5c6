"""Is this data directory fit for a host? Each function looks at one thing."""

import os
import secrets
import shutil
import time
from pathlib import Path
from typing import Final

from turnkeel.cli.doctor_records import Checked, fail, info, ok, warn
from turnkeel.cli.errors import line_of
from turnkeel.cli.place import TREE
from turnkeel.cli.reading import open_reading, patiently
from turnkeel_adapters.database_file import read_header
from turnkeel_adapters.errors import SessionFault
from turnkeel_adapters.state.database import StateFault, require_plain_file
from turnkeel_adapters.state.migrations import MIGRATIONS
from turnkeel_adapters.state.store import FILE_NAME, HostState
from turnkeel_adapters.system.filesystem import Nature, file_system_of
from turnkeel_adapters.system.lock import LockUnavailable, probe

_MIB: Final = 1_048_576
_NEEDED: Final = 100 * _MIB
_ROOMY: Final = 1_024 * _MIB
_SESSIONS: Final = 1_000
_CHECKED_WHOLE: Final = 256 * _MIB
_PASSING: Final = frozenset(("busy", "hot_journal"))
_ADVICE: Final[dict[Nature, str]] = {
    "network": "locks and syncs depend on its server; never use WAL here (turnkeel does not), and one machine only",
    "shared": "shared between machine and VM, WAL breaks here (turnkeel does not use it); prefer a disk of the VM",
    "user_space": "whether it locks and syncs is up to its program; prefer a local disk",
    "layer": "the layer of a container goes with the container; put the data directory on a volume",
    "memory": "all is lost when the machine stops; use a disk for anything but trials",
}


def check_directory(data_dir: Path) -> Checked:
    """A file is written, synced and removed, and a `turnkeel.db` is made in a folder of its own."""
    subject = "data directory"
    if not data_dir.exists():
        return info(subject, f"{data_dir} does not exist", "`turnkeel run` or `send` makes it")
    if not data_dir.is_dir():
        return fail(subject, f"{data_dir} is no directory", "give --data DIR, or set TURNKEEL_DATA")
    place = data_dir / f".doctor-{secrets.token_hex(8)}"
    try:
        place.mkdir()
        try:
            with open(place / "probe", "xb") as file:
                file.write(bytes(4_096))
                file.flush()
                os.fsync(file.fileno())
            with HostState(place) as state:
                state.registry.seen(("main/probe",), 0)
        finally:
            shutil.rmtree(place)
    except (OSError, StateFault) as error:
        seen = f"{data_dir} cannot be written as it must be: {line_of(error)}"
        return fail(subject, seen, "mend the mount or the permissions")
    return ok(subject, f"{data_dir}: written, synced and removed; a database there is durable (journal, FULL)")


def check_file_system(data_dir: Path) -> Checked:
    """Of the directory, or of the nearest one above it."""
    found = file_system_of(data_dir)
    if found is None:
        return info("file system", "this system does not tell which it is")
    seen = f"{found.kind} at {found.mount_point}"
    if found.nature == "local":
        return ok("file system", seen)
    return warn("file system", seen, _ADVICE[found.nature])


def check_space(data_dir: Path) -> Checked:
    """For this user; 100 MiB are the least for databases, journals and logs."""
    place = next(folder for folder in (data_dir.absolute(), *data_dir.absolute().parents) if folder.is_dir())
    disk = os.statvfs(place)
    free = disk.f_bavail * disk.f_frsize
    seen = f"{free // _MIB:,} MiB" + (f", {disk.f_favail:,} more files" if disk.f_files else "")
    few_files = bool(disk.f_files) and disk.f_favail < 1_000
    if free < _NEEDED or few_files:
        return fail("free space", seen, "make room: a full disk accepts no message")
    return ok("free space", seen) if free >= _ROOMY else warn("free space", seen, "make room before it is full")


def check_lock(data_dir: Path) -> Checked:
    """Who serves it?"""
    try:
        holder = probe(data_dir)
    except LockUnavailable as error:
        return fail("lock", str(error), "use a file system with locks, and a user that may open the file")
    return ok("lock", "free: no host is at work here" if holder is None else f"held by a host at work: {holder}")


def check_database(data_dir: Path) -> Checked:
    """Its header first: a log that nobody uses would get new files from a mere reader."""
    path = data_dir / FILE_NAME
    if not os.path.lexists(path):
        return info(FILE_NAME, "none yet: no host has worked here", "the first `turnkeel run` makes it")
    try:
        require_plain_file(path)
        head = read_header(path.resolve())
        wal, version = 2 in head[18:20], int.from_bytes(head[60:64], "big")
        if wal and probe(data_dir) is None:
            text = "its host was killed, or stopped while it was read: a part of it is in the log beside it"
            return warn(FILE_NAME, text, "the next start of a host brings both together; copy both until then")
        if head and not wal and version < len(MIGRATIONS):
            seen = f"schema {version} of {len(MIGRATIONS)}"
            return info(FILE_NAME, seen, "the next start of a host brings it up to date")
        return _opened(data_dir)
    except (OSError, StateFault) as error:
        if path.with_name(f"{FILE_NAME}-journal").exists() and probe(data_dir) is None:
            text = f"its last writer was killed inside a commit ({error})"
            return warn(FILE_NAME, text, "the next start of a host undoes that commit")
        return fail(FILE_NAME, line_of(error), "restore it from a backup, if it is damaged")


def check_sessions(data_dir: Path) -> Checked:
    """Every session's files are read, of the first thousand."""
    if not data_dir.is_dir():
        return info("sessions", "none yet")
    try:
        return _read(data_dir)
    except StateFault as fault:
        return warn("sessions", f"not looked at: {fault}", "mend turnkeel.db first")


def _read(data_dir: Path) -> Checked:
    unread: list[SessionFault] = []
    rows = 0
    with open_reading(data_dir) as reading:
        for name in reading.names[:_SESSIONS]:
            try:
                rows += len(reading.sessions.store(name).read(time.time_ns() // 1_000_000).row_faults)
            except SessionFault as fault:
                unread.append(fault)
        folders = reading.listing.faults
        counted = f"{len(reading.names):,} sessions below {TREE}, {len(reading.closed)} closed"
    broken = [fault for fault in unread if fault.kind not in _PASSING]
    if broken:
        seen = f"{counted}; {len(broken)} cannot be read, the first: {broken[0]}"
        return fail("sessions", seen, "`turnkeel check` lists all")
    if unread or folders or rows:
        odd = f"{len(unread)} in use or half-written, {len(folders)} folders that are none, {rows} odd rows"
        seen = f"{counted}; {odd}"
        return warn("sessions", seen, "`turnkeel check` lists them")
    return ok("sessions", counted)


def _opened(data_dir: Path) -> Checked:
    with patiently(lambda: HostState(data_dir, read_only=True)) as state:
        ask = state.database.rows
        [[mode]] = patiently(lambda: ask("PRAGMA journal_mode"))
        [[version]] = patiently(lambda: ask("PRAGMA user_version"))
        small = (data_dir / FILE_NAME).stat().st_size <= _CHECKED_WHOLE
        [[damage]] = patiently(lambda: ask("PRAGMA quick_check(1)")) if small else [("ok",)]
    if damage != "ok":
        return fail(FILE_NAME, f"is damaged: {damage!s}", "stop the host and restore it from a backup")
    how = "quick check passed" if small else "too large for a quick check"
    return ok(FILE_NAME, f"schema {version!s}, journal_mode {mode!s}, {how}; a host opens it with synchronous=FULL")
