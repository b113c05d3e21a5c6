"""Who may write to an agent, as the allowlist file says now? (spec/tars-and-b01.md §4)

An absent file allows everybody. One that is there and cannot be understood allows nobody but the owner, and what is
written is kept; an entry of one chat that cannot be understood does so for that chat.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Final, Literal, cast

from attrs import frozen

from turnkeel_adapters.wire import WireFault, parse_json
from turnkeel_adapters.wire.faults import shape
from turnkeel_core import SenderPolicy, SenderRule
from turnkeel_core.senders import DENY

LIMIT_BYTES: Final = 1_048_576
_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_MODES: Final[dict[str, Literal["trigger", "drop"]]] = {"trigger": "trigger", "drop": "drop"}
_CLOSED: Final = SenderPolicy(default=DENY)


@frozen(kw_only=True)
class SendersRead:
    """The rules that hold, and what is wrong with the file, if so: then they are stricter than it says, or there is
    no file."""

    policy: SenderPolicy = SenderPolicy()
    problems: tuple[str, ...] = ()
    absent: bool = False


class SenderFile:
    """The file, read anew at each use, so that an edit holds from the next message on. Any thread."""

    def __init__(self, path: Path, tell: Callable[[tuple[str, ...]], None] | None = None) -> None:
        """`tell` hears of each change of what is wrong with the file; an empty tuple says that all is well again."""
        self._path = path
        self._tell = tell
        self._lock = Lock()
        self._last: bytes | str | None = ""
        self._read = SendersRead()

    def read(self) -> SendersRead:
        """What the file says now; never raises."""
        found = _content(self._path)
        with self._lock:
            before = self._read
            if found != self._last:
                self._last, self._read = found, _understood(found)
            now = self._read
            if self._tell is not None and now.problems != before.problems:
                self._tell(tuple(f"{self._path}: {problem}" for problem in now.problems))
        return now

    def policy(self) -> SenderPolicy:
        """The rules that hold now."""
        return self.read().policy


def parse_senders(text: str) -> SendersRead:
    """The rules in the text of a file that exists."""
    try:
        data = parse_json(text)
    except WireFault as fault:
        return _broken(str(fault))
    if not isinstance(data, dict):
        return _broken(f"must be an object, not {shape(data)}")
    table = cast("dict[str, object]", data)
    chats = table.get("chats", {})
    default = _rule(table.get("default"))
    if isinstance(default, str):
        return _broken(f"default: {default}")
    if not isinstance(chats, dict):
        return _broken(f"chats: must be an object, not {shape(chats)}")
    rules = tuple((chat, _rule(entry)) for chat, entry in cast("dict[str, object]", chats).items())
    return SendersRead(
        policy=SenderPolicy(
            default=default,
            chats=tuple((chat, DENY if isinstance(rule, str) else rule) for chat, rule in rules),
            log_denied=table.get("logDenied") is not False,
        ),
        problems=tuple(
            f"chats.{chat[:80]!r}: {rule}: nobody but the owner may start an agent there"
            for chat, rule in rules
            if isinstance(rule, str)
        ),
    )


def _understood(found: bytes | str | None) -> SendersRead:
    match found:
        case None:
            # Whoever named a file means to have one: a slip in its name must not go unseen.
            return SendersRead(absent=True, problems=("does not exist: everybody may start an agent",))
        case str():
            return _broken(found)
        case bytes():
            try:
                return parse_senders(found.decode("utf-8"))
            except UnicodeDecodeError:
                return _broken("not UTF-8")


def _content(path: Path) -> bytes | str | None:
    """The bytes of the file, None if there is none, a text that says why it cannot be read."""
    try:
        fd = os.open(path, _READ)
    except FileNotFoundError:
        # A link that leads nowhere was put there by somebody.
        return "a link that leads to no file" if path.is_symlink() else None
    except (OSError, ValueError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or error}"
    try:
        with os.fdopen(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return "is no plain file"
            content = file.read(LIMIT_BYTES + 1)
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return content if len(content) <= LIMIT_BYTES else f"longer than {LIMIT_BYTES} bytes"


def _broken(problem: str) -> SendersRead:
    return SendersRead(policy=_CLOSED, problems=(f"{problem}: nobody but the owner may start an agent",))


def _rule(entry: object) -> SenderRule | str:
    """The rule, or what is wrong with it."""
    if not isinstance(entry, dict):
        return "is missing" if entry is None else f"must be an object, not {shape(entry)}"
    table = cast("dict[str, object]", entry)
    said, allow = table.get("mode"), table.get("allow")
    mode = _MODES.get(said) if isinstance(said, str) else None
    if mode is None:
        return 'mode: must be "trigger" or "drop"'
    if allow == "*":
        return SenderRule(mode=mode)
    if not isinstance(allow, list):
        return 'allow: must be "*" or a list of senders'
    senders = cast("list[object]", allow)
    texts = tuple(sender for sender in senders if isinstance(sender, str))
    if len(texts) < len(senders):
        return "allow: every sender must be a text"
    return SenderRule(allow=texts, mode=mode)
