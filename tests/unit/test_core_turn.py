"""Do turns end once, on evidence, and is every finding about them held by a test of its name?"""

import pytest
from attrs import evolve

from turnkeel_core import (
    AbortSnapshot,
    AbortTurn,
    AcceptSnapshot,
    AcceptTurn,
    AwaitDelivery,
    ClaimSnapshot,
    ClaimTurn,
    FailRow,
    KnownTurn,
    Lease,
    LeasePolicy,
    LeaseSnapshot,
    MessageIdentity,
    MirrorRun,
    NoteAck,
    OutboxRow,
    RecoverySnapshot,
    RefuseClaim,
    RefuseLease,
    RefuseTurn,
    RenewLease,
    RetryTurn,
    ReturnExisting,
    RunFacts,
    SessionFacts,
    SettleDelivered,
    SettleFailed,
    StopRun,
    TakeLease,
    TooLate,
    Turn,
    TurnPolicy,
    TurnSnapshot,
    WithdrawInbound,
    WriteInbound,
    abort_session,
    accept_turn,
    after_turn,
    claim_turn,
    decide_lease,
    encode_identity,
    explain_abort_session,
    explain_accept_turn,
    explain_claim_turn,
    explain_finalize_turn,
    explain_lease,
    explain_turn_recovery,
    finalize_turn_from_outbox,
    plan_turn_recovery,
)
from turnkeel_core.lifecycle_states import TURN_DEADLINES, TURN_TABLE, TURN_TERMINAL
from turnkeel_core.turn_identity import own_identity

NOW, S, H = 1_776_686_400_000, 1_000, 3_600_000
OPEN_TURNS = ("accepted", "running", "failed_retryable", "delivery_pending")
WHO = MessageIdentity(channel="telegram", account="a", chat="c", message_id="m")


def turn(status="running", **more):
    more.setdefault("turn_id", "t")
    return Turn(**{"session": "s", "accepted_at_ms": NOW - 60 * S, "status": status, "attempts_started": 1, **more})


def row(kind="final", status="queued", row_id="r", **more):
    return OutboxRow(
        **{
            "row_id": row_id,
            "turn_id": "t",
            "kind": kind,
            "status": status,
            "channel": "c",
            "lane": "l",
            "ordinal": 0,
            "queued_at_ms": NOW - S,
            "idempotency_key": row_id,
            **more,
        }
    )


def settle(given, *rows, run=None, session=None, now_ms=NOW):
    return finalize_turn_from_outbox(TurnSnapshot(now_ms=now_ms, turn=given, rows=rows, run=run, session=session))


def recover(*turns, policy=TurnPolicy(), rows=(), session=None, gone=()):
    seen = tuple(TurnSnapshot(now_ms=NOW, turn=one, rows=rows, session=session) for one in turns)
    return plan_turn_recovery(RecoverySnapshot(now_ms=NOW, owner="w", turns=seen, gone_owners=gone), policy)


def accept(identity=WHO, **more):
    given = {"now_ms": NOW, "turn_id": "t", "session": "s", "identity": identity, "payload_bytes": 1, **more}
    return accept_turn(AcceptSnapshot(**given))


def held(until_ms=NOW + 10 * S, owner="o", token=1):
    return Lease(owner=owner, token=token, until_at_ms=until_ms)


# the state table


def test_every_open_state_has_a_deadline_and_no_line_leaves_a_terminal_one():
    states = {state for line in TURN_TABLE for state in line[:2] if state is not None}
    assert states == {*OPEN_TURNS, *TURN_TERMINAL}
    assert {line[0] for line in TURN_TABLE} == {None, *OPEN_TURNS}
    assert {state for state, _, _ in TURN_DEADLINES} == set(OPEN_TURNS)


@pytest.mark.parametrize("status", OPEN_TURNS)
@pytest.mark.parametrize("replay", ["allowed", "notify_only", "never"])
def test_an_open_turn_left_alone_is_taken_up_or_ended_at_its_deadline(status, replay):
    given = turn(status, replay=replay, lease=held(NOW + 30 * S), token=1, due_at_ms=NOW + 15 * S)
    later = TurnSnapshot(now_ms=NOW + 30 * S, turn=given, rows=())
    actions = plan_turn_recovery(RecoverySnapshot(now_ms=NOW + 30 * S, owner="w", turns=(later,)))
    assert isinstance(actions[0], ClaimTurn if replay == "allowed" else SettleFailed)


