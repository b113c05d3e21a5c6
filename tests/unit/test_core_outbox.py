"""Is every row sent in order, at most as often as promised, and every finding about rows held by a test of its name?"""

import pytest
from attrs import evolve

from turnkeel_core import (
    AskChannel,
    Cancelled,
    ChannelFacts,
    ClaimRow,
    DeferRow,
    DeliverRow,
    DeliverySnapshot,
    Dropped,
    EnqueueRow,
    EnqueueSnapshot,
    ExpireRow,
    ExpirySnapshot,
    FailRow,
    ForgetIdentity,
    HoldForPerson,
    KeptIdentity,
    Lease,
    LegacyEntry,
    LegacySnapshot,
    LocalFault,
    MarkUnknown,
    NotSent,
    OutboxPolicy,
    OutboxRow,
    Permanent,
    PruneRow,
    PruneSnapshot,
    PruneTurn,
    QuarantineFile,
    RateLimited,
    Receipt,
    RecordReceipts,
    RefuseReply,
    RemoveFile,
    Reply,
    RetryRow,
    Sent,
    SettleDelivered,
    SettleFailed,
    SettlePolicy,
    SettleSnapshot,
    Transient,
    Turn,
    TurnPolicy,
    TurnSnapshot,
    Uncertain,
    Unclassified,
    after_row,
    explain_deliveries,
    explain_enqueue,
    explain_expiry,
    explain_legacy_import,
    explain_prune,
    explain_settle_delivery,
    plan_deliveries,
    plan_enqueue,
    plan_expiry,
    plan_legacy_import,
    plan_prune,
    settle_delivery,
)
from turnkeel_core.lifecycle_states import ROW_DEADLINES, ROW_OPEN, ROW_TABLE, ROW_TERMINAL
from turnkeel_core.outbox_candidates import SENDER_LOST

NOW, S, MIN, H, DAY = 1_776_686_400_000, 1_000, 60_000, 3_600_000, 86_400_000


def row(row_id="r", kind="final", status="queued", **more):
    return OutboxRow(
        **{
            "row_id": row_id,
            "turn_id": "t",
            "kind": kind,
            "status": status,
            "channel": "c",
            "lane": row_id,
            "ordinal": 0,
            "queued_at_ms": NOW - S,
            "idempotency_key": f"key {row_id}",
            **more,
        }
    )


def flying(row_id="r", **more):
    lease = Lease(owner="w", token=1, until_at_ms=NOW + S)
    return row(row_id, **{"status": "sending", "token": 1, "lease": lease, **more})


def turn(status="delivery_pending", **more):
    more.setdefault("attempts_started", 1)
    return Turn(**{"turn_id": "t", "session": "s", "accepted_at_ms": NOW - MIN, "status": status, **more})


def seen_turn(given, *rows):
    return TurnSnapshot(now_ms=NOW, turn=given, rows=rows)


def deliver(*rows, policy=OutboxPolicy(), **more):
    return plan_deliveries(DeliverySnapshot(now_ms=NOW, owner="w", rows=rows, **more), policy)


def claimed(*rows, **more):
    return [action.row_id for action in deliver(*rows, **more) if isinstance(action, ClaimRow)]


def why(row_id, *rows, policy=OutboxPolicy(), **more):
    told = explain_deliveries(DeliverySnapshot(now_ms=NOW, owner="w", rows=rows, **more), policy)
    return next(rule.rule for rule in told.rules if rule.subject == row_id)


def settle(given, outcome, token=1, turn=None):
    return settle_delivery(SettleSnapshot(now_ms=NOW, row=given, token=token, outcome=outcome, turn=turn))


def receipts(*parts):
    return tuple(Receipt(part, f"p{part}", NOW) for part in parts)


# the state table


def test_every_open_state_has_a_deadline_and_no_line_leaves_a_terminal_one():
    states = {state for line in ROW_TABLE for state in line[:2] if state is not None}
    assert states == ROW_OPEN | ROW_TERMINAL
    assert {line[0] for line in ROW_TABLE} == {None, *ROW_OPEN}
    assert {state for state, _, _ in ROW_DEADLINES} == ROW_OPEN


