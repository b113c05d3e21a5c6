"""Is every reply sent once, or visibly not, whatever its channel, its process and its store do meanwhile?"""

import itertools

import pytest
from attrs import evolve

from turnkeel.delivery.claiming import Standing, look
from turnkeel.events import (
    FaultCleared,
    FaultSeen,
    ReplyHeld,
    ReplySent,
    SendDeferred,
    SendFailed,
    SendRetry,
    SendUnknown,
    TurnFailed,
)
from turnkeel_adapters.channels import Capabilities, LoseAcknowledgement, LoseCall
from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.system.clock import Instant
from turnkeel_core import (
    DeliveryPolicy,
    LocalFault,
    OutboxPolicy,
    Permanent,
    RateLimited,
    Sent,
    SettlePolicy,
    Transient,
    Uncertain,
)

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000


def fresh_only(**more):
    return SettlePolicy(outbox=OutboxPolicy(**more))


# The way of a reply


def test_a_reply_is_sent_once_proven_and_marked_in_its_session(office):
    office.accept("t1")
    office.queue("r1", turn_id="t1")
    office.play(SECOND)
    assert office.shown() == ["text of r1"]
    row = office.row("r1")
    assert (row.status, row.parts_proven, row.attempts) == ("delivered", 1, 0)
    assert (office.turn("t1").status, office.turn("t1").reason) == ("delivered", "sent")
    assert office.marks() == [("r1", "m1", "delivered")]
    assert office.events(ReplySent) == [ReplySent("main/a", "r1", "chat", 1)]
    assert office.life("r1") == ["EnqueueRow", "ClaimRow", "RecordReceipts", "DeliverRow"]


def test_a_send_is_stored_before_its_call(office):
    seen = []
    deliver = office.chat.deliver

    def look(*args):
        with office.store.inner.transaction() as work:
            seen.append((work.tables.outbox.get("r1").status, work.tables.outbox.get("r1").send_started_at_ms is None))
        return deliver(*args)

    office.chat.deliver = look
    office.queue("r1")
    office.play(SECOND)
    assert seen == [("sending", False)]


def test_a_sleeping_sender_is_woken_by_a_poke(office):
    office.play(5 * SECOND, then=[(2 * SECOND, lambda: office.queue("r1"))])
    assert office.row("r1").completed_at_ms - office.row("r1").queued_at_ms <= 1


def test_replies_of_one_conversation_are_sent_in_order_and_one_at_a_time(office):
    office.calls.lasting[id(office.chat)] = 3 * SECOND
    for number in range(4):
        office.queue(f"r{number}", lane="one")
    office.play(MINUTE)
    assert office.shown() == [f"text of r{number}" for number in range(4)]
    assert office.calls.most == 1


def test_many_replies_need_no_second_wake(new_office):
    office = new_office(settle=fresh_only(pass_limit=4))
    for number in range(30):
        office.queue(f"r{number}")
    office.play(SECOND)
    assert len(office.shown()) == 30


def test_an_idle_sender_looks_once_a_minute_and_writes_nothing(office):
    office.play(10 * MINUTE)
    assert office.store.count <= 13  # eleven looks, one pruning


# What a channel says


@pytest.mark.parametrize(
    ("step", "status", "attempts", "next_ms"),
    [
        (Transient("busy"), "failed_retryable", 1, 5 * SECOND),
        (RateLimited("slower", 7 * SECOND), "failed_retryable", 0, 7 * SECOND),
        (LocalFault("no token"), "failed_retryable", 0, 30 * SECOND),
        (Permanent("chat not found"), "failed_terminal", 1, None),
        (Uncertain("no answer"), "unknown", 1, 5 * SECOND),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str | int | None) else "",
)
def test_each_class_of_error_has_its_own_consequence(office, step, status, attempts, next_ms):
    office.chat.script(step)
    office.queue("r1")
    office.play(SECOND)
    row = office.row("r1")
    assert (row.status, row.attempts) == (status, attempts)
    if next_ms is None:
        assert office.marks() == [("r1", None, "failed")]
        return
    assert row.due_at_ms == row.queued_at_ms + next_ms
    office.play(next_ms)
    assert office.row("r1").status == "delivered"
    assert office.row("r1").completed_at_ms <= row.due_at_ms + SECOND


