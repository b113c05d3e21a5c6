"""Are durations, instants, explanations and texts shown as a person can read them?"""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnkeel.cli.actions import render_plan
from turnkeel.cli.flip import next_in_words
from turnkeel.cli.output import flat, print_json, print_table, safe, with_iso
from turnkeel.cli.render import render_duration, render_explanation, render_fact, render_when
from turnkeel_core import (
    Claim,
    Death,
    Fact,
    NoContainer,
    OpenMessage,
    StuckSnapshot,
    SweepSnapshot,
    explain_sweep,
    plan_sweep,
)

NOW = 1_800_000_000_000


@pytest.fixture
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (1_000, "1 s"),
        (1_099, "1 s"),
        (1_100, "1.1 s"),
        (9_999, "9.9 s"),
        (10_000, "10 s"),
        (14_400, "14 s"),
        (59_999, "59 s"),
        (60_000, "1 min"),
        (200_000, "3 min 20 s"),
        (3_600_000, "1 h"),
        (7_500_000, "2 h 5 min"),
        (86_400_000, "1 d"),
        (4 * 86_400_000 + 3_700_000, "4 d 1 h"),
        (-14_000, "-14 s"),
    ],
)
def test_a_duration_has_two_units_at_most(ms, words):
    assert render_duration(ms) == words


@pytest.mark.parametrize(
    ("at_ms", "words"),
    [
        (NOW, "08:00:00 UTC (now)"),
        (NOW - 14_000, "07:59:46 UTC (14 s ago)"),
        (NOW + 14_000, "08:00:14 UTC (in 14 s)"),
        (NOW - 86_400_000, "2027-01-14 08:00:00 UTC (1 d ago)"),
        (2**62, f"{2**62} ms since 1970"),
        (-(2**62), f"{-(2**62)} ms since 1970"),
    ],
)
def test_an_instant_is_local_time_with_zone_and_distance(utc, at_ms, words):
    assert render_when(at_ms, NOW) == words


@pytest.mark.parametrize(
    ("fact", "words"),
    [
        (Fact("limit_ms", 60_000), "limit 1 min"),
        (Fact("heartbeat_at_ms", NOW - 1_000), "heartbeat 07:59:59 UTC (1 s ago)"),
        (Fact("due_since_ms", NOW - 1_000), "due_since 07:59:59 UTC (1 s ago)"),
        (Fact("held_until_ms (waiting)", NOW + 1_000), "held_until (waiting) 08:00:01 UTC (in 1 s)"),
        (Fact("heartbeat_at_ms", None), "heartbeat none"),
        (Fact("claims", 3), "claims 3"),
        (Fact("container", "a\x1b[31m"), "container a\\x1b[31m"),
    ],
)
def test_a_fact_is_shown_by_what_its_name_says(utc, fact, words):
    assert render_fact(fact, NOW) == words


def running(**facts):
    message = OpenMessage(message_id="m1", since_at_ms=NOW - 60_000)
    claim = Claim(message_id="m1", claimed_at_ms=NOW - 46_000)
    container = StuckSnapshot(**{"now_ms": NOW, "claims": (claim,), "spawned_at_ms": NOW - 50_000, **facts})
    return SweepSnapshot(now_ms=NOW, incarnation=2, messages=(message,), container=container)


def idle():
    container = StuckSnapshot(now_ms=NOW, spawned_at_ms=NOW - 60_000, heartbeat_at_ms=NOW, last_activity_at_ms=NOW)
    return SweepSnapshot(now_ms=NOW, incarnation=1, container=container)


def dying():
    deaths = tuple(Death(spawned_at_ms=NOW - i, died_at_ms=NOW - i, progressed=False) for i in (3, 2))
    message = OpenMessage(message_id="m1")
    return SweepSnapshot(now_ms=NOW, incarnation=2, messages=(message,), container=NoContainer(deaths=deaths))


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (running(), "would be killed in 14 s unless a heartbeat arrives (claim of m1)"),
        (idle(), "would be stopped as idle in 15 min unless a message arrives or it does something"),
        (dying(), "would be started again in 9.9 s"),
        (SweepSnapshot(now_ms=NOW, container=NoContainer()), "time alone changes nothing"),
    ],
    ids=["a silent claim", "an idle container", "a backoff", "an empty session"],
)
def test_the_nearest_flip_is_said_with_what_prevents_it(seen, words):
    assert next_in_words(explain_sweep(seen)) == words


def test_an_explanation_names_every_rule_its_facts_and_limits(utc):
    why = explain_sweep(running())
    text = render_explanation(why)
    for rule in [*why.rules, *why.parts[0].rules]:
        assert f" {rule.rule}" in text and rule.because in text
    assert "not yet  claim m1: no heartbeat since the claim (claimed 07:59:14 UTC (46 s ago), heartbeat none" in text
    assert "[limit 1 min], fires after 08:00:14 UTC (in 14 s)" in text


def test_a_plan_shows_both_branches_of_a_kill(utc):
    killed = running(claims=(Claim(message_id="m1", claimed_at_ms=NOW - 61_000),), spawned_at_ms=NOW - 70_000)
    lines = render_plan(plan_sweep(killed), NOW).splitlines()[:4]
    assert [line.strip().partition(":")[0] for line in lines] == [
        "stop container 2", "once it is gone", "once it is gone", "if it stays",
    ]  # fmt: skip
    assert "charge attempt 1 of m1 (container 2: KillStaleClaim), next try 08:00:05 UTC (in 5 s)" in lines[1]


@given(st.text())
def test_no_text_reaches_the_terminal_with_a_control_character(text):
    assert flat(text).isprintable() or not text
    assert all(char.isprintable() or char in "\n\t" for char in safe(text))


@given(st.text(st.characters(exclude_categories=("C", "Z")) | st.just(" ")))
def test_an_ordinary_text_is_shown_as_it_is(text):
    assert flat(text) == safe(text) == text


def test_plain_lines_are_aligned_and_one_per_row(capsys):
    print_table(("name", "text"), [("a", "one\ntwo"), ("longer", "[red]x[/red]")])
    assert capsys.readouterr().out == "name    text\na       one\\ntwo\nlonger  [red]x[/red]\n"


def test_a_terminal_gets_a_table_and_no_markup_of_the_messages(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_table(("name",), [("[red]x[/red]",)])
    assert "[red]x[/red]" in capsys.readouterr().out


KEYS = st.text() | st.sampled_from(["at_ms", "at", "died_at_ms", "died_at"])


@settings(max_examples=40)
@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(KEYS, inner)))
def test_iso_texts_are_only_ever_added(value):
    def is_within(part, whole):
        if not isinstance(part, dict):
            return part == whole
        return all(key in whole and is_within(item, whole[key]) for key, item in part.items())

    assert is_within(value, with_iso(value))


def test_every_instant_of_a_document_has_its_iso_text(capsys):
    print_json({"at_ms": NOW, "rows": ({"died_at_ms": None, "age_ms": 5},), "far_at_ms": 2**62})
    assert json.loads(capsys.readouterr().out) == {
        "at_ms": NOW,
        "at": "2027-01-15T08:00:00.000Z",
        "rows": [{"died_at_ms": None, "died_at": None, "age_ms": 5}],
        "far_at_ms": 2**62,
        "far_at": None,
    }
