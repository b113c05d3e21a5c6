"""How does a channel behave that fails, times out and loses acknowledgements exactly as it is told to?"""

from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import TypeAlias

from attrs import frozen

from turnkeel_adapters.channels.records import AskOutcome, Capabilities, DeliverOutcome, Dispatch, Part
from turnkeel_core import Cancelled, LocalFault, NotSent, Permanent, RateLimited, Receipt, Sent, Transient, Uncertain


@frozen
class Work:
    """The next send goes well."""


@frozen
class LoseAcknowledgement:
    """The next send is shown, and its sender never learns of it."""

    error: str = "no answer in time"


@frozen
class LoseCall:
    """The next send is lost on its way, and its sender never learns of it."""

    error: str = "no answer in time"


Step: TypeAlias = (
    Work | LoseAcknowledgement | LoseCall | Permanent | Transient | RateLimited | Uncertain | LocalFault | Cancelled
)
"""What happens at one call; an outcome is given back as it is, and nothing is shown."""


@frozen(kw_only=True)
class Shown:
    """What a person sees in the chat: one part of a row."""

    dispatch: Dispatch
    part: Part
    idempotency_key: str
    platform_id: str


class MemoryChannel:
    """A chat in memory, for tests and for hosts that link the library. Any thread may call it."""

    def __init__(self, now_ms: Callable[[], int], capabilities: Capabilities = Capabilities()) -> None:
        self._now_ms = now_ms
        self._capabilities = capabilities
        self._lock = Lock()
        self._steps: deque[Step] = deque()
        self._calls: list[str] = []
        self._shown: list[Shown] = []

    @property
    def capabilities(self) -> Capabilities:
        """As given."""
        return self._capabilities

    @property
    def shown(self) -> tuple[Shown, ...]:
        """What the chat shows, in order."""
        with self._lock:
            return tuple(self._shown)

    @property
    def calls(self) -> tuple[str, ...]:
        """The key of every call to `deliver`, in order."""
        with self._lock:
            return tuple(self._calls)

    def script(self, *steps: Step) -> None:
        """What the next calls to `deliver` come to, after what was scripted before; then all goes well."""
        with self._lock:
            self._steps.extend(steps)

    def deliver(self, dispatch: Dispatch, part: Part, idempotency_key: str) -> DeliverOutcome:
        """As scripted. A keyed channel shows a key once, and refuses it for another part or text."""
        with self._lock:
            self._calls.append(idempotency_key)
            step = self._steps.popleft() if self._steps else Work()
            match step:
                case LoseCall(error):
                    return Uncertain(error)
                case Work():
                    return self._take(dispatch, part, idempotency_key)
                case LoseAcknowledgement(error):
                    taken = self._take(dispatch, part, idempotency_key)
                    return Uncertain(error) if isinstance(taken, Sent) else taken
                case Permanent() | Transient() | RateLimited() | Uncertain() | LocalFault() | Cancelled():
                    return step

    def ask(self, part: Part, idempotency_key: str) -> AskOutcome:
        """What the chat shows under this key; only a queryable channel tells."""
        if not self._capabilities.queryable:
            return Uncertain("this channel cannot be asked")
        with self._lock:
            known = self._find(idempotency_key)
        return NotSent() if known is None else self._sent(part, known)

    def _take(self, dispatch: Dispatch, part: Part, key: str) -> Sent | Permanent:
        known = self._find(key) if self._capabilities.idempotent else None
        if known is not None:
            same = (known.dispatch, known.part) == (dispatch, part)
            return self._sent(part, known) if same else Permanent("the key was used for another message")
        new = Shown(dispatch=dispatch, part=part, idempotency_key=key, platform_id=f"m{len(self._shown) + 1}")
        self._shown.append(new)
        return self._sent(part, new)

    def _find(self, key: str) -> Shown | None:
        return next((one for one in self._shown if one.idempotency_key == key), None)

    def _sent(self, part: Part, shown: Shown) -> Sent:
        return Sent((Receipt(part.index, shown.platform_id, self._now_ms()),))
