"""What is to be sent of a row, in which parts?"""

from pathlib import PurePosixPath

from attrs import frozen

from turnkeel.delivery.mirror import is_plain_name
from turnkeel.delivery.ports import DeliveryPorts
from turnkeel_adapters.channels import Attachment, Dispatch, Part
from turnkeel_adapters.lifecycle.payloads import Outgoing
from turnkeel_adapters.wire import WireFault, loads
from turnkeel_core import OutboxRow

INVALID = "invalid payload"


class BadPayload(ValueError):
    """The row's payload says nothing that could be sent; the text says why."""


@frozen(kw_only=True)
class Parcel:
    """A row as its channel gets it: the same at every try."""

    dispatch: Dispatch
    parts: tuple[Part, ...]


def parcel_of(row: OutboxRow, payload: str | None, ports: DeliveryPorts) -> Parcel:
    """Read the payload. BadPayload; SessionFault if the place of its files cannot be used."""
    try:
        said = loads("" if payload is None else payload, Outgoing)
    except WireFault as error:
        raise BadPayload(f"{INVALID}: {error}") from error
    if len(said.parts) != row.parts:
        raise BadPayload(f"{INVALID}: {len(said.parts)} parts, not {row.parts}")
    dispatch = Dispatch(
        row_id=row.row_id,
        chat=said.chat,
        kind=row.kind,
        account=said.account,
        thread=said.thread,
        turn_id=row.turn_id,
        in_reply_to=said.in_reply_to,
        attachments=_attachments(row, said, ports),
    )
    parts = tuple(Part(index=index, count=row.parts, text=text) for index, text in enumerate(said.parts))
    return Parcel(dispatch=dispatch, parts=parts)


def _attachments(row: OutboxRow, said: Outgoing, ports: DeliveryPorts) -> tuple[Attachment, ...]:
    if not said.files:
        return ()
    # Only the session's own outbox is ever read, whatever the payload says.
    name = PurePosixPath(said.folder or "").name
    if not row.session or not is_plain_name(name):
        raise BadPayload(f"{INVALID}: its files have no place")
    folder = ports.sessions.folder(row.session) / "outbox" / name
    return tuple(Attachment(name=one.name, size=one.size, sha256=one.sha256, folder=folder) for one in said.files)
