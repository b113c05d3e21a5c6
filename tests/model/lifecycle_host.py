"""How does a host live that only asks the core and applies its answers? In memory, with crashes and late outcomes."""

from attrs import evolve

from turnkeel_core import (
    AbortSnapshot,
    AbortTurn,
    AcceptSnapshot,
    AcceptTurn,
    AskChannel,
    ChannelFacts,
    ClaimRow,
    ClaimTurn,
    DeliverySnapshot,
    EnqueueRow,
    EnqueueSnapshot,
    ExpirySnapshot,
    ForgetIdentity,
    KeptIdentity,
    KnownTurn,
    LocalFault,
    MessageIdentity,
    NotSent,
    OutboxPolicy,
    Permanent,
    PruneRow,
    PruneSnapshot,
    PruneTurn,
    RateLimited,
    Receipt,
    RecordReceipts,
    RecoverySnapshot,
    Reply,
    RunFacts,
    Sent,
    SettleSnapshot,
    Transient,
    TurnSnapshot,
    Uncertain,
    abort_session,
    accept_turn,
    after_row,
    after_turn,
    encode_identity,
    finalize_turn_from_outbox,
    plan_deliveries,
    plan_enqueue,
    plan_expiry,
    plan_prune,
    plan_turn_recovery,
    settle_delivery,
)

CHANNELS = (
    ChannelFacts(channel="keyed", idempotent=True),
    ChannelFacts(channel="asked", queryable=True),
    ChannelFacts(channel="plain"),
)
OUTBOX = OutboxPolicy(pace_ms=0)


