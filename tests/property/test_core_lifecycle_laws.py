"""Which laws hold for turns and rows in every life of a host, with crashes, late outcomes, aborts and long pauses?"""

import importlib.util
import random
from pathlib import Path

import pytest
from attrs import evolve, fields, has
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from turnkeel_core import (
    ClaimRow,
    DeliverySnapshot,
    MessageIdentity,
    OutboxPolicy,
    OutboxRow,
    RecoverySnapshot,
    TurnSnapshot,
    encode_identity,
    explain_deliveries,
    explain_finalize_turn,
    explain_turn_recovery,
    finalize_turn_from_outbox,
    plan_deliveries,
    plan_turn_recovery,
)
from turnkeel_core.lifecycle_states import ROW_OPEN, ROW_TABLE, TURN_TABLE, TURN_TERMINAL
from turnkeel_core.turn_identity import encode_parts


def _load(name):
    path = Path(__file__).parents[1] / "model" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


invariants, life = _load("invariants"), _load("lifecycle_host")

LAW = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
OUTCOMES = ("sent", "part", "transient", "permanent", "limited", "uncertain", "local", "not_sent")
KINDS = ([], ["final"], ["tool", "final"], ["block"], ["final", "final"], ["tool"])

replies = (
    st.sampled_from(KINDS),
    st.sampled_from(["keyed", "asked", "plain"]),
    st.sampled_from([None, None, None, "boom"]),
    st.integers(0, 1),
    st.integers(1, 3),
)
steps = st.one_of(
    st.tuples(st.just("accept"), st.integers(0, 5)),
    st.tuples(st.just("begin"), st.integers(6, 60)),
    st.just(("recover",)),
    st.tuples(st.just("run_ends"), *replies),
    st.tuples(st.just("run_and_send"), *replies),
    st.just(("lose_everybody",)),
    st.just(("expire",)),
    st.just(("deliver",)),
    st.tuples(st.just("send_ends"), st.sampled_from(OUTCOMES)),
    st.tuples(st.just("send_ends"), st.sampled_from(OUTCOMES)),
    st.just(("abort",)),
    st.just(("boot",)),
    st.just(("prune",)),
    st.tuples(st.just("pass_time"), st.sampled_from([1, 5_000, 15_000, 31_000, 130_000, 601_000, 86_400_001])),
)


def _records(host, **more):
    return invariants.Records(
        now_ms=host.now_ms,
        turns=tuple(host.turns.values()),
        rows=tuple(host.rows.values()),
        receipts=host.receipts,
        steps=tuple(host.steps),
        writes=tuple(host.writes),
        calls=tuple(invariants.Call(*call) for call in host.calls),
        messages=tuple(host.messages),
        pruned=tuple(host.pruned),
        free=tuple(host.free),
        forgotten=tuple(host.forgotten),
        replayed=host.replayed,
        outbox=life.OUTBOX,
        **more,
    )


def _as_nobody(actions):
    return [evolve(action, owner="") if hasattr(action, "owner") else action for action in actions]


@LAW
@given(st.lists(steps, min_size=15, max_size=50))
def test_no_step_of_any_life_breaks_an_invariant(lived):
    host = life.Host()
    for name, *given_with in lived:
        receipts = dict(host.receipts)
        getattr(host, name)(*given_with)
        boots = tuple(_as_nobody(plan_turn_recovery(evolve(host.fork(), owner=name))) for name in ("young", "old"))
        assert invariants.broken(_records(host, earlier_receipts=receipts, boots=boots)) == []
    again = {action.row_id for action in host.log if isinstance(action, ClaimRow) and action.again}
    assert not [row for row in host.rows.values() if row.row_id in again and row.channel != "keyed"]


