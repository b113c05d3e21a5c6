"""What does the body of a request say, and what is wrong with it?"""

import json
from typing import Final, Literal

from attrs import field, frozen
from attrs.validators import ge, instance_of, optional

from turnkeel_adapters.channels.local import LOCAL
from turnkeel_adapters.lifecycle.payloads import Incoming
from turnkeel_adapters.sessions.records import NewMessage
from turnkeel_adapters.wire import JsonValue, from_data, parse_json
from turnkeel_adapters.wire.faults import WireFault
from turnkeel_core import MessageIdentity
from turnkeel_core.lifecycle_states import Replay

_CONTENT: Final = "content"


@frozen(kw_only=True)
class PostedMessage:
    """The keys of the body, but for `content`, which is an object of any keys.

    Of the contract's kinds `task` and `system` are not for callers: an agent-runner runs the scripts of tasks.
    """

    session: str
    text: str | None = None
    channel: str = LOCAL
    chat: str = ""
    account: str = ""
    thread: str | None = None
    message_id: str | None = None
    sender: str | None = None
    from_me: bool = False
    bot: bool = False
    sent_at_ms: int | None = field(default=None, validator=optional((instance_of(int), ge(0))))
    kind: Literal["chat", "chat-sdk", "webhook"] = "chat"
    due_at_ms: int | None = field(default=None, validator=optional((instance_of(int), ge(0))))
    replay: Replay = "allowed"


@frozen(kw_only=True)
class Posted:
    """A message for a session; `identity` tells it from others, and from none if the sender gave it no name.

    `replay` says whether it may be run again if its agent dies.
    """

    session: str
    incoming: Incoming
    identity: MessageIdentity
    replay: Replay = "allowed"


def read_message(body: bytes, key: str | None, channels: frozenset[str], now_ms: int) -> Posted:
    """The message in a body, named by the `Idempotency-Key` if there is one. WireFault says all that is wrong."""
    try:
        data = parse_json(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise WireFault(("not UTF-8",)) from error
    content: JsonValue = None
    if isinstance(data, dict) and _CONTENT in data:
        content = data[_CONTENT]
        data = {name: value for name, value in data.items() if name != _CONTENT}
    posted = from_data(data, PostedMessage)
    problems = (*_content_problems(posted, content), *_name_problems(posted, key, channels))
    if problems:
        raise WireFault(problems)
    said = content if content is not None else {"text": posted.text}
    return Posted(
        session=posted.session,
        incoming=_incoming(posted, json.dumps(said, ensure_ascii=False), now_ms),
        identity=_identity(posted, key),
        replay=posted.replay,
    )


def _content_problems(posted: PostedMessage, content: JsonValue) -> tuple[str, ...]:
    if (posted.text is None) == (content is None):
        return ("text: give either text or content",)
    return () if content is None or isinstance(content, dict) else ("content: must be an object",)


def _name_problems(posted: PostedMessage, key: str | None, channels: frozenset[str]) -> tuple[str, ...]:
    problems: list[str] = []
    if posted.channel not in channels:
        problems.append(f"channel: no channel is called {posted.channel!r:.80}; known: {', '.join(sorted(channels))}")
    if key is not None and posted.message_id is not None and key != posted.message_id:
        problems.append("message_id: differs from Idempotency-Key; a message has one name")
    if any(name is not None and not name.strip() for name in (key, posted.message_id)):
        problems.append("message_id: is blank; leave it out if the message has no name")
    return tuple(problems)


def _incoming(posted: PostedMessage, content: str, now_ms: int) -> Incoming:
    away = posted.channel != LOCAL
    return Incoming(
        message=NewMessage(
            message_id="",
            content=content,
            kind=posted.kind,
            sent_at_ms=now_ms if posted.sent_at_ms is None else posted.sent_at_ms,
            due_at_ms=posted.due_at_ms,
            platform_id=posted.chat or None,
            channel_type=posted.channel if away else None,
            thread_id=posted.thread,
        ),
        channel=posted.channel,
        account=posted.account,
        chat=posted.chat,
        thread=posted.thread,
        sender=posted.sender,
        from_me=posted.from_me,
        bot=posted.bot,
    )


def _identity(posted: PostedMessage, key: str | None) -> MessageIdentity:
    """A sender without chats has one for each session: its names are told apart within that."""
    return MessageIdentity(
        channel=posted.channel,
        account=posted.account,
        chat=posted.chat or posted.session,
        thread=posted.thread,
        message_id=key if key is not None else posted.message_id,
    )
