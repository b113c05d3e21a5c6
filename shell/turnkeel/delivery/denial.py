"""What becomes of a message whose sender may not start an agent, at the door and before its run?"""

from collections.abc import Callable
from hashlib import sha256

from attrs import evolve, frozen

from turnkeel.delivery.evidence import Seen
from turnkeel.delivery.ports import Mailboxes
from turnkeel.events import SenderDenied
from turnkeel_adapters.errors import RefusedMessage
from turnkeel_adapters.lifecycle.payloads import Incoming
from turnkeel_adapters.lifecycle.port import LifecycleStore
from turnkeel_adapters.lifecycle.work import LifecycleWork
from turnkeel_adapters.wire import WireFault, loads
from turnkeel_core import (
    AbortSnapshot,
    AcceptSnapshot,
    AcceptTurn,
    DropMessage,
    KeepAsContext,
    RefuseTurn,
    ReturnExisting,
    SenderDecision,
    SenderPolicy,
    SenderSnapshot,
    TurnPolicy,
    abort_session,
    accept_turn,
    decide_sender,
    encode_identity,
    may_trigger,
)

_BEFORE_A_RUN = ("accepted", "failed_retryable")


@frozen(kw_only=True)
class Kept:
    """It is in the session's inbox, where the agent reads it with the next message that starts it: acknowledge."""

    message_id: str


@frozen(kw_only=True)
class Dropped:
    """Nothing is stored, as the allowlist wants it: acknowledge, so that it does not come again."""


def decide_admission(
    asked: AcceptSnapshot, incoming: Incoming, senders: SenderPolicy, policy: TurnPolicy
) -> SenderDecision:
    """Whether a message at the door may start an agent: its sender, unless the message itself never does.

    What an agent wrote answers nobody, or two of them would talk for ever; and what was written too long ago is no
    question any more: a channel that sends its past again must not start it again. Both are context.
    """
    sent_at_ms = incoming.message.sent_at_ms
    if incoming.bot or (sent_at_ms is not None and asked.now_ms - sent_at_ms > policy.stale_ms):
        return KeepAsContext(log=False)
    return decide_sender(asked_of(asked.session, incoming, asked.now_ms), senders)


def asked_of(session: str, incoming: Incoming, now_ms: int) -> SenderSnapshot:
    """The question about one message; a session without a chat is a chat of its own."""
    chat = incoming.chat or session
    return SenderSnapshot(now_ms=now_ms, chat=chat, sender=incoming.sender, from_me=incoming.from_me)


def deny(
    store: LifecycleStore,
    sessions: Mailboxes,
    asked: AcceptSnapshot,
    incoming: Incoming,
    decision: KeepAsContext | DropMessage,
    report: Callable[[SenderDenied], object],
    policy: TurnPolicy,
) -> Kept | Dropped | ReturnExisting | RefuseTurn:
    """Keep or drop a message at the door; one that has a turn already is a duplicate of it, kept or not. AdapterError.

    It has no turn: nothing waits for an answer. A message that comes again under its name is kept once.
    """
    who = asked_of(asked.session, incoming, asked.now_ms)
    if isinstance(decision, DropMessage):
        _tell(report, decision, SenderDenied(asked.session, who.chat, who.sender, "dropped"))
        return Dropped()
    with store.reading() as work:
        answer = accept_turn(work.accept(asked), policy)
    if not isinstance(answer, AcceptTurn):
        return answer
    row_id = _context_id(asked)
    sessions.create(asked.session)
    mail = sessions.mail(asked.session)
    try:
        mail.insert(evolve(incoming.message, message_id=row_id, triggers=False), asked.now_ms)
    except RefusedMessage as error:
        if mail.stored(row_id) is None:
            return RefuseTurn("payload", str(error))
    else:
        _tell(report, decision, SenderDenied(asked.session, who.chat, who.sender, "kept"))
    return Kept(message_id=row_id)


def stop_denied(work: LifecycleWork, seen: Seen, senders: SenderPolicy, policy: TurnPolicy) -> tuple[SenderDenied, ...]:
    """Before a run starts: a message whose sender may no longer start one is stopped; what is to be told of it."""
    if senders == SenderPolicy():
        return ()
    told: list[SenderDenied] = []
    in_hand = {claim.message_id for claim in seen.reading.claims} | {ack.message_id for ack in seen.reading.acks}
    for turn in work.tables.turns.open_of(seen.session):
        payload = work.tables.turns.payload(turn.turn_id) if turn.status in _BEFORE_A_RUN else None
        if payload is None or not turn.in_session or turn.turn_id in in_hand:
            continue
        try:
            who = asked_of(seen.session, loads(payload, Incoming), seen.now_ms)
        except WireFault:
            continue  # it was asked about at the door; whatever else is wrong with it ends it elsewhere
        decision = decide_sender(who, senders)
        if may_trigger(decision):
            continue
        rows = work.tables.outbox.of_turn(turn.turn_id)
        stop = AbortSnapshot(
            now_ms=seen.now_ms, sessions=(seen.session,), turns=(turn,), rows=rows, reason="sender_denied"
        )
        work.apply(abort_session(stop, policy), seen.now_ms, because="its sender may not start an agent")
        _tell(told.append, decision, SenderDenied(seen.session, who.chat, who.sender, "stopped"))
    return tuple(told)


def _context_id(asked: AcceptSnapshot) -> str:
    """The same for the same message, so that the inbox takes it once."""
    key = encode_identity(asked.identity)
    return asked.turn_id if key is None else f"context-{sha256(key.encode(errors='surrogatepass')).hexdigest()[:32]}"


def _tell(report: Callable[[SenderDenied], object], decision: object, event: SenderDenied) -> None:
    if isinstance(decision, KeepAsContext | DropMessage) and decision.log:
        report(event)
