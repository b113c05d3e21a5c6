"""Do both lifecycle stores keep what the core decides, all of a decision or nothing, and cost by what is open?"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import apsw
import apsw.ext
import pytest
from attrs import evolve, fields
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import turnkeel_core as core
from turnkeel_adapters import wire
from turnkeel_adapters.lifecycle import evidence, outbox, turns
from turnkeel_adapters.lifecycle import life as life_table
from turnkeel_adapters.lifecycle.apply import Refused
from turnkeel_adapters.lifecycle.memory import MemoryLifecycle
from turnkeel_adapters.lifecycle.store import StateLifecycle
from turnkeel_adapters.lifecycle.tables import LifeLine
from turnkeel_adapters.lifecycle.whole_life import life_of_row, life_of_turn
from turnkeel_adapters.state import dead
from turnkeel_adapters.state.database import StateDatabase
from turnkeel_adapters.state.dead import DeadRecord
from turnkeel_adapters.state.migrations import MIGRATIONS
from turnkeel_adapters.state.store import HostState
from turnkeel_core import (
    AcceptSnapshot,
    AcceptTurn,
    AwaitDelivery,
    ClaimRow,
    DeliverRow,
    EnqueueRow,
    EnqueueSnapshot,
    ExpireRow,
    FailRow,
    MessageIdentity,
    OutboxRow,
    Receipt,
    RecordReceipts,
    RefuseReply,
    RenewLease,
    Reply,
    RetryTurn,
    RunFacts,
    Sent,
    SessionFacts,
    SettleDelivered,
    SettleFailed,
    SettlePolicy,
    Turn,
    WithdrawInbound,
    abort_session,
    accept_turn,
    claim_turn,
    decide_lease,
    finalize_turn_from_outbox,
    plan_deliveries,
    plan_enqueue,
    plan_prune,
    plan_turn_recovery,
    settle_delivery,
)
from turnkeel_core.turn_records import TurnFailure

ROOT = Path(__file__).parents[2]
SENT = Sent((Receipt(0, "p", 10**12),))
PATHS = os.pathsep.join(str(ROOT / part) for part in ("core", "adapters", "shell"))
VERSION_4 = (Path(__file__).parent / "turnkeel_db_version_4.sql").read_text(encoding="utf-8")
NOW = 10**12
DAY = 86_400_000


def _load(name):
    path = Path(__file__).parents[1] / "model" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


invariants, life = _load("invariants"), _load("lifecycle_host")


@pytest.fixture(params=["turnkeel.db", "memory"])
def store(request, tmp_path):
    if request.param == "memory":
        yield MemoryLifecycle()
        return
    database = StateDatabase(tmp_path / "turnkeel.db")
    yield StateLifecycle(database)
    database.close()


def accept(work, turn_id="t1", *, message="m1", now_ms=NOW, session="main/a", in_session=False, because=""):
    asked = AcceptSnapshot(
        now_ms=now_ms,
        turn_id=turn_id,
        session=session,
        identity=MessageIdentity(channel="c", chat="here", message_id=message),
        payload_bytes=2,
        in_session=in_session,
    )
    answer = accept_turn(work.accept(asked))
    assert work.apply([answer], now_ms, {turn_id: "{}"}, because=because) == ()
    return answer


def run_answers(work, turn_id="t1", *, row_id="r1", kind="final", parts=1, now_ms=NOW, source=None):
    """A run of the turn that replies with one row and ends."""
    claim = claim_turn(work.claim(turn_id, "w", now_ms))
    assert work.apply([claim], now_ms) == ()
    reply = Reply(row_id=row_id, kind=kind, channel="c", lane="l", ordinal=1, parts=parts, source=source)
    asked = EnqueueSnapshot(now_ms=now_ms, owner="w", replies=(reply,), token=claim.token)
    assert work.apply(plan_enqueue(work.enqueue(asked, turn_id)), now_ms, {row_id: '{"text": "hello"}'}) == ()
    facts = RunFacts(finals_attempted=1, finals_queued=True, token=claim.token)
    work.apply(finalize_turn_from_outbox(work.turn(turn_id, now_ms, run=facts)), now_ms)
    return claim


def send(work, row_id="r1", *, now_ms=NOW):
    (claim,) = plan_deliveries(work.deliveries("w", now_ms, ()))
    assert work.apply([claim], now_ms) == ()
    return claim


# One life, in both stores


def test_a_message_is_accepted_once_answered_and_settled(store):
    with store.transaction() as work:
        accept(work)
    with store.transaction() as work:
        again = accept(work, "t2")
        assert (again.turn_id, again.status) == ("t1", "accepted")
        run_answers(work)
        assert work.tables.turns.get("t1").status == "delivery_pending"
    with store.transaction() as work:
        claim = send(work)
    with store.transaction() as work:
        seen = work.settle("r1", claim.token, Sent((Receipt(0, "p", NOW),)), NOW + 5)
        assert work.apply(settle_delivery(seen), NOW) == ()
        turn, row = work.tables.turns.get("t1"), work.tables.outbox.get("r1")
        assert (turn.status, turn.reason, row.status, row.parts_proven) == ("delivered", "sent", "delivered", 1)
        assert work.tables.receipts.of_row("r1") == (Receipt(0, "p", NOW),)
        assert (work.tables.turns.payload("t1"), work.tables.outbox.payload("r1")) == ("{}", '{"text": "hello"}')


def test_a_claim_under_a_token_that_another_took_changes_nothing_and_says_so(store):
    with store.transaction() as work:
        accept(work)
        seen = work.claim("t1", "one", NOW)
    first, second = claim_turn(seen), claim_turn(evolve(seen, owner="two"))
    with store.transaction() as work:
        assert work.apply([first], NOW) == ()
    with store.transaction() as work:
        assert work.apply([second], NOW) == (Refused(second, "stale_token"),)
        assert work.tables.turns.get("t1").lease.owner == "one"


def test_a_send_that_another_claimed_is_not_claimed_again(store):
    with store.transaction() as work:
        accept(work)
        run_answers(work)
        seen = work.deliveries("one", NOW, ())
    (first,), (second,) = plan_deliveries(seen), plan_deliveries(evolve(seen, owner="two"))
    with store.transaction() as work:
        assert work.apply([first], NOW) == ()
        assert work.apply([second], NOW) == (Refused(second, "stale_token"),)
        assert work.tables.outbox.get("r1").lease.owner == "one"


def test_an_action_on_an_ended_or_missing_record_is_refused(store):
    with store.transaction() as work:
        accept(work)
        done = SettleDelivered("t1", NOW, "no_reply", 0)
        assert work.apply([done], NOW) == ()
        assert work.apply([done], NOW) == (Refused(done, "terminal"),)
        gone = SettleDelivered("nobody", NOW, "no_reply", 0)
        assert work.apply([gone], NOW) == (Refused(gone, "missing"),)
        receipt = RecordReceipts("nobody", (Receipt(0, None, NOW),))
        assert work.apply([receipt], NOW) == (Refused(receipt, "missing"),)


def test_an_identity_outlives_its_turn_and_refuses_the_message_until_it_is_forgotten(store):
    with store.transaction() as work:
        accept(work)
        work.apply([SettleDelivered("t1", NOW, "no_reply", 0)], NOW)
        for days, known in ((1, True), (3, True), (8, False)):
            now_ms = NOW + days * DAY
            work.apply(plan_prune(work.prune(now_ms, SettlePolicy(), limit=10)), now_ms)
            work.apply(plan_prune(work.prune(now_ms, SettlePolicy(), limit=10)), now_ms)
            assert (work.tables.turns.get("t1") is None) == (days > 1)
            answer = accept(work, f"t{days + 10}", now_ms=now_ms)
            assert isinstance(answer, AcceptTurn) != known


def test_a_row_and_its_receipts_are_pruned_before_their_turn(store):
    with store.transaction() as work:
        accept(work)
        run_answers(work)
        claim = send(work)
        work.apply(settle_delivery(work.settle("r1", claim.token, Sent((Receipt(0, None, NOW),)), NOW)), NOW)
        assert plan_prune(work.prune(NOW + DAY, SettlePolicy(), limit=10)) == ()
        assert work.apply(plan_prune(work.prune(NOW + 3 * DAY, SettlePolicy(), limit=10)), NOW) == ()
        assert (work.tables.turns.get("t1"), work.tables.outbox.get("r1")) == (None, None)
        assert work.tables.receipts.of_row("r1") == ()


def test_a_source_is_taken_for_ever_also_when_its_reply_was_refused(store):
    reply = Reply(row_id="r9", kind="final", channel="c", lane="l", ordinal=1, source="main/a:7")
    asked = EnqueueSnapshot(now_ms=NOW, owner="w", replies=(reply,))
    with store.transaction() as work:
        accept(work)
        work.apply(abort_session(work.abort(("main/a",), NOW)), NOW)
        (refused,) = plan_enqueue(work.enqueue(asked, "t1"))
        assert isinstance(refused, RefuseReply) and refused.reason == "turn_aborted"
        work.apply([refused], NOW)
        (again,) = plan_enqueue(work.enqueue(asked, None))
        assert isinstance(again, RefuseReply) and again.reason == "duplicate"


def test_a_receipt_that_is_brought_twice_is_kept_once(store):
    proof = RecordReceipts("r1", (Receipt(0, None, NOW), Receipt(1, "p", NOW)))
    with store.transaction() as work:
        accept(work)
        run_answers(work, parts=3)
        work.apply([proof, proof], NOW)
        assert work.tables.receipts.of_row("r1") == proof.receipts
        assert work.tables.outbox.get("r1").parts_proven == 2


def test_a_lease_is_renewed_by_its_owner_alone(store):
    with store.transaction() as work:
        accept(work)
        claim = claim_turn(work.claim("t1", "w", NOW))
        work.apply([claim], NOW)
        turn = work.tables.turns.get("t1")
        renewal = decide_lease(work.lease(turn, "w", claim.token, NOW + 10_000))
        assert isinstance(renewal, RenewLease)
        assert not work.renew(turn, evolve(renewal, owner="x")) and not work.renew(turn, evolve(renewal, token=9))
        assert work.renew(turn, renewal)
        assert work.tables.turns.get("t1").lease.until_at_ms == renewal.until_at_ms


def test_an_aborted_message_is_withdrawn_until_it_is_known_to_be(store):
    waiting = {"t1": SessionFacts(row="pending")}
    with store.transaction() as work:
        accept(work, in_session=True)
        work.apply(abort_session(work.abort(("main/a",), NOW)), NOW)
        for _ in range(2):
            assert plan_turn_recovery(work.recovery("w", NOW, waiting)) == (WithdrawInbound("t1", "main/a"),)
        work.withdrawn("t1")
        assert work.recovery("w", NOW, waiting).turns == ()


def test_a_failed_turn_has_one_notice(store):
    with store.transaction() as work:
        accept(work)
        work.apply(plan_turn_recovery(work.recovery("w", NOW + 2 * DAY, {})), NOW)
        assert [turn.reason for turn in work.tables.turns.notices_due(10)] == ["stale"]
        assert work.tables.turns.note("t1").error
        assert (work.told("t1"), work.told("t1")) == (True, False)
        assert work.tables.turns.notices_due(10) == ()


def test_calls_made_together_are_each_for_themselves_unless_a_transaction_holds_them(store):
    def fails(work):
        accept(work, "half")
        raise ZeroDivisionError

    def works(work):
        return accept(work, "whole").turn.turn_id

    with pytest.raises(ZeroDivisionError), store.transaction():
        store.run_each([works, fails])
    with store.reading() as work:
        assert work.tables.turns.open() == ()
    error, done = store.run_each([fails, works])
    assert isinstance(error, ZeroDivisionError) and done == "whole"
    with store.reading() as work:
        assert [turn.turn_id for turn in work.tables.turns.open()] == ["whole"]


# What is kept beside the records


@pytest.mark.parametrize("name", sorted(life_table.WITHOUT_WORDS))
def test_a_line_that_is_stored_without_redaction_holds_no_free_text(name):
    texts = {field.name for field in fields(getattr(core, name)) if "str" in str(field.type)}
    assert texts <= {"turn_id", "row_id", "owner", "idempotency_key"}


def test_each_stored_action_is_one_line_of_life_and_lines_are_kept_only_of_what_no_record_tells(store):
    with store.transaction() as work:
        assert isinstance(accept(work, because="found in its inbox"), AcceptTurn)
        accept(work, "t2", because="again")  # a duplicate: nothing of it is stored
        run_answers(work, now_ms=NOW + 1)
        claim = plan_deliveries(work.deliveries("w", NOW + 2, ()))[0]
        work.apply([claim], NOW + 2, because="it is the first of its lane")
        work.apply([claim], NOW + 2)  # refused: its token is taken
        sent = Sent((Receipt(0, "p", NOW + 3),))
        work.apply(settle_delivery(work.settle("r1", claim.token, sent, NOW + 3)), NOW + 3)
        work.apply([RecordReceipts("r1", sent.receipts)], NOW + 4)  # known already
        lines, kept = life_of_turn(work.tables, "t1"), work.tables.life.of_turn("t1")
    assert [(line.what, line.row_id, line.at_ms - NOW) for line in lines] == [
        ("AcceptTurn", None, 0),
        ("ClaimTurn", None, 1),
        ("EnqueueRow", "r1", 1),
        ("ClaimRow", "r1", 2),
        ("RecordReceipts", "r1", 3),
        ("DeliverRow", "r1", 3),
        ("SettleDelivered", None, 3),
    ]
    assert [line.detail for line in lines if line.what in ("AcceptTurn", "EnqueueRow")] == [None, None]
    assert [line.what for line in kept] == ["AcceptTurn", "ClaimTurn", "ClaimRow"]
    assert wire.loads(lines[3].detail, ClaimRow) == claim
    assert wire.loads(lines[4].detail, RecordReceipts) == RecordReceipts("r1", sent.receipts)
    assert wire.loads(lines[5].detail, DeliverRow) == DeliverRow("r1", NOW + 3, 1)
    assert wire.loads(lines[6].detail, SettleDelivered) == SettleDelivered("t1", NOW + 3, "sent", 1)
    assert {line.because for line in lines} == {"", "found in its inbox", "it is the first of its lane"}
    with store.transaction() as work:
        assert life_of_row(work.tables, "r1") == tuple(line for line in lines if line.row_id == "r1")
        work.apply(plan_prune(work.prune(NOW + 9 * DAY, SettlePolicy(), limit=10)), NOW + 9 * DAY)
        assert (life_of_turn(work.tables, "t1"), life_of_row(work.tables, "r1")) == ((), ())


def test_a_life_has_a_place_for_a_proof_by_a_clock_that_is_behind_and_no_line_twice(store):
    with store.transaction() as work:
        accept(work)
        run_answers(work, now_ms=NOW + 1)
        claim = plan_deliveries(work.deliveries("w", NOW + 2, ()))[0]
        work.apply([claim], NOW + 2)
        sent = Sent((Receipt(0, "p", 5),))  # as its channel's clock has it
        work.apply(settle_delivery(work.settle("r1", claim.token, sent, NOW + 3)), NOW + 3, because="a person said so")
        found = [(line.what, line.at_ms - NOW, line.because) for line in life_of_row(work.tables, "r1")]
    said = "a person said so"
    assert found == [("EnqueueRow", 1, ""), ("RecordReceipts", 1, ""), ("ClaimRow", 2, ""), ("DeliverRow", 3, said)]


def failed(reason, kind="final"):
    """A row of that kind that ends so, and what is written of it."""
    row = evolve(ROW, kind=kind, session="main/a", attempts=1, last_error="no route")
    if reason == "expired":
        return row, ExpireRow("r", NOW + 5, 40, 30, "too old")
    return row, FailRow("r", NOW + 5, reason, f"{reason}: no route", 2, "still no route")


LETTERS = {
    "permanent": ("final", "permanent", ("permanent", "still no route", 2)),
    "exhausted": ("final", "exhausted", ("exhausted", "still no route", 2)),
    "expired": ("final", "expired", ("expired", "too old", 1)),
    "stopped": ("final", "turn_aborted", None),
    "its run ended": ("final", "run_ended", None),
    "dropped by a person": ("final", "dropped", None),
    "a tool row": ("tool", "permanent", None),
    "a late tool row": ("tool", "expired", None),
}


@pytest.mark.parametrize(("kind", "reason", "letter"), LETTERS.values(), ids=LETTERS.keys())
def test_a_final_reply_that_could_not_be_sent_is_a_dead_letter(store, kind, reason, letter):
    row, action = failed(reason, kind)
    with store.transaction() as work:
        work.apply([EnqueueRow(row)], NOW, {"r": "{words}"})
        assert work.apply([action], NOW + 5) == ()
        kept = work.tables.dead.of_message("main/a", "r")
        told = [(one.reason, one.detail, one.tries) for one in kept]
        assert told == ([] if letter is None else [letter])
        assert all(one.direction == "outbound" and one.payload == "{words}" for one in kept)
        assert all((one.made_at_ms, one.state) == (NOW + 5, "dead") for one in kept)


@pytest.mark.parametrize("reason", get_args(TurnFailure))
@pytest.mark.parametrize("in_session", [False, True])
def test_a_message_without_an_answer_is_a_dead_letter_unless_another_record_says_more(store, reason, in_session):
    own = {"failed_ack", "attempts_exhausted"} if in_session else set()
    with store.transaction() as work:
        accept(work, in_session=in_session)
        work.apply([SettleFailed("t1", NOW + 1, reason, "it broke", 2)], NOW + 1)
        kept = work.tables.dead.of_message("main/a", "t1")
        assert bool(kept) == (reason not in {"final_failed", "final_partially_delivered", *own})
        assert all((one.direction, one.payload, one.detail) == ("inbound", "{}", "it broke") for one in kept)


def test_a_message_that_is_a_dead_letter_already_stays_the_one_it_is(store):
    first = DeadRecord(session="main/a", message_id="t1", payload="p", reason="crashed", made_at_ms=1)
    with store.transaction() as work:
        accept(work)
        assert work.tables.dead.keep(first) and not work.tables.dead.keep(first)
        work.apply([SettleFailed("t1", NOW, "stale", "nobody came", 0)], NOW)
        assert work.tables.dead.of_message("main/a", "t1") == (first,)
        assert work.tables.dead.settle(first, "retried") and not work.tables.dead.settle(first, "dropped")
        assert work.tables.dead.keep(first)
        assert [one.state for one in work.tables.dead.of_message("main/a", "t1")] == ["retried", "dead"]


def test_a_dead_reply_is_sent_again_under_its_own_source_and_key_and_no_other_one_is(store):
    again = EnqueueRow(evolve(ROW, row_id="r2"))
    with store.transaction() as work:
        work.apply([EnqueueRow(ROW)], NOW, {"r": "{}"})
        assert work.apply([again], NOW, {"r2": "{}"}) == (Refused(again, "exists"),)
        work.apply([failed("permanent")[1]], NOW)
        assert work.tables.outbox.by_source("s:1").row_id == "r"
        assert work.apply([again], NOW, {"r2": "{}"}) == ()
        assert work.tables.outbox.by_source("s:1").row_id == "r2"
        third = EnqueueRow(evolve(ROW, row_id="r3"))
        assert work.apply([third], NOW, {"r3": "{}"}) == (Refused(third, "exists"),)
        assert work.tables.outbox.by_source("s:2") is None


def test_a_reply_carries_its_session_and_is_known_by_its_source(store):
    reply = Reply(row_id="r1", kind="final", channel="c", lane="l", ordinal=1, source="main/a:1", session="main/a")
    with store.transaction() as work:
        accept(work)
        asked = EnqueueSnapshot(now_ms=NOW, owner="w", replies=(reply,))
        work.apply(plan_enqueue(work.enqueue(asked, "t1")), NOW, {"r1": "{}"})
        assert work.tables.outbox.by_source("main/a:1").session == "main/a"
        assert (work.tables.sources.outcome("main/a:1"), work.tables.sources.outcome("other")) == ("queued", None)


def test_the_owners_of_all_leases_are_named(store):
    with store.transaction() as work:
        assert work.lease_owners() == ()
        accept(work)
        accept(work, "t2", message="m2")
        work.apply([claim_turn(work.claim("t1", "runner", NOW)), claim_turn(work.claim("t2", "runner", NOW))], NOW)
        work.apply([EnqueueRow(ROW)], NOW, {"r": "{}"})
        work.apply(plan_deliveries(work.deliveries("a sender", NOW, ())), NOW)
        assert work.lease_owners() == ("a sender", "runner")


def test_a_new_row_is_the_last_of_its_lane_also_when_the_clock_went_back(store):
    with store.transaction() as work:
        assert work.next_ordinal("l", NOW) == NOW * 1_000
        work.apply([EnqueueRow(evolve(ROW, ordinal=NOW * 1_000))], NOW, {"r": "{}"})
        assert work.next_ordinal("l", NOW - DAY) == NOW * 1_000 + 1
        assert work.next_ordinal("l", NOW + 1) == (NOW + 1) * 1_000
        assert work.next_ordinal("other", NOW - DAY) == (NOW - DAY) * 1_000
        work.apply([failed("permanent")[1]], NOW)
        assert work.next_ordinal("l", NOW - DAY) == (NOW - DAY) * 1_000, "an ended row holds no place"


def test_a_taken_reply_is_forgotten_long_after_everything_else_and_in_bounded_steps(store):
    policy = SettlePolicy()
    kept_ms = policy.outbox.dead_retention_ms + policy.turn.identity_retention_ms
    refused = [RefuseReply(f"r{n}", f"main/a:{n}", "turn_aborted", "main/a") for n in range(5)]
    with store.transaction() as work:
        for number, action in enumerate(refused):
            work.apply([action], NOW + number)
        assert work.forget_sources(NOW + kept_ms, policy, limit=10) == 0
        assert work.forget_sources(NOW + kept_ms + 4, policy, limit=3) == 3
        assert work.forget_sources(NOW + kept_ms + 4, policy, limit=3) == 1
        assert work.tables.sources.taken(tuple(one.source for one in refused)) == ("main/a:4",)


def test_a_secret_is_taken_out_of_every_reason_and_error_but_stays_in_what_is_to_be_sent(tmp_path):
    with HostState(tmp_path) as state:
        with StateLifecycle(state.database, lambda text: text.replace("hunter2", "***")).transaction() as work:
            accept(work)
            row = evolve(ROW, turn_id="t1")
            work.apply([EnqueueRow(row)], NOW, {"r": "my password is hunter2"}, because="hunter2")
            work.apply([RetryTurn("t1", NOW, 1, 3, "hunter2")], NOW)
            work.apply([FailRow("r", NOW, "permanent", "hunter2", 1, "hunter2")], NOW)
            work.apply([SettleFailed("t1", NOW, "stale", "hunter2", 1)], NOW)
        names = [name for (name,) in state.database.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {name: str(state.database.rows(f"SELECT * FROM {name}")).count("hunter2") for name in names}
        assert {name: count for name, count in found.items() if count} == {"outbox": 1, "dead": 1}
        assert state.database.rows("SELECT payload FROM dead WHERE direction = 'outbound'")[0][0].endswith("hunter2")


def test_a_turn_that_was_simply_accepted_tells_it_itself(store):
    with store.transaction() as work:
        accept(work)
        assert work.tables.life.of_turn("t1") == ()


# Both stores side by side, through the lives of the model


class Twins(life.Host):
    """The model's host whose every action is stored in both stores too, and read back."""

    def __init__(self, stores):
        super().__init__()
        self.stores, self.done = stores, []

    def _apply(self, action, turns, rows):
        noted = len(self.steps)
        super()._apply(action, turns, rows)
        for before, after in self.steps[noted:]:
            # A turn that begins to wait for its replies is told by them, and a proof by itself.
            if before != after and not isinstance(action, AwaitDelivery | RecordReceipts):
                self.done.append((type(action).__name__, after.turn_id, getattr(after, "row_id", None), self.now_ms))

    def apply(self, actions):
        actions = tuple(actions)
        super().apply(actions)
        new = {"AcceptTurn": "turn", "EnqueueRow": "row"}
        made = [getattr(one, new[type(one).__name__]) for one in actions if type(one).__name__ in new]
        payloads = {getattr(one, "row_id", None) or one.turn_id: "{}" for one in made}
        refused = []
        for store in self.stores:
            with store.transaction() as work:
                refused.append(work.apply(actions, self.now_ms, payloads))
        assert refused[0] == refused[1]

    def compare(self):
        for store in self.stores:
            with store.transaction() as work:
                tables = work.tables
                assert {turn_id: tables.turns.get(turn_id) for turn_id in self.turns} == self.turns
                assert {row_id: tables.outbox.get(row_id) for row_id in self.rows} == self.rows
                proofs = {row_id: tables.receipts.of_row(row_id) for row_id in self.rows}
                assert all(set(proofs[k]) == set(self.receipts.get(k, ())) for k in self.rows)
                for turn_id in self.turns:
                    lines = [one for one in life_of_turn(tables, turn_id) if one.what != "RecordReceipts"]
                    told = [(one.what, one.turn_id, one.row_id, one.at_ms) for one in lines]
                    rows = {None, *self.rows}
                    assert sorted(told, key=str) == sorted(
                        (one for one in self.done if one[1] == turn_id and one[2] in rows), key=str
                    )
                    assert told == sorted(told, key=lambda one: one[3])
        self.records(proofs)
        seen = []
        for store in self.stores:
            with store.transaction() as work:
                now_ms, gone = self.now_ms, self.gone
                known = [work.tables.identities.get(key) for key in self.identities]
                notes = [work.tables.turns.note(turn_id) for turn_id in self.turns]
                seen.append(
                    (
                        work.recovery("w", now_ms, {}, gone=gone),
                        work.deliveries("w", now_ms, life.CHANNELS, gone=gone),
                        work.expiry(now_ms, gone=gone),
                        work.abort(("s",), now_ms),
                        work.prune(now_ms, SettlePolicy(), limit=5),
                        work.tables.turns.notices_due(9),
                        known,
                        notes,
                        self.beside(work),
                    )
                )
        assert seen[0] == seen[1]
        recovered = evolve(self.fork(), owner="w", gone_owners=self.gone)
        assert plan_turn_recovery(seen[0][0]) == plan_turn_recovery(recovered)

    def beside(self, work):
        """What both stores keep with the records."""
        tables = work.tables
        lives = [life_of_turn(tables, turn_id) for turn_id in self.turns]
        lives += [life_of_row(tables, row_id) for row_id in self.rows]
        letters = [tables.dead.of_message(session, name) for session in ("s", "") for name in (*self.turns, *self.rows)]
        lanes = [work.next_ordinal(row.lane, self.now_ms) for row in self.rows.values()]
        return lives, letters, lanes, work.lease_owners()

    def records(self, proofs):
        found = invariants.Records(
            now_ms=self.now_ms,
            turns=tuple(self.turns.values()),
            rows=tuple(self.rows.values()),
            receipts=proofs,
            steps=tuple(self.steps),
            messages=tuple(self.messages),
            pruned=tuple(self.pruned),
            forgotten=tuple(self.forgotten),
            outbox=life.OUTBOX,
        )
        assert invariants.broken(found) == []


