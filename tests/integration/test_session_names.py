"""Which texts name a session, and which folder do they lead to?"""

import pytest

from turnkeel_adapters.errors import BadSessionName
from turnkeel_adapters.sessions.names import SessionName


@pytest.mark.parametrize(
    ("text", "expected"),
    [("chat", "main/chat"), ("team/chat-1", "team/chat-1"), ("a@b.c:+_-", "main/a@b.c:+_-")]
    + [("x" * 128, "main/" + "x" * 128)],
)
def test_a_name_is_its_group_and_itself(text, expected):
    assert str(SessionName.parse(text)) == expected


@pytest.mark.parametrize(
    "text",
    ["", "/", "a/", "/a", "..", "../a", "a/..", "a/../b", "a/b/c", ".hidden", "a/.claude-shared", "-dash", "a b", "a\n"]
    + ["a\x00", "é", "x" * 129, "x" * 10_000, "a\\b", "~", "%2e"],
)
def test_what_could_leave_the_tree_is_no_name(text):
    with pytest.raises(BadSessionName) as caught:
        SessionName.parse(text)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


def test_a_bad_name_is_a_value_error_too():
    with pytest.raises(ValueError, match="names no session"):
        SessionName.parse("..")