@pytest.mark.parametrize("status", sorted(ROW_OPEN))
@pytest.mark.parametrize("kind", ["tool", "block", "final"])
@pytest.mark.parametrize("expire_action", ["fail", "deliver"])
def test_an_open_row_left_alone_is_sent_marked_or_ended_at_its_deadline(status, kind, expire_action):
    policy = OutboxPolicy(expire_action=expire_action)
    lease = Lease(owner="w", token=1, until_at_ms=NOW + 30 * S) if status == "sending" else None
    given = row(kind=kind, status=status, lease=lease, last_attempt_at_ms=NOW, attempts=1)
    later = NOW + 24 * H + 1
    ends = plan_expiry(ExpirySnapshot(now_ms=later, rows=(given,)), SettlePolicy(outbox=policy))
    sends = plan_deliveries(DeliverySnapshot(now_ms=later, owner="w", rows=(given,)), policy)
    assert ends or any(not isinstance(action, HoldForPerson) for action in sends)


ACTIONS = [
    ClaimRow("r", "w", 2, 1, NOW, NOW, 0, "k"),
    DeliverRow("r", NOW, 1),
    RetryRow("r", NOW, NOW, 1, 5, "e"),
    DeferRow("r", NOW, NOW, NOW, "e"),
    MarkUnknown("r", NOW, NOW, 1, "e"),
    FailRow("r", NOW, "dropped", "e", 1, "e"),
    ExpireRow("r", NOW, 2, 1, "e"),
]


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: type(action).__name__)
@pytest.mark.parametrize("status", sorted(ROW_TERMINAL))
def test_s6_no_action_changes_a_row_that_has_ended(status, action):
    ended = row(status=status, token=1)
    assert after_row(ended, action) == ended
    assert after_row(ended, RecordReceipts("r", receipts(0))).status == status


@pytest.mark.parametrize("outcome", [Sent(receipts(0)), Permanent("x"), Transient("x"), Dropped("x"), Uncertain("x")])
@pytest.mark.parametrize("status", sorted(ROW_TERMINAL))
def test_b7_b8_no_outcome_moves_a_row_that_has_ended(status, outcome):
    actions = settle(row(status=status, token=1), outcome, turn=seen_turn(turn(), row(status=status)))
    assert [action for action in actions if not isinstance(action, RecordReceipts)] == []


# which row is sent


def test_a_claim_brings_the_token_the_key_and_the_first_part_without_proof():
    (claim,) = deliver(row(token=3, parts=4, parts_proven=2, attempts=1, last_attempt_at_ms=NOW - 5 * S))
    assert claim == ClaimRow("r", "w", 4, 3, NOW, NOW + 30 * S, 2, "key r")


def test_d6_a_row_claimed_by_two_is_sent_by_one():
    first, second = deliver(row())[0], evolve(deliver(row())[0], owner="other")
    taken = after_row(row(), first)
    assert after_row(taken, second) == taken and taken.lease.owner == "w"
    assert after_row(taken, evolve(second, expected_token=1, token=2)) == taken


def test_the_order_of_a_conversation_is_kept_and_others_go_on():
    rows = [row(f"a{n}", lane="a", ordinal=n) for n in range(3)] + [row("b", lane="b")]
    assert claimed(*rows) == ["a0", "b"]
    held = [evolve(rows[0], attempts=1, last_attempt_at_ms=NOW), *rows[1:]]
    assert claimed(*held) == ["b"] and why("a1", *held) == "lane"


def test_a_row_held_for_a_person_does_not_hold_its_conversation():
    lost = row("a", lane="l", status="unknown", attempts=1, last_attempt_at_ms=NOW)
    assert deliver(lost, row("b", lane="l", ordinal=1))[0] == HoldForPerson("a", NOW + 24 * H)
    assert claimed(lost, row("b", lane="l", ordinal=1)) == ["b"]


def test_b13_a_row_of_an_aborted_turn_is_not_sent():
    assert deliver(row(), aborted_turns=("t",)) == ()
    assert deliver(row(turn_id=None), aborted_turns=("t",)) != ()


@pytest.mark.parametrize("kind", ["tool", "block"])
def test_r6_r12_b12_b1_tool_and_block_rows_are_sent_by_their_first_live_try_alone(kind):
    mine = Lease(owner="w", token=1, until_at_ms=NOW + S)
    assert claimed(row(kind=kind, lease=mine, token=1)) == ["r"]
    assert deliver(row(kind=kind)) == ()
    assert deliver(row(kind=kind, lease=evolve(mine, until_at_ms=NOW))) == ()
    assert deliver(row(kind=kind, lease=evolve(mine, owner="other"))) == ()
    (failed, *_) = settle(flying(kind=kind), Transient("reset"))
    assert (failed.reason, failed.detail) == ("run_ended", "non-final dispatch is never retried")
    (ended,) = plan_expiry(ExpirySnapshot(now_ms=NOW, rows=(row(kind=kind, status="failed_retryable"),)))
    assert ended.reason == "run_ended"


