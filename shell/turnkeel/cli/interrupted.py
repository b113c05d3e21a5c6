"""`interrupted`: which messages were handed to an agent long ago and never answered?"""

import time
from pathlib import Path

from attrs import frozen

from turnkeel.cli.errors import WrongUsage
from turnkeel.cli.output import flat, print_json, print_table
from turnkeel.cli.reading import open_reading, patiently
from turnkeel.cli.render import render_ago
from turnkeel.delivery.interrupted import interrupted_turns
from turnkeel_adapters.config.load import load_config
from turnkeel_adapters.lifecycle.listing import reading_of
from turnkeel_adapters.v1_messages import read_dispatched, reading_v1
from turnkeel_core import Interrupted, InterruptedPolicy, InterruptedSnapshot, find_interrupted


@frozen(kw_only=True)
class Found:
    """What there is to tell of one source; `notes` are for the reader."""

    source: Path
    interrupted: tuple[Interrupted, ...]
    notes: tuple[str, ...]


def interrupted(
    data: Path | None = None, *, db: Path | None = None, config: Path | None = None, json: bool = False
) -> int:
    """Show those of a v1 database, or of our own turns; changes nothing. Raises V1Fault if the database is none."""
    if data is not None and db is not None:
        raise WrongUsage("give --db for a v1 database or --data for our own, not both")
    policy, now_ms = load_config(config).interrupted, time.time_ns() // 1_000_000
    found = _of_turns(data, policy, now_ms) if db is None else _of_v1(db, policy, now_ms)
    if json:
        print_json(_document(found, policy, now_ms))
    else:
        _print(found, policy)
    return 0


def _of_v1(path: Path, policy: InterruptedPolicy, now_ms: int) -> Found:
    with reading_v1(path) as db:
        scan = read_dispatched(db)
    found = find_interrupted(InterruptedSnapshot(now_ms=now_ms, dispatched=scan.dispatched), policy)
    notes = () if scan.migrated else ("the table has no column processing_started_at: nothing was ever marked",)
    unread = [one.key for one in scan.dispatched if one.started_at_ms is None]
    told = tuple(f"{key.chat}/{key.message_id}: its marker is no instant, so its age is not known" for key in unread)
    return Found(source=path, interrupted=found, notes=(*notes, *told))


def _of_turns(data: Path | None, policy: InterruptedPolicy, now_ms: int) -> Found:
    with open_reading(data, records=True) as reading:

        def look() -> tuple[Interrupted, ...]:
            with reading_of(reading.state.database) as listing:
                return interrupted_turns(listing.work, now_ms, policy)

        found, at_work = patiently(look), reading.host is not None
        note = ("a host is at work here: what runs for so long may still be at it",) if at_work and found else ()
        return Found(source=reading.data_dir, interrupted=found, notes=(*reading.notes, *note))


def _document(found: Found, policy: InterruptedPolicy, now_ms: int) -> dict[str, object]:
    return {
        "read_at_ms": now_ms,
        "source": str(found.source),
        "stale_ms": policy.stale_ms,
        "interrupted": [
            {
                "chat": one.key.chat,
                "message_id": one.key.message_id,
                "started_at_ms": one.started_at_ms,
                "age_ms": one.age_ms,
            }
            for one in found.interrupted
        ],
        "notes": found.notes,
    }


def _print(found: Found, policy: InterruptedPolicy) -> None:
    for note in found.notes:
        print(f"note: {flat(note)}")
    if not found.interrupted:
        print(f"{found.source}: nothing was handed on over {policy.stale_ms // 60_000} min ago and not answered")
        return
    rows = [(one.key.chat, one.key.message_id, render_ago(one.age_ms)) for one in found.interrupted]
    print_table(("chat", "message", "handed on"), rows)
