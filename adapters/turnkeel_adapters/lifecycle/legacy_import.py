"""How does the former queue's folder become rows, each file once, however often the import is killed?

Rows are committed first, then their files are removed; a file of a committed row is recognised and removed.
"""

import hashlib
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from typing import Final, Literal, TypeAlias

from attrs import evolve, frozen

from turnkeel_adapters import wire
from turnkeel_adapters.lifecycle.apply import Change
from turnkeel_adapters.lifecycle.legacy import LegacyFault, LegacyFolder
from turnkeel_adapters.lifecycle.legacy_entry import LegacyFile
from turnkeel_adapters.lifecycle.payloads import Outgoing, as_it_is
from turnkeel_adapters.lifecycle.port import LifecycleStore
from turnkeel_adapters.lifecycle.tables import Tables
from turnkeel_core import (
    EnqueueRow,
    LegacyAction,
    LegacyEntry,
    LegacySnapshot,
    OutboxRow,
    QuarantineFile,
    RemoveFile,
    plan_legacy_import,
)
from turnkeel_core.lifecycle_states import TURN_TERMINAL
from turnkeel_core.turn_identity import encode_parts

FateKind: TypeAlias = Literal["imported", "known", "quarantined", "left"]

BATCH_FILES: Final = 100
BATCH_CHARS: Final = 10_000_000
_BECAUSE: Final = "taken over from the former queue"
_CHANGED: Final = "it changed meanwhile: import again"


@frozen(kw_only=True)
class Fate:
    """What became of one file, and the row that it is now. `detail` says where it lies, or why it was left."""

    file: str
    kind: FateKind
    detail: str = ""
    row: OutboxRow | None = None
    left_out: tuple[str, ...] = ()


def import_legacy(
    folder: LegacyFolder,
    store: LifecycleStore,
    read_clock: Callable[[], int],
    redact_reply: Callable[[str, str], str] = as_it_is,
) -> Generator[Fate, None, None]:
    """Take over every file, batch by batch; each fate is told once it is on the disk. StateFault: the rest is left.

    `redact_reply` takes the secrets out of a text for a channel before it is stored.
    """
    for files, left in _batches(folder, read_clock):
        yield from left
        with store.transaction() as work:
            now_ms = read_clock()
            planned, payloads = _plan(files, work.tables, now_ms)
            rows = [action for action in planned if isinstance(action, EnqueueRow)]
            clean = {one.row.row_id: _clean(payloads[one.row.row_id], one.row.channel, redact_reply) for one in rows}
            refused = {one.action for one in work.apply(rows, now_ms, clean, because=_BECAUSE)}
            for action in (action for action in rows if action not in refused):
                row_id = action.row.row_id
                work.tables.sources.take(_source(row_id, payloads[row_id]), "", "queued", now_ms)
        yield from _carry_out(folder, planned, files, refused)


def preview_legacy(
    folder: LegacyFolder, store: LifecycleStore, read_clock: Callable[[], int]
) -> Generator[Fate, None, None]:
    """What `import_legacy` would do now; nothing is changed, so a file that another one repeats looks new too."""
    for files, left in _batches(folder, read_clock):
        yield from left
        with store.reading() as work:
            planned, _ = _plan(files, work.tables, read_clock())
        yield from _fates(planned, files, lambda action: (_kind(action), _fault(action)))


def _batches(
    folder: LegacyFolder, read_clock: Callable[[], int]
) -> Generator[tuple[list[LegacyFile], list[Fate]], None, None]:
    files, left, chars = list[LegacyFile](), list[Fate](), 0
    for name in folder.names():
        try:
            found = folder.read(name, read_clock())
        except LegacyFault as fault:
            left.append(Fate(file=name, kind="left", detail=str(fault)))
            continue
        if found is not None:
            files.append(found)
            chars += len(found.payload or "")
        if len(files) >= BATCH_FILES or chars >= BATCH_CHARS:
            yield files, left
            files, left, chars = [], [], 0
    if files or left:
        yield files, left


