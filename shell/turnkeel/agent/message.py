"""What does a message say to the agent?"""

import json
from typing import cast

from attrs import frozen

from turnkeel_adapters.sessions.container_side import ClaimedWork, InboundRow, Routing


@frozen(kw_only=True)
class Message:
    """One message to answer. `context` holds the texts that came before it and ask for no answer, oldest first.

    `text` is the content's `text` (chat) or `prompt` (task), or all of `raw` where the content is neither. `isolated`:
    it runs outside of the session's conversation, so there is no resume handle for it, and none is kept of it.
    """

    id: str
    text: str
    kind: str
    context: tuple[str, ...]
    raw: str
    routing: Routing
    isolated: bool = False


def message_of(work: ClaimedWork) -> Message:
    """Return the message that a claim stands for."""
    return Message(
        id=work.message.message_id,
        text=text_of(work.message),
        kind=work.message.kind,
        context=tuple(text_of(row) for row in work.context),
        raw=work.message.content,
        routing=work.message.routing,
        isolated=work.message.stands_alone,
    )


def text_of(row: InboundRow) -> str:
    """Return what a row says, in the words a person or a schedule wrote."""
    try:
        content: object = json.loads(row.content)
    except (ValueError, RecursionError):
        return row.content
    if not isinstance(content, dict):
        return row.content
    fields = cast("dict[str, object]", content)
    names = ("prompt", "text") if row.kind == "task" else ("text", "prompt")
    return next((text for name in names if isinstance(text := fields.get(name), str)), row.content)
