"""`turns`: which messages were accepted, what became of each, and what do the open ones wait for?"""

import time
from pathlib import Path
from typing import Final

from attrs import asdict, frozen

from turnkeel.cli.errors import CommandFailed, WrongUsage
from turnkeel.cli.output import print_json, print_table
from turnkeel.cli.reading import Reading, open_reading, patiently
from turnkeel.cli.render import render_ago
from turnkeel.cli.status import host_data, host_line, print_notes
from turnkeel.cli.waits import Judging, Wait, Waits, words_of
from turnkeel_adapters.lifecycle.listing import Listing, TurnSummary, reading_of
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_core.lifecycle_states import TURN_TERMINAL

DEFAULT_LIMIT: Final = 50
OPEN: Final = ("accepted", "running", "failed_retryable", "delivery_pending")
_COLUMNS: Final = ("turn", "session", "state", "accepted", "runs", "replies", "waits for")


@frozen(kw_only=True)
class Shown:
    """A turn, and what it waits for if it is open."""

    summary: TurnSummary
    wait: Wait | None


def turns(
    session: str | None,
    data: Path | None,
    *,
    status: str | None = None,
    only_open: bool = False,
    config: Path | None = None,
    limit: int = DEFAULT_LIMIT,
    after: str | None = None,
    json: bool = False,
) -> int:
    """Show up to `limit` turns after the one named, the newest first. CommandFailed if nothing is known of that one."""
    if status is not None and only_open:
        raise WrongUsage("give --status, or --open for every status that is not an end (not both)")
    statuses = OPEN if only_open else () if status is None else (status,)
    judging = Judging(config)
    with open_reading(data, records=True) as reading:
        name, now_ms = None if session is None else wanted_session(reading, session), time.time_ns() // 1_000_000

        def look() -> tuple[tuple[Shown, ...], bool]:
            with reading_of(reading.state.database) as listing:
                if after is not None and listing.turn(after) is None:
                    raise CommandFailed(f"no turn {after} to go on after; begin without --after")
                found = listing.turns(limit=limit + 1, after=after, session=name, statuses=statuses)
                return _shown(found[:limit], listing, reading, judging, now_ms), len(found) > limit

        page, more = patiently(look)
        following = page[-1].summary.turn.turn_id if page and more else None
        if json:
            print_json(_document(reading, page, following, now_ms))
        else:
            _print(reading, page, following, name, now_ms)
    return 0


def wanted_session(reading: Reading, session: str) -> str:
    """The full name of a session with a folder, or that the host remembers; CommandFailed if there is none."""
    name = str(SessionName.parse(session))
    if name not in reading.names and name not in patiently(reading.state.registry.known):
        raise CommandFailed(f"no session {name} in {reading.data_dir}; `turnkeel status` lists them")
    return name


def turn_data(summary: TurnSummary, wait: Wait | None) -> dict[str, object]:
    """A turn as data, with its error, the ids of its rows and what it waits for."""
    rows = [{"row_id": row.row_id, "kind": row.kind, "status": row.status} for row in summary.rows]
    more = {"error": summary.note.error, "uncertain": summary.note.uncertain, "notice": summary.note.notice}
    return {**asdict(summary.turn), **more, "rows": rows, "waits": None if wait is None else asdict(wait)}


def state_of(summary: TurnSummary) -> str:
    """`delivered: sent`, `failed_terminal: stale`; `(uncertain)` where a reply may have been lost."""
    turn = summary.turn
    reason = f": {turn.reason}" if turn.status in TURN_TERMINAL and turn.reason not in (None, turn.status) else ""
    return f"{turn.status}{reason}{' (uncertain)' if summary.note.uncertain else ''}"


def _shown(
    found: tuple[TurnSummary, ...], listing: Listing, reading: Reading, judging: Judging, now_ms: int
) -> tuple[Shown, ...]:
    waits = Waits(listing, reading, judging, now_ms)
    return tuple(Shown(summary=one, wait=waits.of_turn(one.turn, one.rows)) for one in found)


def _document(reading: Reading, page: tuple[Shown, ...], following: str | None, now_ms: int) -> dict[str, object]:
    return {
        "read_at_ms": now_ms,
        "host": host_data(reading.host),
        "notes": reading.notes,
        "turns": [turn_data(one.summary, one.wait) for one in page],
        "next": following,
    }


def _print(reading: Reading, page: tuple[Shown, ...], following: str | None, name: str | None, now_ms: int) -> None:
    print(host_line(reading.host, now_ms))
    print_notes(reading)
    if page:
        print_table(_COLUMNS, [_row(one, now_ms) for one in page])
    else:
        print("no such turn" if name is None else f"no such turn in {name}")
    if following is not None:
        print(f"more: the same with --after {following}")


def _row(shown: Shown, now_ms: int) -> tuple[str, ...]:
    turn, rows = shown.summary.turn, shown.summary.rows
    sent = sum(row.status == "delivered" for row in rows)
    waits = words_of(shown.wait, now_ms) if shown.wait is not None else shown.summary.note.error or "-"
    return (
        turn.turn_id,
        turn.session,
        state_of(shown.summary),
        render_ago(max(0, now_ms - turn.accepted_at_ms)),
        str(turn.attempts_started),
        "-" if not rows else f"{sent} of {len(rows)} sent",
        waits,
    )