def test_r10_d14_a_row_is_its_producers_while_its_lease_lives_whenever_the_process_began():
    theirs = Lease(owner="other", token=1, until_at_ms=NOW + S)
    assert deliver(row(lease=theirs)) == () and why("r", row(lease=theirs)) == "leased"
    assert claimed(row(lease=theirs), gone_owners=("other",)) == ["r"]
    assert claimed(row(lease=evolve(theirs, until_at_ms=NOW))) == ["r"]


def test_one_slow_channel_blocks_no_other():
    slow = [flying(f"s{n}", channel="slow") for n in range(4)]
    waiting = [row(f"w{n:02}", channel="slow") for n in range(40)]
    assert claimed(*slow, *waiting, row("x", channel="quick")) == ["x"]
    assert why("w00", *slow, *waiting) == "channel"


def test_backlog_is_paced_per_channel_and_never_starves_fresh_replies():
    old = [row(f"o{n:02}", queued_at_ms=NOW - 10 * MIN + n, channel=f"c{n % 40}") for n in range(80)]
    fresh = [row(f"f{n:02}", channel=f"f{n}") for n in range(50)]
    found = claimed(*old, *fresh)
    assert len(found) == 32
    assert sum(row_id.startswith("f") for row_id in found) == 24
    lately = (ChannelFacts(channel="c0", last_backlog_at_ms=NOW - S + 1),)
    assert claimed(old[0], channels=lately) == [] and why("o00", old[0], channels=lately) == "pace"
    assert claimed(old[0], old[40], channels=(evolve(lately[0], last_backlog_at_ms=NOW - S),)) == ["o00"]


def test_a_pass_ends_at_its_deadline_and_a_channel_rests_as_long_as_it_asked():
    assert claimed(row(), deadline_at_ms=NOW) == [] and claimed(row(), deadline_at_ms=NOW + 1) == ["r"]
    rest = ChannelFacts(channel="c", resume_at_ms=NOW + 1)
    assert why("r", row(), channels=(rest,)) == "rate_limited"
    assert claimed(row(), channels=(evolve(rest, resume_at_ms=NOW),)) == ["r"]


def test_a_payload_that_cannot_be_read_is_a_dead_letter():
    assert deliver(row(payload_ok=False)) == (FailRow("r", NOW, "permanent", "invalid payload", 0, "invalid payload"),)


# outcomes


TRIES = [(0, 5 * S), (1, 25 * S), (2, 2 * MIN), (3, 10 * MIN)]


@pytest.mark.parametrize(("attempts", "wait_ms"), TRIES)
def test_a_transient_failure_waits_longer_each_time(attempts, wait_ms):
    (action,) = settle(flying(attempts=attempts), Transient("reset"))
    assert action == RetryRow("r", NOW, NOW + wait_ms, attempts + 1, 5, "reset")


def test_the_fifth_failure_is_the_last():
    (action,) = settle(flying(attempts=4), Transient("reset"))
    assert action == FailRow("r", NOW, "exhausted", "reset", 5, "reset")


def test_b10_b11_a_permanent_failure_counts_and_keeps_its_text():
    dead = after_row(flying(), settle(flying(), Permanent("403: chat not found"))[0])
    assert (dead.attempts, dead.last_error, dead.last_attempt_at_ms) == (1, "403: chat not found", NOW)
    assert dead.completed_at_ms == NOW


def test_texts_class_an_error_only_where_the_channel_does_not():
    assert settle(flying(), Unclassified("Chat not found"))[0].reason == "permanent"
    assert isinstance(settle(flying(), Transient("Chat not found"))[0], RetryRow)


def test_a_rate_limit_waits_as_told_and_charges_nothing():
    (action,) = settle(flying(attempts=4), RateLimited("429", 40 * S))
    assert action == RetryRow("r", NOW, NOW + 40 * S, 4, 5, "429")


def test_a_local_fault_defers_without_charge_and_not_for_ever():
    (action,) = settle(flying(attempts=4), LocalFault("no token"))
    assert action == DeferRow("r", NOW, NOW + 30 * S, NOW, "no token")
    assert isinstance(settle(flying(deferred_since_at_ms=NOW - 24 * H), LocalFault("x"))[0], DeferRow)
    assert settle(flying(deferred_since_at_ms=NOW - 24 * H - 1), LocalFault("x"))[0].reason == "exhausted"


