"""What does a container's reply become: which text, which files, for whom, and what is wrong with it?"""

import json
from typing import cast

from attrs import frozen

from turnkeel.delivery.address import Address
from turnkeel.delivery.mirror import is_plain_name
from turnkeel.delivery.ports import DeliveryPorts
from turnkeel_adapters.channels import split_text
from turnkeel_adapters.channels.attachments import AttachmentChanged, AttachmentGone, describe_attachments
from turnkeel_adapters.lifecycle.payloads import AttachedFile, Outgoing
from turnkeel_adapters.sessions.records import OutboundMessage

OUTBOX = "outbox"


@frozen(kw_only=True)
class Composed:
    """The payload of a row, and why it can never be sent, if so: then it is a dead letter from the first."""

    outgoing: Outgoing
    fault: str | None = None


def compose(ports: DeliveryPorts, session: str, reply: OutboundMessage, address: Address) -> Composed:
    """The reply as every try will send it; SessionFault if the session's files cannot be read."""
    text, names = said(reply.content)
    fault = ports.sessions.mail(session).refusal(reply)
    files: tuple[AttachedFile, ...] = ()
    if names and fault is None and not is_plain_name(reply.message_id):
        fault = "its id is no name of a folder, so that it can have no files"
    elif names and fault is None:
        try:
            files = describe_attachments(ports.sessions.folder(session) / OUTBOX / reply.message_id, names)
        except (AttachmentGone, AttachmentChanged) as error:
            fault = str(error)
    channel = ports.channels.get(address.channel)
    limit = None if channel is None else channel.capabilities.text_limit
    # Before it is cut: no secret is left in two parts.
    text = ports.redact_reply(address.channel, text)
    outgoing = Outgoing(
        parts=tuple(part.text for part in split_text(text, limit)),
        chat=address.chat,
        account=address.account,
        thread=address.thread,
        in_reply_to=reply.in_reply_to,
        folder=f"{OUTBOX}/{reply.message_id}" if files else None,
        files=files,
    )
    return Composed(outgoing=outgoing, fault=fault)


def said(content: str) -> tuple[str, tuple[str, ...]]:
    """The text of a content and the names of the files beside it; content of no known form is all text."""
    try:
        found: object = json.loads(content)
    except (ValueError, RecursionError):
        return content, ()
    if not isinstance(found, dict):
        return content, ()
    fields = cast("dict[str, object]", found)
    text, files = fields.get("text"), fields.get("files")
    names = cast("list[object]", files) if isinstance(files, list) else []
    return (
        text if isinstance(text, str) else content,
        tuple(name if isinstance(name, str) else repr(name) for name in names),
    )
