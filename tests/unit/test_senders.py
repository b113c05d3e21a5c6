"""Is the allowlist file read strictly, and does every decision about senders say why?"""

import json
import os

import pytest

from turnkeel_adapters.senders import LIMIT_BYTES, SenderFile, parse_senders
from turnkeel_core import (
    AdmitMessage,
    DropMessage,
    GroupMessage,
    KeepAsContext,
    NoCall,
    RunAgent,
    SenderPolicy,
    SenderRule,
    SenderSnapshot,
    TriggerSnapshot,
    decide_sender,
    decide_trigger,
    explain_sender,
    explain_trigger,
)

OPEN = {"allow": "*", "mode": "trigger"}
DENY = SenderRule(allow=())
CLOSED = SenderPolicy(default=DENY)


def read(value):
    return parse_senders(value if isinstance(value, str) else json.dumps(value))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\xff\xfe", "not UTF-8"),
        (b"", "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"null", "must be an object"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"default": {"allow": "*", "mode": "trigger"}, "default": 1}', "given twice"),
        (b'{"default": {"allow": "*", "mode": "trigger"}, "x": NaN}', "NaN is no JSON value"),
        (b'{"default": {"allow": "*", "mode": "trigger"}, "x": ' + b"9" * 5000 + b"}", "not JSON"),
        (b" " * (LIMIT_BYTES + 1), "longer than"),
    ],
)
def test_a_file_that_cannot_be_understood_lets_in_nobody_and_says_why(tmp_path, content, problem):
    path = tmp_path / "list.json"
    path.write_bytes(content)
    found = SenderFile(path).read()
    assert found.policy == CLOSED
    assert problem in found.problems[0] and "nobody but the owner" in found.problems[0]


def test_what_is_no_plain_file_lets_in_nobody_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    for name in ("fifo", "link", "."):
        assert SenderFile(tmp_path / name).policy() == CLOSED, name
    assert SenderFile(tmp_path / "list.json" / "below").policy() == SenderPolicy()
    (tmp_path / "list.json").write_text("{}")
    assert SenderFile(tmp_path / "list.json" / "below").policy() == CLOSED


def test_a_link_to_a_file_is_read(tmp_path):
    (tmp_path / "real").write_text(json.dumps({"default": OPEN}))
    (tmp_path / "link").symlink_to("real")
    assert SenderFile(tmp_path / "link").read().problems == ()


@pytest.mark.parametrize("chat", ["__proto__", "constructor", "toString", "hasOwnProperty", ""])
def test_a_chat_may_have_any_name_and_its_own_entry_alone(chat):
    own = {"allow": ["ann"], "mode": "drop"}
    policy = read({"default": OPEN, "chats": {chat: own}}).policy
    assert policy.rule(chat) == SenderRule(allow=("ann",), mode="drop")
    assert policy.rule("other") == read({"default": OPEN}).policy.rule(chat) == SenderRule()


def test_an_entry_that_cannot_be_understood_closes_its_chat_and_no_other():
    found = read({"default": OPEN, "chats": {"a": {"allow": [1], "mode": "drop"}, "b": None, "c": OPEN}})
    assert [found.policy.rule(chat) for chat in "abcd"] == [DENY, DENY, SenderRule(), SenderRule()]
    assert len(found.problems) == 2 and "'a'" in found.problems[0]


def test_changes_of_what_is_wrong_are_told_once_each(tmp_path):
    told, path = [], tmp_path / "list.json"
    file = SenderFile(path, told.append)
    for content in (None, None, "{", "{", "[", json.dumps({"default": OPEN}), json.dumps({"default": OPEN}), "{"):
        if content is not None:
            path.write_text(content)
        file.read()
    assert [bool(problems) for problems in told] == [True, True, True, False, True]
    assert all(str(path) in problem for problems in told for problem in problems)


def test_an_edit_of_the_same_size_within_the_same_instant_is_seen(tmp_path):
    path = tmp_path / "list.json"
    file = SenderFile(path)
    for sender in ("ann", "bob"):
        path.write_text(json.dumps({"default": {"allow": [sender], "mode": "drop"}}))
        os.utime(path, ns=(5, 5))
        assert file.policy().default.allow == (sender,)


def seen(sender="bob", **more):
    return SenderSnapshot(now_ms=1, chat="room", sender=sender, **more)


ANN_ALONE = SenderPolicy(default=SenderRule(allow=("ann",), mode="drop"))


@pytest.mark.parametrize(
    ("snapshot", "answer", "rules"),
    [
        (seen(from_me=True), AdmitMessage("owner"), ["fired"]),
        (seen("ann"), AdmitMessage("allowed"), ["not_yet", "fired"]),
        (seen(), DropMessage(True), ["not_yet", "not_yet", "fired"]),
        (seen(registered=False), KeepAsContext(True), ["not_yet", "not_yet", "not_yet"]),
        (seen(bot=True), KeepAsContext(True), ["not_yet", "not_yet", "not_yet"]),
    ],
)
def test_the_explanation_tells_the_rules_up_to_the_one_that_decides(snapshot, answer, rules):
    assert decide_sender(snapshot, ANN_ALONE) == answer
    told = explain_sender(snapshot, ANN_ALONE)
    assert (told.answer, [rule.result for rule in told.rules]) == (type(answer).__name__, rules)


def call(*messages, policy=ANN_ALONE, **more):
    batch = TriggerSnapshot(now_ms=1, chat="room", trigger="@Andy", messages=messages, **more)
    decision, told = decide_trigger(batch, policy), explain_trigger(batch, policy)
    assert told.answer == type(decision).__name__ and len(told.rules) == len(messages)
    return decision


def says(text, sender="ann", **more):
    return GroupMessage(text=text, sender=sender, **more)


@pytest.mark.parametrize(
    ("messages", "answer"),
    [
        ((says("@Andy hi"),), RunAgent(0)),
        ((says("  @aNDY, hi"),), RunAgent(0)),
        ((says("@Andyman hi"),), NoCall()),
        ((says("hi @Andy"),), NoCall()),
        ((says("@Andy hi", "bob"), says("never mind")), NoCall()),
        ((says("@Andy hi", "bob"), says("@Andy, yes")), RunAgent(1)),
        ((says("what?", "bob", replies_to_bot=True),), NoCall()),
        ((says("what?", replies_to_bot=True),), RunAgent(0)),
        ((says("@Andy", "me", from_me=True),), RunAgent(0)),
        ((says("hi", "me", from_me=True),), NoCall()),
    ],
)
def test_word_and_permission_must_come_in_one_message(messages, answer):
    assert call(*messages) == answer


def test_a_chat_that_asks_for_no_trigger_asks_nobody():
    assert call(says("hi", "bob"), main=True) == RunAgent(None)
    assert call(says("hi", "bob"), requires_trigger=False) == RunAgent(None)
    assert call(main=True) == NoCall()