STEPS = st.one_of(
    st.tuples(st.just("begin"), st.integers(0, 9)),
    st.just(("recover",)),
    st.tuples(
        st.just("run_and_send"),
        st.sampled_from([[], ["final"], ["tool", "final"], ["final", "final"], ["block"]]),
        st.sampled_from(["keyed", "asked", "plain"]),
        st.sampled_from([None, None, "boom"]),
        st.integers(0, 1),
        st.integers(1, 3),
    ),
    st.just(("lose_everybody",)),
    st.just(("expire",)),
    st.just(("deliver",)),
    st.tuples(
        st.just("send_ends"),
        st.sampled_from(["sent", "part", "transient", "permanent", "limited", "uncertain", "local", "not_sent"]),
    ),
    st.just(("abort",)),
    st.just(("boot",)),
    st.just(("prune",)),
    st.tuples(st.just("pass_time"), st.sampled_from([1, 5_000, 31_000, 601_000, 86_400_001, 700_000_000])),
)


@contextmanager
def twins():
    with tempfile.TemporaryDirectory() as folder, HostState(Path(folder)) as state:
        yield Twins((StateLifecycle(state.database), MemoryLifecycle()))


RUN = ("run_and_send", ["tool", "final"], "keyed", None, 0, 2)
DELIVERED = [("begin", 1), RUN, ("send_ends", "sent"), ("pass_time", 5_000), ("send_ends", "sent"), ("prune",)]
TRIED_AGAIN = [
    ("begin", 1),
    RUN,
    *[("send_ends", how) for how in ("sent", "part", "uncertain")],
    *[("pass_time", 31_000), ("deliver",), ("send_ends", "sent"), ("pass_time", 700_000_000), ("prune",)],
]


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, min_size=5, max_size=25))
@example(DELIVERED)
@example(TRIED_AGAIN)
def test_both_stores_follow_every_life_of_the_model_state_by_state(lived):
    with twins() as host:
        for name, *given_with in lived:
            getattr(host, name)(*given_with)
            host.compare()


