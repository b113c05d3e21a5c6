"""Is a resume handle cleared for the errors that say it is dead, and for no other?"""

from turnkeel_core import ClearAnchor, ClearSession, ResumeSnapshot, RetryFresh, find_stale_text, should_clear_resume

KIND = "resume"


def test_what_is_cleared(vector):
    given, expected = vector["input"], vector["expected"]
    session, anchor = ("s", "a") if given["had_resume"] else (None, None)
    seen = ResumeSnapshot(now_ms=0, error=given["error"], context=given["context_mode"], session=session, anchor=anchor)
    actions = should_clear_resume(seen)
    stale = find_stale_text(given["error"])
    cleared = {type(action) for action in actions} & {ClearAnchor, ClearSession}
    assert {
        "stale": stale is not None,
        "kind": f"stale_{stale.kind}" if stale else None,
        "should_clear_resume": bool(cleared),
        "clear_anchor": ClearAnchor in cleared,
        "clear_session": ClearSession in cleared,
    } == {**expected, "kind": expected["kind"] if expected["stale"] else None}
    assert any(isinstance(action, RetryFresh) for action in actions) == expected["should_clear_resume"]
