"""`import`: how does what another host left in its file queue come into the outbox?"""

import time
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from turnkeel.cli.errors import DONE, FAILED
from turnkeel.cli.hiding import hidden, keeper
from turnkeel.cli.output import flat, print_json
from turnkeel.cli.pause import open_state
from turnkeel.cli.place import existing_data_dir
from turnkeel.cli.reading import open_reading
from turnkeel.cli.render import render_when
from turnkeel_adapters.lifecycle.legacy import LegacyFolder
from turnkeel_adapters.lifecycle.legacy_import import Fate, FateKind, import_legacy, preview_legacy
from turnkeel_adapters.lifecycle.store import StateLifecycle
from turnkeel_adapters.system.doorbell import ring

_WORDS: Final[dict[FateKind, str]] = {
    "imported": "imported",
    "known": "imported before, removed",
    "quarantined": "quarantined",
    "left": "left where it is",
}
_WOULD: Final[dict[FateKind, str]] = {
    "imported": "would be imported",
    "known": "imported before, would be removed",
    "quarantined": "would be quarantined",
    "left": "would be left where it is",
}


def import_queue(folder: Path, data: Path | None, *, dry_run: bool, json: bool) -> int:
    """Take every file over, or say what would become of it; 1 if one was quarantined or left. LegacyFault, StateFault.

    Killed at any point and run again, it adds nothing twice and loses nothing.
    """
    data_dir, fates = existing_data_dir(data), list[Fate]()
    words = _WOULD if dry_run else _WORDS
    with ExitStack() as stack:
        queue = stack.enter_context(LegacyFolder(folder))
        if dry_run:
            state = stack.enter_context(open_reading(data_dir, records=True)).state
            found = preview_legacy(queue, StateLifecycle(state.database), _now_ms)
        else:
            state = stack.enter_context(open_state(data_dir))
            stack.callback(ring, data_dir)
            found = import_legacy(queue, StateLifecycle(state.database, hidden), _now_ms, keeper().redact_reply)
        for fate in found:
            fates.append(fate)
            if not json:
                print(flat(_line(fate, words)))
    counts = Counter[FateKind](fate.kind for fate in fates)
    if json:
        about = {"folder": str(folder), "dry_run": dry_run, "counts": counts}
        print_json({**about, "files": [_data(one) for one in fates]})
    else:
        print(_summary(counts, words))
    return FAILED if counts["quarantined"] or counts["left"] else DONE


def _line(fate: Fate, words: dict[FateKind, str]) -> str:
    details = [fate.detail] if fate.detail else []
    if fate.row is not None:
        queued = render_when(fate.row.queued_at_ms, _now_ms())
        details += [f"row {fate.row.row_id} for {fate.row.channel}, queued {queued}"]
    if fate.left_out:
        details += [f"without its {', '.join(fate.left_out)}"]
    return ": ".join([fate.file, "; ".join([words[fate.kind], *details])])


def _summary(counts: "Counter[FateKind]", words: dict[FateKind, str]) -> str:
    kinds: Iterable[FateKind] = (kind for kind in words if counts[kind])
    return ", ".join(f"{counts[kind]} {words[kind]}" for kind in kinds) or "no file to import"


def _data(fate: Fate) -> dict[str, object]:
    row = fate.row
    about = {} if row is None else {"row_id": row.row_id, "channel": row.channel, "queued_at_ms": row.queued_at_ms}
    return {"file": fate.file, "outcome": fate.kind, "detail": fate.detail, **about, "left_out": list(fate.left_out)}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
