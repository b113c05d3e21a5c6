"""`senders check`: is the allowlist right, and what becomes of a message of this sender?"""

import time
from pathlib import Path

from attrs import asdict, frozen

from turnkeel.cli.errors import DONE, FAILED, CommandFailed, WrongUsage
from turnkeel.cli.output import flat, print_json, print_table
from turnkeel_adapters.config.load import load_config
from turnkeel_adapters.config.records import HostConfig
from turnkeel_adapters.senders import SenderFile, SendersRead
from turnkeel_adapters.wire import to_data
from turnkeel_core import (
    AdmitMessage,
    DropMessage,
    Explanation,
    KeepAsContext,
    SenderDecision,
    SenderRule,
    SenderSnapshot,
    decide_sender,
    explain_sender,
)


@frozen(kw_only=True)
class Asked:
    """One question and its answer."""

    seen: SenderSnapshot
    decision: SenderDecision
    why: Explanation


def check(config: Path | None = None, *, chat: str | None = None, sender: str | None = None, json: bool = False) -> int:
    """1 if something is wrong with the file; CommandFailed if the configuration names none."""
    if (chat is None) != (sender is None):
        raise WrongUsage("give --chat and --sender together")
    file = load_config(config).senders.file
    if file is None:
        raise CommandFailed('no allowlist: everybody may start an agent. Name one: [senders] file = "/path"')
    found, now_ms = SenderFile(Path(file)).read(), time.time_ns() // 1_000_000
    asked = None if chat is None else _ask(SenderSnapshot(now_ms=now_ms, chat=chat, sender=sender), found)
    if json:
        print_json(_document(file, found, asked, now_ms))
    else:
        _print(file, found, asked)
    return FAILED if found.problems else DONE


def sender_problems(settings: HostConfig) -> tuple[str, ...]:
    """What is wrong with the allowlist that the configuration names."""
    file = settings.senders.file
    return () if file is None else SenderFile(Path(file)).read().problems


def _ask(seen: SenderSnapshot, found: SendersRead) -> Asked:
    policy = found.policy
    return Asked(seen=seen, decision=decide_sender(seen, policy), why=explain_sender(seen, policy))


def _rule_data(rule: SenderRule) -> dict[str, object]:
    return {"allow": "*" if rule.allow is None else list(rule.allow), "mode": rule.mode}


def _document(file: str, found: SendersRead, asked: Asked | None, now_ms: int) -> dict[str, object]:
    return {
        "read_at_ms": now_ms,
        "file": file,
        "absent": found.absent,
        "problems": found.problems,
        "default": _rule_data(found.policy.default),
        "chats": {chat: _rule_data(rule) for chat, rule in found.policy.chats},
        "log_denied": found.policy.log_denied,
        "asked": None
        if asked is None
        else {"chat": asked.seen.chat, "sender": asked.seen.sender, "decision": to_data(asked.decision)}
        | {"outcome": _word(asked.decision), "why": [asdict(rule) for rule in asked.why.rules]},
    }


def _print(file: str, found: SendersRead, asked: Asked | None) -> None:
    for problem in found.problems:
        print(f"problem: {flat(problem)}")
    if found.absent:
        print(f"{file} does not exist: everybody may start an agent")
    elif asked is None:
        named = (("every other chat", found.policy.default), *found.policy.chats)
        print_table(("chat", "who may start an agent", "what others write"), [_row(chat, rule) for chat, rule in named])
    if asked is not None:
        because = asked.why.rules[-1].because
        print(flat(f"{asked.seen.sender} in {asked.seen.chat}: {_word(asked.decision)}: {because}"))


def _row(chat: str, rule: SenderRule) -> tuple[str, str, str]:
    who = "everybody" if rule.allow is None else ", ".join(rule.allow) or "the owner alone"
    return chat, who, "is kept as context" if rule.mode == "trigger" else "is dropped"


def _word(decision: SenderDecision) -> str:
    match decision:
        case AdmitMessage():
            return "may start an agent"
        case KeepAsContext():
            return "is kept as context"
        case DropMessage():
            return "is dropped"
