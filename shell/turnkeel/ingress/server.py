"""How is the ingress served in the host's own event loop, and never at its expense?

Of uvicorn it leaves out the signal handlers (the host has its own), lifespan, logs and the clock that ticks ten times
a second; it adds limits for those who connect and say nothing.
"""

import asyncio
import logging
import socket
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Final, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from turnkeel.ingress.app import IngressApp
from turnkeel.ingress.ports import IngressPorts
from turnkeel_adapters.channels.secret_file import SecretUnusable, read_token
from turnkeel_adapters.config.ingress import IngressConfig, listen_address
from turnkeel_adapters.errors import AdapterError

_HEADER_BYTES: Final = 16_384
_IDLE_S: Final = 5
_STOP_S: Final = 5
_BACKLOG: Final = 128
_TURNS: Final = 4


class IngressUnavailable(AdapterError):
    """The address of `[ingress]` cannot be listened on; the text says which and why."""


class IngressServer:
    """Serves one host's ingress. Raises SecretUnusable without a token: then nothing listens."""

    def __init__(self, config: IngressConfig, ports: IngressPorts, environ: Mapping[str, str]) -> None:
        try:
            token = read_token(config.token_file, config.token_env, environ)
        except SecretUnusable as error:
            raise SecretUnusable(f"ingress: {error}") from None
        if token is None:
            raise SecretUnusable("ingress: no token is named")
        self._config = config
        self._app = IngressApp(config, ports, token)
        self._socket: socket.socket | None = None

    def bind(self) -> tuple[str, int]:
        """Take the address, so that one in use is known before anything else starts. IngressUnavailable."""
        if self._socket is None:
            self._socket = _bound(self._config.listen)
        host, port = self._socket.getsockname()[:2]
        return str(host), int(port)

    async def serve(self, stop: asyncio.Event) -> None:
        """Answer until `stop`; then requests under way get some seconds to end."""
        self.bind()
        assert self._socket is not None
        server = _Server(self._uvicorn_config(), stop)
        try:
            await server.serve(sockets=[self._socket])
        finally:
            for _ in range(_TURNS):
                # What was just accepted is known, and what was closed is gone, a turn of the loop later.
                server.close()
                await asyncio.sleep(0)
            self.close()

    def close(self) -> None:
        """Give the address back; `serve` does it by itself."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _uvicorn_config(self) -> uvicorn.Config:
        limit, wait_s = self._config.max_connections, self._config.read_timeout_ms / 1000
        # What uvicorn has to say is about clients; what concerns the host is reported by the application.
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
        return uvicorn.Config(
            self._app.app,
            http=type("_Protocol", (_ImpatientProtocol,), {"wait_s": wait_s, "connections_at_most": 2 * limit}),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            limit_concurrency=limit + 1,
            timeout_keep_alive=max(1, min(_IDLE_S, int(wait_s))),
            timeout_graceful_shutdown=_STOP_S,
            h11_max_incomplete_event_size=_HEADER_BYTES,
        )


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, stop: asyncio.Event) -> None:
        super().__init__(config)
        self._stop = stop

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """They are the host's."""
        yield

    async def main_loop(self) -> None:
        """Nothing is to be done between requests."""
        await self._stop.wait()

    def close(self) -> None:
        """Also when `serve` was cancelled: no connection stays."""
        for server in getattr(self, "servers", ()):
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()


class _ImpatientProtocol(H11Protocol):
    """A connection that may be silent, or slow with the head of a request, for `wait_s` only."""

    wait_s: float = 10.0
    connections_at_most: int = 128
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        if len(self.connections) > self.connections_at_most:
            transport.abort()
        else:
            self._wait()

    def data_received(self, data: bytes) -> None:
        if self._patience is None:
            self._wait()
        super().data_received(data)
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is not None and not cycle.response_complete:
            # The head is complete; the body has a limit of its own.
            self._calm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._calm()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._patience = self.loop.call_later(self.wait_s, self.transport.abort)

    def _calm(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


def _bound(listen: str) -> socket.socket:
    place = listen_address(listen)
    if place is None:
        raise IngressUnavailable(f"ingress.listen: {listen!r:.80} is no address")
    family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
    # Named as TCP, or asyncio leaves Nagle's delay on, and every answer comes 40 ms late.
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(place)
        opened.listen(_BACKLOG)
        opened.setblocking(False)
    except OSError as error:
        opened.close()
        raise IngressUnavailable(f"ingress.listen: {listen} cannot be listened on: {error.strerror}") from error
    return opened
