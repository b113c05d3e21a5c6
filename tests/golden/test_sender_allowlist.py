"""Does the allowlist file let in whom it names, and nobody else when it is broken?"""

import json

from turnkeel_adapters.senders import SenderFile
from turnkeel_core import (
    AdmitMessage,
    DropMessage,
    GroupMessage,
    KeepAsContext,
    RunAgent,
    SenderSnapshot,
    TriggerSnapshot,
    decide_sender,
    decide_trigger,
    may_trigger,
)

KIND = "sender_allowlist"


def policy_of(given, folder):
    """The rules of the vector's file, as it lies on the disk."""
    path = folder / "sender-allowlist.json"
    match given["file"]:
        case None:
            pass
        case str(text):
            path.write_bytes(text.encode())
        case _:
            path.mkdir()  # whoever reads it, root included, gets an error
    return SenderFile(path).policy()


def written(rule):
    return {"allow": "*" if rule.allow is None else list(rule.allow), "mode": rule.mode}


def logged(decision):
    match decision:
        case DropMessage(log=True):
            return "drop"
        case KeepAsContext(log=True):
            return "trigger_denied"
        case _:
            return None


def test_what_is_stored_and_who_may_start_an_agent(vector, tmp_path):
    given, expected = vector["input"], vector["expected"]
    policy = policy_of(given, tmp_path)
    if "run_agent" in expected:
        assert called(given, policy) is expected["run_agent"]
        return
    chats = {chat: written(rule) for chat, rule in policy.chats}
    found = {"default": written(policy.default), "chats": chats, "log_denied": policy.log_denied}
    assert json.dumps(found, sort_keys=True) == json.dumps(expected["config"], sort_keys=True)
    said = given["message"]
    seen = SenderSnapshot(
        now_ms=0,
        chat=said["chat_jid"],
        sender=said["sender"],
        from_me=said["is_from_me"],
        bot=said["is_bot_message"],
        registered=said["chat_registered"],
    )
    decision, rule = decide_sender(seen, policy), policy.rule(seen.chat)
    assert {
        "sender_allowed": rule.allows(seen.sender),
        "drop_mode": rule.mode == "drop",
        "store": not isinstance(decision, DropMessage),
        "may_trigger": may_trigger(decision),
        "log": logged(decision),
    } == expected["decision"]
    assert isinstance(decision, AdmitMessage) == may_trigger(decision)


def called(given, policy):
    messages = tuple(
        GroupMessage(
            text=said["content"],
            sender=said["sender"],
            from_me=said["is_from_me"],
            replies_to_bot=said.get("is_reply_to_bot", False),
        )
        for said in given["messages"]
    )
    seen = TriggerSnapshot(
        now_ms=0,
        chat=given["chat_jid"],
        trigger=given["trigger"],
        messages=messages,
        main=given["is_main"],
        requires_trigger=given["requires_trigger"],
    )
    return isinstance(decide_trigger(seen, policy), RunAgent)
