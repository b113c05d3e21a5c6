"""Is a dead row sent again only where that keeps the promises about sends, and only once?"""

import pytest
from attrs import evolve

from turnkeel_core import (
    ChannelFacts,
    DeliverySnapshot,
    EnqueueRow,
    Lease,
    OutboxPolicy,
    OutboxRow,
    Receipt,
    RecordReceipts,
    RefuseRetry,
    RowRetrySnapshot,
    after_row,
    explain_row_retry,
    plan_deliveries,
    plan_row_retry,
)

NOW = 1_776_686_400_000
DEAD = OutboxRow(
    row_id="r1",
    kind="final",
    channel="mail",
    lane="l",
    ordinal=7,
    queued_at_ms=NOW - 9_000_000,
    idempotency_key="k1",
    session="main/a",
    turn_id="t1",
    source="s1",
    status="failed_terminal",
    attempts=5,
    due_at_ms=NOW - 1_000,
    last_attempt_at_ms=NOW - 2_000,
    send_started_at_ms=NOW - 3_000,
    deferred_since_at_ms=NOW - 4_000,
    completed_at_ms=NOW - 1_000,
    parts=3,
    parts_proven=2,
    token=6,
    reason="exhausted",
    last_error="refused",
)
RECEIPTS = (Receipt(0, "p0", NOW - 3_000), Receipt(1, "p1", NOW - 2_000))


def seen(row=DEAD, **more):
    facts = {"now_ms": NOW, "row_id": "r2", "row": row, "channel": ChannelFacts(channel="mail"), **more}
    return RowRetrySnapshot(**facts)


def test_a_dead_row_is_sent_again_as_nobodys_under_its_own_key_from_its_first_unproven_part():
    enqueue, kept = plan_row_retry(seen(receipts=RECEIPTS))
    assert kept == RecordReceipts("r2", RECEIPTS)
    row = after_row(enqueue.row, kept)
    assert (row.row_id, row.turn_id, row.status, row.attempts) == ("r2", None, "queued", 0)
    assert (row.idempotency_key, row.source, row.session, row.lane, row.ordinal) == ("k1", "s1", "main/a", "l", 7)
    assert (row.queued_at_ms, row.token, row.lease, row.due_at_ms, row.completed_at_ms) == (NOW, 0, None, None, None)
    assert (row.last_attempt_at_ms, row.send_started_at_ms, row.deferred_since_at_ms) == (None, None, None)
    assert (row.reason, row.last_error) == (None, None)
    (claim,) = plan_deliveries(DeliverySnapshot(now_ms=NOW, owner="w", rows=(row,)))
    assert (claim.first_part, claim.idempotency_key, claim.expected_token) == (2, "k1", 0)


def test_without_receipts_there_is_nothing_to_record():
    (only,) = plan_row_retry(seen(evolve(DEAD, parts_proven=0)))
    assert isinstance(only, EnqueueRow)


@pytest.mark.parametrize(
    ("given", "reason", "words"),
    [
        (seen(settled_as="retried"), "settled", "retried already"),
        (seen(settled_as="dropped"), "settled", "dropped already"),
        (seen(evolve(DEAD, status="unknown")), "open", "tried by itself"),
        (seen(evolve(DEAD, status="sending", lease=Lease(owner="w", token=6, until_at_ms=NOW))), "open", "by itself"),
        (seen(evolve(DEAD, status="delivered", parts_proven=3)), "delivered", "has arrived"),
        (seen(key_holder="r9"), "key_in_use", "row r9"),
        (seen(evolve(DEAD, kind="block")), "non_final", "once"),
        (seen(evolve(DEAD, kind="tool")), "non_final", "once"),
        (seen(evolve(DEAD, payload_ok=False)), "payload", "cannot be read"),
        (seen(ever_unknown=True), "may_have_arrived", "may have arrived"),
        (
            seen(evolve(DEAD, status="expired"), ever_unknown=True, channel=ChannelFacts(channel="c", queryable=True)),
            "may_have_arrived",
            "may have arrived",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_stands_against_a_retry_is_said_and_nothing_is_sent(given, reason, words):
    (refused,) = plan_row_retry(given)
    assert isinstance(refused, RefuseRetry)
    assert (refused.row_id, refused.reason) == ("r1", reason)
    assert words in refused.fault


@pytest.mark.parametrize(
    "more",
    [{"channel": ChannelFacts(channel="mail", idempotent=True)}, {"even_if_sent": True}],
    ids=["its channel shows a key once", "a person accepts that it may arrive twice"],
)
def test_a_send_that_may_have_arrived_is_retried_where(more):
    assert isinstance(plan_row_retry(seen(ever_unknown=True, **more))[0], EnqueueRow)


def test_accepting_a_second_arrival_lifts_no_other_ban():
    for row in (evolve(DEAD, status="unknown"), evolve(DEAD, kind="tool"), evolve(DEAD, payload_ok=False)):
        assert isinstance(plan_row_retry(seen(row, even_if_sent=True))[0], RefuseRetry)


@pytest.mark.parametrize("given", [seen(), seen(ever_unknown=True), seen(settled_as="retried")])
def test_the_explanation_names_the_rule_that_answered(given):
    why, actions = explain_row_retry(given), plan_row_retry(given)
    (rule,) = why.rules
    assert (why.decision, why.at_ms, rule.result, rule.subject) == ("plan_row_retry", NOW, "fired", "r1")
    assert why.answer == ", ".join(type(action).__name__ for action in actions)
    assert rule.rule == (actions[0].reason if isinstance(actions[0], RefuseRetry) else "retry")


def test_a_row_that_expired_by_its_age_is_young_again():
    policy = OutboxPolicy()
    (enqueue,) = plan_row_retry(seen(evolve(DEAD, status="expired", reason="expired", parts_proven=0)), policy)
    assert NOW - enqueue.row.queued_at_ms < policy.expiry_ms