# All or nothing


class Killed(BaseException):
    """The process ends here."""


def lived_once(store):
    """A decision that writes much: a stop of a session with two turns and four open rows."""
    with store.transaction() as work:
        for number in (1, 2):
            accept(work, f"t{number}", message=f"m{number}")
            claim = claim_turn(work.claim(f"t{number}", "w", NOW))
            work.apply([claim], NOW)
            replies = tuple(
                Reply(row_id=f"r{number}{place}", kind="final", channel="c", lane="l", ordinal=10 * number + place)
                for place in (1, 2)
            )
            asked = EnqueueSnapshot(now_ms=NOW, owner="w", replies=replies, token=claim.token)
            rows = {reply.row_id: "{}" for reply in replies}
            assert work.apply(plan_enqueue(work.enqueue(asked, f"t{number}")), NOW, rows) == ()


def dump(path):
    with apsw.Connection(str(path)) as db:
        return [db.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in ("turn", "outbox", "identity")]


def test_a_stop_killed_between_any_two_statements_leaves_all_or_nothing(tmp_path):
    stopped = 0
    for die_at in range(1, 200):
        folder = tmp_path / str(die_at)
        folder.mkdir()
        path = folder / "turnkeel.db"
        database = StateDatabase(path)
        store = StateLifecycle(database)
        lived_once(store)
        before, left = dump(path), [die_at]

        def count(cursor, statement, bindings, left=left):
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return True

        database._connection.exec_trace = count
        try:
            with store.transaction() as work:
                work.apply(abort_session(work.abort(("main/a",), NOW)), NOW)
        except Killed:
            assert dump(path) == before, die_at
            stopped += 1
        else:
            [turns_after, rows_after, _] = dump(path)
            assert {row[3] for row in turns_after} == {"aborted"}
            assert {row[9] for row in rows_after} == {"failed_terminal"}
            assert stopped > 15
            return
        finally:
            database._connection.exec_trace = None
            database.close()
    raise AssertionError("the stop never came to its end")


