"""What did the agent itself say of a failure?"""

import json
from typing import cast

from attrs import frozen


@frozen(kw_only=True)
class AgentWord:
    """The reason and the detail that an agent noted; None where it said nothing that can be read."""

    reason: str | None = None
    detail: str | None = None


def read_error_note(text: str | None) -> AgentWord:
    """Read the JSON text of `turnkeel:error:<message_id>`; a text that is no such note is the detail itself."""
    try:
        note: object = json.loads(text or "null")
    except ValueError:
        return AgentWord(detail=text)
    if not isinstance(note, dict):
        return AgentWord()
    fields = cast("dict[str, object]", note)
    reason, detail = fields.get("reason"), fields.get("detail")
    return AgentWord(
        reason=reason if isinstance(reason, str) and reason else None,
        detail=detail if isinstance(detail, str) and detail else None,
    )
