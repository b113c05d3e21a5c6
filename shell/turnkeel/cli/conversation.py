"""How do a person and a session talk? Lines in, replies out, one message at a time."""

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

from turnkeel.cli.hiding import hidden
from turnkeel.delivery.intake import Accepted, Answer, Dropped, Duplicate, Intake, Kept, Refused
from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.lifecycle.payloads import Incoming
from turnkeel_adapters.lifecycle.port import LifecycleStore
from turnkeel_adapters.sessions.error_notes import read_error_note
from turnkeel_adapters.sessions.records import NewMessage
from turnkeel_adapters.sessions.store import FileSessionStore
from turnkeel_core import MessageIdentity, Turn
from turnkeel_core.lifecycle_states import TURN_TERMINAL

_LOOK_AGAIN_S: Final = 0.05


def message_from(text: str, sent_at_ms: int, *, channel: str, chat: str, message_id: str = "") -> Incoming:
    """What a person typed, as a message; "" asks for a new id."""
    content = json.dumps({"text": text, "sender": "operator"}, ensure_ascii=False)
    message = NewMessage(message_id=message_id, content=content, sent_at_ms=sent_at_ms)
    return Incoming(message=message, channel=channel, chat=chat, from_me=True)


def turn_id_of(answer: Answer) -> str:
    """The turn of an accepted message; AdapterError says why it was refused."""
    match answer:
        case Accepted(turn_id=turn_id) | Duplicate(turn_id=turn_id):
            return turn_id
        case Refused(what=what, fault=fault):
            raise AdapterError(f"not accepted: {what}: {fault}")
        case Kept() | Dropped():
            raise AssertionError("the owner of a host is on every allowlist")


class Conversation:
    """A person and one session. The replies come by the terminal's own channel, before their turn is done."""

    def __init__(
        self, session: str, channel: str, intake: Intake, store: LifecycleStore, notes: FileSessionStore
    ) -> None:
        """`notes` is where the session's agent says why it failed."""
        self._session = session
        self._channel = channel
        self._intake = intake
        self._store = store
        self._notes = notes

    async def talk(self, told: Callable[[], object]) -> bool:
        """Each line of standard input is a message; `told` is called after each. True if all were answered."""
        answered = True
        lines = _Lines(prompt="> " if sys.stdin.isatty() else "")
        while (line := await lines.next()) is not None:
            if line.strip():
                answered = await self._answer(line, told) and answered
        return answered

    async def _answer(self, line: str, told: Callable[[], object]) -> bool:
        try:
            turn_id = await asyncio.to_thread(self._say, line)
        except AdapterError as error:
            print(f"turnkeel: {hidden(str(error))}", file=sys.stderr)
            return False
        told()
        while (turn := await asyncio.to_thread(self._settled, turn_id)) is None:
            await asyncio.sleep(_LOOK_AGAIN_S)
        if turn.status == "delivered":
            return True
        print(f"turnkeel: no answer: {hidden(await asyncio.to_thread(self._reason, turn))}", file=sys.stderr)
        return False

    def _say(self, text: str) -> str:
        said = message_from(text, time.time_ns() // 1_000_000, channel=self._channel, chat=self._session)
        return turn_id_of(self._intake.accept(self._session, said, MessageIdentity()))

    def _settled(self, turn_id: str) -> Turn | None:
        with self._store.transaction() as work:
            turn = work.tables.turns.get(turn_id)
        return turn if turn is not None and turn.status in TURN_TERMINAL else None

    def _reason(self, turn: Turn) -> str:
        if turn.status == "aborted":
            return "it was stopped"
        word = read_error_note(self._notes.error_note(turn.turn_id))
        return ": ".join(part.strip() for part in (word.reason, word.detail) if part) or "the message failed"


class _Lines:
    """Standard input by lines, read in a thread of its own so that a waiting person blocks nothing."""

    def __init__(self, prompt: str) -> None:
        self._prompt = prompt
        self._queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._wanted = threading.Semaphore(0)
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._read, args=(loop,), daemon=True).start()

    async def next(self) -> str | None:
        self._wanted.release()
        return await self._queue.get()

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            self._wanted.acquire()
            try:
                line: str | None = input(self._prompt) if self._prompt else (sys.stdin.readline() or None)
            except (EOFError, ValueError):
                line = None
            try:
                loop.call_soon_threadsafe(self._queue.put_nowait, None if line is None else line.rstrip("\n"))
            except RuntimeError:
                return  # the conversation is over
            if line is None:
                return
