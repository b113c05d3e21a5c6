"""What text is kept with a turn and with an outbox row, so that every try says the same?"""

from attrs import frozen

from turnkeel_adapters.sessions.records import NewMessage


def as_it_is(channel: str, text: str) -> str:
    """The text of a reply for a channel, with nothing hidden."""
    return text


@frozen(kw_only=True)
class Incoming:
    """The payload of a turn: the whole message as its inbound row will hold it, media and quoted text included.

    `channel`, `account`, `chat` and `thread` say where the answer goes; `chat` "" means that nobody waits elsewhere.
    `sender` is who wrote it, None if its channel does not say; `from_me`: the owner did; `bot`: an agent did.
    """

    message: NewMessage
    channel: str
    account: str = ""
    chat: str = ""
    thread: str | None = None
    sender: str | None = None
    from_me: bool = False
    bot: bool = False


@frozen(kw_only=True)
class AttachedFile:
    """A file beside a reply, as it was when the reply was taken: another size or digest later is another file."""

    name: str
    size: int
    sha256: str


@frozen(kw_only=True)
class Outgoing:
    """The payload of an outbox row: its parts as they were cut, and the files of `folder`.

    `folder` is relative to the folder of the row's session; None without files. `in_reply_to` is the message that is
    answered.
    """

    parts: tuple[str, ...]
    chat: str = ""
    account: str = ""
    thread: str | None = None
    in_reply_to: str | None = None
    folder: str | None = None
    files: tuple[AttachedFile, ...] = ()
