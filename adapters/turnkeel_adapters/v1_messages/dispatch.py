"""How is a batch handed to an agent so that it cannot be lost without a trace?"""

from collections.abc import Callable
from typing import Protocol, TypeVar

from turnkeel_core import DispatchSnapshot, MarkDispatched, MessageKey, plan_dispatch_mark

T = TypeVar("T")


class Marking(Protocol):
    """What can mark a batch; `V1Messages` does."""

    def mark_dispatched(self, mark: MarkDispatched) -> int: ...


def dispatch(messages: Marking, batch: tuple[MessageKey, ...], now_ms: int, hand_on: Callable[[], T]) -> T:
    """Mark the whole batch, then at once hand it on, and give back what that gave.

    If marking fails nothing is handed on. If handing on fails the markers stay: the batch has left the polling path,
    and that is what they say. Whatever was raised goes through.
    """
    messages.mark_dispatched(plan_dispatch_mark(DispatchSnapshot(now_ms=now_ms, batch=batch)))
    return hand_on()
