"""Which laws hold for every error text and every run?"""

from typing import Literal

from hypothesis import assume, given
from hypothesis import strategies as st

from turnkeel_core import (
    ClearAnchor,
    ClearSession,
    KeepResume,
    ResumeSnapshot,
    RetryFresh,
    explain_resume,
    find_stale_text,
    should_clear_resume,
)
from turnkeel_core.resume_limits import PASSING_ERRORS, pattern_problem

ID = "75c9051f-a071-4243-bc25-92cfc396e2db"
STALE = st.sampled_from(
    [
        f"No message found with message.uuid of: {ID}",
        f"No conversation found with session ID: {ID}",
        f"no rollout found for thread id {ID} (code -32600)",
        f'Invalid session identifier "{ID}"',
        f"thread not found: {ID}",
        f"ENOENT: no such file, open '/home/node/.claude/projects/p/{ID}.jsonl'",
        "Session not found: ses_1",
        "no such session: abc",
    ]
)
OTHERS = ("MCP error -32001: Session not found (server)", "session build not found")
PASSING = st.sampled_from([*PASSING_ERRORS[1:], *OTHERS])
# Words of the field, and of errors, that are no text of a lost conversation, alone or side by side.
WORDS = st.lists(st.sampled_from(["error", "429", "retry", "the", "model", "of", "timeout", "docker", "é"]), max_size=6)
HANDLES = st.none() | st.sampled_from(["h1", "h2"])
CONTEXTS: st.SearchStrategy[Literal["group", "isolated"]] = st.sampled_from(("group", "isolated"))
ERRORS = st.none() | STALE | PASSING | st.text(max_size=80) | st.builds("{}\n{}".format, PASSING, STALE)
RUNS = st.builds(
    ResumeSnapshot,
    now_ms=st.integers(0, 10**13),
    error=ERRORS,
    context=CONTEXTS,
    session=HANDLES,
    anchor=HANDLES,
    retried=st.booleans(),
)


def cleared(seen: ResumeSnapshot) -> set[str]:
    return {type(action).__name__ for action in should_clear_resume(seen)} - {"KeepResume"}


@given(parts=st.lists(PASSING, min_size=1, max_size=5), glue=st.sampled_from([" ", "\n", "; ", ": "]))
def test_no_error_that_passes_ever_clears_alone_or_together(parts: list[str], glue: str) -> None:
    assert not cleared(ResumeSnapshot(now_ms=0, error=glue.join(parts), session="s", anchor="a"))


@given(error=STALE | PASSING, before=WORDS, after=WORDS, end=st.sampled_from(["", " ", "\n"]))
def test_words_around_an_error_change_nothing_unless_they_make_a_pattern_match(
    error: str, before: list[str], after: list[str], end: str
) -> None:
    around = " ".join([*before, error + end, *after])
    alone, within = find_stale_text(error), find_stale_text(around)
    assert alone == within


@given(seen=RUNS)
def test_nothing_is_cleared_but_what_the_run_used_and_for_a_recognised_error(seen: ResumeSnapshot) -> None:
    actions = should_clear_resume(seen)
    for action in actions:
        match action:
            case ClearAnchor(handle, pattern):
                assert handle == seen.anchor
            case ClearSession(handle, pattern):
                assert handle == seen.session
            case RetryFresh(without, pattern):
                assert (seen.retried, len(actions) > 1) == (False, True)
                assert (without == "session") or not any(isinstance(one, ClearSession) for one in actions)
            case KeepResume(_, pattern):
                assert len(actions) == 1
        if not isinstance(action, KeepResume):
            assert seen.error is not None and seen.context == "group"
            stale = find_stale_text(seen.error)
            assert stale is not None and stale.pattern == pattern
    assert explain_resume(seen).answer == ", ".join(type(action).__name__ for action in actions)


@given(seen=RUNS)
def test_a_run_without_a_handle_or_alone_or_without_an_error_keeps_everything(seen: ResumeSnapshot) -> None:
    assume(seen.error is None or seen.context == "isolated" or (seen.session is None and seen.anchor is None))
    assert not cleared(seen)


@given(pattern=st.text(alphabet="ab.*+?|(){}[]^$\\1,0-9:", max_size=30))
def test_any_text_is_taken_as_a_pattern_or_refused_with_a_reason(pattern: str) -> None:
    problem = pattern_problem(pattern)
    assert problem is None or problem
