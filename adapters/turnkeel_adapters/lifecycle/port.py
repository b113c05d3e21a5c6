"""How does a host reach its store of turns and outbox rows, whichever it is?"""

from contextlib import AbstractContextManager
from typing import Protocol

from turnkeel_adapters.lifecycle.work import LifecycleWork


class LifecycleStore(Protocol):
    """One store. The snapshot, its decision and the decision's actions belong into one `transaction`.

    The transaction is exclusive among writers; it is durable once the block has been left without an error, and leaves
    nothing behind otherwise. A store that cannot be read or written raises AdapterError: nothing was acknowledged.
    """

    def transaction(self) -> AbstractContextManager[LifecycleWork]: ...
    def reading(self) -> AbstractContextManager[LifecycleWork]: ...
