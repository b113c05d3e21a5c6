"""What does a chat do with replies that it sometimes refuses, forgets to acknowledge, or takes too long over?

A small web server on this machine that outlives the hosts which call it. Every call is on the disk before anything is
done with it, every message before anybody could see it, as the number of its call: `calls.jsonl`, read by `read_calls`.
"""

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias, cast

from attrs import asdict, evolve, frozen

from turnkeel_adapters.wire import JsonValue, from_data, parse_json

Trouble: TypeAlias = Literal["none", "fails", "busy", "refuses", "drops", "loses", "hangs", "hangs_after", "late"]

TROUBLES: Final[dict[Trouble, str]] = {
    "none": "takes it",
    "fails": "answers 500",
    "busy": "answers 429, come again in a second",
    "refuses": "answers 413, too long",
    "drops": "reads it, drops it and hangs up",
    "loses": "takes it, and the acknowledgement is lost",
    "hangs": "reads it, and never answers",
    "hangs_after": "takes it, and never answers",
    "late": "takes it long after everybody stopped waiting",
}
"""What the chat does with one call, and how that is told."""

_TAKES: Final = frozenset({"none", "loses", "hangs_after"})
_FILE: Final = "calls.jsonl"
_LOOK_S: Final = 0.02


@frozen(kw_only=True)
class Call:
    """One call as the chat read it. `tries` counts those with its key, from 1.

    `again`: people had seen its text already; `shown`: they saw it by this call.
    """

    number: int
    at_ms: int
    key: str
    row_id: str
    turn_id: str | None
    part: int
    text: str
    attachments: int = 0
    tries: int = 1
    trouble: Trouble = "none"
    again: bool = False
    shown: bool = False


class Schedule(Protocol):
    """What the chat does with a call; `slams` says whether it hangs up on a connection before it reads anything."""

    def trouble(self, call: Call) -> Trouble: ...
    def slams(self, connection: int) -> bool: ...


class Chat:
    """If `keyed`, it shows a key once, as the header says; else it shows whatever comes.

    `told` hears of each call, in the thread that serves it, before anything is done with it.
    """

    def __init__(
        self,
        folder: Path,
        schedule: Schedule,
        *,
        keyed: bool,
        hang_ms: int,
        told: Callable[[Call], None] = lambda call: None,
    ) -> None:
        self._schedule = schedule
        self._keyed = keyed
        self._hang_s = hang_ms / 1000
        self._told = told
        self._lock = threading.Lock()
        self._tries: Counter[str] = Counter()
        self._numbers = self._connections = self._in_hand = 0
        self._shown: dict[str, int] = {}
        self._closing = threading.Event()
        folder.mkdir(parents=True, exist_ok=True)
        self._file = os.open(folder / _FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.chat = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_LOOK_S,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where replies are posted."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    @property
    def in_hand(self) -> int:
        """How many calls have been read and not ended."""
        return self._in_hand

    def close(self) -> None:
        """Hang up on whoever still waits, and end."""
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        os.close(self._file)

    def slams(self) -> bool:
        """Whether the next connection is closed unread."""
        with self._lock:
            self._connections += 1
            return self._schedule.slams(self._connections)

    @contextmanager
    def taken(self, key: str, body: dict[str, object]) -> Generator[Call, None, None]:
        """Write the call down; the block is what is done with it."""
        with self._lock:
            self._numbers += 1
            self._tries[key] += 1
            call = _call(self._numbers, key, body, self._tries[key])
            call = evolve(call, trouble=self._schedule.trouble(call), again=key in self._shown)
            self._write(asdict(call))
            self._in_hand += 1
        try:
            self._told(call)
            yield call
        finally:
            with self._lock:
                self._in_hand -= 1

    def show(self, call: Call) -> tuple[int, bool]:
        """Show the text, unless its key was shown; the message's number, and whether it was there already."""
        with self._lock:
            number = self._shown.setdefault(call.key, call.number)
            again = number != call.number
            if not again or not self._keyed:
                self._write(call.number)
                return call.number, False
            return number, True

    def hang(self) -> None:
        """Be silent for as long as this chat hangs."""
        self._closing.wait(self._hang_s)

    def _write(self, line: dict[str, object] | int) -> None:
        os.write(self._file, f"{json.dumps(line)}\n".encode())
        os.fsync(self._file)


def read_calls(folder: Path) -> tuple[Call, ...]:
    """All calls that a chat with this folder ever took, in the order in which it read them."""
    path = folder / _FILE
    lines: list[JsonValue] = [parse_json(line) for line in path.read_text("utf-8").splitlines()]
    shown = {line for line in lines if isinstance(line, int)}
    calls = (from_data(line, Call) for line in lines if not isinstance(line, int))
    return tuple(evolve(call, shown=call.number in shown) for call in calls)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    chat: Chat

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that was killed is no error of the chat."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        """One connection; some are closed before anything is read."""
        if not self._chat.slams():
            super().handle()

    def do_POST(self) -> None:
        """One reply."""
        self.close_connection = True
        length = int(self.headers.get("Content-Length", "0"))
        content = self.rfile.read(length)
        if len(content) < length:
            return  # its sender is gone: nothing was said
        body = cast("dict[str, object]", json.loads(content))
        with self._chat.taken(self.headers["Idempotency-Key"], body) as call:
            self._answer(call)

    def log_message(self, format: str, *args: object) -> None:
        """It has its own record."""

    @property
    def _chat(self) -> Chat:
        return cast(_Server, self.server).chat

    def _answer(self, call: Call) -> None:
        chat = self._chat
        number, again = chat.show(call) if call.trouble in _TAKES else (0, False)
        match call.trouble:
            case "none":
                self._say(409 if again else 200, {"state": "sent", "id": f"m-{number}"})
            case "fails":
                self._say(500, {"problem": "this is the chat's own fault"})
            case "busy":
                self._say(429, {"problem": "too many messages"}, {"Retry-After": "1"})
            case "refuses":
                self._say(413, {"problem": "the text is too long for this chat"})
            case "hangs" | "hangs_after":
                chat.hang()
            case "late":
                chat.hang()
                chat.show(call)
            case "drops" | "loses":
                pass

    def _say(self, status: int, body: dict[str, str], headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(content)), "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def _call(number: int, key: str, body: dict[str, object], tries: int) -> Call:
    turn_id, part, attachments = body["turn_id"], body["part"], body.get("attachments")
    return Call(
        number=number,
        at_ms=time.time_ns() // 1_000_000,
        key=key,
        row_id=str(body["row_id"]),
        turn_id=turn_id if isinstance(turn_id, str) else None,
        part=part if isinstance(part, int) else 0,
        text=str(body["text"]),
        attachments=len(cast("list[object]", attachments)) if isinstance(attachments, list) else 0,
        tries=tries,
    )
