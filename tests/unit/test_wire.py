"""Does every record survive the trip through JSON, and is everything else refused by name?"""

import json
from types import UnionType

import pytest
from attrs import fields, has, resolve_types
from hypothesis import given, settings
from hypothesis import strategies as st

import turnkeel_core
from turnkeel_adapters.wire import WireFault, dumps, from_data, loads, to_data
from turnkeel_core import (
    Ack,
    Claim,
    Explanation,
    Fact,
    KillOverCeiling,
    LeaveAlone,
    NoContainer,
    SpawnPolicy,
    StartPolicy,
    StopContainer,
    StopIdle,
    StuckAction,
    StuckPolicy,
    StuckSnapshot,
    SweepAction,
    SweepPlan,
    SweepPolicy,
    SweepSnapshot,
    explain_sweep,
    plan_sweep,
)
from turnkeel_core.schedule import CronAnswer, CronRefused, CronRun

PUBLIC = [getattr(turnkeel_core, name) for name in turnkeel_core.__all__]
RECORDS = [item for item in PUBLIC if isinstance(item, type) and has(item)] + [CronRun, CronRefused]
RECORD_UNIONS = [item for item in PUBLIC if isinstance(item, UnionType) and has(item.__args__[0])] + [CronAnswer]


def _policy(cls):
    """Policies check their ranges, which their types do not tell."""
    values = {int: st.integers(min_value=1), int | None: st.none() | st.integers(min_value=1)}
    return st.builds(cls, **{f.name: values[f.type] for f in fields(cls) if f.type in values})


for policy in (cls for cls in RECORDS if cls.__name__.endswith("Policy")):
    st.register_type_strategy(policy, _policy(policy))
st.register_type_strategy(
    turnkeel_core.ResumePolicy,
    st.builds(
        turnkeel_core.ResumePolicy,
        session_patterns=st.lists(st.sampled_from(("^chat gone$", "no such chat: .*")), max_size=2).map(tuple),
        anchor_patterns=st.just(()),
        error_chars=st.integers(1, 8_192),
    ),
)
st.register_type_strategy(
    turnkeel_core.LoginPolicy,
    st.builds(
        turnkeel_core.LoginPolicy,
        patterns=st.lists(st.sampled_from(("^pass is over$", "no such key: .*")), max_size=2).map(tuple),
        error_chars=st.integers(1, 8_192),
    ),
)
_COUNT = st.integers(1, 9)
st.register_type_strategy(
    turnkeel_core.CatchUp,
    st.builds(turnkeel_core.CatchUp, runs=st.sampled_from(("skip", "latest")))
    | st.builds(turnkeel_core.CatchUp, runs=st.just("all"), limit=st.none() | _COUNT)
    | st.builds(turnkeel_core.CatchUp, runs=st.just("within"), window_ms=_COUNT),
)
resolve_types(Explanation)
_RULES = st.lists(st.from_type(turnkeel_core.RuleTried), max_size=2).map(tuple)
_LEAF = st.builds(Explanation, rules=_RULES, parts=st.just(()))
st.register_type_strategy(
    Explanation, st.builds(Explanation, rules=_RULES, parts=st.lists(_LEAF, max_size=2).map(tuple))
)


@pytest.mark.parametrize("cls", RECORDS, ids=lambda cls: cls.__name__)
@settings(max_examples=10)
@given(data=st.data())
def test_every_public_record_comes_back_as_it_was_written(cls, data):
    record = data.draw(st.from_type(cls))
    text = dumps(record)
    assert loads(text, cls) == record
    assert text.isascii() and "\n" not in text
    assert from_data(json.loads(text), cls) == record


@pytest.mark.parametrize("union", RECORD_UNIONS, ids=lambda union: union.__args__[0].__name__)
@settings(max_examples=30)
@given(data=st.data())
def test_every_member_of_a_public_union_is_recognised_by_its_type(union, data):
    member = data.draw(st.sampled_from(union.__args__))
    record = data.draw(st.from_type(member))
    assert loads(dumps(record), union) == record


def test_the_enumeration_really_holds_the_records():
    assert len(RECORDS) > 45
    assert {StuckSnapshot, SweepPlan, StuckPolicy, Fact, Ack} <= set(RECORDS)
    assert StuckAction in RECORD_UNIONS and SweepAction in RECORD_UNIONS