def test_an_error_inside_leaves_everything_as_it_was_in_either_store(store):
    with store.transaction() as work:
        accept(work)
        before = work.tables.turns.get("t1")
    with pytest.raises(ZeroDivisionError), store.transaction() as work:
        accept(work, "t2", message="m2")
        run_answers(work, source="main/a:1")
        raise ZeroDivisionError
    with store.transaction() as work:
        assert (work.tables.turns.open(), work.tables.outbox.open()) == ((before,), ())
        assert work.tables.sources.taken(("main/a:1",)) == ()
        assert isinstance(accept(work, "t2", message="m2"), AcceptTurn)


def test_a_session_that_is_forgotten_takes_its_turns_rows_and_receipts_with_it(tmp_path):
    with HostState(tmp_path) as state:
        with StateLifecycle(state.database).transaction() as work:
            for number, session in enumerate(("main/a", "main/b"), 1):
                accept(work, f"t{number}", message=f"m{number}", session=session)
                run_answers(work, f"t{number}", row_id=f"r{number}")
                work.apply([RecordReceipts(f"r{number}", (Receipt(0, None, NOW),))], NOW)
        state.registry.seen(("main/a",), NOW)
        state.registry.close("main/a", NOW)
        assert state.registry.forget("main/a")
        with StateLifecycle(state.database).transaction() as work:
            assert [turn.turn_id for turn in work.tables.turns.open()] == ["t2"]
            assert [row.row_id for row in work.tables.outbox.open()] == ["r2"]
            assert [work.tables.receipts.of_row(row_id) for row_id in ("r1", "r2")] == [(), (Receipt(0, None, NOW),)]


