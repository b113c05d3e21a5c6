"""Which answers were given without the conversation they belong to?"""

from collections.abc import Iterable
from typing import Final

from turnkeel.delivery.ports import SessionMail
from turnkeel.events import ContextLost
from turnkeel_adapters.sessions.error_notes import read_error_note

LOSSES: Final = frozenset(("context_lost", "anchor_lost"))
"""What the kit and `agent exec` note with a message when a handle was dead."""


def losses_of(mail: SessionMail, session: str, message_ids: Iterable[str]) -> tuple[ContextLost, ...]:
    """Those among messages whose container has said its last word. SessionFault."""
    words = ((message_id, read_error_note(mail.error_note(message_id))) for message_id in message_ids)
    return tuple(ContextLost(session, key, word.detail or "") for key, word in words if word.reason in LOSSES)