ENDINGS = [
    AwaitDelivery("t", 1),
    SettleDelivered("t", NOW, "sent", 1),
    SettleFailed("t", NOW, "stale", "old", 1),
    RetryTurn("t", NOW, 1, 3, "boom"),
    MirrorRun("t", 2),
    NoteAck("t", "completed", NOW),
    ClaimTurn("t", "w", 1, 0, 2, NOW),
    AbortTurn("t", NOW, 1, 0),
]


@pytest.mark.parametrize("status", sorted(TURN_TERMINAL))
@pytest.mark.parametrize("action", ENDINGS, ids=lambda action: type(action).__name__)
def test_no_action_changes_a_settled_turn(status, action):
    assert after_turn(turn(status), action) == turn(status)


@pytest.mark.parametrize("action", ENDINGS, ids=lambda action: type(action).__name__)
@pytest.mark.parametrize("status", OPEN_TURNS)
def test_every_action_moves_along_a_line_of_the_table(status, action):
    after = after_turn(turn(status), action).status
    assert after == status or (status, after) in {line[:2] for line in TURN_TABLE}


# leases


def test_a_lease_is_taken_renewed_and_never_revived():
    def ask(**more):
        return decide_lease(LeaseSnapshot(now_ms=NOW, asker="a", **more), LeasePolicy(lease_ms=30 * S))

    assert ask() == TakeLease("a", 1, 0, NOW + 30 * S)
    assert ask(latest_token=4, lease=held(NOW, token=4)) == TakeLease("a", 5, 4, NOW + 30 * S)
    assert ask(latest_token=4, lease=held(NOW + 1, token=4)) == RefuseLease("a", "o", 4, NOW + 1)
    assert ask(latest_token=4, lease=held(token=4), gone_owners=("o",)) == TakeLease("a", 5, 4, NOW + 30 * S)
    mine = held(NOW - 5, owner="a", token=4)
    assert ask(latest_token=4, lease=mine, held_token=4) == RenewLease("a", 4, NOW + 30 * S)
    assert ask(latest_token=5, lease=held(token=5), held_token=4) == RefuseLease("a", None, 5, None)
    assert ask(latest_token=5, lease=mine, held_token=4) == RefuseLease("a", None, 5, None)


def test_a_lease_from_before_the_clock_was_set_back_keeps_nobody_away():
    yesterday = LeaseSnapshot(now_ms=NOW - 24 * H, asker="a", latest_token=1, lease=held())
    assert isinstance(decide_lease(yesterday), TakeLease)
    assert explain_lease(yesterday).rules[0].rule == "take"


@pytest.mark.parametrize("ahead_ms, answer", [(1, RefuseLease), (5 * S, RefuseLease), (5 * S + 1, TakeLease)])
def test_a_lease_given_by_a_clock_a_little_ahead_keeps_others_away(ahead_ms, answer):
    policy = LeasePolicy(lease_ms=30 * S, skew_ms=5 * S)
    given = LeaseSnapshot(now_ms=NOW, asker="a", latest_token=1, lease=held(NOW + 30 * S + ahead_ms))
    assert type(decide_lease(given, policy)) is answer


# accept and identity


def test_b9_r9_a_new_turn_is_accepted_and_only_a_claim_makes_it_run():
    new = accept().turn
    assert (new.status, new.attempts_started, new.token) == ("accepted", 0, 0)
    claim = claim_turn(ClaimSnapshot(now_ms=NOW, owner="w", turn=new, rows=()))
    assert claim == ClaimTurn("t", "w", 1, 0, 1, NOW + 30 * S)
    assert after_turn(new, claim).status == "running"


def test_b21_b22_the_identity_is_unambiguous_and_knows_no_session():
    one, other = evolve(WHO, account="a|b", chat="c"), evolve(WHO, account="a", chat="b|c")
    assert encode_identity(one) != encode_identity(other)
    assert accept(session="s1").turn.identity == accept(session="s2").turn.identity
    assert encode_identity(evolve(WHO, thread="")) != encode_identity(WHO)
    assert encode_identity(evolve(WHO, channel=" Telegram ", message_id=" m ")) == encode_identity(WHO)


