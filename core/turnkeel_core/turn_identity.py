"""Are two messages the same one?"""

import re
from functools import lru_cache

from attrs import frozen

_MALFORMED = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


@frozen(kw_only=True)
class MessageIdentity:
    """Where a message came from and what its channel calls it; the session has no part in it.

    Without a channel, a chat or a message id the channel cannot deliver it twice knowingly: such a message is its own.
    """

    channel: str = ""
    account: str = ""
    chat: str = ""
    thread: str | None = None
    message_id: str | None = None


def encode_parts(*parts: str | None) -> str:
    """One text for the parts, different for different parts: each with its length before it, None as `-`."""
    return "".join("-" if part is None else f"{len(part)}:{part}" for part in parts)


def encode_identity(identity: MessageIdentity) -> str | None:
    """The key of the message; None if it has no identity of its own channel. Channel names know no case."""
    return _encoded(identity)


@lru_cache(maxsize=64)  # asked when the store is looked into, and again when the message is decided about
def _encoded(identity: MessageIdentity) -> str | None:
    channel, chat, message_id = identity.channel.strip().lower(), identity.chat, (identity.message_id or "").strip()
    if not channel or not chat or not message_id:
        return None
    return encode_parts(channel, identity.account, chat, identity.thread, message_id)


def own_identity(turn_id: str) -> str:
    """The key of a message that is only like itself; no encoded identity begins like this."""
    return f"own:{turn_id}"


def idempotency_key(owner: str, kind: str, ordinal: int) -> str:
    """The key of a send: the turn (or the session's reply), the kind and the place, never the text."""
    return encode_parts(owner, kind, str(ordinal))


def is_malformed(text: str) -> bool:
    """Whether a text holds what no id holds: control characters or halves of a surrogate pair."""
    return _MALFORMED.search(text) is not None
