"""What does a store do with a decision's actions, and which of them came too late?

The meaning is `after_turn` and `after_row`; here are the uniqueness, the fences and what is kept beside the records:
a line of life for what they will not tell (`whole_life` joins both), and a dead letter for what has failed for good.
"""

from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import Final, Literal, TypeAlias

from attrs import frozen

from turnkeel_adapters import wire
from turnkeel_adapters.lifecycle.dead_letters import dead_reply, dead_turn
from turnkeel_adapters.lifecycle.tables import LifeLine, Tables, TurnNote
from turnkeel_core import (
    AbortTurn,
    AcceptTurn,
    AskChannel,
    AwaitDelivery,
    ClaimRow,
    ClaimTurn,
    DeferRow,
    DeliverRow,
    EnqueueRow,
    ExpireRow,
    FailRow,
    ForgetIdentity,
    HoldForPerson,
    MarkUnknown,
    MirrorRun,
    NoteAck,
    PruneRow,
    PruneTurn,
    RecordReceipts,
    RefuseClaim,
    RefuseReply,
    RefuseTurn,
    RetryRow,
    RetryTurn,
    ReturnExisting,
    SettleDelivered,
    SettleFailed,
    StopRun,
    TooLate,
    Turn,
    WithdrawInbound,
    WriteInbound,
    after_row,
    after_turn,
)
from turnkeel_core.lifecycle_apply import TurnChange
from turnkeel_core.lifecycle_states import ROW_TERMINAL, TURN_TERMINAL
from turnkeel_core.outbox_records import RowAction
from turnkeel_core.turn_records import TurnAction

Unchanging: TypeAlias = (
    ReturnExisting
    | RefuseTurn
    | RefuseClaim
    | StopRun
    | TooLate
    | WriteInbound
    | WithdrawInbound
    | AskChannel
    | HoldForPerson
)
Change: TypeAlias = (
    AcceptTurn
    | ClaimTurn
    | TurnAction
    | AbortTurn
    | RowAction
    | RefuseReply
    | PruneRow
    | PruneTurn
    | ForgetIdentity
    | Unchanging
)

_TOLD: Final = (AcceptTurn, EnqueueRow, AwaitDelivery, DeliverRow, SettleDelivered)
"""The records tell these afterwards: only a reason of the decision makes a line of them."""
_RowChange: TypeAlias = ClaimRow | DeliverRow | RetryRow | DeferRow | MarkUnknown | FailRow | ExpireRow


@frozen
class Refused:
    """The action changed nothing: another took the token, the record ended, is gone, or is there already."""

    action: Change
    because: Literal["stale_token", "terminal", "missing", "exists", "in_use"]


@frozen
class Now:
    """When and why the actions are stored, and the text of every new turn and row by its id."""

    at_ms: int
    because: str
    payloads: Mapping[str, str]


def apply_actions(tables: Tables, actions: Iterable[Change], now: Now) -> tuple[Refused, ...]:
    """Store the actions in their order; those of a snapshot of the same transaction are never refused.

    KeyError if the payload of a new turn or row is missing.
    """
    lines: list[LifeLine] = []
    todo = tuple(actions)
    done = zip_longest(todo, todo[1:])
    refused = [found for one, following in done if (found := _apply(tables, one, following, now, lines)) is not None]
    if lines:
        tables.life.add(lines)
    return tuple(refused)


def _apply(tables: Tables, action: Change, following: Change | None, now: Now, lines: list[LifeLine]) -> Refused | None:
    match action:
        case AcceptTurn(turn):
            if not _accept(tables, turn, now.payloads[turn.turn_id]):
                return Refused(action, "exists")
            _note_line(lines, action, now, turn.turn_id, None)
        case EnqueueRow(row):
            if not tables.outbox.insert(row, now.payloads[row.row_id]):
                return Refused(action, "exists")
            if row.source is not None:
                tables.sources.take(row.source, row.session, "queued", now.at_ms)
            _note_line(lines, action, now, row.turn_id, row.row_id)
        case RefuseReply():
            if action.source is not None:
                tables.sources.take(action.source, action.session, action.reason, now.at_ms)
        case PruneRow() | PruneTurn() | ForgetIdentity():
            return _prune(tables, action)
        case ReturnExisting(turn_id):
            known = tables.turns.get(turn_id)
            if known is not None and known.identity is not None:
                tables.identities.came_again(known.identity, now.at_ms)
        case RefuseTurn() | RefuseClaim() | StopRun() | TooLate() | WriteInbound():
            pass
        case WithdrawInbound() | AskChannel() | HoldForPerson():
            pass
        case RecordReceipts():
            return _record(tables, action, following)
        case ClaimRow() | DeliverRow() | RetryRow() | DeferRow():
            return _change_row(tables, action, now, lines)
        case MarkUnknown() | FailRow() | ExpireRow():
            return _change_row(tables, action, now, lines)
        case ClaimTurn() | AbortTurn() | NoteAck() | MirrorRun() | AwaitDelivery():
            return _change_turn(tables, action, now, lines)
        case RetryTurn() | SettleDelivered() | SettleFailed():
            return _change_turn(tables, action, now, lines)
    return None