def test_a_message_of_a_session_that_was_forgotten_is_no_new_one_until_its_identity_is_forgotten_too(tmp_path):
    policy = SettlePolicy()
    with HostState(tmp_path) as state:
        store = StateLifecycle(state.database)
        with store.transaction() as work:
            accept(work)
        state.registry.close("main/a", NOW)
        assert state.registry.forget("main/a")
        for age_ms, known in ((0, True), (policy.turn.identity_retention_ms + 1, False)):
            with store.transaction() as work:
                work.apply(plan_prune(work.prune(NOW + age_ms, policy, limit=9), policy), NOW)
                answer = accept(work, "t2", session="main/b")
            assert isinstance(answer, AcceptTurn) != known


# What the tables refuse


ROW = OutboxRow(
    row_id="r", kind="final", channel="c", lane="l", ordinal=0, queued_at_ms=NOW, idempotency_key="k", source="s:1"
)
TURN = Turn(turn_id="t", session="main/a", accepted_at_ms=NOW, identity="i")
BAD = {
    "a turn of an unknown status": AcceptTurn(evolve(TURN, status="finished")),
    "a turn that ended at no time": AcceptTurn(evolve(TURN, status="delivered", reason="sent")),
    "a turn that waits for ever": AcceptTurn(evolve(TURN, status="failed_retryable")),
    "a row of no kind": EnqueueRow(evolve(ROW, kind=None)),
    "a row of an unknown kind": EnqueueRow(evolve(ROW, kind="other")),
    "a row without a key": EnqueueRow(evolve(ROW, idempotency_key=None)),
    "a row of a turn that is not there": EnqueueRow(evolve(ROW, turn_id="nobody")),
    "a row that is sent by nobody": EnqueueRow(evolve(ROW, status="sending")),
    "a delivered row without proof": EnqueueRow(evolve(ROW, status="delivered", completed_at_ms=NOW)),
}


