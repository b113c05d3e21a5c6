"""What does a host tell a channel, and what has a channel declared that it can do?"""

from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from attrs import field, frozen
from attrs.validators import ge, in_, instance_of, optional

from turnkeel_core import (
    Cancelled,
    ChannelFacts,
    LocalFault,
    NotSent,
    Permanent,
    RateLimited,
    Sent,
    Transient,
    Uncertain,
)

SizeUnit: TypeAlias = Literal["characters", "utf16", "utf8"]


@frozen(kw_only=True)
class TextLimit:
    """The most that one part may hold: `size` code points, UTF-16 units or UTF-8 bytes."""

    # Every character fits with what belongs to it; no channel takes less.
    size: int = field(validator=(instance_of(int), ge(16)))
    unit: SizeUnit = field(default="characters", validator=in_(("characters", "utf16", "utf8")))


@frozen(kw_only=True)
class Capabilities:
    """`idempotent`: shows a send once per key; `queryable`: can be asked about a key.

    `text_limit` None: one part, however long. `pace_ms` is the least time between the starts of two sends.
    """

    idempotent: bool = False
    queryable: bool = False
    text_limit: TextLimit | None = field(default=None, validator=optional(instance_of(TextLimit)))
    pace_ms: int = field(default=0, validator=(instance_of(int), ge(0)))

    def facts(
        self, channel: str, *, resume_at_ms: int | None = None, last_backlog_at_ms: int | None = None
    ) -> ChannelFacts:
        """What `plan_deliveries` needs to know of the channel of that name, and how it stands."""
        return ChannelFacts(
            channel=channel,
            idempotent=self.idempotent,
            queryable=self.queryable,
            resume_at_ms=resume_at_ms,
            last_backlog_at_ms=last_backlog_at_ms,
        )


@frozen(kw_only=True)
class Attachment:
    """A file of a reply, as it was when the reply was taken; read it with `read_attachment` alone.

    `folder` is the folder of that reply's files, `sha256` the digest in small hexadecimal digits.
    """

    name: str
    size: int
    sha256: str
    folder: Path


@frozen(kw_only=True)
class Dispatch:
    """One outbox row as a channel sees it: where it goes and what it answers. Attachments travel with its part 0."""

    row_id: str
    chat: str
    kind: Literal["tool", "block", "final"] = "final"
    account: str = ""
    thread: str | None = None
    turn_id: str | None = None
    in_reply_to: str | None = None
    attachments: tuple[Attachment, ...] = ()


@frozen(kw_only=True)
class Part:
    """Part `index` (from 0) of the `count` parts of a row's text."""

    index: int
    count: int
    text: str


DeliverOutcome: TypeAlias = Sent | Permanent | Transient | RateLimited | Uncertain | LocalFault | Cancelled
"""What a send can come to; `Sent` brings the one receipt of the part."""

AskOutcome: TypeAlias = Sent | NotSent | Uncertain | LocalFault
"""What a channel can say about an earlier send."""


class Channel(Protocol):
    """Where replies go. Neither call raises for trouble that a channel can expect; both may block."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do; the same for as long as it lives."""
        ...

    def deliver(self, dispatch: Dispatch, part: Part, idempotency_key: str) -> DeliverOutcome:
        """Send one part, once. The same part of the same row always comes with the same key and the same bytes."""
        ...

    def ask(self, part: Part, idempotency_key: str) -> AskOutcome:
        """What became of an earlier `deliver` with this key; `Uncertain` if the channel cannot tell."""
        ...
