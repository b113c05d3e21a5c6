"""What must hold the two databases of a session?"""

from contextlib import AbstractContextManager
from typing import Protocol

import apsw


class SessionFiles(Protocol):
    """Where the two databases of a session are: each call is one short transaction, opened, worked and closed.

    Faults are raised as SessionFault, save one: a missing outbound.db is None when it is read.
    """

    def read_inbound(self) -> AbstractContextManager[apsw.Connection]:
        """Hold a read transaction on inbound.db."""
        ...

    def read_outbound(self) -> AbstractContextManager[apsw.Connection | None]:
        """Hold a read transaction on outbound.db, or None."""
        ...

    def write_inbound(self) -> AbstractContextManager[apsw.Connection]:
        """Hold a write transaction on inbound.db."""
        ...

    def write_outbound(self) -> AbstractContextManager[apsw.Connection]:
        """Hold a write transaction on outbound.db."""
        ...
