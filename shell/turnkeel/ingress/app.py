"""What is answered to a request?

202 and 200 only after the commit. Everything that keeps a message from being stored is 4xx or 5xx, never a promise.
"""

import asyncio
import hmac
from collections.abc import Mapping
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from turnkeel.delivery.intake import Accepted, Dropped, Duplicate, Kept, Refused
from turnkeel.events import FaultCleared, FaultSeen
from turnkeel.ingress.looking import Health, turn_status
from turnkeel.ingress.message import read_message
from turnkeel.ingress.ports import IngressPorts
from turnkeel_adapters.config.ingress import IngressConfig
from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.wire.faults import WireFault

_KEY: Final = "idempotency-key"
_RETRY_AFTER_S: Final = "5"
_SUBJECT: Final = "ingress"


class _Answered(Exception):
    """The request cannot go on: this is its answer."""

    def __init__(self, status: int, problem: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem)
        self.response = _problem(status, problem, headers)


class IngressApp:
    """The endpoints. `app` is the ASGI application; `token` is what every caller but of `/v1/health` has to show."""

    def __init__(self, config: IngressConfig, ports: IngressPorts, token: str) -> None:
        self._config = config
        self._ports = ports
        self._token = token.encode("ascii")
        self._health = Health(ports)
        self._told: tuple[str, str] | None = None
        self.app = Starlette(
            routes=[
                Route("/v1/messages", self._post_message, methods=["POST"]),
                Route("/v1/turns/{turn_id}", self._get_turn, methods=["GET"]),
                Route("/v1/health", self._get_health, methods=["GET"]),
            ],
            exception_handlers={HTTPException: _http_problem},
        )

    async def _post_message(self, request: Request) -> Response:
        try:
            self._authorize(request)
            _require_json(request)
            return await self._accept(await self._body(request), request.headers.get(_KEY))
        except _Answered as answered:
            return answered.response
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is left to read it
        except AdapterError as error:
            return self._refused_by_store(error)
        except Exception as error:
            # Whether it was stored is not known: the sender comes again with the same name.
            self._tell(type(error).__name__, f"{type(error).__name__}: {error}")
            return _problem(500, "an error of this host")

    async def _accept(self, body: bytes, key: str | None) -> Response:
        try:
            posted = read_message(body, key, self._ports.channels, self._ports.now_ms())
        except WireFault as error:
            raise _Answered(400, str(error)) from error
        said = (posted.session, posted.incoming, posted.identity)
        answer = await self._ports.executor.run(self._ports.accept, *said, replay=posted.replay)
        self._clear()
        match answer:
            case Accepted(turn_id=turn_id):
                return JSONResponse({"turn_id": turn_id, "status": "accepted"}, 202)
            case Duplicate(turn_id=turn_id, status=status):
                return JSONResponse({"turn_id": turn_id, "status": "duplicate", "turn_status": status}, 200)
            case Kept(message_id=message_id):
                return JSONResponse({"message_id": message_id, "status": "kept as context"}, 200)
            case Dropped():
                return JSONResponse({"status": "dropped"}, 200)
            case Refused(what=what, fault=fault):
                return _problem(422, f"{what}: {fault}")

    async def _get_turn(self, request: Request) -> Response:
        try:
            self._authorize(request)
            turn_id: str = request.path_params["turn_id"]
            found = await self._ports.executor.run(turn_status, self._ports.store, turn_id)
        except _Answered as answered:
            return answered.response
        except AdapterError as error:
            return self._refused_by_store(error)
        if found is None:
            return _problem(404, "no such turn is kept")
        return JSONResponse({"turn_id": turn_id, "status": found.status, "reason": found.reason, "error": found.error})

    async def _get_health(self, request: Request) -> Response:
        well = await self._health.check()
        return JSONResponse({"status": "ok" if well else "not ok"}, 200 if well else 503)

    def _authorize(self, request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        # Both are compared whole, whatever is wrong: the time taken says nothing.
        right = hmac.compare_digest(given.strip().encode("utf-8", "replace"), self._token)
        if scheme.lower() != "bearer" or not right:
            raise _Answered(401, "the bearer token is missing or wrong", {"WWW-Authenticate": "Bearer"})

    async def _body(self, request: Request) -> bytes:
        """The whole body, in time and within the limit, whatever its Content-Length says."""
        limit = self._config.max_body_bytes
        declared = request.headers.get("content-length", "0")
        if declared.isdecimal() and int(declared[:19]) > limit:
            raise _too_long(limit)
        body = bytearray()
        try:
            async with asyncio.timeout(self._config.read_timeout_ms / 1000):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > limit:
                        raise _too_long(limit)
        except TimeoutError as error:
            raise _Answered(408, "the body came too slowly", {"Connection": "close"}) from error
        return bytes(body)

    def _refused_by_store(self, error: AdapterError) -> Response:
        # Its text names files of this machine: it is for those who run it.
        self._tell(error.category, str(error))
        return _problem(503, "the message cannot be stored now; send it again", {"Retry-After": _RETRY_AFTER_S})

    def _tell(self, kind: str, detail: str) -> None:
        """Once: whoever sends again and again brings no news."""
        if self._told != (kind, detail):
            self._ports.report(FaultSeen("", _SUBJECT, kind, detail))
        self._told = (kind, detail)

    def _clear(self) -> None:
        if self._told is not None:
            self._told = None
            self._ports.report(FaultCleared("", _SUBJECT))


def _require_json(request: Request) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" or request.headers.get("content-encoding", "identity").lower() != "identity":
        raise _Answered(415, "the body must be application/json, not compressed")


def _too_long(limit: int) -> _Answered:
    return _Answered(413, f"the body is over {limit} bytes")


def _problem(status: int, problem: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"problem": problem}, status, headers)


async def _http_problem(request: Request, error: Exception) -> Response:
    """404 and 405 in the form of all others."""
    assert isinstance(error, HTTPException)
    return _problem(error.status_code, error.detail, error.headers)