def test_d9_what_was_taken_back_is_not_delivered():
    assert settle(flying(), Cancelled("hook"))[0] == FailRow("r", NOW, "dropped", "hook", 0, "hook")
    assert isinstance(settle(flying(), LocalFault("host stops"))[0], DeferRow)


def test_d10_b15_a_partial_send_keeps_its_receipts_and_resumes_at_the_first_unproven_part():
    given = flying(parts=3)
    actions = settle(given, Transient("reset", receipts(0)))
    assert [type(action) for action in actions] == [RecordReceipts, RetryRow]
    for action in actions:
        given = after_row(given, action)
    assert given.parts_proven == 1
    (claim,) = deliver(evolve(given, last_attempt_at_ms=NOW - 5 * S, due_at_ms=NOW))
    assert claim.first_part == 1
    done = settle(flying(parts=3, parts_proven=1), Sent(receipts(1, 2)))
    assert done == (RecordReceipts("r", receipts(1, 2)), DeliverRow("r", NOW, 3))
    assert isinstance(settle(flying(parts=2), Sent(receipts(0)))[1], RetryRow)
    assert isinstance(settle(flying(parts=2), Sent(receipts(1)))[1], RetryRow)


def test_d15_every_send_of_a_row_carries_the_same_key():
    lost = row(status="unknown", attempts=1, last_attempt_at_ms=NOW - 5 * S)
    keyed = ChannelFacts(channel="c", idempotent=True)
    assert {deliver(row())[0].idempotency_key, deliver(lost, channels=(keyed,))[0].idempotency_key} == {"key r"}


def test_a_stale_token_keeps_receipts_and_changes_nothing():
    given = flying(token=2)
    assert settle(given, Transient("reset"), token=1) == ()
    assert settle(given, Sent(receipts(0)), token=1) == (RecordReceipts("r", receipts(0)),)
    assert settle(row(token=1), Sent(receipts(0)), token=1) == (RecordReceipts("r", receipts(0)),)
    told = explain_settle_delivery(SettleSnapshot(now_ms=NOW, row=given, token=1, outcome=Transient("reset")))
    assert told.rules[-1].rule == "fence"


def test_a_person_drops_what_waits_and_not_what_is_being_sent():
    assert settle(row(attempts=5), Dropped("moved to failed"), token=None) == (
        FailRow("r", NOW, "dropped", "moved to failed", 5),
    )
    assert settle(flying(), Dropped("x"), token=None) == ()
    assert settle(row(), Transient("reset"), token=None) == ()


def test_d4_a_lost_receipt_makes_the_row_unknown_and_not_failed():
    lost = flying(lease=Lease(owner="w", token=1, until_at_ms=NOW))
    assert deliver(lost) == (MarkUnknown("r", NOW, NOW + 5 * S, 1, SENDER_LOST),)
    unknown = after_row(lost, deliver(lost)[0])
    assert settle(unknown, Sent(receipts(0)))[1] == DeliverRow("r", NOW, 1)
    assert settle(flying(), Uncertain("timeout")) == (MarkUnknown("r", NOW, NOW + 5 * S, 1, "timeout"),)


UNKNOWN = row(status="unknown", attempts=1, token=1, last_attempt_at_ms=NOW - 5 * S)
AFTER = [
    ("it takes a key", {"idempotent": True}, "hold", ClaimRow),
    ("it can be asked", {"queryable": True}, "hold", AskChannel),
    ("it can do both", {"idempotent": True, "queryable": True}, "hold", AskChannel),
    ("it can do neither", {}, "hold", HoldForPerson),
    ("its owner wants a resend", {}, "resend", ClaimRow),
]


@pytest.mark.parametrize(("can", "on_unknown", "answer"), [c[1:] for c in AFTER], ids=[c[0] for c in AFTER])
def test_d3_an_unknown_send_is_never_repeated_blindly(can, on_unknown, answer):
    policy = OutboxPolicy(on_unknown=on_unknown)
    (action,) = deliver(UNKNOWN, channels=(ChannelFacts(channel="c", **can),), policy=policy)
    assert isinstance(action, answer)
    assert not isinstance(action, ClaimRow) or action.again


