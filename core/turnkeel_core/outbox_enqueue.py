"""Which replies become outbox rows, and whose?"""

from typing import Literal, TypeAlias

from attrs import evolve, frozen

from turnkeel_core.explain import Explanation, Fact
from turnkeel_core.leases import Lease
from turnkeel_core.lifecycle_policy import SettlePolicy
from turnkeel_core.lifecycle_rules import Verdict, actions_of, explained, fires
from turnkeel_core.lifecycle_states import TURN_TERMINAL, DispatchKind
from turnkeel_core.outbox_records import EnqueueRow, OutboxRow
from turnkeel_core.turn_finalize import finalize_turn_from_outbox
from turnkeel_core.turn_identity import idempotency_key
from turnkeel_core.turn_records import TurnAction, TurnSnapshot


@frozen(kw_only=True)
class Reply:
    """Something to be sent. `ordinal` is its place in its lane and never used twice there; `row_id` is a new id.

    `source` tells a container's row for ever (session and the row's own id; a number would come again in a new file).
    `session` "" is none.
    """

    row_id: str
    kind: DispatchKind
    channel: str
    lane: str
    ordinal: int
    parts: int = 1
    source: str | None = None
    session: str = ""


@frozen(kw_only=True)
class EnqueueSnapshot:
    """Replies of one turn (None: of nobody's turn), with the turn and all of its rows, in one transaction.

    `token` is that of the run that made them; None: a container did. `known_sources` are those already taken.
    """

    now_ms: int
    owner: str
    replies: tuple[Reply, ...]
    turn: TurnSnapshot | None = None
    token: int | None = None
    known_sources: tuple[str, ...] = ()


@frozen
class RefuseReply:
    """Not sent. If it has a `source`, remember that as taken with this reason, so that it is not asked about again."""

    row_id: str
    source: str | None
    reason: Literal["duplicate", "turn_aborted", "turn_settled", "stale_token", "unreadable"]
    session: str = ""


EnqueueAction: TypeAlias = EnqueueRow | RefuseReply | TurnAction


def plan_enqueue(seen: EnqueueSnapshot, policy: SettlePolicy = SettlePolicy()) -> tuple[EnqueueAction, ...]:
    """All rows of a turn's dispatch and what they make of the turn, in one transaction.

    An aborted turn and a stale run enqueue nothing. A container's reply to a turn that has ended otherwise is sent as
    nobody's: the person gets it, and the turn stays as it is.
    """
    return actions_of(_evaluate(seen, policy))


def explain_enqueue(seen: EnqueueSnapshot, policy: SettlePolicy = SettlePolicy()) -> Explanation:
    """One rule per reply, then the turn's."""
    return explained("plan_enqueue", seen.now_ms, _evaluate(seen, policy))


def _evaluate(seen: EnqueueSnapshot, policy: SettlePolicy) -> tuple[Verdict[EnqueueAction], ...]:
    verdicts: list[Verdict[EnqueueAction]] = []
    taken, rows = set(seen.known_sources), list[OutboxRow]()
    for reply in seen.replies:
        refused = _refusal(reply, seen, taken)
        if reply.source is not None:
            taken.add(reply.source)
        if refused is not None:
            action = RefuseReply(reply.row_id, reply.source, refused, reply.session)
            verdicts.append(fires(refused, "it is not sent", reply.row_id, action))
            continue
        row = _row(reply, seen, policy)
        rows += [row] if row.turn_id is not None else []
        facts = (Fact("turn_id", row.turn_id), Fact("source", row.source))
        verdicts.append(fires("enqueue", "it is new", reply.row_id, EnqueueRow(row), facts=facts))
    # A run decides its turn when it ends; nobody else speaks for a container's reply.
    if seen.turn is not None and rows and seen.token is None and seen.turn.rows is not None:
        after = evolve(seen.turn, now_ms=seen.now_ms, rows=(*seen.turn.rows, *rows), run=None)
        decided = finalize_turn_from_outbox(after, policy.turn)
        verdicts.append(fires("turn", "it has new rows", seen.turn.turn.turn_id, *decided))
    return tuple(verdicts)


_Refusal: TypeAlias = Literal["duplicate", "turn_aborted", "turn_settled", "stale_token", "unreadable"]


def _refusal(reply: Reply, seen: EnqueueSnapshot, taken: set[str]) -> _Refusal | None:
    if reply.source is not None and reply.source in taken:
        return "duplicate"
    if seen.turn is None:
        return None
    turn = seen.turn.turn
    if seen.turn.rows is None:
        return "unreadable"
    if turn.status == "aborted":
        return "turn_aborted"
    if seen.token is not None and seen.token != turn.token:
        return "stale_token"
    if seen.token is not None and turn.status in TURN_TERMINAL:
        return "turn_settled"
    return None


def _row(reply: Reply, seen: EnqueueSnapshot, policy: SettlePolicy) -> OutboxRow:
    turn_id = None
    if seen.turn is not None and seen.turn.turn.status not in TURN_TERMINAL:
        turn_id = seen.turn.turn.turn_id
    lease = None
    if reply.kind != "final":
        until_ms = seen.now_ms + policy.outbox.lease.lease_ms
        lease = Lease(owner=seen.owner, token=1, until_at_ms=until_ms)
    # Tool and block rows are never sent twice, and a second run makes new ones.
    owner = reply.row_id if reply.kind != "final" else reply.source or turn_id or reply.row_id
    return OutboxRow(
        row_id=reply.row_id,
        session=reply.session,
        turn_id=turn_id,
        source=reply.source,
        kind=reply.kind,
        channel=reply.channel,
        lane=reply.lane,
        ordinal=reply.ordinal,
        parts=reply.parts,
        queued_at_ms=seen.now_ms,
        idempotency_key=idempotency_key(owner, reply.kind, reply.ordinal),
        token=0 if lease is None else 1,
        lease=lease,
    )
