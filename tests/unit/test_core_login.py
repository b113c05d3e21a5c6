"""Which errors say that a login is refused, what do they cost, and which patterns are taken?"""

import pytest
from attrs import evolve

from turnkeel_core import (
    ChargeAttempt,
    Claim,
    FailMessage,
    HoldWake,
    LoginNotRefused,
    LoginPolicy,
    LoginRefused,
    LoginSnapshot,
    NoContainer,
    OpenMessage,
    ReleaseClaims,
    SweepSnapshot,
    Wake,
    decide_login,
    explain_login,
    explain_sweep,
    plan_sweep,
)
from turnkeel_core.login import LOGIN_PATTERNS, OTHER_ERRORS
from turnkeel_core.resume_limits import pattern_problem

REFUSED = (
    'API Error: 401 {"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}',
    "OAuth token has expired. Please obtain a new token or refresh your existing token.",
    "OAuth token revoked - Please run /login",
    "Not logged in - Please run /login",
    '401 {"error":{"type":"authentication_error","message":"Invalid bearer token"}}',
    "Invalid API key - Please run /login",
    "invalid x-api-key",
    '{"error": {"code": "invalid_api_key"}}',
    "Incorrect API key provided: sk-***. You can find yours on your account page.",
    "Your access token could not be refreshed because your refresh token was used already.",
    "ERROR: unexpected status 401 Unauthorized: Missing bearer authentication in header, url: https://api.example/",
    "starting\n401 Unauthorized\n",
    "Error: 401 Unauthorized",
    "HTTP 401: Unauthorized",
)
ELSE = (
    "",
    *OTHER_ERRORS,
    "403 Forbidden: https://site.example/",
    "error: 401 Unauthorized for https://site.example/private",
    "curl: (22) The requested URL returned error: 401",
    "429 Too Many Requests",
    "still running after 600 s",
    "the certificate has expired",
    "your session has expired",
    "the user wrote: how do I login?",
    "token limit reached: 200000",
)


@pytest.mark.parametrize("error", REFUSED)
def test_what_a_refused_login_says_is_recognised(error: str) -> None:
    found = decide_login(LoginSnapshot(now_ms=1, error=error))
    assert isinstance(found, LoginRefused) and found.words and found.words in error and "\n" not in found.words


@pytest.mark.parametrize("error", ELSE)
def test_other_errors_are_no_refused_login(error: str) -> None:
    assert decide_login(LoginSnapshot(now_ms=1, error=error)) == LoginNotRefused("not_recognised")


@pytest.mark.parametrize("pattern", LOGIN_PATTERNS)
def test_each_pattern_is_needed_and_quick_enough(pattern: str) -> None:
    assert pattern_problem(pattern, OTHER_ERRORS) is None
    fewer = LoginPolicy(patterns=tuple(one for one in LOGIN_PATTERNS if one != pattern))
    assert any(isinstance(decide_login(LoginSnapshot(now_ms=1, error=e), fewer), LoginNotRefused) for e in REFUSED)


@pytest.mark.parametrize(
    ("error", "answer", "fired"),
    [
        (None, LoginNotRefused("not_failed"), []),
        ("exited with 1", LoginNotRefused("not_recognised"), ["failed"]),
        ("a\ninvalid x-api-key \nb", LoginRefused(LOGIN_PATTERNS[1], "invalid x-api-key"), ["failed", "recognised"]),
        ("invalid x-api-key\n" + "b" * 2_048, LoginNotRefused("not_recognised"), ["failed"]),
        ("x401 unauthorized\n" + "b" * 2_030, LoginNotRefused("not_recognised"), ["failed"]),
    ],
)
def test_only_the_end_of_the_error_of_a_failed_run_counts(error, answer, fired) -> None:
    seen = LoginSnapshot(now_ms=1, error=error)
    assert decide_login(seen) == answer
    why = explain_login(seen)
    assert (why.answer, [rule.rule for rule in why.rules if rule.result == "fired"]) == (type(answer).__name__, fired)


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [(".", "too wide"), ("40[13]", "too wide"), ("(", "no regular expression"), ("(a+)+", "can take for ever")],
)
def test_a_pattern_that_would_pause_healthy_sessions_is_refused(pattern: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        LoginPolicy(patterns=(pattern,))


@pytest.mark.parametrize("tries", [0, 4])
@pytest.mark.parametrize("due", [True, False])
def test_a_refused_login_charges_nothing_and_lets_go_of_what_was_held(tries: int, due: bool) -> None:
    message = OpenMessage(message_id="m", status="pending", tries=tries, triggers=due)
    gone = NoContainer(orphans=(Claim(message_id="m", claimed_at_ms=1),), login_refused=True)
    seen = SweepSnapshot(now_ms=10, incarnation=3, messages=(message,), container=evolve(gone, blocked="paused"))
    held = (HoldWake("paused", None, ("m",)),) if due else ()
    assert plan_sweep(seen).actions == (ReleaseClaims(3, ("m",)), *held)
    blamed = plan_sweep(evolve(seen, container=evolve(gone, login_refused=False))).actions
    assert isinstance(blamed[0], ChargeAttempt | FailMessage), "as any other end is charged"
    if due:
        resumed = plan_sweep(evolve(seen, container=gone)).actions
        assert resumed == (ReleaseClaims(3, ("m",)), Wake(4, ("m",), ()))
    facts = {fact.name: fact.value for rule in explain_sweep(seen).rules for fact in rule.facts}
    assert facts["of"] == "dead, its login refused"
