"""How does a host reach its store of turns and outbox rows, whichever it is?"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from turnkeel_adapters.lifecycle.work import LifecycleWork

T = TypeVar("T")


class LifecycleStore(Protocol):
    """One store. The snapshot, its decision and the decision's actions belong into one `transaction`.

    The transaction is exclusive among writers; it is durable once the block has been left without an error, and leaves
    nothing behind otherwise. A store that cannot be read or written raises AdapterError: nothing was acknowledged.
    """

    def transaction(self) -> AbstractContextManager[LifecycleWork]: ...
    def run(self, step: Callable[[LifecycleWork], T]) -> T:
        """One transaction as a call, which another thread that waits may make: no lock is held that `step` needs."""
        ...

    def run_each(self, steps: Iterable[Callable[[LifecycleWork], T]]) -> tuple[T | Exception, ...]:
        """Several such calls, each for itself: its result, or its error and nothing of it stored.

        Inside a transaction they are all part of it, and an error is raised.
        """
        ...

    def reading(self) -> AbstractContextManager[LifecycleWork]: ...