def test_b23_r8_b24_a_duplicate_gets_the_turn_that_exists_whatever_became_of_it():
    for status in (*OPEN_TURNS, *TURN_TERMINAL, None):
        assert accept(known=KnownTurn(turn_id="old", status=status)) == ReturnExisting("old", status)


def test_d12_a_used_turn_id_is_no_duplicate():
    assert accept(turn_id_taken=True) == RefuseTurn("turn_id", "another turn has this id")


@pytest.mark.parametrize("missing", ["channel", "chat", "message_id"])
def test_a_message_without_a_full_identity_is_its_own(missing):
    answer = accept(evolve(WHO, **{missing: " " if missing == "message_id" else ""}), known=None)
    assert answer.turn.identity == own_identity("t") == "own:t"


REFUSED = [
    ("a payload that cannot be read", {"payload_fault": "not JSON"}, "payload"),
    ("ten megabytes", {"payload_bytes": 10_000_000}, "payload"),
    ("a control character", {"identity": evolve(WHO, chat="a\x00b")}, "identity"),
    ("half a letter", {"identity": evolve(WHO, message_id="\ud800")}, "identity"),
    ("an endless id", {"identity": evolve(WHO, message_id="m" * 513)}, "identity"),
    ("no session", {"session": " "}, "session"),
    ("no turn id", {"turn_id": ""}, "turn_id"),
]


