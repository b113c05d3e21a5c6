"""What did one HTTP call come to, and if it came to nothing: may the server have seen it?

Every call has a connection of its own: one kept from an earlier call may be closed under the request, and nobody
could say then whether it arrived. All of a call, name look-up and TLS included, happens within one deadline.
"""

import asyncio
import ssl
from collections.abc import Mapping
from functools import cache
from typing import Final, Literal, Protocol, cast

import httpx
from attrs import Factory, define, frozen

_CONNECTED: Final = "connection.connect_tcp.complete"
_BEGUN: Final = "http11.send_request_headers.started"
_TROUBLE: Final = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, TimeoutError, ValueError)


@frozen(kw_only=True)
class Call:
    """One request and how long it may take, its answer read to the end."""

    method: Literal["GET", "POST"]
    url: str
    headers: Mapping[str, str]
    content: bytes | None = None
    timeout_ms: int
    response_limit_bytes: int


@frozen(kw_only=True)
class Answer:
    """The server's answer. `body` None: it was over the limit, cut off, too slow or encoded; the status stands."""

    status: int
    retry_after: str | None = None
    body: bytes | None = None


@frozen(kw_only=True)
class NoAnswer:
    """No status came. `begun`: a part of the request may have arrived; else it is proven that none did."""

    error: str
    begun: bool


@cache
def tls_context() -> ssl.SSLContext:
    """Trusts the usual authorities and those of this machine; the environment may add some, as OpenSSL reads it."""
    # One for all channels: to read the authorities takes longer than a call.
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context


def make_call(call: Call, tls: ssl.SSLContext) -> Answer | NoAnswer:
    """Blocks; needs a thread without a running event loop. Follows no redirect, uses no proxy of the environment."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(_make(call, tls))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        # Does not wait for a name look-up that hangs.
        loop.close()


class _Stream(Protocol):
    async def aclose(self) -> None: ...


@define
class _Seen:
    """How far a call came."""

    streams: list[_Stream] = Factory(list[_Stream])
    begun: bool = False
    status: int | None = None
    retry_after: str | None = None
    body: bytes | None = None

    async def trace(self, event: str, info: Mapping[str, object]) -> None:
        if event == _CONNECTED:
            self.streams.append(cast(_Stream, info["return_value"]))
        self.begun = self.begun or event == _BEGUN


async def _make(call: Call, tls: ssl.SSLContext) -> Answer | NoAnswer:
    seen = _Seen()
    try:
        async with asyncio.timeout(call.timeout_ms / 1000):
            await _exchange(call, tls, seen)
    except _TROUBLE as error:
        if seen.status is None:
            return NoAnswer(error=_text(error, call.timeout_ms), begun=seen.begun)
    finally:
        await _close(seen)
    assert seen.status is not None
    return Answer(status=seen.status, retry_after=seen.retry_after, body=seen.body)


async def _exchange(call: Call, tls: ssl.SSLContext, seen: _Seen) -> None:
    async with (
        httpx.AsyncClient(verify=tls, trust_env=False, follow_redirects=False, timeout=None) as client,
        client.stream(
            call.method, call.url, headers=call.headers, content=call.content, extensions={"trace": seen.trace}
        ) as response,
    ):
        seen.status = response.status_code
        seen.retry_after = response.headers.get("retry-after")
        if response.headers.get("content-encoding", "identity") == "identity":
            seen.body = await _body(response, call.response_limit_bytes)


async def _close(seen: _Seen) -> None:
    """Close what httpx left open: a deadline in the TLS handshake makes it forget the connection."""
    for stream in seen.streams:
        await stream.aclose()
    # A closed transport gives its socket back one turn of the loop later.
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def _body(response: httpx.Response, limit: int) -> bytes | None:
    body = b""
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > limit:
            return None
    return body


def _text(error: Exception, timeout_ms: int) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_ms} ms"
    return f"{type(error).__name__}: {str(error) or 'the connection failed'}"
