"""How does a host reach the chat of the demo: by its own webhook, or, where the extra `web` is missing, without it?"""

import json
import os
import time
from http.client import HTTPConnection, HTTPException
from typing import Final
from urllib.parse import urlsplit

from turnkeel_adapters.channels import AskOutcome, Capabilities, Channel, DeliverOutcome, Dispatch, Part
from turnkeel_adapters.channels.settings import WebhookSettings
from turnkeel_core import Permanent, RateLimited, Receipt, Sent, Transient, Uncertain

TIMEOUT_MS: Final = 800


def channel_to(url: str, *, idempotent: bool) -> Channel:
    """The webhook channel if httpx is there, else one on the standard library that speaks just this chat's dialect."""
    try:
        from turnkeel_adapters.channels.webhook import WebhookChannel
    except ModuleNotFoundError:
        return PlainChannel(url, idempotent=idempotent)
    settings = WebhookSettings(kind="webhook", url=url, timeout_ms=TIMEOUT_MS, idempotent=idempotent)
    return WebhookChannel(settings, os.environ, now_ms=_now_ms)


class PlainChannel:
    """Posts replies with what Python brings along."""

    def __init__(self, url: str, *, idempotent: bool) -> None:
        self._url = urlsplit(url)
        self._capabilities = Capabilities(idempotent=idempotent)

    @property
    def capabilities(self) -> Capabilities:
        """As given."""
        return self._capabilities

    def deliver(self, dispatch: Dispatch, part: Part, idempotency_key: str) -> DeliverOutcome:
        """Post one part; only a connection that never was proves that nothing arrived."""
        body = {"row_id": dispatch.row_id, "turn_id": dispatch.turn_id, "part": part.index, "text": part.text}
        connection = HTTPConnection(self._url.hostname or "", self._url.port, timeout=TIMEOUT_MS / 1000)
        try:
            try:
                connection.connect()
            except OSError as error:
                return Transient(str(error))
            return self._post(connection, json.dumps(body), idempotency_key, part)
        except (OSError, HTTPException, ValueError) as error:
            return Uncertain(f"{type(error).__name__}: {error}")
        finally:
            connection.close()

    def ask(self, part: Part, idempotency_key: str) -> AskOutcome:
        """This chat cannot be asked."""
        return Uncertain("this chat cannot be asked")

    def _post(self, connection: HTTPConnection, body: str, key: str, part: Part) -> DeliverOutcome:
        connection.request("POST", self._url.path, body, {"Idempotency-Key": key, "Content-Type": "application/json"})
        answer = connection.getresponse()
        told = f"HTTP {answer.status}"
        match answer.status:
            case 200 | 409:
                message: dict[str, str] = json.loads(answer.read())
                return Sent((Receipt(part.index, message["id"], _now_ms()),))
            case 429:
                return RateLimited(told, int(answer.headers["Retry-After"]) * 1000)
            case 413:
                return Permanent(told)
            case _:
                return Uncertain(told)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