def test_what_the_channel_answers_settles_an_unknown_row():
    assert settle(UNKNOWN, NotSent()) == (RetryRow("r", NOW, NOW, 1, 5, "the channel knows nothing of it"),)
    assert settle(UNKNOWN, Uncertain("no idea")) == (MarkUnknown("r", NOW, NOW + 5 * S, 1, "no idea"),)
    keyed = (ChannelFacts(channel="c", idempotent=True),)
    assert isinstance(deliver(evolve(UNKNOWN, attempts=5), channels=keyed)[0], HoldForPerson)


# settling the turn with the row


def test_a_settled_row_decides_its_turn_in_the_same_step():
    done = settle(flying(), Sent(receipts(0)), turn=seen_turn(turn(), flying()))
    assert done[-1] == SettleDelivered("t", NOW, "sent", 1)
    (_, failed) = settle(flying(), Permanent("gone"), turn=seen_turn(turn(), flying()))
    assert (failed.reason, failed.error) == ("final_failed", "gone")
    assert len(settle(flying(), Transient("reset"), turn=seen_turn(turn(), flying()))) == 1


def test_r5_a_failed_block_row_does_not_fail_its_turn():
    given = flying(kind="block")
    assert len(settle(given, Permanent("gone"), turn=seen_turn(turn(), given))) == 1


# expiry


def expire(*rows, turns=(), policy=OutboxPolicy()):
    return plan_expiry(ExpirySnapshot(now_ms=NOW, rows=rows, turns=turns), SettlePolicy(outbox=policy))


def test_b14_expiry_decides_the_turn_in_the_same_step():
    old = row(queued_at_ms=NOW - 30 * MIN - 1)
    ended, failed = expire(old, turns=(seen_turn(turn(), old),))
    assert ended == ExpireRow("r", NOW, 30 * MIN + 1, 30 * MIN, "expired: queued_at too old")
    assert isinstance(failed, SettleFailed) and failed.reason == "final_failed"


def test_a_row_expires_after_its_limit_unless_late_rows_are_wanted():
    assert expire(row(queued_at_ms=NOW - 30 * MIN)) == ()
    assert expire(row(queued_at_ms=NOW - 5 * H), policy=OutboxPolicy(expire_action="deliver")) == ()
    assert expire(row(queued_at_ms=NOW + DAY)) == ()
    unknown = evolve(UNKNOWN, last_attempt_at_ms=NOW - 24 * H)
    assert expire(unknown) == ()
    assert isinstance(expire(evolve(unknown, last_attempt_at_ms=NOW - 24 * H - 1))[0], ExpireRow)
    told = explain_expiry(ExpirySnapshot(now_ms=NOW, rows=(row(),)))
    assert told.flip_at_ms == NOW - S + 30 * MIN + 1


def test_rows_of_an_aborted_turn_are_closed():
    (closed,) = expire(row(), turns=(seen_turn(turn("aborted"), row()),))
    assert (closed.reason, closed.detail) == ("turn_aborted", "turn_aborted")


# enqueue


def reply(row_id="n", kind="final", **more):
    return Reply(row_id=row_id, kind=kind, channel="c", lane="l", **{"ordinal": 1, **more})


def enqueue(*replies, given=None, rows=(), token=None, known=()):
    whole = None if given is None else seen_turn(given, *rows)
    asked = EnqueueSnapshot(now_ms=NOW, owner="w", replies=replies, turn=whole, token=token, known_sources=known)
    assert explain_enqueue(asked).at_ms == NOW
    return plan_enqueue(asked)


def test_r7_d16_every_row_of_a_turn_carries_turn_kind_and_place():
    (made,) = enqueue(reply("a", "tool"), given=turn("running", token=1), token=1)
    assert (made.row.turn_id, made.row.kind, made.row.ordinal, made.row.lane) == ("t", "tool", 1, "l")
    assert made.row.lease.owner == "w" and made.row.status == "queued"


def test_d11_all_replies_and_what_they_make_of_the_turn_are_one_step():
    actions = enqueue(reply("a", source="s/1"), reply("b", ordinal=2, source="s/2"), given=turn("running"))
    assert [type(action).__name__ for action in actions] == ["EnqueueRow", "EnqueueRow", "AwaitDelivery"]
    assert actions[0].row.idempotency_key != actions[1].row.idempotency_key


