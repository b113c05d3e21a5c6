"""What stands in a webhook's request, the same at every try, and what does its answer say?"""

import base64
import hashlib
import json
import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, TypeAlias, cast

from turnkeel_adapters.channels.attachments import read_attachment
from turnkeel_adapters.channels.records import Attachment, Dispatch, Part
from turnkeel_adapters.channels.webhook_call import Answer

JsonObject: TypeAlias = dict[str, object]

_HEADER_SAFE: Final = re.compile(r"[!-~]{1,255}")
_SECONDS: Final = re.compile(r"[0-9]{1,9}")
_LONGEST_WAIT_MS: Final = 86_400_000
_ID_CHARS: Final = 512
_TOLD_CHARS: Final = 200


def request_body(dispatch: Dispatch, part: Part) -> bytes:
    """The JSON of one part, the same bytes at every try. AttachmentChanged, AttachmentGone, AttachmentUnreadable."""
    attachments = dispatch.attachments if part.index == 0 else ()
    body = {
        "row_id": dispatch.row_id,
        "turn_id": dispatch.turn_id,
        "kind": dispatch.kind,
        "chat": dispatch.chat,
        "account": dispatch.account,
        "thread": dispatch.thread,
        "in_reply_to": dispatch.in_reply_to,
        "text": part.text,
        "part": part.index,
        "parts": part.count,
        "attachments": [_attached(one) for one in attachments],
    }
    # Pure ASCII: a text may hold half a character, which no encoding takes.
    return json.dumps(body, ensure_ascii=True, separators=(",", ":")).encode("ascii")


def wire_key(key: str) -> str:
    """The key as a header can carry it: itself, or a digest of what no header carries."""
    if _HEADER_SAFE.fullmatch(key):
        return key
    return f"sha256-{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"


def retry_after_ms(header: str | None, now_ms: int) -> int | None:
    """The wait that `Retry-After` names, in seconds or as a date; at most a day, None if it names none."""
    if header is None:
        return None
    if _SECONDS.fullmatch(header.strip()):
        return min(int(header) * 1000, _LONGEST_WAIT_MS)
    try:
        at = parsedate_to_datetime(header)
        at_ms = int((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
    return max(0, min(at_ms - now_ms, _LONGEST_WAIT_MS))


def _attached(attachment: Attachment) -> JsonObject:
    content = base64.b64encode(read_attachment(attachment)).decode("ascii")
    return {
        "name": attachment.name,
        "size": attachment.size,
        "sha256": attachment.sha256,
        "content_base64": content,
    }


def request_headers(token: str | None, key: str) -> dict[str, str]:
    """The headers of both calls; the token is in no other place."""
    # Without an encoding a small answer cannot become a large one.
    headers = {
        "User-Agent": "turnkeel",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Idempotency-Key": wire_key(key),
    }
    return headers if token is None else {**headers, "Authorization": f"Bearer {token}"}


def _object(answer: Answer) -> JsonObject:
    try:
        document: object = json.loads(answer.body or b"")
    except (ValueError, RecursionError):
        return {}
    return cast(JsonObject, document) if isinstance(document, dict) else {}


def says_sent(answer: Answer) -> bool:
    """Whether the server says that it has sent the message of this key."""
    return _object(answer).get("state") == "sent"


def platform_id(answer: Answer) -> str | None:
    """The server's name for the message, if it gives one that can be shown."""
    value = _object(answer).get("id")
    text = str(value) if type(value) is int else value
    good = isinstance(text, str) and 0 < len(text) <= _ID_CHARS and text.isprintable()
    return text if good and isinstance(text, str) else None


def told_by(answer: Answer, token: str | None) -> str:
    """The status and what the server says about it; a server that repeats the token is not repeated."""
    text = (answer.body or b"").decode("utf-8", "replace")
    text = text if token is None else text.replace(token, "…")
    words = " ".join("".join(char if char.isprintable() else " " for char in text).split())[:_TOLD_CHARS]
    return f"HTTP {answer.status}: {words}" if words else f"HTTP {answer.status}"