def test_a_send_that_fails_five_times_is_a_dead_letter_at_its_known_instants(office):
    office.accept("t1")
    office.queue("r1", turn_id="t1")
    office.chat.script(*[Transient(f"down {number}") for number in range(5)])
    office.play(20 * MINUTE)
    steps = [event.attempts for event in office.events(SendRetry)]
    assert steps == [1, 2, 3, 4]
    assert len(office.chat.calls) == 5 + 1  # the last one is the notice
    assert (office.row("r1").status, office.row("r1").last_error) == ("failed_terminal", "down 4")
    assert office.row("r1").completed_at_ms - office.row("r1").queued_at_ms == (5 + 25 + 120 + 600) * SECOND
    assert office.turn("t1").status == "failed_terminal"
    assert office.events(SendFailed)[0].reason == "exhausted"
    with office.store.inner.transaction() as work:
        assert [dead.message_id for dead in work.tables.dead.of_message("main/a", "r1")] == ["r1"]


def test_a_channel_that_asks_for_a_pause_gets_it_for_all_its_replies(office):
    office.chat.script(RateLimited("slower", MINUTE))
    office.queue("r1")
    office.play(30 * SECOND, then=[(SECOND, lambda: office.queue("r2"))])
    assert len(office.chat.calls) == 1
    office.play(MINUTE)  # the pause was kept by that process; the row keeps its own instant
    assert sorted(office.shown()) == ["text of r1", "text of r2"]


def test_a_channel_that_raises_harms_one_row_only(office):
    deliver = office.chat.deliver

    def odd(dispatch, part, key):
        if dispatch.row_id == "r1":
            raise RuntimeError("token sk-123 is wrong")
        return deliver(dispatch, part, key)

    office.chat.deliver = odd
    office.redact = lambda text: text.replace("sk-123", "***")
    office.queue("r1")
    office.queue("r2")
    office.play(SECOND)
    assert (office.row("r1").status, office.row("r2").status) == ("unknown", "delivered")
    assert office.row("r1").last_error == "RuntimeError: token *** is wrong"


@pytest.mark.parametrize("answer", [None, "sent", 7])
def test_a_channel_that_answers_nonsense_leaves_an_unknown_send(office, answer):
    office.chat.deliver = lambda *args: answer
    office.queue("r1")
    office.play(SECOND)
    assert office.row("r1").status == "unknown"


@pytest.mark.parametrize(
    "payload", ["", "{", "[]", '{"parts": []}', '{"parts": ["a", "b"]}', '{"parts": ["a"], "x": 1}', '{"parts": [1]}']
)
def test_a_payload_that_cannot_be_read_is_a_dead_letter(office, payload):
    office.accept("t1")
    office.queue("r1", turn_id="t1", payload=payload)
    office.queue("r2")
    office.play(SECOND)
    assert office.row("r1").status == "failed_terminal"
    assert office.row("r1").reason.startswith("invalid payload")
    assert office.row("r2").status == "delivered"
    assert office.events(TurnFailed)[0].turn_id == "t1"


def test_an_unknown_channel_defers_without_charge_until_it_is_set_up(office):
    office.queue("r1", channel="later")
    office.play(3 * MINUTE)
    row = office.row("r1")
    assert (row.status, row.attempts) == ("failed_retryable", 0)
    assert len(office.events(SendDeferred)) == 1
    office.channels["later"] = office.channel()
    office.play(MINUTE)
    assert office.shown(office.channels["later"]) == ["text of r1"]


def test_a_row_of_an_unknown_channel_is_put_off_by_the_look_that_meets_it(office):
    office.queue("r1", channel="later")
    seen = look(Standing(now=office.clock.read(), channels=()), office.ports("killed here", True), office.policies)
    row = office.row("r1")
    assert (seen.jobs, row.status, row.attempts, row.lease) == ((), "failed_retryable", 0, None)
    assert [type(event) for event in seen.events] == [SendDeferred]
    office.channels["later"] = office.channel()
    office.play(MINUTE)
    assert "MarkUnknown" not in office.life("r1")
    assert office.shown(office.channels["later"]) == ["text of r1"]


