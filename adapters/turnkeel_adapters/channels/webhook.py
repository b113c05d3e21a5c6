"""How does a reply become an HTTP request, and what does the answer say about it?

The server gets the same bytes under the same `Idempotency-Key` at every try. Any 2xx means that it took the message,
and may name it: `{"id": "m-1"}`. 409 for a key that it has already: `{"state": "sent", "id": "m-1"}`; so it answers
at `ask_url`, too, with 404 for a key that it never saw. 429 and 503 may say `Retry-After`.
"""

from collections.abc import Callable, Mapping
from urllib.parse import quote

from turnkeel_adapters.channels.attachments import AttachmentChanged, AttachmentGone, AttachmentUnreadable
from turnkeel_adapters.channels.records import AskOutcome, Capabilities, DeliverOutcome, Dispatch, Part
from turnkeel_adapters.channels.secret_file import SecretUnusable, read_token
from turnkeel_adapters.channels.settings import KEY, WebhookSettings
from turnkeel_adapters.channels.webhook_call import Answer, Call, NoAnswer, make_call, tls_context
from turnkeel_adapters.channels.webhook_wire import (
    platform_id,
    request_body,
    request_headers,
    retry_after_ms,
    says_sent,
    told_by,
    wire_key,
)
from turnkeel_core import LocalFault, NotSent, Permanent, RateLimited, Receipt, Sent, Transient, Uncertain


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
        headers = {**request_headers(token, idempotency_key), "Content-Type": "application/json"}
        call = self._call("POST", self._settings.url, headers, content)
        match make_call(call, self._tls):
            case NoAnswer(error=error, begun=begun):
                return Uncertain(error) if begun else Transient(error)
            case Answer() as answer:
                return self._delivered(answer, part, told_by(answer, token))

    def ask(self, part: Part, idempotency_key: str) -> AskOutcome:
        """Ask the server about the key: 200 with `{"state": "sent"}`, or 404; anything else says nothing."""
        if self._settings.ask_url is None:
            return Uncertain("this webhook has no ask_url")
        try:
            token = self._token()
        except SecretUnusable as fault:
            return LocalFault(str(fault))
        url = self._settings.ask_url.replace(KEY, quote(wire_key(idempotency_key), safe=""))
        match make_call(self._call("GET", url, request_headers(token, idempotency_key), None), self._tls):
            case NoAnswer(error=error):
                return Uncertain(error)
            case Answer(status=200) as answer if says_sent(answer):
                return self._sent(answer, part)
            case Answer(status=404):
                return NotSent()
            case Answer(status=401 | 403) as answer:
                return LocalFault(told_by(answer, token))
            case Answer() as answer:
                return Uncertain(told_by(answer, token))

    def _delivered(self, answer: Answer, part: Part, told: str) -> DeliverOutcome:
        match answer.status:
            case status if 200 <= status < 300:
                return self._sent(answer, part)
            case 409:
                proven = says_sent(answer) and platform_id(answer) is not None
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
        return Sent((Receipt(part.index, platform_id(answer), self._now_ms()),))

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
