"""Where does a reply go?"""

from typing import Final, Self

from attrs import frozen

from turnkeel_adapters.lifecycle.payloads import Incoming
from turnkeel_adapters.sessions.records import OutboundMessage
from turnkeel_adapters.sessions.routing import SessionRouting
from turnkeel_core.turn_identity import encode_parts

LOCAL: Final = "local"
"""The channel of those who ask at the command line: a reply is kept for them."""


@frozen(kw_only=True)
class Address:
    """A chat of a channel's account; `chat` "" is the one chat of a channel that has no other."""

    channel: str
    account: str = ""
    chat: str = ""
    thread: str | None = None

    @classmethod
    def of(cls, incoming: Incoming) -> Self:
        """Where the answer to this message goes."""
        return cls(channel=incoming.channel, account=incoming.account, chat=incoming.chat, thread=incoming.thread)


def address_of(reply: OutboundMessage, incoming: Incoming | None, routing: SessionRouting | None) -> Address:
    """The address that the container wrote, else that of the message it answers, else the session's own.

    An account is known only of the message: a reply into its very chat goes by the same account.
    """
    if reply.channel_type:
        chat = reply.platform_id or ""
        same = incoming is not None and (incoming.channel, incoming.chat) == (reply.channel_type, chat)
        account = incoming.account if incoming is not None and same else ""
        return Address(channel=reply.channel_type, account=account, chat=chat, thread=reply.thread_id)
    if incoming is not None:
        return Address.of(incoming)
    if routing is not None and routing.channel_type:
        return Address(channel=routing.channel_type, chat=routing.platform_id or "", thread=routing.thread_id)
    return Address(channel=LOCAL)


def lane_of(session: str, address: Address) -> str:
    """Replies of one lane are sent in order, one at a time."""
    return encode_parts(session, address.channel, address.account, address.chat, address.thread)
