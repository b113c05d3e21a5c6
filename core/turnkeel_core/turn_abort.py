"""What does a stop end, and what is it too late for?"""

from typing import Literal, TypeAlias

from attrs import frozen

from turnkeel_core.explain import Explanation, Fact
from turnkeel_core.lifecycle_policy import TurnPolicy
from turnkeel_core.lifecycle_rules import Verdict, actions_of, explained, fires, passed
from turnkeel_core.lifecycle_states import ROW_OPEN, TURN_TERMINAL, TurnStatus
from turnkeel_core.outbox_records import FailRow, OutboxRow
from turnkeel_core.turn_records import Turn

ABORTED = "turn_aborted"
AbortReason: TypeAlias = Literal["aborted", "sender_denied"]


@frozen(kw_only=True)
class AbortSnapshot:
    """A stop for `sessions` (the session and those of its sub-agents), and all of their turns and rows.

    `commanding_turn_id` is the turn of the message that says stop; it answers, so it is not stopped. `reason` is kept
    with each turn.
    """

    now_ms: int
    sessions: tuple[str, ...]
    turns: tuple[Turn, ...] = ()
    rows: tuple[OutboxRow, ...] = ()
    commanding_turn_id: str | None = None
    reason: AbortReason = "aborted"


@frozen
class AbortTurn:
    """The turn is aborted and its token raised to `token`, so that every later writer is refused.

    `sends_started`: calls that were on their way at that instant may still arrive; their receipts are kept.
    """

    turn_id: str
    at_ms: int
    token: int
    sends_started: int
    reason: AbortReason = "aborted"


@frozen
class StopRun:
    """After the commit: tell the run of this turn to stop, and end it after a grace."""

    turn_id: str
    session: str


@frozen
class TooLate:
    """Nothing was left to stop: this turn, the latest one, had already ended as `status`."""

    turn_id: str
    status: TurnStatus
    reason: str | None


AbortAction: TypeAlias = AbortTurn | FailRow | StopRun | TooLate


def abort_session(seen: AbortSnapshot, policy: TurnPolicy = TurnPolicy()) -> tuple[AbortAction, ...]:
    """Every open turn of the sessions is aborted with its open rows, in one transaction; then the runs are told.

    The turns of stop words are left alone: neither this one's answer nor an earlier one's is taken back. A turn that
    is settled is too late. A row already `sending` counts as a call that was started. Source: DESIGN §6, promise 5.
    """
    return actions_of(_evaluate(seen, policy))


def explain_abort_session(seen: AbortSnapshot, policy: TurnPolicy = TurnPolicy()) -> Explanation:
    """One rule per turn of the sessions; time does not change the answer."""
    return explained("abort_session", seen.now_ms, _evaluate(seen, policy))


def _evaluate(seen: AbortSnapshot, policy: TurnPolicy) -> tuple[Verdict[AbortAction], ...]:
    sessions = {session.strip() for session in seen.sessions} - {""}
    turns = [turn for turn in seen.turns if turn.session.strip() in sessions]
    ended = [turn for turn in turns if not _spared(turn, seen) and turn.status not in TURN_TERMINAL]
    verdicts: list[Verdict[AbortAction]] = [_aborted(turn, seen) for turn in ended]
    spared = [turn for turn in turns if _spared(turn, seen)]
    verdicts += [passed("command", "a stop does not stop a stop", turn.turn_id) for turn in spared]
    running = [turn for turn in ended if turn.status == "running" or turn.in_session]
    for turn in running:
        verdicts.append(fires("stop", "it runs", turn.turn_id, StopRun(turn.turn_id, turn.session)))
    settled = [turn for turn in turns if turn.status in TURN_TERMINAL and not _spared(turn, seen)]
    if settled and not ended:
        last = max(settled, key=lambda turn: (turn.completed_at_ms or turn.accepted_at_ms, turn.turn_id))
        verdicts.append(fires("too_late", "settled", last.turn_id, TooLate(last.turn_id, last.status, last.reason)))
    return tuple(verdicts)


def _aborted(turn: Turn, seen: AbortSnapshot) -> Verdict[AbortAction]:
    rows = [row for row in seen.rows if row.turn_id == turn.turn_id and row.status in ROW_OPEN]
    started = sum(row.status in {"sending", "unknown"} for row in rows)
    ended = (FailRow(row.row_id, seen.now_ms, "turn_aborted", ABORTED, row.attempts) for row in rows)
    action = AbortTurn(turn.turn_id, seen.now_ms, turn.token + 1, started, seen.reason)
    facts = (Fact("status", turn.status), Fact("open_rows", len(rows)))
    return fires("abort", "it is open", turn.turn_id, action, *ended, facts=facts)


def _spared(turn: Turn, seen: AbortSnapshot) -> bool:
    return turn.commands_abort or turn.turn_id == seen.commanding_turn_id
