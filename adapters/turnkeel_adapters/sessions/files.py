"""What must hold the two databases of a session?"""

from collections.abc import Collection
from contextlib import AbstractContextManager
from typing import Protocol

import apsw

from turnkeel_adapters.sessions.output_checks import Attachments


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

    def attachments(self, message_out_ids: Collection[str]) -> dict[str, Attachments]:
        """Look at the files that lie beside these replies."""
        ...