@pytest.mark.parametrize(("change", "what"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_d8_what_cannot_be_kept_is_refused_and_not_half_accepted(change, what):
    answer = accept(**{"identity": WHO, **change})
    assert isinstance(answer, RefuseTurn) and answer.what == what and answer.fault


def test_a_payload_at_the_limit_is_accepted():
    assert isinstance(accept(payload_bytes=1_048_576), AcceptTurn)
    assert isinstance(accept(payload_bytes=1_048_577), RefuseTurn)


# claim


CLAIMS = [
    ("settled", turn("delivered"), (), "terminal"),
    ("leased", turn(lease=held()), (), "leased"),
    ("not due", turn(due_at_ms=NOW + 1), (), "not_due"),
    ("a final exists", turn(), (row(status="failed_terminal"),), "final_exists"),
    ("no attempts left", turn(attempts_started=3), (), "exhausted"),
    ("a session's", turn(in_session=True), (), "in_session"),
    ("rows unreadable", turn(), None, "unreadable"),
    ("payload unreadable", turn(payload_ok=False), (), "unreadable"),
]


@pytest.mark.parametrize(("given", "rows", "reason"), [case[1:] for case in CLAIMS], ids=[case[0] for case in CLAIMS])
def test_a_run_that_may_not_start_is_refused_with_the_reason(given, rows, reason):
    seen = ClaimSnapshot(now_ms=NOW, owner="w", turn=given, rows=rows)
    assert claim_turn(seen) == RefuseClaim("t", reason)
    assert explain_claim_turn(seen).rules[0].rule == reason


def test_d6_of_two_that_ask_at_once_one_gets_the_turn():
    given = turn("accepted", attempts_started=0)
    first = claim_turn(ClaimSnapshot(now_ms=NOW, owner="a", turn=given, rows=()))
    second = claim_turn(ClaimSnapshot(now_ms=NOW, owner="b", turn=given, rows=()))
    taken = after_turn(given, first)
    assert after_turn(taken, second) == taken and taken.lease.owner == "a"


# the table of the single authority


def test_r1_b2_the_outbox_decides_and_sends_of_other_kinds_do_not_count():
    assert isinstance(settle(turn(), row(status="delivered"), run=RunFacts(finals_attempted=1))[0], SettleDelivered)
    lost = RunFacts(finals_attempted=1, finals_queued=True, finals_sent=0)
    assert settle(turn(), row("tool", "delivered"), run=lost)[0] == RetryTurn(
        "t", NOW + 15 * S, 1, 3, "final send queued but no successful sends"
    )


@pytest.mark.parametrize("kind", ["tool", "block"])
@pytest.mark.parametrize("status", ["queued", "sending", "failed_retryable", "failed_terminal", "expired", "delivered"])
def test_r4_r5_r6_r11_b1_tool_and_block_rows_neither_hold_nor_decide_a_turn(kind, status):
    assert settle(turn(), row(kind, status)) == ()
    assert isinstance(recover(turn(), rows=(row(kind, status),))[0], ClaimTurn)
    assert settle(turn(), row(kind, status), run=RunFacts()) == (SettleDelivered("t", NOW, "no_reply", 0),)


def test_b3_a_suppressed_final_is_an_answer():
    run = RunFacts(finals_attempted=2, finals_suppressed=2)
    assert settle(turn(), run=run) == (SettleDelivered("t", NOW, "suppressed", 0),)


def test_b6_delivered_and_failed_finals_are_a_failure_from_every_side():
    rows = (row(status="delivered", row_id="a"), row(status="expired", row_id="b", reason="expired"))
    expected = SettleFailed("t", NOW, "final_partially_delivered", "expired", 1, 1)
    assert settle(turn("delivery_pending"), *rows) == (expected,)
    assert settle(turn(), *rows, run=RunFacts(finals_attempted=2)) == (expected,)
    assert recover(turn("delivery_pending"), rows=rows) == (expected,)


def test_d7_rows_that_cannot_be_read_are_no_zeros():
    seen = TurnSnapshot(now_ms=NOW, turn=turn(), rows=None, run=RunFacts(finals_attempted=1))
    assert finalize_turn_from_outbox(seen) == ()
    assert plan_turn_recovery(RecoverySnapshot(now_ms=NOW, owner="w", turns=(seen,))) == ()
    assert explain_finalize_turn(seen).rules[-1].rule == "unreadable"


def test_d11_two_finals_are_waited_for_together():
    rows = (row(status="delivered", row_id="a"), row(status="queued", row_id="b"))
    assert settle(turn(), *rows) == (AwaitDelivery("t", 1),)
    assert settle(turn("delivery_pending"), *rows) == ()


def test_d1_d2_attempts_count_when_they_start_and_the_first_failure_counts():
    crashed = turn(attempts_started=3, lease=held(NOW))
    assert recover(crashed)[0].reason == "attempts_exhausted"
    assert settle(turn(attempts_started=1), run=RunFacts(error="boom")) == (RetryTurn("t", NOW + 15 * S, 1, 3, "boom"),)
    assert settle(turn(attempts_started=3), run=RunFacts(error="boom"))[0].error == "boom"


def test_a_stale_run_settles_nothing():
    run = RunFacts(token=1, error="boom")
    assert settle(turn(token=2, lease=held(token=2)), run=run) == ()
    assert settle(turn(token=1, lease=held()), run=run) != ()


def test_s3_a_turn_with_a_live_run_is_left_to_it():
    assert settle(turn("running", lease=held()), row(status="delivered")) == ()
    assert explain_finalize_turn(TurnSnapshot(now_ms=NOW, turn=turn(lease=held()), rows=())).flip_at_ms == NOW + 10 * S


def test_a_turn_that_fails_ends_its_open_rows():
    actions = settle(turn(attempts_started=3), row("tool", "queued"), run=RunFacts(error="boom"))
    assert actions[1] == FailRow("r", NOW, "run_ended", "boom", 0)


# replay


def test_s2_d1_what_must_not_be_repeated_is_ended_with_a_notice_or_in_silence():
    for replay, notify in (("notify_only", True), ("never", False)):
        (failed,) = recover(turn(replay=replay))
        assert (failed.reason, failed.notify) == ("replay_unsafe", notify)
        assert isinstance(recover(turn("accepted", replay=replay, attempts_started=0))[0], ClaimTurn)
        assert settle(turn(replay=replay), run=RunFacts(error="boom"))[0].reason == "replay_unsafe"


def test_b25_a_replay_runs_the_stored_turn_itself():
    # Media and quoted text are in the stored payload: a claim names the turn, and no part of it is built anew.
    assert recover(turn()) == (ClaimTurn("t", "w", 1, 0, 2, NOW + 30 * S),)


# recovery


def test_r2_the_limit_counts_runs_and_not_what_cannot_advance():
    waiting = [turn(turn_id=f"w{n}", due_at_ms=NOW + 1, accepted_at_ms=NOW - 10 * S) for n in range(30)]
    leased = [turn(turn_id=f"l{n}", lease=held(), accepted_at_ms=NOW - 9 * S) for n in range(30)]
    due = [turn(turn_id=f"d{n:02}", accepted_at_ms=NOW - n) for n in range(20)]
    actions = recover(*due, *leased, *waiting)
    assert [action.turn_id for action in actions] == [f"d{n:02}" for n in range(19, 3, -1)]


def test_b4_b5_age_spares_who_is_at_work_and_takes_the_rows_along():
    old = turn(accepted_at_ms=NOW - 24 * H - 1)
    assert recover(evolve(old, lease=held())) == ()
    assert recover(evolve(old, accepted_at_ms=NOW - 24 * H))[0] == ClaimTurn("t", "w", 1, 0, 2, NOW + 30 * S)
    failed, ended = recover(old, rows=(row(status="failed_retryable"),))
    assert (failed.reason, failed.error) == ("stale", "stale turn exceeded recovery age")
    assert isinstance(ended, FailRow)
    assert recover(old, rows=(row(status="sending"),)) == ()


def test_d5_law_19_recovery_asks_for_leases_and_not_for_the_start_of_the_process():
    mine = turn(lease=held(owner="earlier boot"))
    assert recover(mine) == ()
    assert isinstance(recover(mine, gone=("earlier boot",))[0], ClaimTurn)


def test_d13_a_pass_only_plans_runs_and_waits_for_none():
    seen = RecoverySnapshot(now_ms=NOW, owner="w", turns=(TurnSnapshot(now_ms=NOW, turn=turn(), rows=()),))
    assert explain_turn_recovery(seen).answer == "ClaimTurn"


def test_an_unreadable_payload_is_tried_three_times():
    given = turn("accepted", attempts_started=0, payload_ok=False)
    for started in (1, 2):
        (action,) = recover(given)
        assert action == RetryTurn("t", NOW + 15 * S, started, 3, "invalid turn payload")
        given = evolve(after_turn(given, action), due_at_ms=None)
    assert recover(given)[0].reason == "attempts_exhausted"


# sessions


def in_session(status="accepted", **more):
    return turn(status, in_session=True, **{"attempts_started": 0, **more})


def test_a_session_turn_without_its_row_gets_it_and_an_aborted_one_loses_it():
    missing, pending = SessionFacts(row="missing"), SessionFacts(row="pending")
    assert recover(in_session(), session=missing) == (WriteInbound("t", "s"),)
    (unreadable,) = recover(in_session(payload_ok=False), session=missing)
    assert (type(unreadable), unreadable.reason) == (SettleFailed, "message_gone")
    assert recover(in_session("aborted"), session=pending) == (WithdrawInbound("t", "s"),)
    assert recover(in_session("running"), session=missing)[0].reason == "message_gone"
    assert recover(in_session(), session=None) == ()


def test_a_claim_is_mirrored_as_the_started_attempt():
    facts = SessionFacts(row="pending", tries=1, claimed=True)
    assert settle(in_session(), session=facts) == (MirrorRun("t", 2),)
    assert settle(in_session("running", attempts_started=2), session=facts) == ()
    lost = SessionFacts(row="pending", tries=2, due_at_ms=NOW + S)
    (again,) = settle(in_session("running", attempts_started=2), session=lost)
    assert (again.retry_at_ms, again.attempts_started) == (NOW + S, 2)
    assert settle(after_turn(in_session("running"), again), session=lost) == ()


def test_row_failed_is_turn_failed_in_the_same_pass():
    (action,) = settle(in_session("running"), session=SessionFacts(row="failed", tries=5))
    assert (action.reason, action.attempts_started) == ("attempts_exhausted", 5)


def test_the_last_word_is_noted_before_anything_follows_from_it():
    facts = SessionFacts(row="pending", ack="failed")
    assert settle(in_session("running"), session=facts) == (NoteAck("t", "failed", NOW),)
    noted = after_turn(in_session("running"), NoteAck("t", "failed", NOW))
    assert settle(noted, session=SessionFacts(row="completed"))[0].reason == "failed_ack"
    # A host that completed the row and died before it noted the word:
    assert settle(in_session("running"), session=SessionFacts(row="completed")) == (NoteAck("t", "completed", NOW),)


DONE = in_session("running", ack="completed", acked_at_ms=NOW - 10 * S)
GRACE = [
    ("at the end of the grace", {}, False),
    ("its container died in it", {"died_at_ms": NOW - 5 * S}, True),
    ("its container died before it", {"died_at_ms": NOW - 11 * S}, False),
]


@pytest.mark.parametrize(("facts", "uncertain"), [case[1:] for case in GRACE], ids=[case[0] for case in GRACE])
def test_completed_without_a_reply_is_settled_after_the_grace(facts, uncertain):
    session = SessionFacts(row="completed", **facts)
    assert settle(DONE, session=session) == (SettleDelivered("t", NOW, "no_reply", 0, uncertain),)
    assert settle(DONE, session=session, now_ms=NOW - 1) == ()


def test_the_grace_waits_for_replies_and_for_a_runner_that_is_busy():
    assert settle(DONE, session=SessionFacts(row="completed", replies_left=1)) == ()
    assert settle(DONE, session=SessionFacts(row="completed", busy_at_ms=NOW - S)) == ()


def test_a_reply_decides_and_a_failed_ack_with_an_answer_needs_no_notice():
    facts = SessionFacts(row="completed")
    assert settle(DONE, row(status="delivered"), session=facts) == (SettleDelivered("t", NOW, "sent", 1),)
    (action,) = settle(evolve(DONE, ack="failed"), row(status="delivered"), session=facts)
    assert (action.reason, action.notify) == ("failed_ack", False)


# abort


def stop(*turns, rows=(), sessions=("s",), commanding=None):
    return abort_session(
        AbortSnapshot(now_ms=NOW, sessions=sessions, turns=turns, rows=rows, commanding_turn_id=commanding)
    )


def test_r3_an_abort_ends_turn_and_rows_together_and_raises_the_fence():
    actions = stop(turn(token=4), rows=(row(), row("tool", "sending", "x"), row(status="delivered", row_id="y")))
    assert actions == (
        AbortTurn("t", NOW, 5, 1),
        FailRow("r", NOW, "turn_aborted", "turn_aborted", 0),
        FailRow("x", NOW, "turn_aborted", "turn_aborted", 0),
        StopRun("t", "s"),
    )


def test_b18_b19_a_stop_stops_neither_itself_nor_the_answer_to_another_stop():
    commanding, earlier = turn(turn_id="now"), turn("delivery_pending", turn_id="old", commands_abort=True)
    rows = (row(turn_id="old"), row(turn_id="now", row_id="q"))
    assert stop(commanding, earlier, rows=rows, commanding="now") == ()


def test_b20_a_stop_reaches_the_sessions_of_sub_agents():
    child = turn(turn_id="c", session="child")
    assert [type(action) for action in stop(child, sessions=("s", "child"))] == [AbortTurn, StopRun]
    assert stop(child) == ()


def test_too_late_is_said_with_the_outcome_of_the_latest_turn():
    first = turn("delivered", turn_id="a", completed_at_ms=NOW - 2)
    last = turn("failed_terminal", turn_id="b", completed_at_ms=NOW - 1, reason="stale")
    assert stop(first, last) == (TooLate("b", "failed_terminal", "stale"),)
    assert stop() == ()


@pytest.mark.parametrize("session", ["", "  "])
def test_a_stop_for_no_session_stops_nothing(session):
    assert stop(turn(session=session), sessions=(session,)) == ()


def test_an_aborted_turn_refuses_everything_that_comes_late():
    given = turn(token=1, lease=held())
    aborted = after_turn(given, stop(given)[0])
    assert settle(aborted, row(status="delivered"), run=RunFacts(token=1)) == ()
    assert claim_turn(ClaimSnapshot(now_ms=NOW, owner="w", turn=aborted, rows=())) == RefuseClaim("t", "terminal")


def test_the_explanations_tell_the_rule_that_answered():
    seen = AcceptSnapshot(now_ms=NOW, turn_id="t", session="s", identity=WHO, payload_bytes=1)
    assert explain_accept_turn(seen).rules[-1].rule == "new"
    told = explain_abort_session(AbortSnapshot(now_ms=NOW, sessions=("s",), turns=(turn(),)))
    assert [rule.rule for rule in told.rules] == ["abort", "stop"]