def test_a_channels_own_pace_is_kept_between_rows_and_parts(new_office):
    office = new_office(Capabilities(idempotent=True, pace_ms=2 * SECOND))
    starts = []
    deliver = office.chat.deliver

    def timed(*args):
        starts.append(office.clock.mono_ms)
        return deliver(*args)

    office.chat.deliver = timed
    office.queue("r1", "one", "two")
    office.queue("r2")
    office.play(MINUTE)
    gaps = [later - sooner for sooner, later in zip(starts, starts[1:], strict=False)]
    assert gaps == [2 * SECOND, 2 * SECOND]


def test_an_answer_without_receipt_is_taken_at_its_word(office):
    office.chat.deliver = lambda *args: Sent(())
    office.queue("r1")
    office.play(SECOND)
    assert office.row("r1").status == "delivered"
    with office.store.inner.transaction() as work:
        assert [(one.part, one.platform_id) for one in work.tables.receipts.of_row("r1")] == [(0, None)]


# Crashes


@pytest.mark.parametrize(
    ("capabilities", "arrives", "calls", "end"),
    [
        ("KEYED", True, 2, "delivered"),
        ("KEYED", False, 2, "delivered"),
        ("ASKABLE", True, 1, "delivered"),
        ("ASKABLE", False, 2, "delivered"),
        ("NEITHER", True, 1, "unknown"),
        ("NEITHER", False, 1, "unknown"),
    ],
)
def test_D3_a_sender_killed_between_call_and_receipt_is_never_a_blind_resend(
    new_office, lab, capabilities, arrives, calls, end
):
    office = new_office(getattr(lab, capabilities))
    office.calls.lasting[id(office.chat)] = None
    if not arrives:
        office.chat.script(LoseCall())
    office.queue("r1")
    office.play(SECOND, kill=True)
    assert office.row("r1").status == "sending"
    office.calls.lasting.clear()
    office.play(10 * MINUTE)
    assert office.row("r1").status == end
    assert len(office.chat.calls) == calls
    assert len(set(office.chat.calls)) == 1
    assert office.shown() == (["text of r1"] if arrives or end == "delivered" else [])
    assert len(office.events(SendUnknown)) == 1
    assert len(office.events(ReplyHeld)) == (1 if end == "unknown" else 0)


@pytest.mark.parametrize("step", [LoseAcknowledgement(), LoseCall()], ids=["shown", "lost"])
@pytest.mark.parametrize("capabilities", ["KEYED", "ASKABLE", "NEITHER"])
def test_a_lost_answer_is_cleared_up_as_far_as_the_channel_can(new_office, lab, capabilities, step):
    office = new_office(getattr(lab, capabilities))
    office.chat.script(step)
    office.queue("r1")
    office.play(MINUTE)
    held = capabilities == "NEITHER"
    assert office.row("r1").status == ("unknown" if held else "delivered")
    shown_at_once = isinstance(step, LoseAcknowledgement)
    assert office.shown() == (["text of r1"] if shown_at_once or not held else [])


def test_a_question_that_cannot_be_put_leaves_the_row_unknown(new_office, lab):
    office = new_office(lab.ASKABLE)
    office.chat.script(LoseAcknowledgement())
    ask, answers = office.chat.ask, [LocalFault("no token"), LocalFault("no token")]
    office.chat.ask = lambda *args: answers.pop() if answers else ask(*args)
    office.queue("r1")
    office.play(MINUTE)
    assert (office.row("r1").status, office.shown(), len(office.chat.calls)) == ("delivered", ["text of r1"], 1)


def test_an_owner_may_have_unknown_sends_sent_again(new_office, lab):
    office = new_office(lab.NEITHER, settle=fresh_only(on_unknown="resend"))
    office.chat.script(LoseAcknowledgement())
    office.queue("r1")
    office.play(MINUTE)
    assert office.shown() == ["text of r1", "text of r1"]


def test_a_held_reply_is_told_once_and_expires_visibly_after_a_day(new_office, lab):
    office = new_office(lab.NEITHER)
    office.chat.script(LoseCall())
    office.accept("t1")
    office.queue("r1", turn_id="t1", lane="one")
    office.queue("r2", lane="one")
    office.play(MINUTE)
    assert office.shown() == ["text of r2"]  # the conversation goes on
    office.play(25 * HOUR)
    assert len(office.events(ReplyHeld)) == 2  # once by each process
    assert office.row("r1").status == "expired"
    assert office.turn("t1").status == "failed_terminal"


