"""How do a person and a session talk? Lines in, replies out, one message at a time."""

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Final, cast

from turnkeel.cli.assemble import new_message_id
from turnkeel.cli.hiding import hidden
from turnkeel_adapters.errors import SessionFault
from turnkeel_adapters.sessions.error_notes import read_error_note
from turnkeel_adapters.sessions.records import NewMessage, OutboundMessage
from turnkeel_adapters.sessions.store import FileSessionStore

_LOOK_AGAIN_S: Final = 0.05


class Conversation:
    """One session's inbox and outbox, as a person uses them."""

    def __init__(self, store: FileSessionStore) -> None:
        self._store = store

    def say(self, text: str) -> str:
        """Store one message; on the disk when this returns. Returns its id."""
        message_id, now_ms = new_message_id(), time.time_ns() // 1_000_000
        content = json.dumps({"text": text, "sender": "operator"}, ensure_ascii=False)
        message = NewMessage(message_id=message_id, content=content, sent_at_ms=now_ms)
        self._store.insert(message, now_ms)
        return message_id

    async def talk(self, told: Callable[[], object]) -> bool:
        """Each line of standard input is a message; `told` is called after each. True if all were answered."""
        answered = True
        lines = _Lines(prompt="> " if sys.stdin.isatty() else "")
        while (line := await lines.next()) is not None:
            if line.strip():
                message_id = await asyncio.to_thread(self.say, line)
                told()
                answered = await self._answer(message_id) and answered
        return answered

    async def _answer(self, message_id: str) -> bool:
        seen = None
        while True:
            signature = self._store.signature()
            settled, failed = False, None
            if signature != seen:
                seen = signature
                try:
                    settled, failed = await asyncio.to_thread(self._outcome, message_id)
                    await asyncio.to_thread(self._print_replies)
                except SessionFault:
                    seen, settled, failed = None, False, None  # busy, or just being mended by the host: look again
                if failed is not None:
                    print(f"turnkeel: no answer: {hidden(failed)}", file=sys.stderr)
                    return False
            if settled:
                return True
            await asyncio.sleep(_LOOK_AGAIN_S)

    def _outcome(self, message_id: str) -> tuple[bool, str | None]:
        reading = self._store.read(time.time_ns() // 1_000_000)
        for ack in reading.acks:
            if ack.message_id == message_id and ack.outcome == "failed":
                return True, self._reason(message_id)
        for message in reading.messages:
            if message.message_id == message_id:
                return False, self._reason(message_id) if message.status == "failed" else None
        # Settled: an answer takes the agent's word on earlier attempts away, a failure leaves it.
        failed = self._store.error_note(message_id) is not None
        return True, self._reason(message_id) if failed else None

    def _reason(self, message_id: str) -> str:
        word = read_error_note(self._store.error_note(message_id))
        return ": ".join(part.strip() for part in (word.reason, word.detail) if part) or "the message failed"

    def _print_replies(self) -> None:
        for reply in self._store.due_outbound(time.time_ns() // 1_000_000):
            print(_text(reply), flush=True)
            self._store.mark_delivered(reply.message_id, None, time.time_ns() // 1_000_000)


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


def _text(reply: OutboundMessage) -> str:
    try:
        content: object = json.loads(reply.content)
    except ValueError:
        return reply.content
    text = cast("dict[str, object]", content).get("text") if isinstance(content, dict) else None
    return text if isinstance(text, str) else reply.content
