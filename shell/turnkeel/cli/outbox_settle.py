"""`outbox settle`: what does a person say about a reply whose arrival nobody knows, or that nobody wants any more?"""

import time
from pathlib import Path
from typing import Final, Literal, TypeAlias

from attrs import asdict, evolve, frozen

from turnkeel.cli.dead_back import at_work, require_records
from turnkeel.cli.errors import CommandFailed, WrongUsage, line_of
from turnkeel.cli.hiding import hidden
from turnkeel.cli.output import flat, print_json
from turnkeel.cli.place import existing_data_dir
from turnkeel.cli.waits import Judging
from turnkeel.delivery.mailboxes import FileMailboxes
from turnkeel.delivery.mirror import mirror_in
from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.lifecycle.listing import Listing, reading_of
from turnkeel_adapters.lifecycle.work import LifecycleWork
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.state.store import HostState
from turnkeel_adapters.system.doorbell import ring
from turnkeel_core import Dropped, NotSent, OutboxRow, Receipt, Sent, settle_delivery
from turnkeel_core.lifecycle_states import ROW_TERMINAL

Word: TypeAlias = Literal["sent", "not_sent", "drop"]

SAID: Final = "a person said so"
_MOST: Final = 10


@frozen(kw_only=True)
class Outcome:
    """The row as read back, and whether it was so before; `unmarked`: why its session's own files do not say it yet."""

    row_id: str
    status: str
    reason: str | None
    turn_id: str | None
    turn_status: str | None
    already: bool = False
    unmarked: str | None = None


def settle(row_id: str, word: Word, data: Path | None, *, config: Path | None = None, json: bool = False) -> int:
    """Store a person's word about an open row, and read back what it made of the row and its turn.

    CommandFailed if there is no such row, or the word does not fit its state.
    """
    data_dir, judging = existing_data_dir(data), Judging(config)
    require_records(data_dir)
    with HostState(data_dir) as state:
        with state.database.transaction() as db:
            listing = Listing(db, hidden)
            row = _row(listing, row_id)
            already = _is_so(row, word)
            if not already:
                _store(listing.work, row, word, judging)
        with reading_of(state.database) as listing:
            outcome = _outcome(listing, row.row_id, already)
            ended, receipts = listing.tables.outbox.get(row.row_id), listing.tables.receipts.of_row(row.row_id)
        if ended is not None:
            outcome = evolve(outcome, unmarked=_mark(data_dir, ended, receipts))
    if not already:
        ring(data_dir)
    if json:
        print_json({"settled": asdict(outcome)})
        return 0
    _tell(outcome, word, at_work(data_dir))
    return 0


def word_of(*, sent: bool, not_sent: bool, drop: bool) -> Word:
    """The one that was given; WrongUsage for none or several."""
    if [sent, not_sent, drop].count(True) != 1:
        raise WrongUsage("say what became of it: --sent, --not-sent or --drop (one of them)")
    return "sent" if sent else "not_sent" if not_sent else "drop"


def _row(listing: Listing, row_id: str) -> OutboxRow:
    found = listing.tables.outbox.get(row_id)
    if found is not None:
        return found
    names = listing.rows_named(row_id, _MOST)
    if len(names) != 1:
        may_be = f"may be {', '.join(names)}: write more of the id" if names else "is no row of the outbox"
        raise CommandFailed(f"{row_id} {may_be}; `turnkeel outbox --open` has the open ones")
    (only,) = (listing.tables.outbox.get(name) for name in names)
    if only is None:
        raise CommandFailed(f"{row_id} is no row of the outbox")
    return only


def _is_so(row: OutboxRow, word: Word) -> bool:
    if row.status not in ROW_TERMINAL:
        return False
    if word == "sent" and row.status == "delivered":
        return True
    if word == "drop" and row.reason == SAID:
        return True
    raise CommandFailed(f"{row.row_id} has ended: {row.status}{f' ({row.reason})' if row.reason else ''}")


def _store(work: LifecycleWork, row: OutboxRow, word: Word, judging: Judging) -> None:
    now_ms = time.time_ns() // 1_000_000
    if row.status == "sending":
        raise CommandFailed(f"{row.row_id} is being sent just now: look again when that has ended")
    if word != "drop" and row.status != "unknown":
        raise CommandFailed(f"{row.row_id} is {row.status}, not unknown: it is sent by itself; --drop gives it up")
    proofs = work.tables.receipts.of_row(row.row_id)
    missing = {*range(row.parts)} - {proof.part for proof in proofs}
    said = tuple(Receipt(part, None, now_ms) for part in sorted(missing))
    outcome = Sent((*proofs, *said)) if word == "sent" else NotSent(SAID) if word == "not_sent" else Dropped(SAID)
    seen = work.settle(row.row_id, row.token, outcome, now_ms)
    if seen is None:
        raise CommandFailed(f"{row.row_id} is gone")
    if work.apply(settle_delivery(seen, judging.policy), now_ms, because=SAID):
        raise CommandFailed(f"{row.row_id}: the host was faster; look again")


def _mark(data_dir: Path, row: OutboxRow, receipts: tuple[Receipt, ...]) -> str | None:
    """A host at work has taken the reply already, and looks at its mark no more; what was in the way of it."""
    try:
        mirror_in(FileMailboxes(FileSessions(data_dir)), row, receipts, time.time_ns() // 1_000_000)
    except (AdapterError, OSError) as error:
        return line_of(error)
    return None


def _outcome(listing: Listing, row_id: str, already: bool) -> Outcome:
    row = listing.tables.outbox.get(row_id)
    if row is None:
        raise CommandFailed(f"{row_id} cannot be read back")
    turn = None if row.turn_id is None else listing.tables.turns.get(row.turn_id)
    return Outcome(
        row_id=row_id,
        status=row.status,
        reason=row.reason,
        turn_id=row.turn_id,
        turn_status=None if turn is None else turn.status,
        already=already,
    )


def _tell(outcome: Outcome, word: Word, host: bool | None) -> None:
    turn = "" if outcome.turn_id is None else f"; its turn {outcome.turn_id} is {outcome.turn_status}"
    was = ", and was so before" if outcome.already else ", read back"
    print(flat(f"{outcome.row_id}: {outcome.status}{was}{turn}"))
    if outcome.unmarked is not None:
        print(flat(f"its session does not say so yet, the next start of a host sees to it: {outcome.unmarked}"))
    if word == "not_sent":
        print("it is sent again" if host else "it is sent again by the next turnkeel run: no host is at work here")