@pytest.mark.parametrize("after_ms", [1_500, 2_500, 4_500])
def test_D10_a_row_of_five_parts_resumes_at_the_first_unproven_one(office, after_ms):
    office.calls.lasting[id(office.chat)] = SECOND
    office.queue("r1", *"abcde")
    office.play(after_ms, kill=True)
    proven = after_ms // SECOND
    assert office.row("r1").parts_proven == proven
    office.play(2 * MINUTE)
    assert office.row("r1").status == "delivered"
    assert office.shown() == list("abcde")
    assert len(office.chat.calls) == 6  # only the part under way was sent twice, with the same key
    assert len(set(office.chat.calls)) == 5


def test_D4_an_outcome_that_cannot_be_stored_is_kept_until_it_can(office):
    office.accept("t1")
    office.queue("r1", turn_id="t1")
    office.calls.lasting[id(office.chat)] = SECOND
    full = AdapterError("disk full")

    def breaks():
        office.store.refuses = full

    def works():
        office.store.refuses = None

    office.play(5 * MINUTE, then=[(500, breaks), (3 * MINUTE, works)])
    assert (office.row("r1").status, office.turn("t1").status) == ("delivered", "delivered")
    assert len(office.chat.calls) == 1
    assert office.events(FaultSeen) == [FaultSeen("", "delivery", "AdapterError", "disk full")]
    assert office.events(FaultCleared) == [FaultCleared("", "delivery")]


def test_a_store_that_fails_between_passes_is_told_once_and_waited_out(office):
    def breaks():
        office.store.refuses = AdapterError("locked")

    def works():
        office.store.refuses = None
        office.queue("r1")

    office.play(3 * MINUTE, then=[(SECOND, breaks), (SECOND, lambda: office.sender.poke()), (2 * MINUTE, works)])
    assert office.row("r1").status == "delivered"
    assert office.events(FaultSeen) == [FaultSeen("", "delivery", "AdapterError", "locked")]


def test_a_crash_before_the_sessions_mark_leaves_the_reply_sent_once(office):
    store = office.files.store("main/a")
    (store.folder / "inbound.db").rename(store.folder / "away")
    office.queue("r1")
    office.play(SECOND)
    (store.folder / "away").rename(store.folder / "inbound.db")
    assert (office.row("r1").status, office.marks()) == ("delivered", [])
    office.play(10 * MINUTE)
    assert office.shown() == ["text of r1"]


# Leases


def test_a_slow_call_keeps_its_lease_and_no_other_sender_takes_the_row(office):
    office.calls.lasting[id(office.chat)] = 5 * MINUTE
    office.queue("r1")
    office.play(6 * MINUTE, owners=("one", "two"))
    assert office.life("r1").count("ClaimRow") == 1
    assert (len(office.chat.calls), office.row("r1").status) == (1, "delivered")
    assert office.store.count < 100  # a renewal every ten seconds, and looks of the other now and then


def test_a_claim_newer_than_this_processs_look_at_the_clock_is_not_taken_for_a_lost_one(office):
    office.calls.lasting[id(office.chat)] = None
    office.queue("r1")
    office.play(SECOND, kill=True)
    before = Instant(wall_ms=office.row("r1").send_started_at_ms - 50, mono_ms=office.clock.mono_ms - 50)
    seen = look(Standing(now=before, channels=()), office.ports("two", False), office.policies)
    assert (seen.events, office.row("r1").status) == ((), "sending")


def test_a_renewal_a_moment_younger_than_the_look_that_made_it_is_not_taken_for_a_lost_send(office, monkeypatch):
    office.calls.lasting[id(office.chat)] = MINUTE
    read, reads = office.clock.read, itertools.count()
    monkeypatch.setattr(office.clock, "read", lambda: evolve(now := read(), wall_ms=now.wall_ms + next(reads)))
    office.queue("r1")
    office.play(2 * MINUTE)
    assert "MarkUnknown" not in office.life("r1")
    assert (len(office.chat.calls), office.row("r1").status) == (1, "delivered")


def test_a_call_that_never_ends_loses_its_lease_and_the_row_goes_on(office):
    office.calls.lasting[id(office.chat)] = None

    def heals():
        office.calls.lasting.clear()

    office.queue("r1")
    office.play(15 * MINUTE, then=[(MINUTE, heals)])
    assert office.row("r1").status == "delivered"
    assert office.row("r1").completed_at_ms - office.row("r1").queued_at_ms < 11 * MINUTE
    assert office.shown() == ["text of r1"]