@pytest.mark.parametrize("action", BAD.values(), ids=BAD.keys())
def test_the_file_refuses(tmp_path, action):
    with HostState(tmp_path) as state, pytest.raises(apsw.ConstraintError):
        with StateLifecycle(state.database).transaction() as work:
            work.apply([action], NOW, {"r": "{}", "t": "{}"})


@pytest.mark.parametrize("change", ["source", "idempotency_key", "row_id"])
def test_a_source_a_key_and_an_id_are_used_once(store, change):
    other = evolve(evolve(ROW, row_id="r2", source="s:2", idempotency_key="k2"), **{change: getattr(ROW, change)})
    with store.transaction() as work:
        assert work.apply([EnqueueRow(ROW)], NOW, {"r": "{}"}) == ()
        again = EnqueueRow(other)
        assert work.apply([again], NOW, {other.row_id: "{}"}) == (Refused(again, "exists"),)


@pytest.mark.parametrize("statement", ["UPDATE receipt SET part = 7", "DELETE FROM receipt"])
def test_a_receipt_is_neither_changed_nor_deleted(tmp_path, statement):
    with HostState(tmp_path) as state, StateLifecycle(state.database).transaction() as work:
        work.apply([EnqueueRow(ROW), RecordReceipts("r", (Receipt(0, None, NOW),))], NOW, {"r": "{}"})
        with pytest.raises(apsw.ConstraintError, match="evidence"), state.database.transaction() as db:
            db.execute(statement).fetchall()


