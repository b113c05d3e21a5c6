"""How does a reply reach a person at a terminal?"""

import errno
from collections.abc import Callable
from threading import Lock
from typing import Final, TextIO

from turnkeel_adapters.channels.records import AskOutcome, Capabilities, DeliverOutcome, Dispatch, Part
from turnkeel_core import LocalFault, Receipt, Sent, Uncertain

_NOBODY_READS: Final = (errno.EPIPE, errno.EBADF, errno.EIO)


class TerminalChannel:
    """One line `chat: text` per part; what would steer a terminal is written as an escape, line ends among it.

    It knows no keys and cannot be asked. Any thread may call it.
    """

    def __init__(self, stream: TextIO, now_ms: Callable[[], int], *, named: bool = True) -> None:
        """`named`: the chat stands before each text; without it a reply is all that is said, in lines of its own."""
        self._named = named
        self._stream = stream
        self._now_ms = now_ms
        self._lock = Lock()

    @property
    def capabilities(self) -> Capabilities:
        """None of them."""
        return Capabilities()

    def deliver(self, dispatch: Dispatch, part: Part, idempotency_key: str) -> DeliverOutcome:
        """`LocalFault` if nobody reads the stream any more; `Uncertain` if it fails with a line half written."""
        line = self._line(dispatch.chat, part.text)
        # A terminal of a small alphabet shows the rest as escapes.
        encoding = self._stream.encoding or "utf-8"
        try:
            with self._lock:
                self._stream.write(line.encode(encoding, "backslashreplace").decode(encoding))
                self._stream.flush()
        except OSError as error:
            if error.errno in _NOBODY_READS:
                return LocalFault(f"the terminal is gone: {error.strerror}")
            return Uncertain(f"the terminal took some of it or nothing: {error.strerror or error}")
        except ValueError:
            return LocalFault("the terminal is closed")
        return Sent((Receipt(part.index, None, self._now_ms()),))

    def _line(self, chat: str, text: str) -> str:
        if self._named:
            return f"{_harmless(chat)}: {_harmless(text)}\n"
        return "\n".join(_harmless(line) for line in text.split("\n")) + "\n"

    def ask(self, part: Part, idempotency_key: str) -> AskOutcome:
        """A terminal remembers nothing."""
        return Uncertain("a terminal cannot be asked")


def _harmless(text: str) -> str:
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)
