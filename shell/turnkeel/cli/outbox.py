"""`outbox`: which replies are to be sent, were sent or failed, and why are the open ones not sent yet?"""

import time
from pathlib import Path
from typing import Final

from attrs import asdict, frozen

from turnkeel.cli.errors import CommandFailed, WrongUsage
from turnkeel.cli.output import print_json, print_table
from turnkeel.cli.reading import Reading, open_reading, patiently
from turnkeel.cli.render import render_ago
from turnkeel.cli.status import host_data, host_line, print_notes
from turnkeel.cli.turns import wanted_session
from turnkeel.cli.waits import Judging, Wait, Waits, words_of
from turnkeel_adapters.lifecycle.listing import RowSummary, reading_of
from turnkeel_core.lifecycle_states import ROW_FAILED

DEFAULT_LIMIT: Final = 50
OPEN: Final = ("queued", "sending", "failed_retryable", "unknown")
_COLUMNS: Final = ("row", "session", "channel", "kind", "state", "queued", "tries", "parts", "waits for")


@frozen(kw_only=True)
class Shown:
    """A row, and what it waits for if it is open."""

    summary: RowSummary
    wait: Wait | None


def outbox(
    session: str | None,
    data: Path | None,
    *,
    status: str | None = None,
    only_open: bool = False,
    channel: str | None = None,
    config: Path | None = None,
    limit: int = DEFAULT_LIMIT,
    after: str | None = None,
    json: bool = False,
) -> int:
    """Show up to `limit` rows after the one named, the newest first. CommandFailed if nothing is known of that one."""
    if status is not None and only_open:
        raise WrongUsage("give --status, or --open for every status that is not an end (not both)")
    statuses = OPEN if only_open else () if status is None else (status,)
    judging = Judging(config)
    with open_reading(data, records=True) as reading:
        name, now_ms = None if session is None else wanted_session(reading, session), time.time_ns() // 1_000_000

        def look() -> tuple[tuple[Shown, ...], bool]:
            with reading_of(reading.state.database) as listing:
                if after is not None and listing.row(after) is None:
                    raise CommandFailed(f"no row {after} to go on after; begin without --after")
                found = listing.rows(limit=limit + 1, after=after, session=name, statuses=statuses, channel=channel)
                waits = Waits(listing, reading, judging, now_ms)
                page = tuple(Shown(summary=one, wait=waits.of_row(one.row)) for one in found[:limit])
                return page, len(found) > limit

        page, more = patiently(look)
        following = page[-1].summary.row.row_id if page and more else None
        if json:
            print_json(_document(reading, page, following, now_ms))
        else:
            _print(reading, page, following, now_ms)
    return 0


def row_data(summary: RowSummary, wait: Wait | None) -> dict[str, object]:
    """A row as data, with its receipts and what it waits for."""
    receipts = [asdict(receipt) for receipt in summary.receipts]
    return {**asdict(summary.row), "receipts": receipts, "waits": None if wait is None else asdict(wait)}


def row_state(summary: RowSummary) -> str:
    """`delivered`, `failed_terminal: blocked by the user`."""
    row = summary.row
    reason = f": {row.reason}" if row.status in ROW_FAILED and row.reason not in (None, row.status) else ""
    return f"{row.status}{reason}"


def _document(reading: Reading, page: tuple[Shown, ...], following: str | None, now_ms: int) -> dict[str, object]:
    return {
        "read_at_ms": now_ms,
        "host": host_data(reading.host),
        "notes": reading.notes,
        "rows": [row_data(one.summary, one.wait) for one in page],
        "next": following,
    }


def _print(reading: Reading, page: tuple[Shown, ...], following: str | None, now_ms: int) -> None:
    print(host_line(reading.host, now_ms))
    print_notes(reading)
    if page:
        print_table(_COLUMNS, [_row(one, now_ms) for one in page])
    else:
        print("no such row in the outbox")
    if following is not None:
        print(f"more: the same with --after {following}")


def _row(shown: Shown, now_ms: int) -> tuple[str, ...]:
    row = shown.summary.row
    waits = "-" if shown.wait is None else words_of(shown.wait, now_ms)
    last = "" if row.last_error is None or row.last_error == row.reason else f"last error: {row.last_error}"
    return (
        row.row_id,
        row.session or "-",
        row.channel,
        row.kind,
        row_state(shown.summary),
        render_ago(max(0, now_ms - row.queued_at_ms)),
        str(row.attempts),
        f"{row.parts_proven} of {row.parts}",
        "; ".join(text for text in (waits, last) if text not in ("", "-")) or "-",
    )
