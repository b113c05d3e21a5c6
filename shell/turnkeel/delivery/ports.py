"""What does the delivery of replies need from outside? Small protocols; adapters fit them by shape."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from attrs import frozen

from turnkeel.events import HostEvent
from turnkeel.host.ports import Clock, Executor
from turnkeel_adapters.channels import Channel
from turnkeel_adapters.lifecycle.payloads import as_it_is
from turnkeel_adapters.lifecycle.port import LifecycleStore
from turnkeel_adapters.sessions.records import InboundChanges, NewMessage, OutboundMessage
from turnkeel_adapters.sessions.routing import SessionRouting
from turnkeel_adapters.sessions.taking import StoredMessage, Written
from turnkeel_core import DeliveryPolicy, SenderPolicy, SettlePolicy


class SessionMail(Protocol):
    """What delivery does with one session's files; all raise SessionFault."""

    def insert(self, message: NewMessage, now_ms: int) -> int: ...
    def stored(self, message_id: str) -> StoredMessage | None: ...
    def error_note(self, message_id: str) -> str | None: ...
    def written_after(self, rowid: int, limit: int) -> Written: ...
    def carry_out(self, message_out_id: str, content: str, answer_id: str, now_ms: int) -> str | None: ...
    def refusal(self, reply: OutboundMessage) -> str | None: ...
    def routing(self) -> SessionRouting | None: ...
    def write_inbound(self, changes: InboundChanges) -> None: ...
    def mark_sent(self, message_out_id: str, platform_message_id: str | None, now_ms: int) -> None: ...
    def mark_delivery_failed(self, message_out_id: str, now_ms: int) -> None: ...


class Mailboxes(Protocol):
    """The sessions of a data directory; `create` makes one that is new and leaves one that is there."""

    def mail(self, session: str) -> SessionMail: ...
    def folder(self, session: str) -> Path: ...
    def exists(self, session: str) -> bool: ...
    def create(self, session: str) -> None: ...


@frozen(kw_only=True)
class DeliveryPorts:
    """Everything outside that delivery uses.

    `owner` names this process in leases; `alone`: it holds the data directory's lock, so every other owner is dead.
    `calls` runs the channels' calls, in threads of their own, so that a slow channel takes none of the `executor`'s.
    `redact` takes the secrets out of error texts before they are stored, `redact_reply` those out of a reply for the
    channel of that name, before it is stored: every try sends what was stored. `senders` says who may start an agent
    now.
    """

    clock: Clock
    executor: Executor
    calls: Executor
    lifecycle: LifecycleStore
    sessions: Mailboxes
    channels: Mapping[str, Channel]
    owner: str
    alone: bool
    new_id: Callable[[str], str]
    report: Callable[[HostEvent], None]
    redact: Callable[[str], str] = str
    redact_reply: Callable[[str, str], str] = as_it_is
    senders: Callable[[], SenderPolicy] = SenderPolicy


@frozen(kw_only=True)
class DeliveryPolicies:
    """All limits of delivery."""

    settle: SettlePolicy = SettlePolicy()
    delivery: DeliveryPolicy = DeliveryPolicy()