def test_calls_that_never_end_stop_their_channel_and_no_other(office):
    office.calls.lasting[id(office.chat)] = None
    office.channels["other"] = office.channel()
    for number in range(20):
        office.queue(f"r{number}")
    office.play(25 * MINUTE, then=[(24 * MINUTE, lambda: office.queue("quick", channel="other"))])
    assert office.calls.most <= 8
    assert office.row("quick").status == "delivered"


def test_B7_a_receipt_after_the_abort_is_kept_and_revives_nothing(office):
    office.calls.lasting[id(office.chat)] = 2 * SECOND
    office.accept("t1")
    office.queue("r1", turn_id="t1")
    office.play(MINUTE, then=[(SECOND, office.abort)])
    row = office.row("r1")
    assert (row.status, row.parts_proven, office.turn("t1").status) == ("failed_terminal", 1, "aborted")


def test_B13_after_an_abort_no_call_of_its_turn_begins(office):
    office.calls.lasting[id(office.chat)] = 2 * SECOND
    office.accept("t1")
    office.queue("r1", *"abcde", turn_id="t1", lane="one")
    office.queue("r2", turn_id="t1", lane="one")
    office.play(MINUTE, then=[(3 * SECOND, office.abort)])
    assert office.shown() == ["a", "b"]
    assert office.row("r2").status == "failed_terminal"


def test_B13_a_send_that_waits_for_its_channels_pace_is_not_begun_after_an_abort(new_office):
    office = new_office(Capabilities(idempotent=True, pace_ms=10 * SECOND))
    office.accept("t1")
    office.queue("r1", "a", "b", turn_id="t1")
    office.play(MINUTE, then=[(3 * SECOND, office.abort)])
    assert office.shown() == ["a"]


# Fairness


def test_D13_one_slow_channel_blocks_no_other(office):
    office.channels["quick"] = office.channel()
    office.calls.lasting[id(office.chat)] = 5 * MINUTE
    for number in range(20):
        office.queue(f"slow{number}")
    office.queue("quick", channel="quick")
    office.play(SECOND)
    assert office.row("quick").status == "delivered"
    assert office.calls.most == 4


def test_a_fresh_reply_is_not_starved_by_the_backlog(office):
    for number in range(40):
        office.queue(f"old{number}")
    office.clock.step(10 * MINUTE)
    office.play(2 * MINUTE, then=[(10 * SECOND, lambda: office.queue("new"))])
    row = office.row("new")
    assert row.completed_at_ms - row.queued_at_ms < SECOND
    assert len(office.shown()) == 41


def test_the_backlog_of_a_channel_is_sent_one_a_second(office):
    for number in range(60):
        office.queue(f"old{number}")
    office.clock.step(10 * MINUTE)
    office.play(30 * SECOND)
    assert 29 <= len(office.shown()) <= 32


def test_what_is_too_old_expires_and_its_turn_fails_with_it(office):
    office.accept("t1")
    office.queue("r1", turn_id="t1", channel="later")
    office.play(31 * MINUTE)
    assert (office.row("r1").status, office.turn("t1").status) == ("expired", "failed_terminal")
    assert office.marks() == [("r1", None, "failed")]


# Rows that are no answers


def test_R12_a_tool_row_that_fails_is_closed_at_once(office):
    office.accept("t1")
    office.chat.script(Transient("busy"))
    office.play(MINUTE, then=[(SECOND, lambda: office.queue("r1", turn_id="t1", kind="tool", owner="process-1"))])
    assert (len(office.chat.calls), office.row("r1").status) == (1, "failed_terminal")
    assert office.row("r1").completed_at_ms - office.row("r1").queued_at_ms < SECOND
    assert office.turn("t1").status == "accepted"


def test_R6_a_tool_row_is_never_sent_after_a_restart(office):
    office.accept("t1")
    office.queue("r1", turn_id="t1", kind="tool", owner="an earlier process")
    office.play(MINUTE)
    assert (office.chat.calls, office.row("r1").status) == ((), "failed_terminal")


