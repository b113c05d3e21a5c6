"""What was done to a turn and its rows, in order? What the records tell of it, joined with the lines that are kept."""

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate, groupby
from typing import Final, Literal, cast

from attrs import AttrsInstance

from turnkeel_adapters import wire
from turnkeel_adapters.lifecycle.tables import LifeLine, Tables
from turnkeel_core import AcceptTurn, DeliverRow, EnqueueRow, OutboxRow, RecordReceipts, SettleDelivered, Turn

_ORDER: Final = ("AcceptTurn", "MirrorRun", "ClaimTurn", "NoteAck", "EnqueueRow", "ClaimRow", "RecordReceipts")
"""How one thing follows from the other within one instant; all else comes after these, the turn's end last."""
_ENDS: Final = ("SettleDelivered", "SettleFailed")


def life_of_turn(tables: Tables, turn_id: str) -> tuple[LifeLine, ...]:
    """A line for each action that changed the turn or a row of it, oldest first; none if it is kept no longer."""
    turn, kept = tables.turns.get(turn_id), tables.life.of_turn(turn_id)
    if turn is None:
        return kept
    rows = tables.outbox.of_turn(turn_id)
    told = [_line(AcceptTurn.__name__, turn.accepted_at_ms, turn_id=turn_id)]
    told += [line for row in rows for line in _of_row(tables, row)]
    return _joined(kept, [*told, *_end(tables, turn, rows)])


def life_of_row(tables: Tables, row_id: str) -> tuple[LifeLine, ...]:
    """The same of one row."""
    row, kept = tables.outbox.get(row_id), tables.life.of_row(row_id)
    return kept if row is None else _joined(kept, _of_row(tables, row))


def _of_row(tables: Tables, row: OutboxRow) -> list[LifeLine]:
    queued = _line(EnqueueRow.__name__, row.queued_at_ms, turn_id=row.turn_id, row_id=row.row_id)
    found = [queued]
    by_time = sorted(tables.receipts.of_row(row.row_id), key=lambda receipt: receipt.at_ms)
    # A channel's own clock may be behind: nothing arrives before it was queued.
    for at_ms, receipts in groupby(by_time, key=lambda receipt: max(receipt.at_ms, row.queued_at_ms)):
        proof = RecordReceipts(row.row_id, tuple(receipts))
        found.append(_line(RecordReceipts.__name__, at_ms, proof, turn_id=row.turn_id, row_id=row.row_id))
    if row.status == "delivered" and row.completed_at_ms is not None:
        done = DeliverRow(row.row_id, row.completed_at_ms, row.parts)
        found.append(_line(DeliverRow.__name__, row.completed_at_ms, done, turn_id=row.turn_id, row_id=row.row_id))
    return found


def _end(tables: Tables, turn: Turn, rows: tuple[OutboxRow, ...]) -> list[LifeLine]:
    if turn.status != "delivered" or turn.completed_at_ms is None or turn.reason is None:
        return []
    note = tables.turns.note(turn.turn_id)
    finals = sum(row.kind == "final" and row.status == "delivered" for row in rows)
    uncertain = note is not None and note.uncertain
    reason = cast(Literal["sent", "no_reply", "suppressed"], turn.reason)  # no other action makes it delivered
    settled = SettleDelivered(turn.turn_id, turn.completed_at_ms, reason, finals, uncertain)
    return [_line(SettleDelivered.__name__, turn.completed_at_ms, settled, turn_id=turn.turn_id)]


def _line(
    what: str, at_ms: int, action: AttrsInstance | None = None, *, turn_id: str | None, row_id: str | None = None
) -> LifeLine:
    detail = None if action is None else wire.dumps(action)
    return LifeLine(turn_id=turn_id, row_id=row_id, at_ms=at_ms, what=what, detail=detail, because="")


def _joined(kept: tuple[LifeLine, ...], told: Iterable[LifeLine]) -> tuple[LifeLine, ...]:
    """Kept lines stay in the order in which they were stored; of one with a reason the record tells nothing more.

    What the records tell comes behind the last kept line that may be before it.
    """
    known = {(line.what, line.row_id) for line in kept}
    new = sorted((one for one in told if (one.what, one.row_id) not in known), key=_place)
    least_from_here = [*accumulate(map(_place, reversed(kept)), min)][::-1]
    lines: list[LifeLine] = []
    begin = 0
    for one in new:
        end = bisect_right(least_from_here, _place(one))
        lines += (*kept[begin:end], one)
        begin = end
    return (*lines, *kept[begin:])


def _place(line: LifeLine) -> tuple[int, int]:
    if line.what in _ENDS:
        return line.at_ms, len(_ORDER) + 1
    return line.at_ms, _ORDER.index(line.what) if line.what in _ORDER else len(_ORDER)
