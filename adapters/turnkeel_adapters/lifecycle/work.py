"""What does a decision about turns and rows need to know, and where do its actions go? Inside one transaction."""

from collections.abc import Iterable, Mapping

from attrs import evolve

from turnkeel_adapters.lifecycle.apply import Change, Now, Refused, apply_actions
from turnkeel_adapters.lifecycle.tables import Tables
from turnkeel_core import (
    AbortSnapshot,
    AcceptSnapshot,
    ChannelFacts,
    ClaimSnapshot,
    DeliverySnapshot,
    EnqueueSnapshot,
    ExpirySnapshot,
    KnownTurn,
    LeaseSnapshot,
    OutboxRow,
    PruneSnapshot,
    RecoverySnapshot,
    RenewLease,
    RunFacts,
    SendOutcome,
    SessionFacts,
    SettlePolicy,
    SettleSnapshot,
    Turn,
    TurnSnapshot,
    encode_identity,
)
from turnkeel_core.lifecycle_states import TURN_TERMINAL


class LifecycleWork:
    """The snapshots of the core's decisions, read at one instant, and `apply` for their actions.

    A snapshot of a turn or row that is not there is None. `gone` are owners known to be dead.
    """

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    def apply(
        self, actions: Iterable[Change], now_ms: int, payloads: Mapping[str, str] | None = None, *, because: str = ""
    ) -> tuple[Refused, ...]:
        """Store the actions, each with a line of life; what is refused changed nothing.

        `payloads`: the text of each new turn and row by id. `because`: why, for whoever reads the life later.
        """
        return apply_actions(self.tables, actions, Now(now_ms, because, payloads or {}))

    def accept(self, asked: AcceptSnapshot) -> AcceptSnapshot:
        """The message at the door, with what is known of its identity and its id."""
        key = encode_identity(asked.identity)
        kept = None if key is None else self.tables.identities.get(key)
        known = None
        if kept is not None:
            turn = self.tables.turns.get(kept.turn_id)
            known = KnownTurn(turn_id=kept.turn_id, status=None if turn is None else turn.status)
        taken = self.tables.turns.get(asked.turn_id) is not None
        return evolve(asked, known=known, turn_id_taken=taken) if known is not None or taken else asked

    def turn(
        self,
        turn_id: str,
        now_ms: int,
        *,
        run: RunFacts | None = None,
        session: SessionFacts | None = None,
        gone: tuple[str, ...] = (),
    ) -> TurnSnapshot | None:
        """One turn with all of its rows, for `finalize_turn_from_outbox`."""
        turn = self.tables.turns.get(turn_id)
        return None if turn is None else self._seen(turn, now_ms, gone, run, session)

    def claim(self, turn_id: str, owner: str, now_ms: int, *, gone: tuple[str, ...] = ()) -> ClaimSnapshot | None:
        """The same turn for `claim_turn`."""
        turn = self.tables.turns.get(turn_id)
        if turn is None:
            return None
        rows = self.tables.outbox.of_turn(turn_id)
        return ClaimSnapshot(now_ms=now_ms, owner=owner, turn=turn, rows=rows, gone_owners=gone)

    def recovery(
        self, owner: str, now_ms: int, sessions: Mapping[str, SessionFacts], *, gone: tuple[str, ...] = ()
    ) -> RecoverySnapshot:
        """All open turns and the aborted ones whose message is still to be withdrawn; `sessions` by turn id."""
        turns = (*self.tables.turns.open(), *self.tables.turns.withdrawals_due())
        seen = (self._seen(turn, now_ms, gone, session=sessions.get(turn.turn_id)) for turn in turns)
        return RecoverySnapshot(now_ms=now_ms, owner=owner, turns=tuple(seen), gone_owners=gone)

    def enqueue(self, asked: EnqueueSnapshot, turn_id: str | None) -> EnqueueSnapshot:
        """The replies, with their turn (of nobody if it is not kept any more) and the sources already taken."""
        turn = None if turn_id is None else self.turn(turn_id, asked.now_ms)
        sources = tuple(reply.source for reply in asked.replies if reply.source is not None)
        if turn is not None and asked.turn is not None:
            turn = evolve(turn, session=asked.turn.session)
        return evolve(asked, turn=turn, known_sources=self.tables.sources.taken(sources))

    def deliveries(
        self,
        owner: str,
        now_ms: int,
        channels: tuple[ChannelFacts, ...],
        *,
        gone: tuple[str, ...] = (),
        deadline_at_ms: int | None = None,
    ) -> DeliverySnapshot:
        """All open rows, and which of their turns are aborted."""
        rows = self.tables.outbox.open()
        aborted = tuple(turn.turn_id for turn in self._turns_of(rows) if turn.status == "aborted")
        return DeliverySnapshot(
            now_ms=now_ms,
            owner=owner,
            rows=rows,
            channels=channels,
            aborted_turns=aborted,
            gone_owners=gone,
            deadline_at_ms=deadline_at_ms,
        )

    def settle(self, row_id: str, token: int | None, outcome: SendOutcome, now_ms: int) -> SettleSnapshot | None:
        """A row, what became of its send under `token`, and its turn."""
        row = self.tables.outbox.get(row_id)
        if row is None:
            return None
        turn = None if row.turn_id is None else self.turn(row.turn_id, now_ms)
        return SettleSnapshot(now_ms=now_ms, row=row, outcome=outcome, token=token, turn=turn)

    def expiry(self, now_ms: int, *, gone: tuple[str, ...] = ()) -> ExpirySnapshot:
        """All open rows and their turns, each with all of its rows."""
        rows = self.tables.outbox.open()
        turns = tuple(self._seen(turn, now_ms, gone) for turn in self._turns_of(rows))
        return ExpirySnapshot(now_ms=now_ms, rows=rows, turns=turns, gone_owners=gone)

    def abort(self, sessions: tuple[str, ...], now_ms: int, commanding_turn_id: str | None = None) -> AbortSnapshot:
        """The open turns of the sessions with their rows, and the last ended one of each."""
        turns: list[Turn] = []
        for session in dict.fromkeys(sessions):
            last = self.tables.turns.last_ended_of(session, commanding_turn_id)
            turns += [*self.tables.turns.open_of(session), *([] if last is None else [last])]
        rows = tuple(
            row
            for turn in turns
            if turn.status not in TURN_TERMINAL
            for row in self.tables.outbox.of_turn(turn.turn_id)
        )
        return AbortSnapshot(
            now_ms=now_ms, sessions=sessions, turns=tuple(turns), rows=rows, commanding_turn_id=commanding_turn_id
        )

    def prune(self, now_ms: int, policy: SettlePolicy, *, limit: int) -> PruneSnapshot:
        """At most `limit` old turns, rows and identities each, and what hangs on them."""
        turn, outbox = policy.turn, policy.outbox
        tables = self.tables
        old_rows = tables.outbox.ended_before(now_ms - outbox.retention_ms, now_ms - outbox.dead_retention_ms, limit)
        old_turns = tables.turns.ended_before(now_ms - turn.retention_ms, now_ms - turn.dead_retention_ms, limit)
        names = tables.identities.settled_before(now_ms - turn.identity_retention_ms, limit)
        owners = (tables.turns.get(one.turn_id) for one in names)
        turns = {one.turn_id: one for one in (*old_turns, *self._turns_of(old_rows), *owners) if one is not None}
        rows = {row.row_id: row for row in old_rows}
        rows |= {row.row_id: row for turn_id in turns for row in tables.outbox.of_turn(turn_id)}
        return PruneSnapshot(now_ms=now_ms, turns=tuple(turns.values()), rows=tuple(rows.values()), identities=names)

    def lease(
        self, record: Turn | OutboxRow, asker: str, held_token: int, now_ms: int, *, gone: tuple[str, ...] = ()
    ) -> LeaseSnapshot:
        """The lease of a run or a send, as read by `tables`, for the renewal that `decide_lease` allows or refuses."""
        return LeaseSnapshot(
            now_ms=now_ms,
            asker=asker,
            held_token=held_token,
            latest_token=record.token,
            lease=record.lease,
            gone_owners=gone,
        )

    def renew(self, record: Turn | OutboxRow, action: RenewLease) -> bool:
        """Whether the lease of this run or send was the owner's still, and now lasts longer."""
        lease = record.lease
        if lease is None or (lease.owner, lease.token, record.token) != (action.owner, action.token, action.token):
            return False
        longer = evolve(lease, until_at_ms=action.until_at_ms)
        if isinstance(record, Turn):
            return self.tables.turns.update(record, evolve(record, lease=longer))
        return self.tables.outbox.update(record, evolve(record, lease=longer))

    def told(self, turn_id: str) -> bool:
        """Mark the notice of a failed turn before it is sent; False if it was told already or is not due."""
        note = self.tables.turns.note(turn_id)
        if note is None or note.notice != "due":
            return False
        self.tables.turns.set_note(turn_id, evolve(note, notice="told"))
        return True

    def withdrawn(self, turn_id: str) -> None:
        """The aborted turn's inbound row is completed, or was never there: recovery asks no more about it."""
        note = self.tables.turns.note(turn_id)
        if note is not None and note.withdrawal == "due":
            self.tables.turns.set_note(turn_id, evolve(note, withdrawal="done"))

    def next_ordinal(self, lane: str, now_ms: int) -> int:
        """The place of a new row in its lane: behind all that are open, and in the order of time."""
        last = self.tables.outbox.last_ordinal(lane)
        return now_ms * 1_000 if last is None else max(now_ms * 1_000, last + 1)

    def lease_owners(self) -> tuple[str, ...]:
        """Who holds a lease of an open turn or row, in order of their names."""
        return tuple(sorted({*self.tables.turns.owners(), *self.tables.outbox.owners()}))

    def forget_sources(self, now_ms: int, policy: SettlePolicy, *, limit: int) -> int:
        """Forget at most `limit` taken replies older than any row, turn and identity is kept; how many there were."""
        kept_ms = policy.outbox.dead_retention_ms + policy.turn.identity_retention_ms
        return self.tables.sources.forget_before(now_ms - kept_ms, limit)

    def _seen(
        self,
        turn: Turn,
        now_ms: int,
        gone: tuple[str, ...],
        run: RunFacts | None = None,
        session: SessionFacts | None = None,
    ) -> TurnSnapshot:
        rows = self.tables.outbox.of_turn(turn.turn_id)
        return TurnSnapshot(now_ms=now_ms, turn=turn, rows=rows, run=run, session=session, gone_owners=gone)

    def _turns_of(self, rows: Iterable[OutboxRow]) -> list[Turn]:
        ids = dict.fromkeys(row.turn_id for row in rows if row.turn_id is not None)
        return [turn for turn_id in ids if (turn := self.tables.turns.get(turn_id)) is not None]