def test_a_containers_reply_is_taken_once():
    assert enqueue(reply(source="s/1"), given=turn(), known=("s/1",)) == (RefuseReply("n", "s/1", "duplicate"),)
    twice = enqueue(reply("a", source="s/1"), reply("b", source="s/1"))
    assert [type(action) for action in twice] == [EnqueueRow, RefuseReply]


def test_b13_r3_an_aborted_turn_and_a_stale_run_enqueue_nothing():
    assert enqueue(reply(source="s/1"), given=turn("aborted")) == (RefuseReply("n", "s/1", "turn_aborted"),)
    assert enqueue(reply(), given=turn("running", token=2), token=1) == (RefuseReply("n", None, "stale_token"),)
    assert enqueue(reply(), given=turn("delivered", token=1), token=1) == (RefuseReply("n", None, "turn_settled"),)


def test_a_late_reply_reaches_the_person_and_leaves_the_turn_alone():
    (made,) = enqueue(reply(source="s/1"), given=turn("delivered"))
    assert made.row.turn_id is None


class _CountedLane(str):
    compared = 0

    def __eq__(self, other):
        _CountedLane.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_the_cost_of_a_plan_grows_with_its_rows_and_not_with_their_square():
    _CountedLane.compared = 0
    rows = [row(f"r{number:03d}", lane=_CountedLane(f"lane-{number % 7}")) for number in range(300)]
    assert claimed(*rows)
    assert _CountedLane.compared <= 10 * len(rows)


# legacy import and prune


def test_b16_b17_a_file_becomes_a_final_row_or_is_quarantined():
    good = LegacyEntry(file="a.json", entry_id="a", channel="c", target="x")
    bad = LegacyEntry(file="b.json", fault="not JSON")
    half = LegacyEntry(file="c.json", entry_id="c", target="x")
    seen = LegacySnapshot(now_ms=NOW, entries=(good, bad, half, evolve(good, file="again.json")))
    actions = plan_legacy_import(seen)
    assert [type(action) for action in actions] == [EnqueueRow, RemoveFile, RemoveFile, QuarantineFile, QuarantineFile]
    assert actions[0].row.kind == "final" and actions[-1].fault == "channel missing"
    assert explain_legacy_import(seen).rules[-1].rule == "malformed"
    known = plan_legacy_import(evolve(seen, entries=(good,), known_ids=("a",)))
    assert known == (RemoveFile("a.json"),)


def prune(*, turns=(), rows=(), identities=(), policy=SettlePolicy()):
    seen = PruneSnapshot(now_ms=NOW, turns=turns, rows=rows, identities=identities)
    assert explain_prune(seen, policy).at_ms == NOW
    return plan_prune(seen, policy)


def test_prune_takes_rows_before_turns_and_nothing_that_is_still_evidence():
    ended = NOW - 48 * H - 1
    old_row = row(status="delivered", completed_at_ms=ended)
    old_turn = turn("delivered", completed_at_ms=ended)
    assert [type(action) for action in prune(turns=(old_turn,), rows=(old_row,))] == [PruneRow, PruneTurn]
    assert prune(turns=(turn(),), rows=(old_row,)) == ()
    assert prune(turns=(old_turn,), rows=(evolve(old_row, completed_at_ms=ended + 1),)) == ()
    assert prune(turns=(evolve(old_turn, completed_at_ms=ended + 1),)) == ()


def test_dead_letters_are_kept_longer_and_identities_as_long_as_a_channel_delivers_again():
    dead = row(status="expired", turn_id=None, completed_at_ms=NOW - 30 * DAY)
    assert prune(rows=(dead,)) == ()
    assert isinstance(prune(rows=(evolve(dead, completed_at_ms=NOW - 30 * DAY - 1),))[0], PruneRow)
    kept = KeptIdentity(identity="k", turn_id="t", settled_at_ms=NOW - 7 * DAY)
    assert prune(identities=(kept, evolve(kept, settled_at_ms=None))) == ()
    assert prune(identities=(evolve(kept, settled_at_ms=NOW - 7 * DAY - 1),)) == (
        ForgetIdentity("k", 7 * DAY + 1, 7 * DAY),
    )
    assert TurnPolicy().identity_retention_ms >= TurnPolicy().retention_ms


@pytest.mark.parametrize("bad", [{"backoff_ms": ()}, {"backoff_ms": (0,)}, {"on_unknown": "x"}, {"pass_limit": 0}])
def test_a_policy_out_of_range_is_refused(bad):
    with pytest.raises((ValueError, TypeError)):
        OutboxPolicy(**bad)
