"""Which errors clear which handle, is one answer enough, and which patterns are taken?"""

import re
import time

import pytest
from attrs import evolve

from turnkeel_core import (
    ClearAnchor,
    ClearSession,
    KeepResume,
    ResumeAction,
    ResumePolicy,
    ResumeSnapshot,
    RetryFresh,
    explain_resume,
    find_stale_text,
    should_clear_resume,
)
from turnkeel_core.resume_limits import PASSING_ERRORS, pattern_problem

NO_SESSION = "No conversation found with session ID: s-1"
NO_ANCHOR = "No message found with message.uuid of: a-1"
RATE = "429 rate_limit_error"
S, A = r"no conversation found", r"no message found with message\.uuid"
SEEN = ResumeSnapshot(now_ms=1, error=NO_SESSION, session="s-1", anchor="a-1")
POLICY = ResumePolicy()


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"error": None}, (KeepResume("not_failed"),)),
        ({"error": ""}, (KeepResume("not_recognised"),)),
        ({"error": RATE}, (KeepResume("not_recognised"),)),
        ({}, (ClearAnchor("a-1", S), ClearSession("s-1", S), RetryFresh("session", S))),
        ({"error": NO_ANCHOR}, (ClearAnchor("a-1", A), RetryFresh("anchor", A))),
        ({"anchor": None}, (ClearSession("s-1", S), RetryFresh("session", S))),
        ({"session": None}, (ClearAnchor("a-1", S), RetryFresh("session", S))),
        ({"error": NO_ANCHOR, "anchor": None}, (KeepResume("nothing_resumed", A),)),
        ({"session": None, "anchor": None}, (KeepResume("nothing_resumed", S),)),
        ({"context": "isolated"}, (KeepResume("isolated", S),)),
        ({"error": NO_ANCHOR, "context": "isolated"}, (KeepResume("isolated", A),)),
        ({"retried": True}, (ClearAnchor("a-1", S), ClearSession("s-1", S))),
        ({"error": NO_ANCHOR, "retried": True}, (ClearAnchor("a-1", A),)),
        ({"error": f"{RATE}\n{NO_SESSION}"}, (ClearAnchor("a-1", S), ClearSession("s-1", S), RetryFresh("session", S))),
        ({"error": f"{NO_ANCHOR}\n{NO_SESSION}", "anchor": None}, (ClearSession("s-1", S), RetryFresh("session", S))),
    ],
)  # fmt: skip
def test_what_an_error_clears(changes: dict[str, str | bool | None], answer: tuple[ResumeAction, ...]) -> None:
    seen = evolve(SEEN, **changes)
    assert should_clear_resume(seen) == answer
    why = explain_resume(seen)
    assert (why.decision, why.answer) == ("should_clear_resume", ", ".join(type(one).__name__ for one in answer))
    fired = [rule.rule for rule in why.rules if rule.result == "fired"]
    assert ("resumed" in fired) == (not isinstance(answer[0], KeepResume))


def test_the_retry_of_a_lost_conversation_has_nothing_left_to_blame() -> None:
    retry = evolve(SEEN, session=None, anchor=None, retried=True)
    assert should_clear_resume(retry) == (KeepResume("nothing_resumed", S),)


def test_an_unknown_context_is_refused_and_not_taken_for_a_chat() -> None:
    with pytest.raises(ValueError, match="context"):
        ResumeSnapshot(now_ms=1, error=NO_SESSION, context="other")  # type: ignore[arg-type]


def test_patterns_of_a_policy_count_beside_the_others() -> None:
    own = ResumePolicy(session_patterns=(*POLICY.session_patterns, r"^no such chat: \S+$"))
    seen = evolve(SEEN, error="oops\nNO SUCH CHAT: 12\n", anchor=None)
    assert should_clear_resume(seen) == (KeepResume("not_recognised"),)
    assert should_clear_resume(seen, own)[0] == ClearSession("s-1", r"^no such chat: \S+$")


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(", "no regular expression"),
        ("a**", "no regular expression"),
        ("[[a]", "a set whose meaning is in doubt"),
        ("[a--b]", "a set whose meaning is in doubt"),
        ("[a", "a set whose meaning is in doubt"),
        ("", "an empty text"),
        ("gone|", "an empty text"),
        ("x?", "an empty text"),
        (".", "too wide"),
        (r"\w+", "too wide"),
        ("not found|timed out", "too wide"),
        ("(?:error|expired)", "too wide"),
        (r"exited with code \d", "too wide"),
        ("(a+)+$", "repeats a group"),
        ("(?:a|a)*b", "repeats a group"),
        ("(?:ab){2,9}", "repeats a group"),
        ("a.*b.*c", "too many ways"),
        ("a.*(?:b|c|d|e|f)g", "too many ways"),
        ("a{0,300}b{0,300}c", "too many ways"),
        ("(?:a|a)" * 20, "too many ways"),
        ("a?" * 30 + "b", "too many ways"),
        (r"(a)\1 gone", "refers back"),
        ("(?=a)a gone", "of groups only"),
        ("(?P<x>a) gone", "of groups only"),
        ("(?x) a gone", "of groups only"),
        ("a" * 501, "too long"),
    ],
)
def test_a_pattern_that_is_bad_or_wide_or_slow_is_refused_by_name(pattern: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as refused:
        ResumePolicy(anchor_patterns=(pattern,))
    assert str(refused.value).startswith("anchor_patterns: ")
    assert repr(pattern[:200]) in str(refused.value)


@pytest.mark.parametrize(
    "pattern",
    [r"session .* is gone", r"chat [0-9a-f]{8}-[0-9a-f]{4} is gone", "(?:session|chat) (?:is )?gone", r"[]*+(){}|?] no",
     r"thread \(\w+\) gone", "no {curly} chat", "^chat gone$", r"no chat [^\]\n]{0,64} here", r"\[gone\]\s*ses_"],
)  # fmt: skip
def test_a_pattern_that_names_its_conversation_is_taken(pattern: str) -> None:
    assert pattern_problem(pattern) is None


@pytest.mark.parametrize("pattern", [*POLICY.anchor_patterns, *POLICY.session_patterns])
def test_no_pattern_of_ours_finds_a_passing_error(pattern: str) -> None:
    found = re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    assert [error for error in ("", *PASSING_ERRORS) if found.search(error)] == []


@pytest.mark.parametrize(
    "piece",
    ["ENOENT", "ENOENT/.claude/projects/", "ENOENT /.codex/sessions/ .jso ", "unknown session ", " ", "\n", "error:\t",
     "thread not found:" + " " * 500, "session " + "\t" * 300, "0123abcd-", "session not found" + " " * 900 + "x"],
)  # fmt: skip
@pytest.mark.parametrize("own", [(), (r"ENOENT.*(?:a|b|c) gone", r"[^x]+ gone z", r"E[^x]{0,4000} gone (?:now|then)")])
def test_a_text_made_to_be_slow_takes_no_time_that_matters(piece: str, own: tuple[str, ...]) -> None:
    policy = ResumePolicy(session_patterns=(*POLICY.session_patterns, *own))
    text = piece * (1_000_000 // len(piece))
    began = time.process_time()
    find_stale_text(text, policy)
    assert time.process_time() - began < 10  # without a bound it would be hours


def test_only_the_end_of_a_long_error_is_judged_and_the_cut_makes_no_line() -> None:
    assert find_stale_text(NO_SESSION + "." * 10_000) is None
    assert find_stale_text("." * 10_000 + NO_SESSION) is not None
    for before in range(8_160, 8_200):
        text = "MCP error: session not found" + " " * before
        assert find_stale_text(text) is None
