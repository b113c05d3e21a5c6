"""How does a reply become an HTTP request, and what does the answer say about it?

The server gets the same bytes under the same `Idempotency-Key` at every try. Any 2xx means that it took the message,
and may name it: `{"id": "m-1"}`. 409 for a key that it has already: `{"state": "sent", "id": "m-1"}`; so it answers
at `ask_url`, too, with 404 for a key that it never saw. 429 and 503 may say `Retry-After`.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, TypeAlias, cast
from urllib.parse import quote

from turnkeel_adapters.channels.attachments import (
    AttachmentChanged,
    AttachmentGone,
    AttachmentUnreadable,
    read_attachment,
)
from turnkeel_adapters.channels.records import AskOutcome, Attachment, Capabilities, DeliverOutcome, Dispatch, Part
from turnkeel_adapters.channels.secret_file import SecretUnusable, read_token
from turnkeel_adapters.channels.settings import KEY, WebhookSettings
from turnkeel_adapters.channels.webhook_call import Answer, Call, NoAnswer, make_call, tls_context
from turnkeel_core import LocalFault, NotSent, Permanent, RateLimited, Receipt, Sent, Transient, Uncertain

JsonObject: TypeAlias = dict[str, object]

_HEADER_SAFE: Final = re.compile(r"[!-~]{1,255}")
_SECONDS: Final = re.compile(r"[0-9]{1,9}")
_LONGEST_WAIT_MS: Final = 86_400_000
_ID_CHARS: Final = 512
_TOLD_CHARS: Final = 200


class WebhookChannel:
    """Posts each part to one URL. Any thread without a running event loop may call it.

    The token is read at each call: one that is missing or changed is mended without a restart.
    """

    def __init__(self, settings: WebhookSettings, environ: Mapping[str, str], now_ms: Callable[[], int]) -> None:
        self._settings = settings
        self._environ = environ
        self._now_ms = now_ms
        self._tls = tls_context()

    @property
    def capabilities(self) -> Capabilities:
        """As configured."""
        return self._settings.capabilities

    def deliver(self, dispatch: Dispatch, part: Part, idempotency_key: str) -> DeliverOutcome:
        """Post one part; a failure is `Transient` only if the server cannot have taken it."""
        try:
            token = self._token()
            content = request_body(dispatch, part)
        except SecretUnusable as fault:
            return LocalFault(str(fault))
        except (AttachmentChanged, AttachmentGone) as fault:
            return Permanent(str(fault))
        except AttachmentUnreadable as fault:
            return Transient(str(fault))
        headers = {**_headers(token, idempotency_key), "Content-Type": "application/json"}
        call = self._call("POST", self._settings.url, headers, content)
        match make_call(call, self._tls):
            case NoAnswer(error=error, begun=begun):
                return Uncertain(error) if begun else Transient(error)
            case Answer() as answer:
                return self._delivered(answer, part, _told(answer, token))

    def ask(self, part: Part, idempotency_key: str) -> AskOutcome:
        """Ask the server about the key: 200 with `{"state": "sent"}`, or 404; anything else says nothing."""
        if self._settings.ask_url is None:
            return Uncertain("this webhook has no ask_url")
        try:
            token = self._token()
        except SecretUnusable as fault:
            return LocalFault(str(fault))
        url = self._settings.ask_url.replace(KEY, quote(wire_key(idempotency_key), safe=""))
        match make_call(self._call("GET", url, _headers(token, idempotency_key), None), self._tls):
            case NoAnswer(error=error):
                return Uncertain(error)
            case Answer(status=200) as answer if _says_sent(answer):
                return self._sent(answer, part)
            case Answer(status=404):
                return NotSent()
            case Answer(status=401 | 403) as answer:
                return LocalFault(_told(answer, token))
            case Answer() as answer:
                return Uncertain(_told(answer, token))

    def _delivered(self, answer: Answer, part: Part, told: str) -> DeliverOutcome:
        match answer.status:
            case status if 200 <= status < 300:
                return self._sent(answer, part)
            case 409:
                proven = _says_sent(answer) and _platform_id(answer) is not None
                return self._sent(answer, part) if proven else Uncertain(told)
            case 429 | 503 if (wait_ms := retry_after_ms(answer.retry_after, self._now_ms())) is not None:
                return RateLimited(told, wait_ms)
            case 425 | 429:
                return Transient(told)
            case status if status in (401, 403, 407) or 300 <= status < 400:
                # The token or the URL is wrong: the reply is not, and can go once they are mended.
                return LocalFault(told)
            case status if 400 <= status < 500 and status != 408:
                return Permanent(told)
            case _:
                # A proxy gives these for a server that got the request and died over it, too.
                return Uncertain(told)

    def _sent(self, answer: Answer, part: Part) -> Sent:
        return Sent((Receipt(part.index, _platform_id(answer), self._now_ms()),))

    def _token(self) -> str | None:
        return read_token(self._settings.token_file, self._settings.token_env, self._environ)

    def _call(self, method: str, url: str, headers: Mapping[str, str], content: bytes | None) -> Call:
        return Call(
            method="POST" if method == "POST" else "GET",
            url=url,
            headers=headers,
            content=content,
            timeout_ms=self._settings.timeout_ms,
            response_limit_bytes=self._settings.response_limit_bytes,
        )


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


def _headers(token: str | None, key: str) -> dict[str, str]:
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


def _says_sent(answer: Answer) -> bool:
    return _object(answer).get("state") == "sent"


def _platform_id(answer: Answer) -> str | None:
    value = _object(answer).get("id")
    text = str(value) if type(value) is int else value
    good = isinstance(text, str) and 0 < len(text) <= _ID_CHARS and text.isprintable()
    return text if good and isinstance(text, str) else None


def _told(answer: Answer, token: str | None) -> str:
    """The status and what the server says about it; a server that repeats the token is not repeated."""
    text = (answer.body or b"").decode("utf-8", "replace")
    text = text if token is None else text.replace(token, "…")
    words = " ".join("".join(char if char.isprintable() else " " for char in text).split())[:_TOLD_CHARS]
    return f"HTTP {answer.status}: {words}" if words else f"HTTP {answer.status}"