# What it costs


QUERIES = {**{f"turn {k}": v for k, v in turns.SQL.items()}, **{f"row {k}": v for k, v in outbox.SQL.items()}}
QUERIES |= {f"evidence {k}": v for k, v in evidence.SQL.items()}
QUERIES |= {**{f"life {k}": v for k, v in life_table.SQL.items()}, **{f"dead {k}": v for k, v in dead.SQL.items()}}
OPEN_ONLY = r"SCAN \w+ USING (COVERING )?INDEX \w+_(open|notice|withdrawal)$"
"""These indexes hold nothing but what is open or due."""


def store_ended(work, count):
    """So many turns, each answered by a row that failed, with all that is kept beside them."""
    tables = work.tables
    for number in range(count):
        name = f"e{number}"
        turn = evolve(TURN, turn_id=name, identity=name, status="delivered", reason="sent", completed_at_ms=NOW)
        row = evolve(ROW, row_id=name, source=name, idempotency_key=name, turn_id=name, completed_at_ms=NOW)
        tables.turns.insert(turn, "{}")
        tables.outbox.insert(evolve(row, status="failed_terminal", reason="x"), "{}")
        tables.identities.keep(name, name, NOW)
        tables.receipts.add(name, (Receipt(0, None, NOW),))
        tables.sources.take(name, "main/a", "queued", NOW)
        tables.life.add([LifeLine(turn_id=name, row_id=name, at_ms=NOW, what="FailRow", detail="{}", because="")])
        letter = DeadRecord(session="main/a", message_id=name, payload="{}", reason="x", made_at_ms=NOW)
        tables.dead.keep(evolve(letter, state="dropped"))


@pytest.fixture(scope="module")
def much_ended(tmp_path_factory):
    with HostState(tmp_path_factory.mktemp("ended")) as state:
        with StateLifecycle(state.database).transaction() as work:
            store_ended(work, 10_000)
        assert state.database.rows("SELECT name FROM sqlite_master WHERE name LIKE 'sqlite_stat%'") == []
        yield state.database


@pytest.mark.parametrize("sql", QUERIES.values(), ids=QUERIES.keys())
def test_no_query_walks_through_a_whole_table(much_ended, sql):
    numbered = max(map(int, re.findall(r"\?(\d+)", sql)), default=None)
    sql = sql.format("token = token")
    plan = much_ended.rows(f"EXPLAIN QUERY PLAN {sql}", *(None,) * (numbered or sql.count("?")))
    scans = [text for *_, text in plan if text.startswith("SCAN") and text != "SCAN CONSTANT ROW"]
    assert [text for text in scans if not re.match(OPEN_ONLY, text)] == []


OF_EACH_MESSAGE = (
    "turn get", "turn payload", "turn note", "turn insert", "turn update", "turn set_note", "row get", "row payload",
    "row insert", "row update", "row of_turn", "row last_ordinal", "evidence add", "evidence identity", "evidence keep",
    "evidence outcome", "evidence take", "life add",
)  # fmt: skip


