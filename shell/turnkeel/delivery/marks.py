"""Which replies have ended whose mark in the session's table `delivered` is still missing? What a crash left undone."""

from attrs import frozen

from turnkeel.delivery.gather import source_of
from turnkeel.delivery.mirror import mirror, reply_id_of
from turnkeel.delivery.ports import DeliveryPorts
from turnkeel_adapters.lifecycle.work import LifecycleWork
from turnkeel_adapters.sessions.taking import WrittenRow
from turnkeel_core import OutboxRow, Receipt
from turnkeel_core.lifecycle_states import ROW_TERMINAL


@frozen(kw_only=True)
class Mark:
    """A reply without a mark: its row with the channel's proofs; None if it was refused and never became a row."""

    message_out_id: str
    row: OutboxRow | None
    receipts: tuple[Receipt, ...] = ()


def marks_of(work: LifecycleWork, session: str, rows: tuple[WrittenRow, ...]) -> tuple[Mark, ...]:
    """The marks that are due for these replies, none of which has one."""
    found: list[Mark] = []
    for written in rows:
        name = written.reply.message_id
        source = source_of(session, name)
        row = work.tables.outbox.by_source(source)
        if row is not None and row.status in ROW_TERMINAL:
            found.append(Mark(message_out_id=name, row=row, receipts=work.tables.receipts.of_row(row.row_id)))
        elif row is None and work.tables.sources.outcome(source) not in (None, "queued"):
            found.append(Mark(message_out_id=name, row=None))
    return tuple(found)


def marks_of_stopped(work: LifecycleWork, session: str) -> tuple[Mark, ...]:
    """The marks of replies that a stop ended in the outbox: whoever stopped their turn does not write here."""
    turns = (turn for turn in work.tables.turns.withdrawals_due() if turn.session == session)
    rows = (row for turn in turns for row in work.tables.outbox.of_turn(turn.turn_id) if row.status in ROW_TERMINAL)
    return tuple(Mark(message_out_id=name, row=row) for row in rows if (name := reply_id_of(row)) is not None)


def set_marks(ports: DeliveryPorts, session: str, marks: tuple[Mark, ...], now_ms: int) -> None:
    """Make the marks; the first mark of a reply wins, so that each may be repeated. SessionFault."""
    for one in marks:
        if one.row is None:
            ports.sessions.mail(session).mark_delivery_failed(one.message_out_id, now_ms)
        else:
            mirror(ports, one.row, one.receipts, now_ms)