def test_no_record_has_a_field_that_the_tag_would_hide():
    assert [cls for cls in RECORDS if "type" in {field.name for field in fields(cls)}] == []


def test_a_plan_with_nested_actions_and_its_explanation_come_back():
    seen = SweepSnapshot(
        now_ms=10**12,
        incarnation=3,
        container=StuckSnapshot(now_ms=0, spawned_at_ms=1, claims=(Claim(message_id="m", claimed_at_ms=5),)),
        messages=(turnkeel_core.OpenMessage(message_id="m"),),
    )
    plan, why = plan_sweep(seen), explain_sweep(seen)
    assert isinstance(plan.actions[0], StopContainer) and plan.actions[0].if_stopped
    assert loads(dumps(plan), SweepPlan) == plan
    assert why.parts and loads(dumps(why), Explanation) == why


def test_keys_are_the_field_names_in_order_and_defaults_are_written():
    assert to_data(LeaveAlone("healthy", None)) == {"type": "LeaveAlone", "reason": "healthy", "until_ms": None}
    assert list(to_data(Claim(message_id="m", claimed_at_ms=None))) == ["message_id", "claimed_at_ms", "resolution_ms"]
    assert to_data(KillOverCeiling(2, 1))["measured_from"] == "heartbeat"
    assert to_data(NoContainer())["orphans"] == []


def test_only_members_of_a_union_carry_a_type():
    tool = turnkeel_core.DeclaredTool(name="Bash")
    written = to_data(StuckSnapshot(now_ms=1, tool=tool, claims=(Claim(message_id="m", claimed_at_ms=1),)))
    assert written["type"] == "StuckSnapshot"
    assert "type" not in written["tool"] and "type" not in written["claims"][0]


def test_what_has_a_default_may_be_left_out():
    assert loads('{"now_ms": 1}', StuckSnapshot) == StuckSnapshot(now_ms=1)
    assert loads('{"stuck": {"ceiling_ms": 5}}', SweepPolicy) == SweepPolicy(stuck=StuckPolicy(ceiling_ms=5))


def test_a_known_class_needs_no_type_and_accepts_its_own():
    assert loads('{"idle_ms": 1, "limit_ms": 2}', StopIdle) == StopIdle(1, 2)
    assert loads('{"type": "StopIdle", "idle_ms": 1, "limit_ms": 2}', StopIdle) == StopIdle(1, 2)


REFUSED = [
    ("a number written as text", '{"now_ms": "7"}', StuckSnapshot, ["now_ms: must be a whole number, not a text"]),
    ("true is no number", '{"now_ms": true}', StuckSnapshot, ["now_ms: must be a whole number, not a boolean"]),
    ("7.0 is not 7", '{"now_ms": 7.0}', StuckSnapshot, ["now_ms: must be a whole number, not a decimal number"]),
    ("null where a value must be", '{"now_ms": null}', StuckSnapshot, ["now_ms: must be a whole number, not null"]),
    ("a number where a text must be", '{"name": 7, "value": 1}', Fact, ["name: must be a text, not a whole number"]),
    (
        "1 is not true",
        '{"spawned_at_ms": 1, "died_at_ms": 2, "progressed": 1}',
        turnkeel_core.Death,
        ["progressed: must be true or false, not a whole number"],
    ),
    (
        "a decimal fact value",
        '{"name": "n", "value": 1.5}',
        Fact,
        ["value: must be one of a whole number, a text, true or false, null, not 1.5"],
    ),
    (
        "a text outside a Literal",
        '{"message_id": "m", "outcome": "done"}',
        Ack,
        ["outcome: must be one of 'completed', 'failed', not 'done'"],
    ),
    (
        "a list in place of a Literal",
        '{"message_id": "m", "outcome": []}',
        Ack,
        ["outcome: must be one of 'completed', 'failed', not []"],
    ),
    (
        "a text is not a list of letters",
        '{"timeout_tools": "Bash"}',
        StuckPolicy,
        ["timeout_tools: must be a list, not a text"],
    ),
    ("an object is no list", '{"now_ms": 1, "claims": {}}', StuckSnapshot, ["claims: must be a list, not an object"]),
    ("a list is not a record", "[]", StuckSnapshot, ["must be an object, not a list"]),
    (
        "a text inside a claim",
        '{"now_ms": 1, "claims": [{"message_id": "m", "claimed_at_ms": "1"}]}',
        StuckSnapshot,
        ["claims[0].claimed_at_ms: must be a whole number, not a text"],
    ),
    (
        "a nested policy out of range",
        '{"retry": {"base_ms": -1}, "due_resolution_ms": 0}',
        SweepPolicy,
        ["due_resolution_ms: must be >= 1: 0", "retry.base_ms: must be >= 0: -1"],
    ),
    (
        "a key of a typing mistake",
        '{"now_ms": 1, "heartbeat_ms": 2}',
        StuckSnapshot,
        ["heartbeat_ms: unknown key; did you mean heartbeat_at_ms?"],
    ),
    (
        "a key far from any",
        '{"max_running": 1, "zzz": 2}',
        StartPolicy,
        ["zzz: unknown key; known: max_running, max_running_per_group, tasks_ahead"],
    ),
    (
        "another class where one is known",
        '{"type": "Claim", "now_ms": 1}',
        StuckSnapshot,
        ["the key 'type' must be 'StuckSnapshot' here, not 'Claim'"],
    ),
    (
        "a union without a type",
        '{"now_ms": 1, "container": {}}',
        SweepSnapshot,
        ["container: the key 'type' must be one of StuckSnapshot, NoContainer, ContainerUnknown, not None"],
    ),
    (
        "a type that is a list",
        '{"type": ["StartNow"], "session": "s"}',
        turnkeel_core.StartAction,
        ["the key 'type' must be one of StartNow, HoldStart, YieldPlace, EndRun, SetTimer, not ['StartNow']"],
    ),
    ("a key given twice", '{"now_ms": 1, "now_ms": 2}', StuckSnapshot, ["the key 'now_ms' is given twice"]),
    ("NaN", '{"now_ms": NaN}', StuckSnapshot, ["NaN is no JSON value"]),
    ("too deep to be read", "[" * 200_000, StuckSnapshot, ["nested too deeply"]),
]


