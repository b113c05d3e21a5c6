"""How do replies reach people, and what became of each send?

`webhook` needs the extra `web` and is imported by its own name.
"""

from turnkeel_adapters.channels.attachments import (
    AttachmentChanged,
    AttachmentGone,
    AttachmentUnreadable,
    describe_attachments,
    read_attachment,
    remove_attachments,
)
from turnkeel_adapters.channels.local import LOCAL, LocalChannel
from turnkeel_adapters.channels.memory import LoseAcknowledgement, LoseCall, MemoryChannel, Shown, Step, Work
from turnkeel_adapters.channels.opening import ExtraMissing, open_channels
from turnkeel_adapters.channels.parts import each_part, part_key, split_text
from turnkeel_adapters.channels.records import (
    AskOutcome,
    Attachment,
    Capabilities,
    Channel,
    DeliverOutcome,
    Dispatch,
    Part,
    SizeUnit,
    TextLimit,
)
from turnkeel_adapters.channels.secret_file import SecretUnusable
from turnkeel_adapters.channels.terminal import TerminalChannel

__all__ = [
    "LOCAL",
    "AskOutcome",
    "Attachment",
    "AttachmentChanged",
    "AttachmentGone",
    "AttachmentUnreadable",
    "Capabilities",
    "Channel",
    "DeliverOutcome",
    "Dispatch",
    "ExtraMissing",
    "LocalChannel",
    "LoseAcknowledgement",
    "LoseCall",
    "MemoryChannel",
    "Part",
    "SecretUnusable",
    "Shown",
    "SizeUnit",
    "Step",
    "TerminalChannel",
    "TextLimit",
    "Work",
    "describe_attachments",
    "each_part",
    "open_channels",
    "part_key",
    "read_attachment",
    "remove_attachments",
    "split_text",
]
