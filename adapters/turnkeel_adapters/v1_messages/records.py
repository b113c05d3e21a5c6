"""What does a `messages` table of NanoClaw v1 give and take? (spec/tars-and-b01.md §1.1)"""

from attrs import frozen

from turnkeel_core import Dispatched


@frozen(kw_only=True)
class V1Message:
    """One message. `timestamp` is any ISO text with an instant; it is stored as `YYYY-MM-DDTHH:MM:SS.mmmZ`.

    `more` are values of further columns that the host's own table has, by name.
    """

    message_id: str
    chat: str
    sender: str
    content: str
    timestamp: str
    sender_name: str = ""
    from_me: bool = False
    bot: bool = False
    more: tuple[tuple[str, str | None], ...] = ()


@frozen(kw_only=True)
class Polled:
    """New messages, the oldest first, and the cursor for the next poll."""

    messages: tuple[V1Message, ...]
    cursor: str


@frozen(kw_only=True)
class V1Scan:
    """Every message with a marker. `migrated` False: the table has no such column yet, so nothing was ever marked."""

    dispatched: tuple[Dispatched, ...] = ()
    migrated: bool = True
