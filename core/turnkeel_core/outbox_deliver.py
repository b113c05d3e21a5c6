"""Which row is sent next?"""

from typing import NamedTuple

from turnkeel_core.explain import Explanation
from turnkeel_core.leases import is_live
from turnkeel_core.lifecycle_policy import OutboxPolicy
from turnkeel_core.lifecycle_rules import Verdict, actions_of, explained, fires, waits
from turnkeel_core.outbox_candidates import DeliveryAction, DeliverySnapshot, is_fresh, judge
from turnkeel_core.outbox_records import ClaimRow, OutboxRow


def plan_deliveries(seen: DeliverySnapshot, policy: OutboxPolicy = OutboxPolicy()) -> tuple[DeliveryAction, ...]:
    """What must be closed, marked or asked first; then the sends that may start now, fresh replies before backlog.

    One send per lane, in order; so many per channel, so that a slow channel holds up no other; backlog paced per
    channel, and a quarter of the limit kept for it. Each `ClaimRow` is stored before its call. Source: DESIGN §6.
    """
    return actions_of(_evaluate(seen, policy))


def explain_deliveries(seen: DeliverySnapshot, policy: OutboxPolicy = OutboxPolicy()) -> Explanation:
    """One rule per row: why it is sent, or why not yet."""
    return explained("plan_deliveries", seen.now_ms, _evaluate(seen, policy))


def _evaluate(seen: DeliverySnapshot, policy: OutboxPolicy) -> tuple[Verdict[DeliveryAction], ...]:
    ordered = sorted(seen.rows, key=lambda row: (row.queued_at_ms, row.ordinal, row.row_id))
    lanes: dict[str, list[OutboxRow]] = {}
    for row in ordered:
        lanes.setdefault(row.lane, []).append(row)
    verdicts: list[Verdict[DeliveryAction]] = []
    ready: list[OutboxRow] = []
    for lane in lanes.values():
        blocked = False
        for row in sorted(lane, key=_in_lane):
            judged = judge(row, seen, policy)
            if judged.verdict is None and blocked:
                verdicts.append(waits("lane", "an earlier message of its conversation comes first", row.row_id))
            elif judged.verdict is None:
                ready.append(row)
            else:
                verdicts.append(judged.verdict)
            blocked = blocked or judged.blocks
    return (*verdicts, *_chosen(ready, seen, policy))


def _in_lane(row: OutboxRow) -> tuple[int, int, str]:
    return (row.ordinal, row.queued_at_ms, row.row_id)


class _Places(NamedTuple):
    """What is taken of each channel so far, by running sends and by this plan."""

    in_flight: dict[str, int]
    paced: set[str]


def _chosen(ready: list[OutboxRow], seen: DeliverySnapshot, policy: OutboxPolicy) -> list[Verdict[DeliveryAction]]:
    by_age = sorted(ready, key=lambda row: (row.queued_at_ms, row.ordinal, row.row_id))
    fresh = [row for row in by_age if is_fresh(row, seen.now_ms, policy)]
    backlog = [row for row in by_age if not is_fresh(row, seen.now_ms, policy)]
    kept = policy.pass_limit - (policy.pass_limit // 4 if backlog else 0)
    places, left, verdicts = _Places(_flying(seen, policy), set()), policy.pass_limit, list[Verdict[DeliveryAction]]()
    for row in (*fresh[:kept], *backlog, *fresh[kept:]):
        verdict = _place(row, left, places, seen, policy)
        left -= len(verdict.actions)
        verdicts.append(verdict)
    return verdicts


def _place(
    row: OutboxRow, left: int, places: _Places, seen: DeliverySnapshot, policy: OutboxPolicy
) -> Verdict[DeliveryAction]:
    facts, fresh = seen.channel(row.channel), is_fresh(row, seen.now_ms, policy)
    if seen.deadline_at_ms is not None and seen.now_ms >= seen.deadline_at_ms:
        return waits("budget", "the pass has used up its time", row.row_id)
    if left <= 0:
        return waits("limit", "enough sends start in this pass", row.row_id)
    if facts.resume_at_ms is not None and facts.resume_at_ms > seen.now_ms:
        return waits("rate_limited", "its channel asked for a pause", row.row_id, until_ms=facts.resume_at_ms)
    if places.in_flight.get(row.channel, 0) >= policy.channel_limit:
        return waits("channel", "enough sends of its channel are under way", row.row_id)
    if not fresh and policy.pace_ms:
        last_ms = facts.last_backlog_at_ms
        if row.channel in places.paced:
            return waits("pace", "backlog goes one by one", row.row_id, until_ms=seen.now_ms + policy.pace_ms)
        if last_ms is not None and last_ms <= seen.now_ms < last_ms + policy.pace_ms:
            return waits("pace", "backlog goes one by one", row.row_id, until_ms=last_ms + policy.pace_ms)
        places.paced.add(row.channel)
    places.in_flight[row.channel] = places.in_flight.get(row.channel, 0) + 1
    return fires("send", "fresh" if fresh else "backlog", row.row_id, _claim(row, seen, policy))


def _claim(row: OutboxRow, seen: DeliverySnapshot, policy: OutboxPolicy) -> ClaimRow:
    return ClaimRow(
        row.row_id,
        seen.owner,
        row.token + 1,
        row.token,
        seen.now_ms,
        seen.now_ms + policy.lease.lease_ms,
        row.parts_proven,
        row.idempotency_key,
        again=row.status == "unknown",
    )


def _flying(seen: DeliverySnapshot, policy: OutboxPolicy) -> dict[str, int]:
    flying: dict[str, int] = {}
    for row in seen.rows:
        if row.status == "sending" and is_live(row.lease, seen.now_ms, policy.lease, seen.gone_owners):
            flying[row.channel] = flying.get(row.channel, 0) + 1
    return flying
