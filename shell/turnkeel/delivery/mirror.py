"""What do a session's own files say of a reply that has ended?"""

from turnkeel.delivery.ports import DeliveryPorts, Mailboxes
from turnkeel_adapters.channels.attachments import remove_attachments
from turnkeel_core import OutboxRow, Receipt
from turnkeel_core.turn_identity import encode_parts


def reply_id_of(row: OutboxRow) -> str | None:
    """The container's own id of the reply that became this row; None for a row that no container wrote."""
    begin = encode_parts(row.session)
    if not row.session or row.source is None or not row.source.startswith(begin):
        return None
    length, colon, reply_id = row.source.removeprefix(begin).partition(":")
    return reply_id if colon and length == str(len(reply_id)) else None


def is_plain_name(text: str) -> bool:
    """Whether the text names one entry of a folder; a container may call its replies what it likes."""
    return text not in ("", ".", "..") and "/" not in text and "\0" not in text


def mirror(ports: DeliveryPorts, row: OutboxRow, receipts: tuple[Receipt, ...], now_ms: int) -> None:
    """Mark the reply in the table `delivered`; after a delivery its files go. Nothing for an open row.

    Every step may be repeated, and what a crash left undone is done by the next call. SessionFault.
    """
    mirror_in(ports.sessions, row, receipts, now_ms)


def mirror_in(sessions: Mailboxes, row: OutboxRow, receipts: tuple[Receipt, ...], now_ms: int) -> None:
    """The same for whoever has no more than the sessions."""
    reply_id = reply_id_of(row)
    if reply_id is None:
        return
    if row.status == "delivered":
        first = next((one.platform_id for one in receipts if one.platform_id is not None), None)
        if is_plain_name(reply_id):
            remove_attachments(sessions.folder(row.session) / "outbox" / reply_id)
        # Last: whoever finds the mark does none of this again.
        sessions.mail(row.session).mark_sent(reply_id, first, now_ms)
    elif row.status in ("failed_terminal", "expired"):
        sessions.mail(row.session).mark_delivery_failed(reply_id, now_ms)