class Host:
    """Two owners may act in turn; `boot` gives a new owner and leaves the old one's runs and sends behind."""

    def __init__(self, now_ms=10**12):
        self.now_ms, self.boots, self.number = now_ms, 0, 0
        self.turns, self.rows, self.receipts, self.replayed = {}, {}, {}, {}
        self.runs, self.sends, self.gone = [], [], ()
        self.steps, self.calls, self.messages, self.pruned, self.writes = [], [], [], [], []
        self.log, self.free, self.forgotten, self.identities = [], [], [], {}

    @property
    def owner(self):
        return f"boot-{self.boots}"

    def boot(self):
        self.gone, self.boots = (*self.gone, self.owner), self.boots + 1

    def pass_time(self, ms):
        self.now_ms += ms

    def apply(self, actions):
        for action in actions:
            self.log.append(action)
            self._keep(action)
            self._apply(action, self.turns, self.rows)
            self._remember_end(getattr(action, "turn_id", None))
            self._apply(action, self.replayed, self.replayed)

    def _keep(self, action):
        if isinstance(action, RecordReceipts):
            had = self.receipts.get(action.row_id, ())
            self.receipts[action.row_id] = (*had, *action.receipts)
        if isinstance(action, PruneRow):
            self.pruned.append(self.rows[action.row_id])
        if isinstance(action, PruneTurn):
            self.pruned.append(self.turns[action.turn_id])
        if isinstance(action, ForgetIdentity):
            self.forgotten.append((action.identity, action.age_ms))
            del self.identities[action.identity]
            self.messages = [one for one in self.messages if encode_identity(one[0]) != action.identity]
        if isinstance(action, AcceptTurn):
            self.identities[action.turn.identity] = action.turn

    def _remember_end(self, turn_id):
        if turn_id in self.turns:
            self.identities[self.turns[turn_id].identity] = self.turns[turn_id]

    def _apply(self, action, turns, rows):
        noted = self.steps if turns is self.turns else []
        match action:
            case AcceptTurn(turn):
                turns[turn.turn_id] = turn
                noted.append((None, turn))
            case EnqueueRow(row):
                rows[row.row_id] = row
                noted.append((None, row))
            case PruneRow(row_id):
                del rows[row_id]
            case PruneTurn(turn_id):
                del turns[turn_id]
            case _ if hasattr(action, "row_id") and action.row_id in rows:
                before = rows[action.row_id]
                rows[action.row_id] = after_row(before, action)
                noted.append((before, rows[action.row_id]))
            case _ if hasattr(action, "turn_id") and action.turn_id in turns:
                before = turns[action.turn_id]
                turns[action.turn_id] = after_turn(before, action)
                noted.append((before, turns[action.turn_id]))

    def seen(self, turn_id, run=None):
        rows = tuple(row for row in self.rows.values() if row.turn_id == turn_id)
        return TurnSnapshot(now_ms=self.now_ms, turn=self.turns[turn_id], rows=rows, run=run, gone_owners=self.gone)

    def accept(self, message, session="s", replay="allowed"):
        identity = MessageIdentity(channel="c", chat=session, message_id=f"m{message}")
        known = self.identities.get(encode_identity(identity))
        self.number += 1
        asked = AcceptSnapshot(
            now_ms=self.now_ms,
            turn_id=f"t{self.number}",
            session=session,
            identity=identity,
            payload_bytes=1,
            known=known and KnownTurn(turn_id=known.turn_id, status=known.status),
            replay=replay,
        )
        answer = accept_turn(asked)
        if isinstance(answer, AcceptTurn):
            self.apply([answer])
            self.messages.append((identity, answer.turn.turn_id))
        else:
            self.messages.append((identity, answer.turn_id))

    def recover(self):
        asked = RecoverySnapshot(
            now_ms=self.now_ms, owner=self.owner, turns=tuple(map(self.seen, self.turns)), gone_owners=self.gone
        )
        actions = plan_turn_recovery(asked)
        self.apply(actions)
        self.runs += [action for action in actions if isinstance(action, ClaimTurn)]

    def run_ends(self, kinds, channel, error=None, suppressed=0, parts=1):
        """The oldest run replies with rows of these kinds and ends, also if another has taken its turn since."""
        if not self.runs:
            return
        run = self.runs.pop(0)
        if run.turn_id not in self.turns:
            return
        replies = []
        for kind in kinds:
            self.number += 1
            replies.append(
                Reply(
                    row_id=f"r{self.number}",
                    kind=kind,
                    channel=channel,
                    lane=self.turns[run.turn_id].session,
                    ordinal=self.number,
                    parts=parts,
                )
            )
        before = self.turns[run.turn_id]
        asked = EnqueueSnapshot(
            now_ms=self.now_ms, owner=run.owner, replies=tuple(replies), turn=self.seen(run.turn_id), token=run.token
        )
        queued = plan_enqueue(asked)
        self.apply(queued)
        finals = kinds.count("final")
        facts = RunFacts(
            finals_attempted=finals + suppressed, finals_suppressed=suppressed, token=run.token, error=error
        )
        self.apply(finalize_turn_from_outbox(self.seen(run.turn_id, facts)))
        changed = self.turns[run.turn_id] != before or any(isinstance(action, EnqueueRow) for action in queued)
        self.writes.append((before.token, run.token, changed))

    def begin(self, message):
        """A message that is accepted and taken up at once."""
        self.accept(message)
        self.recover()

    def run_and_send(self, *replies):
        """A run that ends and whose replies are taken up at once."""
        self.run_ends(*replies)
        self.deliver()

    def lose_everybody(self):
        """Runs and sends fall silent, others take their places, and the lost ones may speak again later."""
        for ms in (31_000, 26_000):
            self.pass_time(ms)
            self.recover()
            self.deliver()

    def expire(self):
        rows = tuple(self.rows.values())
        asked = ExpirySnapshot(
            now_ms=self.now_ms, rows=rows, turns=tuple(map(self.seen, self.turns)), gone_owners=self.gone
        )
        self.apply(plan_expiry(asked))

    def deliver(self):
        aborted = tuple(turn.turn_id for turn in self.turns.values() if turn.status == "aborted")
        asked = DeliverySnapshot(
            now_ms=self.now_ms,
            owner=self.owner,
            rows=tuple(self.rows.values()),
            channels=CHANNELS,
            aborted_turns=aborted,
            gone_owners=self.gone,
        )
        actions = plan_deliveries(asked, OUTBOX)
        self.apply(actions)
        for action in actions:
            if isinstance(action, ClaimRow):
                self.calls.append((action.row_id, action.token, action.idempotency_key, self.now_ms, action.first_part))
                self.sends.append((action.row_id, action.token))
            if isinstance(action, AskChannel):
                self.sends.append((action.row_id, action.token))
        return actions

    def send_ends(self, how):
        """The oldest send (or question) ends, whatever became of its row since."""
        if not self.sends:
            return
        row_id, token = self.sends.pop(0)
        if row_id not in self.rows:
            return
        row = self.rows[row_id]
        receipts = tuple(Receipt(part, f"p{part}", self.now_ms) for part in range(row.parts_proven, row.parts))
        outcome = {
            "sent": Sent(receipts),
            "part": Transient("reset", receipts[:1]),
            "transient": Transient("reset"),
            "permanent": Permanent("chat not found"),
            "limited": RateLimited("slow down", 40_000),
            "uncertain": Uncertain("no answer"),
            "local": LocalFault("not set up"),
            "not_sent": NotSent() if row.status == "unknown" else Transient("reset"),
        }[how]
        turn = None if row.turn_id not in self.turns else self.seen(row.turn_id)
        before = (row.status, None if turn is None else turn.turn.status)
        seen = SettleSnapshot(now_ms=self.now_ms, row=row, token=token, outcome=outcome, turn=turn)
        self.apply(settle_delivery(seen))
        self.free += [row_id] if how in {"limited", "local"} else []
        after = (self.rows[row_id].status, None if turn is None else self.turns[row.turn_id].status)
        self.writes.append((row.token, token, before != after))

    def abort(self, session="s"):
        asked = AbortSnapshot(
            now_ms=self.now_ms, sessions=(session,), turns=tuple(self.turns.values()), rows=tuple(self.rows.values())
        )
        actions = abort_session(asked)
        self.apply(actions)
        self.pass_time(1)
        return [action for action in actions if isinstance(action, AbortTurn)]

    def prune(self):
        kept = tuple(
            KeptIdentity(identity=key, turn_id=turn.turn_id, settled_at_ms=turn.completed_at_ms)
            for key, turn in self.identities.items()
        )
        rows = tuple(self.rows.values())
        asked = PruneSnapshot(now_ms=self.now_ms, turns=tuple(self.turns.values()), rows=rows, identities=kept)
        self.apply(plan_prune(asked))

    def settle_all(self, rounds=400):
        """A week of quiet work: every run answers, every send arrives; what is then open is lost."""
        for _ in range(rounds):
            self.recover()
            while self.runs:
                self.run_ends(["final"], "keyed")
            self.expire()
            self.deliver()
            while self.sends:
                self.send_ends("sent")
            self.pass_time(30 * 60_000)

    def fork(self):
        """The same facts seen by a process that has just started."""
        return evolve(RecoverySnapshot(now_ms=self.now_ms, owner="other"), turns=tuple(map(self.seen, self.turns)))