def test_R6_a_tool_row_under_way_at_a_kill_is_not_sent_again(office):
    office.calls.lasting[id(office.chat)] = None
    office.play(MINUTE, kill=True, then=[(SECOND, lambda: office.queue("r1", kind="block", owner="process-1"))])
    office.calls.lasting.clear()
    office.play(MINUTE)
    assert (len(office.chat.calls), office.row("r1").status) == (1, "failed_terminal")


# The end of a process


def test_a_planned_stop_gives_calls_their_grace_and_claims_nothing_more(office):
    office.calls.lasting[id(office.chat)] = 5 * SECOND
    office.queue("r1", lane="one")
    office.queue("r2", lane="one")
    office.play(SECOND)
    assert (office.row("r1").status, office.row("r2").status) == ("delivered", "queued")


def test_a_planned_stop_leaves_a_call_over_its_grace_to_its_lease(office):
    office.calls.lasting[id(office.chat)] = None
    office.queue("r1")
    office.play(SECOND)
    assert office.row("r1").status == "sending"
    office.calls.lasting.clear()
    office.play(MINUTE)
    assert (office.row("r1").status, office.shown()) == ("delivered", ["text of r1"])


def test_a_planned_stop_between_two_parts_charges_nothing_and_resumes_there(office):
    office.calls.lasting[id(office.chat)] = SECOND
    office.queue("r1", *"abc")
    office.play(1_500)
    row = office.row("r1")
    assert (row.status, row.attempts, row.parts_proven) == ("failed_retryable", 0, 2)
    office.play(MINUTE)
    assert (office.shown(), len(office.chat.calls)) == (["a", "b", "c"], 3)


def test_a_long_grace_keeps_the_lease_alive(new_office):
    office = new_office(delivery=DeliveryPolicy(stop_grace_ms=5 * MINUTE))
    office.calls.lasting[id(office.chat)] = 2 * MINUTE
    office.queue("r1")
    office.play(SECOND)
    assert (office.row("r1").status, office.life("r1").count("ClaimRow")) == ("delivered", 1)


# Quiet


def test_drained_means_that_only_time_or_a_person_can_change_anything(office):
    answers = {}

    async def ask(name, within_ms=0):
        answers[name] = await office.sender.drained(within_ms)

    office.calls.lasting[id(office.chat)] = 2 * SECOND
    office.chat.script(Transient("busy"))
    office.play(
        MINUTE,
        then=[
            (SECOND, lambda: ask("idle")),
            (SECOND, lambda: office.queue("r1")),
            (2 * SECOND, lambda: ask("sending")),
            (4 * SECOND, lambda: ask("waits for its backoff")),
            (4 * SECOND, lambda: ask("within 10 s", 10 * SECOND)),
            (4 * SECOND, lambda: ask("within 1 s", SECOND)),
            (30 * SECOND, lambda: ask("sent")),
        ],
    )
    assert answers == {
        "idle": True,
        "sending": False,
        "waits for its backoff": True,
        "within 10 s": False,
        "within 1 s": True,
        "sent": True,
    }


def test_what_was_kept_long_enough_is_forgotten_in_batches(new_office):
    office = new_office(delivery=DeliveryPolicy(prune_limit=3))
    for number in range(10):
        office.queue(f"r{number}")
    office.play(SECOND)
    office.clock.step(49 * HOUR)
    office.play(11 * MINUTE)
    assert [office.row(f"r{number}") for number in range(10)] == [None] * 10


# Faults of the host itself


def test_a_fault_nobody_thought_of_is_told_and_ends_no_loop(office):
    def breaks():
        office.store.refuses = ZeroDivisionError("odd")
        office.sender.poke()

    def works():
        office.store.refuses = None
        office.queue("r1")

    office.play(MINUTE, then=[(SECOND, breaks), (20 * SECOND, works)])
    assert office.row("r1").status == "delivered"
    (fault,) = office.events(FaultSeen)
    assert (fault.kind, "fault of the host" in fault.detail) == ("ZeroDivisionError", True)


def test_a_fault_in_one_sends_own_task_leaves_its_row_to_the_lease(office):
    def breaks(text):
        raise ZeroDivisionError("odd")

    office.redact = breaks
    office.queue("r1")
    office.play(SECOND)
    assert (office.row("r1").status, len(office.events(FaultSeen))) == ("sending", 1)
    office.redact = str
    office.queue("r2")
    office.play(MINUTE)
    assert sorted(office.shown()) == ["text of r1", "text of r2"]
