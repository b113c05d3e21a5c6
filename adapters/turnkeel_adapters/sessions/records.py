"""What does the session store give and take?"""

from typing import Literal, TypeAlias

from attrs import frozen

from turnkeel_core.facts import Ack, Claim, DeclaredTool, OpenMessage, Waiting

Direction: TypeAlias = Literal["in", "out"]


@frozen(kw_only=True)
class RowFault:
    """A value of one row that could not be used; the rest stands. `message_id` None: it belongs to no message."""

    message_id: str | None
    table: str
    column: str
    detail: str


@frozen(kw_only=True)
class RecurringRow:
    """A row with a cron text whose occurrence has ended: the next one is still to be made."""

    message_id: str
    cron: str
    kind: str


@frozen(kw_only=True)
class OutboundMark:
    """How far a container's output had come: the highest rowids of its replies and of its terminal acks."""

    replies: int
    acks: int


@frozen(kw_only=True)
class SessionReading:
    """Everything a pass asks of one session's files, read at one instant (DESIGN §4).

    `progressed` is None when no mark was given. `outbound_missing` leaves all the container's facts empty.
    """

    messages: tuple[OpenMessage, ...] = ()
    acks: tuple[Ack, ...] = ()
    claims: tuple[Claim, ...] = ()
    recurring: tuple[RecurringRow, ...] = ()
    tool: DeclaredTool | None = None
    waiting: Waiting | None = None
    progress_at_ms: int | None = None
    mark: OutboundMark = OutboundMark(replies=0, acks=0)
    progressed: bool | None = None
    outbound_missing: bool = False
    row_faults: tuple[RowFault, ...] = ()


@frozen(kw_only=True)
class NewMessage:
    """An inbound message to store. `due_at_ms` None: at once; `on_wake`: only for a container's first poll."""

    message_id: str
    content: str
    kind: str = "chat"
    sent_at_ms: int | None = None
    due_at_ms: int | None = None
    recurrence: str | None = None
    triggers: bool = True
    on_wake: bool = False
    platform_id: str | None = None
    channel_type: str | None = None
    thread_id: str | None = None
    source_session_id: str | None = None


@frozen(kw_only=True)
class RowCharge:
    """Set a pending row's `tries` to at least `tries`; with `retry_at_ms` also its due time."""

    message_id: str
    tries: int
    retry_at_ms: int | None = None


@frozen(kw_only=True)
class RowDelay:
    """Set a pending row's due time and charge nothing."""

    message_id: str
    retry_at_ms: int


@frozen(kw_only=True)
class InboundChanges:
    """What one pass changes in inbound.db, all or nothing; repeating it changes nothing more.

    `settled` become completed whatever their status was (the contract), `failed` only if they are still pending.
    """

    settled: tuple[str, ...] = ()
    charges: tuple[RowCharge, ...] = ()
    delays: tuple[RowDelay, ...] = ()
    failed: tuple[str, ...] = ()


@frozen(kw_only=True)
class OutboundMessage:
    """A reply that is due. `fault` reports a `deliver_after` nobody can read, which counts as due at once."""

    message_id: str
    kind: str
    content: str
    in_reply_to: str | None = None
    platform_id: str | None = None
    channel_type: str | None = None
    thread_id: str | None = None
    fault: RowFault | None = None


@frozen(kw_only=True)
class HistoryLine:
    """One line of a conversation.

    Inbound: `status` is the row's, `claim` the container's ack, if any. Outbound: `status` is `delivered`, `failed`
    or `waiting`, and `refusal` says why it may never be sent. `at_ms` is None where the stamp cannot be read.
    """

    direction: Direction
    message_id: str
    seq: int | None
    at_ms: int | None
    kind: str
    status: str
    text: str
    claim: str | None = None
    tries: int | None = None
    in_reply_to: str | None = None
    refusal: str | None = None


@frozen(kw_only=True)
class FileStamp:
    """What one stat says of a file: it differs whenever the file was written."""

    inode: int
    size: int
    mtime_ns: int


@frozen(kw_only=True)
class FolderSignature:
    """What three stats say of a session folder; None where the file is missing."""

    inbound: FileStamp | None
    outbound: FileStamp | None
    heartbeat_at_ms: int | None

    @property
    def written_at_ms(self) -> int:
        """When the newer of the two files was written; 0 without files."""
        stamps = (self.inbound, self.outbound)
        return max((stamp.mtime_ns // 1_000_000 for stamp in stamps if stamp is not None), default=0)
