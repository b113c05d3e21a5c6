"""A peer on the loopback that speaks HTTP as badly as it is told to."""

import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import pytest


class Request(NamedTuple):
    """What a client sent: `head` is the request line, `headers` have small names."""

    head: str
    headers: dict[str, str]
    body: bytes

    def json(self):
        return json.loads(self.body)


def _read(connection):
    seen = b""
    while b"\r\n\r\n" not in seen:
        piece = connection.recv(65_536)
        if not piece:
            raise OSError("no request")
        seen += piece
    head, _, body = seen.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(65_536)
    return Request(first, headers, body)


def answer(status, body=b"", **headers):
    """A whole answer; dicts go as JSON."""
    content = json.dumps(body).encode() if isinstance(body, dict) else body

    def behave(peer, connection):
        named = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {status} Said\r\n{named}Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode() + content)

    return behave


def hang(peer, connection):
    """No answer."""
    peer.over.wait(60)


def drop(peer, connection):
    """The connection is reset: no answer."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def finish(peer, connection):
    """The connection is closed in good order: no answer."""


def deaf(behaviour):
    """The same without reading anything first."""

    def behave(peer, connection):
        behaviour(peer, connection)

    behave.deaf = True
    return behave


def say(*pieces, then=finish):
    """Bytes as they are, whatever they mean."""

    def behave(peer, connection):
        for piece in pieces:
            connection.sendall(piece)
        then(peer, connection)

    return behave


def drip(start, piece, count=200, pause_s=0.02):
    """`start`, then a piece at a time: each comes soon, the whole takes long."""

    def behave(peer, connection):
        connection.sendall(start)
        for _ in range(count):
            if peer.over.wait(pause_s):
                return
            connection.sendall(piece)

    return behave


class Peer:
    """Every connection is read to the end of the request, kept in `requests`, and given to the next behaviour.

    The last behaviour stays. `deaf` ones get the connection unread.
    """

    answer, say, drip, deaf = staticmethod(answer), staticmethod(say), staticmethod(drip), staticmethod(deaf)
    hang, drop, finish = staticmethod(hang), staticmethod(drop), staticmethod(finish)

    def __init__(self):
        self.requests: list[Request] = []
        self.over = threading.Event()
        self._behaviours = [answer(200)]
        self._lock = threading.Lock()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def port(self):
        return self._socket.getsockname()[1]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/hook"

    def behave(self, *behaviours: Callable):
        self._behaviours = list(behaviours)

    def close(self):
        self.over.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(timeout=60)
            assert not thread.is_alive()

    def _accept(self):
        while not self.over.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection):
        with self._lock:
            behaviour = self._behaviours.pop(0) if len(self._behaviours) > 1 else self._behaviours[0]
        with connection:
            connection.settimeout(10)
            try:
                if not getattr(behaviour, "deaf", False):
                    self.requests.append(_read(connection))
                behaviour(self, connection)
            except OSError:
                return  # the client left


@pytest.fixture
def peer():
    made = Peer()
    yield made
    made.close()


@pytest.fixture
def wait_until():
    def wait(true, seconds=10):
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.01)

    return wait