def _plan(files: Sequence[LegacyFile], tables: Tables, now_ms: int) -> tuple[tuple[LegacyAction, ...], dict[str, str]]:
    """The core's plan for the files as the store knows them, and the texts by their ids."""
    texts, known, entries = dict[str, str](), list[str](), list[LegacyEntry]()
    for one in sorted(files, key=lambda one: (one.entry.enqueued_at_ms or now_ms, one.entry.file)):
        entry_id, payload = one.entry.entry_id, one.payload
        entry = evolve(one.entry, turn_id=_open_turn(tables, one.entry.turn_id))
        if entry_id is not None and payload is not None:
            stored = tables.outbox.payload(entry_id)
            taken = bool(tables.sources.taken((_source(entry_id, payload),)))
            if stored is not None or taken:
                known.append(entry_id)
            # What has the id of another message is no copy of it, and must not be taken for one. What was taken over
            # may be stored without its secrets.
            if texts.setdefault(entry_id, payload if stored is None or taken else stored) != payload:
                entry = evolve(entry, fault=f"another message has the id {entry_id}")
        entries.append(entry)
    seen = LegacySnapshot(now_ms=now_ms, entries=tuple(entries), known_ids=tuple(known))
    return plan_legacy_import(seen), texts


def _clean(payload: str, channel: str, redact_reply: Callable[[str, str], str]) -> str:
    outgoing = wire.loads(payload, Outgoing)
    return wire.dumps(evolve(outgoing, parts=tuple(redact_reply(channel, part) for part in outgoing.parts)))


def _source(entry_id: str, payload: str) -> str:
    """Kept longer than the row: the same file is never taken over again, even when its row is pruned."""
    return encode_parts("legacy", entry_id, hashlib.sha256(payload.encode()).hexdigest())


def _open_turn(tables: Tables, turn_id: str | None) -> str | None:
    turn = None if turn_id is None else tables.turns.get(turn_id)
    return None if turn is None or turn.status in TURN_TERMINAL else turn.turn_id


def _carry_out(
    folder: LegacyFolder, planned: Iterable[LegacyAction], files: Sequence[LegacyFile], refused: Collection[Change]
) -> Generator[Fate, None, None]:
    """The files' part, after the commit."""
    ids = {one.entry.file: one.entry.entry_id for one in files}
    unstored = {action.row.row_id for action in refused if isinstance(action, EnqueueRow)}

    def act(action: RemoveFile | QuarantineFile) -> tuple[FateKind, str]:
        try:
            match action:
                case RemoveFile(file):
                    if ids[file] in unstored:
                        return "left", "the store has another row of its key"
                    return ("known", "") if folder.remove(file) else ("left", _CHANGED)
                case QuarantineFile(file, fault):
                    kept = folder.quarantine(file)
                    return ("left", _CHANGED) if kept is None else ("quarantined", f"{fault}; kept as {kept}")
        except LegacyFault as fault:
            return "left", str(fault)

    yield from _fates([action for action in planned if action not in refused], files, act)


def _fates(
    planned: Iterable[LegacyAction],
    files: Sequence[LegacyFile],
    act: Callable[[RemoveFile | QuarantineFile], tuple[FateKind, str]],
) -> Generator[Fate, None, None]:
    """One for each file; the row that is stored for a file comes just before the file's removal."""
    left_out, row = {one.entry.file: one.left_out for one in files}, None
    for action in planned:
        if isinstance(action, EnqueueRow):
            row = action.row
            continue
        kind, detail = act(action)
        if row is not None:
            kind, detail = ("imported", detail) if kind == "known" else (kind, f"its row is stored; {detail}")
        yield Fate(file=action.file, kind=kind, detail=detail, row=row, left_out=left_out[action.file])
        row = None


def _kind(action: RemoveFile | QuarantineFile) -> FateKind:
    return "known" if isinstance(action, RemoveFile) else "quarantined"


def _fault(action: RemoveFile | QuarantineFile) -> str:
    return "" if isinstance(action, RemoveFile) else action.fault