@pytest.mark.parametrize("name", OF_EACH_MESSAGE)
def test_no_statement_of_each_message_makes_a_table_of_its_own(much_ended, name):
    """An IN of more than two words in a CHECK did, at every write, and cost more than all else of an accept."""
    sql = QUERIES[name].format("status = ?, completed_at_ms = ?")
    with much_ended.reading() as connection:
        program = apsw.ext.query_info(connection, sql, explain=True).explain
    assert {"OpenEphemeral", "OpenAutoindex", "SorterOpen"}.isdisjoint(step.opcode for step in program)


def steps_of_a_look(folder, ended):
    """How many instructions of SQLite's machine the recovery and delivery snapshots take beside so many ended turns."""
    folder.mkdir()
    with HostState(folder) as state:
        store = StateLifecycle(state.database)
        with store.transaction() as work:
            store_ended(work, ended)
            for number in range(20):
                accept(work, f"t{number}", message=f"m{number}")
                work.apply(
                    [EnqueueRow(evolve(ROW, row_id=f"r{number}", turn_id=f"t{number}", source=None,
                                       idempotency_key=f"r{number}", ordinal=number))], NOW,
                    {f"r{number}": "{}"},
                )  # fmt: skip
        count = [0]

        def tick():
            count[0] += 1
            return False

        state.database._connection.remembered.forget()
        state.database._connection.set_progress_handler(tick, 1)
        with store.transaction() as work:
            assert len(work.recovery("w", NOW, {}).turns) == len(work.deliveries("w", NOW, ()).rows) == 20
            work.expiry(NOW)
            work.abort(("main/b",), NOW)
            assert work.prune(NOW, SettlePolicy(), limit=10).rows == ()
            assert work.forget_sources(NOW, SettlePolicy(), limit=10) == 0
            assert (work.lease_owners(), work.tables.turns.notices_due(10)) == ((), ())
            assert work.next_ordinal("l", 0) == 20
        assert state.dead.counts() == {}
        state.database._connection.set_progress_handler(None)
        return count[0]


def test_what_has_ended_costs_a_look_nothing(tmp_path):
    assert steps_of_a_look(tmp_path / "many", 20_000) <= steps_of_a_look(tmp_path / "few", 200) * 1.02


# An older file


def test_a_file_of_version_4_is_brought_up_to_date_and_keeps_its_rows(tmp_path):
    old = apsw.Connection(str(tmp_path / "turnkeel.db"))
    old.execute(VERSION_4).fetchall()
    assert old.pragma("user_version") == 4
    old.close()
    with HostState(tmp_path) as state:
        assert state.database.rows("PRAGMA user_version") == [(len(MIGRATIONS),)]
        assert state.registry.closed() == {"main/closed"}
        assert [row.number for row in state.incarnations.history("main/a", limit=9)] == [1]
        with StateLifecycle(state.database).transaction() as work:
            accept(work)


def test_a_file_of_version_4_whose_writer_was_killed_is_brought_up_to_date_with_what_is_in_its_log(tmp_path):
    path = tmp_path / "live" / "turnkeel.db"
    path.parent.mkdir()
    live = apsw.Connection(str(path))
    live.execute(VERSION_4).fetchall()
    live.pragma("journal_mode", "wal")
    live.execute("UPDATE session SET status = 'closed'").fetchall()
    for file in path.parent.glob("turnkeel.db*"):
        if not file.name.endswith("-shm"):
            shutil.copy(file, tmp_path / file.name)
    live.close()
    with HostState(tmp_path) as state:
        assert state.registry.closed() == state.registry.known() > {"main/closed"}
        assert state.database.rows("PRAGMA user_version") == [(len(MIGRATIONS),)]
        with StateLifecycle(state.database).transaction() as work:
            accept(work)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["live", "turnkeel.db"]


# Two processes


WORKER = """
import sys
from pathlib import Path
from turnkeel_adapters.lifecycle.store import StateLifecycle
from turnkeel_adapters.state.database import StateDatabase
from turnkeel_core import ClaimRow, OutboxPolicy, plan_deliveries
owner, policy = sys.argv[2], OutboxPolicy(pace_ms=0, pass_limit=3, channel_limit=10_000)
store = StateLifecycle(StateDatabase(Path(sys.argv[1])))
print("ready", flush=True)
sys.stdin.read(1)
while True:
    with store.transaction() as work:
        seen = work.deliveries(owner, 10**12, ())
    actions = [one for one in plan_deliveries(seen, policy) if isinstance(one, ClaimRow)]
    if not actions:
        break
    with store.transaction() as work:
        refused = [one.action for one in work.apply(actions, 10**12)]
    for action in actions:
        print("refused" if action in refused else "won", action.row_id, action.token, flush=True)
"""


def test_two_processes_on_one_store_never_claim_a_row_under_two_tokens(tmp_path):
    with HostState(tmp_path) as state, StateLifecycle(state.database).transaction() as work:
        rows = [evolve(ROW, row_id=f"r{n}", lane=f"l{n}", source=None, idempotency_key=f"k{n}") for n in range(120)]
        work.apply([EnqueueRow(row) for row in rows], NOW, {row.row_id: "{}" for row in rows})
    environment = {"PYTHONPATH": PATHS, "PATH": os.environ["PATH"]}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path / "turnkeel.db"), owner],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for owner in ("one", "two")
    ]
    assert [worker.stdout.readline() for worker in workers] == ["ready\n"] * 2
    for worker in workers:
        worker.stdin.write("x")
        worker.stdin.flush()
    said = [line.split() for worker in workers for line in worker.communicate()[0].splitlines()]
    assert [worker.returncode for worker in workers] == [0, 0]
    won = [row_id for how, row_id, _ in said if how == "won"]
    assert sorted(won) == sorted(f"r{n}" for n in range(120))
    with HostState(tmp_path) as state, StateLifecycle(state.database).transaction() as work:
        assert {row.token for row in work.tables.outbox.open()} == {1}
