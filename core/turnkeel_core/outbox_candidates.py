"""May this row be sent now, must something else happen to it, or does it wait?"""

from typing import TypeAlias

from attrs import frozen

from turnkeel_core.explain import Fact
from turnkeel_core.leases import is_live
from turnkeel_core.lifecycle_policy import OutboxPolicy
from turnkeel_core.lifecycle_rules import Verdict, fires, passed, waits
from turnkeel_core.lifecycle_states import ROW_TERMINAL
from turnkeel_core.outbox_backoff import backoff_ms, next_try_at_ms
from turnkeel_core.outbox_records import AskChannel, ClaimRow, FailRow, HoldForPerson, MarkUnknown, OutboxRow

SENDER_LOST = "its sender died or fell silent between the call and the receipt"


@frozen(kw_only=True)
class ChannelFacts:
    """What a channel can do, and how it stands: `idempotent` takes a key, `queryable` can be asked about one.

    `resume_at_ms`: it asked for a pause until then. `last_backlog_at_ms`: the latest start of a send from the backlog.
    """

    channel: str
    idempotent: bool = False
    queryable: bool = False
    resume_at_ms: int | None = None
    last_backlog_at_ms: int | None = None


@frozen(kw_only=True)
class DeliverySnapshot:
    """The open rows (of each lane that appears all of them), the channels, and who asks.

    `aborted_turns` are the aborted ones among the rows' turns; `deadline_at_ms` ends the pass.
    """

    now_ms: int
    owner: str
    rows: tuple[OutboxRow, ...] = ()
    channels: tuple[ChannelFacts, ...] = ()
    aborted_turns: tuple[str, ...] = ()
    gone_owners: tuple[str, ...] = ()
    deadline_at_ms: int | None = None

    def channel(self, name: str) -> ChannelFacts:
        """What is known of a channel; nothing known means that it can neither be keyed nor asked."""
        return next((one for one in self.channels if one.channel == name), ChannelFacts(channel=name))


DeliveryAction: TypeAlias = ClaimRow | MarkUnknown | AskChannel | HoldForPerson | FailRow


@frozen
class Judged:
    """The row's verdict, None: it may be sent; and whether later rows of its lane must wait for it."""

    verdict: Verdict[DeliveryAction] | None
    blocks: bool = True


def is_fresh(row: OutboxRow, now_ms: int, policy: OutboxPolicy) -> bool:
    """Whether the row is a reply of just now, not yet tried: what is not is backlog."""
    return row.status == "queued" and row.attempts == 0 and now_ms - row.queued_at_ms <= policy.fresh_ms


def judge(row: OutboxRow, seen: DeliverySnapshot, policy: OutboxPolicy) -> Judged:
    """Everything that concerns the row alone; lanes, channels and limits come after."""
    live = is_live(row.lease, seen.now_ms, policy.lease, seen.gone_owners)
    if row.status in ROW_TERMINAL:
        return Judged(passed("terminal", "nothing leaves a terminal state", row.row_id), blocks=False)
    if row.turn_id in seen.aborted_turns:
        return Judged(passed("aborted", "its turn is aborted", row.row_id), blocks=False)
    if row.status == "sending":
        return _sending(row, live, seen, policy)
    if not row.payload_ok:
        action = FailRow(row.row_id, seen.now_ms, "permanent", "invalid payload", row.attempts, "invalid payload")
        return Judged(fires("payload", "it cannot be read", row.row_id, action), blocks=False)
    if row.kind != "final":
        first_try = live and row.status == "queued" and row.attempts == 0
        if not first_try:
            return Judged(passed("non_final", "only its first live try is ever sent", row.row_id), blocks=False)
    if row.lease is not None and live and row.lease.owner != seen.owner:
        return Judged(waits("leased", "its producer tries it first", row.row_id, until_ms=row.lease.until_at_ms))
    if row.status == "unknown":
        return _unknown(row, seen, policy)
    if row.attempts >= policy.max_attempts:
        detail = row.last_error or "every try failed"
        action = FailRow(row.row_id, seen.now_ms, "exhausted", detail, row.attempts)
        return Judged(fires("exhausted", detail, row.row_id, action), blocks=False)
    return Judged(_due(row, seen, policy))


def _due(row: OutboxRow, seen: DeliverySnapshot, policy: OutboxPolicy) -> Verdict[DeliveryAction] | None:
    tried_at_ms = max(row.last_attempt_at_ms or 0, row.deferred_since_at_ms or 0)
    if tried_at_ms > seen.now_ms:
        return None  # the clock was set back since: its instants say nothing, and the next try makes new ones
    if row.due_at_ms is not None and row.due_at_ms > seen.now_ms:
        return waits("not_due", "its time has not come", row.row_id, until_ms=row.due_at_ms)
    next_ms = next_try_at_ms(row, policy)
    if row.attempts and next_ms > seen.now_ms:
        attempts = Fact("attempts", row.attempts)
        return waits("backoff", "its last try is too near", row.row_id, attempts, until_ms=next_ms)
    return None


def _sending(row: OutboxRow, live: bool, seen: DeliverySnapshot, policy: OutboxPolicy) -> Judged:
    if live:
        until_ms = None if row.lease is None else row.lease.until_at_ms
        return Judged(waits("sending", "it is being sent", row.row_id, until_ms=until_ms))
    attempts = row.attempts + 1
    if row.kind != "final":
        failed = FailRow(row.row_id, seen.now_ms, "run_ended", SENDER_LOST, attempts, SENDER_LOST)
        return Judged(fires("lost", SENDER_LOST, row.row_id, failed), blocks=False)
    at_ms = seen.now_ms + backoff_ms(attempts, policy)
    return Judged(
        fires("lost", SENDER_LOST, row.row_id, MarkUnknown(row.row_id, seen.now_ms, at_ms, attempts, SENDER_LOST))
    )


def _unknown(row: OutboxRow, seen: DeliverySnapshot, policy: OutboxPolicy) -> Judged:
    facts = seen.channel(row.channel)
    again = facts.idempotent or (not facts.queryable and policy.on_unknown == "resend")
    if not facts.queryable and (not again or row.attempts >= policy.max_attempts):
        # A person may take a day: the conversation goes on without the row.
        since_ms = row.last_attempt_at_ms or row.queued_at_ms
        hold = HoldForPerson(row.row_id, since_ms + policy.unknown_limit_ms)
        return Judged(fires("hold", "nobody can tell whether it arrived", row.row_id, hold), blocks=False)
    waiting = _due(row, seen, policy)
    if waiting is not None:
        return Judged(waiting)
    if facts.queryable:
        ask = AskChannel(row.row_id, row.token, row.idempotency_key)
        return Judged(fires("ask", "the channel can tell", row.row_id, ask))
    return Judged(None)
