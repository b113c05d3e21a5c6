"""How does a host with one `messages` table (NanoClaw v1) learn which messages were handed on and never answered?

Detection alone: see `turnkeel_adapters.v1_recovery` for what hands them on again, which nothing here imports.
"""

from turnkeel_adapters.v1_messages.connect import V1Fault, reading_v1
from turnkeel_adapters.v1_messages.dispatch import dispatch
from turnkeel_adapters.v1_messages.migrate import add_marker
from turnkeel_adapters.v1_messages.records import Polled, V1Message, V1Scan
from turnkeel_adapters.v1_messages.scan import read_dispatched
from turnkeel_adapters.v1_messages.store import UnknownMessage, V1Messages

__all__ = [
    "Polled",
    "UnknownMessage",
    "V1Fault",
    "V1Message",
    "V1Messages",
    "V1Scan",
    "add_marker",
    "dispatch",
    "read_dispatched",
    "reading_v1",
]