@pytest.mark.parametrize(("text", "cls", "errors"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_does_not_fit_is_refused_and_named(text, cls, errors):
    with pytest.raises(WireFault) as caught:
        loads(text, cls)
    assert sorted(caught.value.errors) == sorted(errors)


def test_one_error_names_all_faults_with_their_paths():
    text = '{"claims": [{"claimed_at_ms": "x", "colour": 1}, 3, {}], "tool": {"timeout_ms": true}, "claim": 2}'
    with pytest.raises(WireFault) as caught:
        loads(text, StuckSnapshot)
    assert set(caught.value.errors) == {
        "now_ms: missing",
        "claims[0].message_id: missing",
        "claims[0].claimed_at_ms: must be a whole number, not a text",
        "claims[0].colour: unknown key; known: message_id, claimed_at_ms, resolution_ms",
        "claims[1]: must be an object, not a whole number",
        "claims[2].message_id: missing",
        "claims[2].claimed_at_ms: missing",
        "tool.name: missing",
        "tool.timeout_ms: must be a whole number, not a boolean",
        "claim: unknown key; did you mean claims?",
    }
    assert str(caught.value) == "; ".join(caught.value.errors)


@pytest.mark.parametrize("text", ["", "{", "7 7", "nul", "1" * 5000, "\x00"])
def test_what_is_no_json_is_one_fault(text):
    with pytest.raises(WireFault, match=r"^not JSON: "):
        loads(text, SpawnPolicy)


KEYS = ["type", "now_ms", "claims", "x"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=6,
)


@given(data=JSON)
def test_any_json_is_a_record_or_a_wire_fault_and_nothing_else(data):
    try:
        record = from_data(data, SweepSnapshot | StuckSnapshot)
    except WireFault as fault:
        assert fault.errors
    else:
        assert isinstance(record, SweepSnapshot | StuckSnapshot)


@given(record=st.from_type(StuckSnapshot), data=st.data())
def test_a_record_with_one_value_of_another_kind_is_refused(record, data):
    written = to_data(record)
    key = data.draw(st.sampled_from([key for key in written if key != "type"]))
    others = [value for value in ("1", 1.0, False, {"a": 1}, ["a"]) if type(value) is not type(written[key])]
    written[key] = data.draw(st.sampled_from(others))
    with pytest.raises(WireFault) as caught:
        from_data(written, StuckSnapshot)
    assert all(error.startswith(key) for error in caught.value.errors)
