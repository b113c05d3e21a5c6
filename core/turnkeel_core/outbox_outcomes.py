"""What can become of a send?

Every outcome may bring receipts for the parts that were proven before it ended.
"""

from typing import TypeAlias

from attrs import frozen

from turnkeel_core.outbox_records import Receipt


@frozen
class Sent:
    """The channel took every part; a receipt for each."""

    receipts: tuple[Receipt, ...]
    error: str = ""


@frozen
class Permanent:
    """The same send can never succeed."""

    error: str
    receipts: tuple[Receipt, ...] = ()


@frozen
class Transient:
    """Proven not to have arrived, and worth another try."""

    error: str
    receipts: tuple[Receipt, ...] = ()


@frozen
class RateLimited:
    """The channel refused for now and named a wait."""

    error: str
    retry_after_ms: int
    receipts: tuple[Receipt, ...] = ()


@frozen
class Uncertain:
    """Nobody knows whether it arrived: no answer in time, or the channel, asked, could not tell."""

    error: str
    receipts: tuple[Receipt, ...] = ()


@frozen
class NotSent:
    """The channel, asked, knows nothing of the send."""

    error: str = "the channel knows nothing of it"
    receipts: tuple[Receipt, ...] = ()


@frozen
class LocalFault:
    """No call was made: the channel is not set up here, or the host is stopping."""

    error: str
    receipts: tuple[Receipt, ...] = ()


@frozen
class Cancelled:
    """No call was made and none shall be: a hook took the message back."""

    error: str
    receipts: tuple[Receipt, ...] = ()


@frozen
class Unclassified:
    """The channel has no error classes: the text must do."""

    error: str
    receipts: tuple[Receipt, ...] = ()


@frozen
class Dropped:
    """A person gives the row up."""

    error: str
    receipts: tuple[Receipt, ...] = ()


SendOutcome: TypeAlias = (
    Sent | Permanent | Transient | RateLimited | Uncertain | NotSent | LocalFault | Cancelled | Unclassified | Dropped
)