def _note_line(lines: list[LifeLine], action: Change, now: Now, turn_id: str | None, row_id: str | None) -> None:
    if not now.because and isinstance(action, _TOLD):
        return
    detail = None if isinstance(action, AcceptTurn | EnqueueRow) else wire.dumps(action)
    what, because = type(action).__name__, now.because
    lines.append(LifeLine(turn_id=turn_id, row_id=row_id, at_ms=now.at_ms, what=what, detail=detail, because=because))


def _accept(tables: Tables, turn: Turn, payload: str) -> bool:
    name = turn.identity
    if name is not None and not tables.identities.keep(name, turn.turn_id, None):
        return False
    if tables.turns.insert(turn, payload):
        return True
    if name is not None:
        tables.identities.forget(name)
    return False


def _prune(tables: Tables, action: PruneRow | PruneTurn | ForgetIdentity) -> Refused | None:
    done = False
    match action:
        case PruneRow(row_id):
            done = tables.outbox.delete(row_id)
        case PruneTurn(turn_id):
            if tables.outbox.of_turn(turn_id):
                return Refused(action, "in_use")
            turn = tables.turns.get(turn_id)
            if turn is not None and turn.identity is not None and turn.completed_at_ms is not None:
                tables.identities.settle(turn.identity, turn.completed_at_ms)
            done = tables.turns.delete(turn_id)
        case ForgetIdentity(identity):
            done = tables.identities.forget(identity)
    return None if done else Refused(action, "missing")


def _record(tables: Tables, action: RecordReceipts, following: Change | None) -> Refused | None:
    """Proofs need no line: they tell it themselves."""
    before = tables.outbox.get(action.row_id)
    if before is None:
        return Refused(action, "missing")
    tables.receipts.add(action.row_id, action.receipts)
    if isinstance(following, DeliverRow) and following.row_id == action.row_id and before.status not in ROW_TERMINAL:
        return None  # the row is written once: with its delivery every part is proven
    after = after_row(before, action)
    if after != before:
        tables.outbox.update(before, after)
    return None


def _change_row(tables: Tables, action: _RowChange, now: Now, lines: list[LifeLine]) -> Refused | None:
    before = tables.outbox.get(action.row_id)
    if before is None:
        return Refused(action, "missing")
    if before.status in ROW_TERMINAL:
        return Refused(action, "terminal")
    after = after_row(before, action)
    changes = after != before
    # A claim that changes nothing found another's token.
    stored = tables.outbox.update(before, after) if changes else not isinstance(action, ClaimRow)
    if not stored:
        return Refused(action, "stale_token")
    if isinstance(action, FailRow | ExpireRow):
        letter = dead_reply(after, action, tables.outbox.payload(before.row_id))
        if letter is not None:
            tables.dead.keep(letter)
    if changes:
        _note_line(lines, action, now, before.turn_id, before.row_id)
    return None


def _change_turn(tables: Tables, action: TurnChange, now: Now, lines: list[LifeLine]) -> Refused | None:
    before = tables.turns.get(action.turn_id)
    if before is None:
        return Refused(action, "missing")
    if before.status in TURN_TERMINAL:
        return Refused(action, "terminal")
    after = after_turn(before, action)
    changes = after != before
    stored = tables.turns.update(before, after) if changes else not isinstance(action, ClaimTurn)
    if not stored:
        return Refused(action, "stale_token")
    note = _note(before, action)
    if note is not None:
        tables.turns.set_note(before.turn_id, note)
    if isinstance(action, SettleFailed):
        letter = dead_turn(before, action, tables.turns.payload(before.turn_id))
        if letter is not None:
            tables.dead.keep(letter)
    if changes:
        _note_line(lines, action, now, before.turn_id, None)
    return None


def _note(turn: Turn, action: TurnChange) -> TurnNote | None:
    match action:
        case SettleDelivered(uncertain=True):
            return TurnNote(uncertain=True)
        case SettleFailed():
            # Its row may still call for a container, which must not run it once more.
            again = turn.in_session and action.reason == "replay_unsafe"
            notice: Literal["due", "none"] = "due" if action.notify else "none"
            return TurnNote(error=action.error, notice=notice, withdrawal="due" if again else "none")
        case AbortTurn() if turn.in_session:
            return TurnNote(withdrawal="due")
        case _:
            return None