def _long_life(seed, look=lambda host: None):
    """A life of 160 steps; `look` is called after every eighth."""
    dice, host = random.Random(seed), life.Host()
    moves = ["begin", "recover", "run_and_send", "run_and_send", "lose_everybody", "deliver", "expire", "pass_time"]
    for number in range(160):
        match move := dice.choice([*moves, "send_ends", "send_ends", "send_ends", "abort", "boot", "prune"]):
            case "begin":
                host.begin(dice.choice([number, number, number // 2]))
            case "run_and_send":
                kinds = dice.choice([["final"], ["tool", "final"], ["final", "final"], ["block"], []])
                error = dice.choice([None, None, None, "boom"])
                host.run_and_send(kinds, dice.choice(["keyed", "asked", "plain"]), error, 0, dice.choice([1, 3]))
            case "send_ends":
                host.send_ends(dice.choice(OUTCOMES))
            case "pass_time":
                host.pass_time(dice.choice([1, 5_000, 31_000, 601_000, 1_801_000]))
            case _:
                getattr(host, move)()
        if number % 8 == 7:
            look(host)
    return host


def _obeys(host):
    assert invariants.broken(_records(host)) == []


@pytest.mark.parametrize("seed", range(25))
def test_a_long_life_breaks_no_invariant(seed):
    _long_life(seed, _obeys)


def test_the_long_lives_come_through_every_state():
    states = {after.status for seed in range(25) for _, after in _long_life(seed).steps}
    assert states == {line[1] for line in (*TURN_TABLE, *ROW_TABLE)}


@settings(LAW, max_examples=40)
@given(st.lists(steps, min_size=10, max_size=40))
def test_whatever_happened_a_quiet_week_ends_every_turn_and_row(lived):
    host = life.Host()
    for name, *given_with in lived:
        getattr(host, name)(*given_with)
    host.boot()
    host.settle_all()
    assert [turn for turn in host.turns.values() if turn.status not in TURN_TERMINAL] == []
    assert [row for row in host.rows.values() if row.status in ROW_OPEN] == []


def _shifted(record, ms):
    """The record with every instant moved by `ms`; durations and counts stay."""
    if isinstance(record, tuple):
        return tuple(_shifted(item, ms) for item in record)
    if not has(type(record)):
        return record
    moved = {}
    for field in fields(type(record)):
        value = getattr(record, field.name)
        instant = field.name.endswith(("at_ms", "now_ms"))
        moved[field.name] = value + ms if instant and value is not None else _shifted(value, ms)
    return evolve(record, **moved)


def _lived(lived):
    host = life.Host()
    for name, *given_with in lived:
        getattr(host, name)(*given_with)
    return host


@LAW
@given(st.lists(steps, min_size=8, max_size=30), st.integers(-(10**9), 10**9))
def test_moving_all_times_moves_the_answers_with_them(lived, ms):
    host = _lived(lived)
    turns = RecoverySnapshot(now_ms=host.now_ms, owner="w", turns=tuple(map(host.seen, host.turns)))
    rows = DeliverySnapshot(now_ms=host.now_ms, owner="w", rows=tuple(host.rows.values()), channels=life.CHANNELS)
    assert plan_turn_recovery(_shifted(turns, ms)) == _shifted(plan_turn_recovery(turns), ms)
    assert plan_deliveries(_shifted(rows, ms)) == _shifted(plan_deliveries(rows), ms)


@LAW
@given(st.lists(steps, min_size=8, max_size=30), st.randoms(use_true_random=False))
def test_the_order_of_the_facts_does_not_matter(lived, dice):
    host = _lived(lived)
    rows, turns = list(host.rows.values()), list(map(host.seen, host.turns))
    deliver = plan_deliveries(DeliverySnapshot(now_ms=host.now_ms, owner="w", rows=tuple(rows)))
    recover = plan_turn_recovery(RecoverySnapshot(now_ms=host.now_ms, owner="w", turns=tuple(turns)))
    dice.shuffle(rows)
    dice.shuffle(turns)
    assert plan_deliveries(DeliverySnapshot(now_ms=host.now_ms, owner="w", rows=tuple(rows))) == deliver
    assert plan_turn_recovery(RecoverySnapshot(now_ms=host.now_ms, owner="w", turns=tuple(turns))) == recover


@LAW
@given(st.lists(steps, min_size=8, max_size=30))
def test_deciding_twice_after_executing_gives_nothing_new(lived):
    host = _lived(lived)
    host.recover()
    assert plan_turn_recovery(evolve(host.fork(), owner=host.owner, gone_owners=host.gone)) == ()
    host.expire()
    host.deliver()
    claimed = {row.row_id for row in host.rows.values() if row.status == "sending"}
    host.expire()
    assert not [action for action in host.deliver() if isinstance(action, ClaimRow) and action.row_id in claimed]


@LAW
@given(st.lists(steps, min_size=8, max_size=30))
def test_an_explanation_answers_as_the_decision_does(lived):
    host = _lived(lived)
    for turn_id in host.turns:
        seen = host.seen(turn_id)
        names = [type(action).__name__ for action in finalize_turn_from_outbox(seen)]
        assert explain_finalize_turn(seen).answer == (", ".join(names) or "nothing")
    turns = host.fork()
    names = [type(action).__name__ for action in plan_turn_recovery(turns)]
    assert explain_turn_recovery(turns).answer == (", ".join(names) or "nothing")
    rows = DeliverySnapshot(now_ms=host.now_ms, owner="w", rows=tuple(host.rows.values()))
    explained = explain_deliveries(rows)
    assert {rule.subject for rule in explained.rules} == set(host.rows)
    assert explained.flip_at_ms is None or explained.flip_at_ms > host.now_ms


texts = st.text(alphabet="ab|:-0123456789 ", max_size=4)


@given(st.lists(st.none() | texts, max_size=4), st.lists(st.none() | texts, max_size=4))
def test_the_encoding_of_parts_is_injective(one, other):
    assert (encode_parts(*one) == encode_parts(*other)) == (one == other)


@given(texts, texts, texts, st.none() | texts, texts)
def test_an_identity_without_a_channel_a_chat_or_an_id_has_no_key(channel, account, chat, thread, message_id):
    identity = MessageIdentity(channel=channel, account=account, chat=chat, thread=thread, message_id=message_id)
    assert (encode_identity(identity) is None) == (not (channel.strip() and chat and message_id.strip()))


rows = st.integers(0, 59).map(
    lambda n: OutboxRow(
        row_id=f"r{n}",
        kind="final",
        channel=f"c{n % 12}",
        lane=f"l{n}",
        ordinal=n,
        queued_at_ms=10**12 - n * 7_000,
        idempotency_key=f"k{n}",
    )
)


@LAW
@given(st.lists(rows, max_size=60, unique_by=lambda row: row.row_id), st.integers(1, 40))
def test_a_pass_claims_all_it_may_and_its_budget_is_never_spent_on_what_cannot_advance(found, limit):
    policy = OutboxPolicy(pass_limit=limit, pace_ms=0, channel_limit=100)
    stuck = tuple(
        evolve(row, row_id=f"x{row.row_id}", lane=f"x{row.lane}", attempts=1, last_attempt_at_ms=10**12)
        for row in found
    )
    seen = DeliverySnapshot(now_ms=10**12, owner="w", rows=(*stuck, *found))
    claimed = [action for action in plan_deliveries(seen, policy) if isinstance(action, ClaimRow)]
    one = invariants.Pass(len(found), limit, len(claimed))
    assert invariants.law_16_a_pass_does_what_it_can(invariants.Records(now_ms=0, passes=(one,))) == []


def test_unreadable_rows_change_nothing():
    host = life.Host()
    host.accept(1)
    seen = host.seen("t1")
    assert isinstance(seen, TurnSnapshot)
    assert finalize_turn_from_outbox(evolve(seen, rows=None)) == ()
