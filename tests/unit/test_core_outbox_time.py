"""Does nothing about the outbox change before the instant that is named, and something at it?"""

import pytest
from attrs import evolve

from turnkeel_core import (
    ChannelFacts,
    DeliverySnapshot,
    ExpirySnapshot,
    Lease,
    OutboxPolicy,
    OutboxRow,
    SettlePolicy,
    next_delivery_at_ms,
    plan_deliveries,
    plan_expiry,
)

NOW, S = 1_776_686_400_000, 1_000
MIN, DAY = 60 * S, 86_400 * S


def row(row_id="r", **more):
    given = {"kind": "final", "channel": "c", "lane": row_id, "ordinal": 0, "queued_at_ms": NOW, **more}
    return OutboxRow(row_id=row_id, idempotency_key=f"key {row_id}", **given)


def leased(owner, until_ms):
    return Lease(owner=owner, token=1, until_at_ms=until_ms)


CASES = {
    "a try in its backoff": ([row(status="failed_retryable", attempts=1, last_attempt_at_ms=NOW)], {}, 5 * S),
    "a row for later": ([row(due_at_ms=NOW + MIN)], {}, MIN),
    "a send under way": ([row(status="sending", token=1, lease=leased("w", NOW + 30 * S))], {}, 30 * S),
    "a channel that asked for a pause": (
        [row()],
        {"channels": (ChannelFacts(channel="c", resume_at_ms=NOW + 7 * S),)},
        7 * S,
    ),
    "a paced backlog": (
        [row(queued_at_ms=NOW - 5 * MIN)],
        {"channels": (ChannelFacts(channel="c", last_backlog_at_ms=NOW - 400),)},
        600,
    ),
    "a held row": ([row(status="unknown", attempts=1, last_attempt_at_ms=NOW)], {}, DAY + 1),
    "its producer's live try": ([row(kind="tool", token=1, lease=leased("other", NOW + S))], {}, S),
    "a row that waits too long behind another": (
        [row("a", lane="l", due_at_ms=NOW + DAY), row("b", lane="l", ordinal=1)],
        {},
        30 * MIN + 1,
    ),
}


@pytest.mark.parametrize(("rows", "more", "after_ms"), CASES.values(), ids=CASES)
def test_the_plan_changes_at_that_instant_and_not_a_millisecond_sooner(rows, more, after_ms):
    sends, ends = DeliverySnapshot(now_ms=NOW, owner="w", rows=rows, **more), ExpirySnapshot(now_ms=NOW, rows=rows)
    assert next_delivery_at_ms(sends, ends) == NOW + after_ms

    def plan(at_ms):
        sent, ended = plan_deliveries(evolve(sends, now_ms=at_ms)), plan_expiry(evolve(ends, now_ms=at_ms))
        return [(type(action).__name__, action.row_id) for action in (*sent, *ended)]

    assert plan(NOW) == plan(NOW + after_ms - 1) != plan(NOW + after_ms)


def test_with_nothing_open_no_instant_is_named():
    assert next_delivery_at_ms(DeliverySnapshot(now_ms=NOW, owner="w"), ExpirySnapshot(now_ms=NOW)) is None


def test_late_rows_that_are_to_be_delivered_never_expire():
    rows = [row(due_at_ms=NOW + DAY)]
    policy = SettlePolicy(outbox=OutboxPolicy(expire_action="deliver"))
    sends, ends = DeliverySnapshot(now_ms=NOW, owner="w", rows=rows), ExpirySnapshot(now_ms=NOW, rows=rows)
    assert next_delivery_at_ms(sends, ends, policy) == NOW + DAY
