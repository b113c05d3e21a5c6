"""What is stored so that a dead message is answered anew, or a dead reply sent again? Inside one transaction."""

from attrs import evolve

from turnkeel.cli.dead_letters import incoming_of
from turnkeel.cli.errors import CommandFailed
from turnkeel.cli.ids import new_message_id
from turnkeel.cli.waits import UNKNOWN_CHANNEL, Judging
from turnkeel.delivery import adopt
from turnkeel_adapters.errors import SessionFault
from turnkeel_adapters.lifecycle.listing import Listing
from turnkeel_adapters.lifecycle.payloads import Incoming
from turnkeel_adapters.lifecycle.work import LifecycleWork
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.sessions.records import NewMessage
from turnkeel_adapters.state.dead import DeadRecord
from turnkeel_adapters.wire import WireFault, dumps, loads
from turnkeel_core import (
    AcceptSnapshot,
    AcceptTurn,
    MessageIdentity,
    RefuseRetry,
    RefuseTurn,
    ReturnExisting,
    RowRetrySnapshot,
    accept_turn,
    plan_row_retry,
)


def retry_message(
    work: LifecycleWork, record: DeadRecord, sessions: FileSessions, judging: Judging, now_ms: int
) -> tuple[str, str]:
    """Accept the same message as a new turn; its id and payload, for the session's inbox.

    CommandFailed if nothing of it was kept, or it is refused.
    """
    turn, turn_id = work.tables.turns.get(record.message_id), new_message_id()
    whole = _whole(work, record, sessions)
    # An occurrence of a series is answered once more; the series goes on by itself.
    message = evolve(whole.message, message_id=turn_id, due_at_ms=None, recurrence=None)
    payload = dumps(evolve(whole, message=message))
    asked = AcceptSnapshot(
        now_ms=now_ms,
        turn_id=turn_id,
        session=record.session,
        identity=MessageIdentity(),
        payload_bytes=len(payload.encode(errors="surrogatepass")),
        replay="allowed" if turn is None else turn.replay,
        in_session=turn is None or turn.in_session,
    )
    match accept_turn(work.accept(asked), judging.policy.turn):
        case AcceptTurn() as action:
            if work.apply((action,), now_ms, {turn_id: payload}, because=f"retry of {record.message_id}"):
                raise CommandFailed(f"{record.message_id}: the store refused it as a new turn; try again")
        case RefuseTurn(what, fault):
            raise CommandFailed(f"{record.message_id}: its {what} is refused: {fault}")
        case ReturnExisting(known):
            raise CommandFailed(f"{record.message_id}: is known as turn {known}")
    return turn_id, payload


def retry_reply(listing: Listing, record: DeadRecord, judging: Judging, now_ms: int, *, even_if_sent: bool) -> str:
    """Store a new row for the same reply; its id. CommandFailed if the reply may not be sent again."""
    tables, row_id = listing.tables, new_message_id("row")
    row, payload = tables.outbox.get(record.message_id), tables.outbox.payload(record.message_id)
    if row is None or payload is None:
        raise CommandFailed(f"{record.message_id}: its row is no longer kept, so nobody knows where it would go")
    seen = RowRetrySnapshot(
        now_ms=now_ms,
        row_id=row_id,
        row=row,
        channel=judging.channel(row.channel),
        receipts=tables.receipts.of_row(row.row_id),
        ever_unknown=any(line.what == "MarkUnknown" for line in tables.life.of_row(row.row_id)),
        key_holder=listing.key_holder(row.idempotency_key),
        settled_as=None if record.state == "dead" else record.state,
        even_if_sent=even_if_sent,
    )
    actions = plan_row_retry(seen, judging.policy.outbox)
    refused = next((action for action in actions if isinstance(action, RefuseRetry)), None)
    if refused is not None:
        raise CommandFailed(f"{record.message_id}: {_refusal(refused, row.channel, judging)}")
    wanted = tuple(action for action in actions if not isinstance(action, RefuseRetry))
    if listing.work.apply(wanted, now_ms, {row_id: payload}, because=f"retry of {record.message_id}"):
        raise CommandFailed(f"{record.message_id}: the store refused the new row; try again")
    return row_id


def _refusal(refused: RefuseRetry, channel: str, judging: Judging) -> str:
    if refused.reason != "may_have_arrived":
        return refused.fault
    known = refused.fault if judging.knows(channel) else "one of its sends may have arrived"
    hint = "" if judging.knows(channel) else f"; {UNKNOWN_CHANNEL.format(name=channel)}"
    return f"{known}{hint}; --even-if-sent sends it all the same"


def _whole(work: LifecycleWork, record: DeadRecord, sessions: FileSessions) -> Incoming:
    """The message as it was accepted, else as it lies in its session, else what was kept of its content."""
    kept = work.tables.turns.payload(record.message_id)
    whole = incoming_of(record) or (None if kept is None else _read(kept))
    if whole is not None:
        return whole
    try:
        store = sessions.store(record.session)
        stored = store.stored(record.message_id)
        if stored is not None:
            return adopt.incoming_of(stored.message, store.routing())
    except SessionFault:
        pass  # then its content must do
    if record.payload is None:
        raise CommandFailed(f"{record.message_id}: nothing of it was kept")
    return adopt.incoming_of(NewMessage(message_id=record.message_id, content=record.payload))


def _read(payload: str) -> Incoming | None:
    try:
        return loads(payload, Incoming)
    except WireFault:
        return None
