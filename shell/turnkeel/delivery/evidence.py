"""What do the files of a session say about each of its turns, and what is decided on that?"""

from collections.abc import Mapping
from typing import Literal

from attrs import evolve, frozen

from turnkeel.delivery.ports import DeliveryPorts
from turnkeel_adapters.lifecycle.payloads import Incoming
from turnkeel_adapters.lifecycle.work import LifecycleWork
from turnkeel_adapters.sessions.records import SessionReading
from turnkeel_adapters.sessions.taking import StoredMessage
from turnkeel_adapters.wire import WireFault, loads
from turnkeel_core import (
    RecoverySnapshot,
    SessionFacts,
    Turn,
    TurnPolicy,
    WithdrawInbound,
    WriteInbound,
    explain_finalize_turn,
    plan_turn_recovery,
)
from turnkeel_core.lifecycle_states import TURN_TERMINAL

_STEPS = 8  # of one turn in one look: its word noted, its rows counted, its end; more would be a circle


@frozen(kw_only=True)
class LastContainer:
    """The session's latest container: its number, 0 if there was none, and when the latest one to end had ended.

    `running`: as far as is known, it has not ended.
    """

    incarnation: int = 0
    died_at_ms: int | None = None
    running: bool = False


@frozen(kw_only=True)
class Seen:
    """One look at a session; `later` are the messages answered by replies that are not due yet.

    `more`: not all of its replies have been read, so that one of any message may be among the others.
    """

    session: str
    reading: SessionReading
    now_ms: int
    container: LastContainer = LastContainer()
    busy_at_ms: int | None = None
    later: tuple[str, ...] = ()
    more: bool = False


@frozen(kw_only=True)
class Decided:
    """What is owed to the session's files now, whether a turn changed, and when time alone changes something."""

    owed: tuple[WriteInbound | WithdrawInbound, ...] = ()
    changed: bool = False
    next_look_at_ms: int | None = None


def facts_of(seen: Seen, turn: Turn, stored: str | None = None) -> SessionFacts:
    """The turn's message in the session; `stored` is the status of a row that is no longer open, None if it is gone."""
    reading, turn_id = seen.reading, turn.turn_id
    row = next((message for message in reading.messages if message.message_id == turn_id), None)
    ack = next((ack for ack in reading.acks if ack.message_id == turn_id), None)
    claimed = any(claim.message_id == turn_id for claim in reading.claims)
    others = any(claim.message_id != turn_id for claim in reading.claims)
    return SessionFacts(
        row=_status(stored) if row is None else row.status,
        tries=0 if row is None else row.tries or 0,
        claimed=claimed,
        abandoned=claimed and not seen.container.running,
        due_at_ms=None if row is None else row.due_at_ms,
        ack=None if ack is None else ack.outcome,
        died_at_ms=seen.container.died_at_ms,
        busy_at_ms=seen.now_ms if others else seen.busy_at_ms,
        replies_left=seen.later.count(turn_id) + seen.more,
    )


def _status(stored: str | None) -> Literal["missing", "pending", "paused", "completed", "failed"]:
    match stored:
        case None:
            return "missing"
        case "pending" | "completed" | "failed":
            return stored
        case _:
            return "paused"  # whatever somebody wrote there: the row is left as it is, and no container takes it


def decide_turns(
    work: LifecycleWork,
    ports: DeliveryPorts,
    seen: Seen,
    stored: Mapping[str, StoredMessage | None],
    policy: TurnPolicy,
) -> Decided:
    """Ask about every open turn of the session until nothing new comes of it.

    `stored` are the rows that are not among the open ones; a turn with neither was not seen, and waits.
    """
    rows = {message.message_id: None for message in seen.reading.messages} | dict(stored)
    owed: list[WriteInbound | WithdrawInbound] = []
    changed, flips = False, list[int]()
    ids = [turn.turn_id for turn in work.tables.turns.open_of(seen.session)]
    ids += [turn.turn_id for turn in work.tables.turns.withdrawals_due() if turn.session == seen.session]
    for turn_id in dict.fromkeys(turn_id for turn_id in ids if turn_id in rows):
        row = rows[turn_id]
        one = _decide_turn(work, ports, seen, turn_id, None if row is None else row.status, policy)
        owed += one.owed
        changed = changed or one.changed
        flips += [] if one.next_look_at_ms is None else [one.next_look_at_ms]
    return Decided(owed=tuple(owed), changed=changed, next_look_at_ms=min(flips, default=None))


def _decide_turn(
    work: LifecycleWork, ports: DeliveryPorts, seen: Seen, turn_id: str, stored: str | None, policy: TurnPolicy
) -> Decided:
    turn = work.tables.turns.get(turn_id)
    if turn is None or not turn.in_session:
        return Decided()
    facts, changed = facts_of(seen, turn, stored), False
    for _ in range(_STEPS):
        at = work.turn(turn_id, seen.now_ms, session=facts)
        if at is None:
            return Decided(changed=changed)
        if facts.row == "missing" and not _is_readable(work.tables.turns.payload(turn_id)):
            at = evolve(at, turn=evolve(at.turn, payload_ok=False))
        asked = RecoverySnapshot(now_ms=seen.now_ms, owner=ports.owner, turns=(at,))
        actions = plan_turn_recovery(asked, policy)
        owed = tuple(action for action in actions if isinstance(action, WriteInbound | WithdrawInbound))
        done = tuple(action for action in actions if not isinstance(action, WriteInbound | WithdrawInbound))
        if not done:
            if at.turn.status in TURN_TERMINAL and not owed and not facts.claimed:
                work.withdrawn(turn_id)
            flip_ms = None if at.turn.status in TURN_TERMINAL else explain_finalize_turn(at, policy).flip_at_ms
            return Decided(owed=owed, changed=changed, next_look_at_ms=flip_ms)
        work.apply(done, seen.now_ms, because=_incarnation(seen))
        changed = True
    raise AssertionError(f"turn {turn_id} changed {_STEPS} times in one look")


def _is_readable(payload: str | None) -> bool:
    try:
        loads(payload or "", Incoming)
    except WireFault:
        return False
    return True


def _incarnation(seen: Seen) -> str:
    number = seen.container.incarnation
    return f"container {number}" if number else ""
