"""What does the ingress need from outside? Small protocols; adapters fit them by shape."""

from collections.abc import Callable
from typing import Protocol

from attrs import frozen

from turnkeel.delivery.intake import Answer
from turnkeel.events import HostEvent
from turnkeel.host.ports import Executor
from turnkeel_adapters.lifecycle.payloads import Incoming
from turnkeel_adapters.lifecycle.port import LifecycleStore
from turnkeel_core import MessageIdentity
from turnkeel_core.lifecycle_states import Replay


class Accept(Protocol):
    """Stores a message; what it answers is durable. Raises AdapterError if nothing could be stored. `Intake.accept`."""

    def __call__(self, session: str, incoming: Incoming, identity: MessageIdentity, /, *, replay: Replay) -> Answer: ...


@frozen(kw_only=True)
class IngressPorts:
    """Everything outside that the ingress uses. `channels` are the names that a reply can go to.

    `executor` runs `accept` in as many threads as it has: those that wait together are stored together.
    """

    accept: Accept
    store: LifecycleStore
    executor: Executor
    channels: frozenset[str]
    now_ms: Callable[[], int]
    report: Callable[[HostEvent], None]
