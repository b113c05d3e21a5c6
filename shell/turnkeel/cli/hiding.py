"""Which secrets does a command keep out of what it prints?

Those of its own environment, of the data directory it looks at, of the configuration it was given, and all that are
known by their form. A command that gets no configuration does not know what stands in one: the host hid that before it
stored a reason or a reply.
"""

import io
import threading
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from attrs import define

if TYPE_CHECKING:
    from turnkeel_adapters.config.records import HostConfig
    from turnkeel_adapters.secrets import SecretKeeper

CANNOT_BE_HIDDEN: Final = "what is in it cannot be hidden"
"""Of a file of secrets that cannot be read."""

_HOLD_CHARS: Final = 65_536


@define
class _Known:
    """The keeper, made when it is first needed: a command that hides nothing does not pay for it."""

    made: "SecretKeeper | None" = None

    def get(self) -> "SecretKeeper":
        from turnkeel_adapters.secrets import SecretKeeper

        if self.made is None:
            self.made = SecretKeeper()
        return self.made


_CURRENT: Final = ContextVar[_Known | None]("secrets", default=None)


def begin() -> "Callable[[], SecretKeeper]":
    """Know nothing yet, as each command line begins; returns what gives its keeper to any thread."""
    known = _Known()
    _CURRENT.set(known)
    return known.get


def keeper() -> "SecretKeeper":
    """What hides secrets in this command. Threads begin without it: give it to what runs there."""
    known = _CURRENT.get()
    return begin()() if known is None else known.get()


def learn(config: "HostConfig | None" = None, data_dir: Path | None = None) -> tuple[str, ...]:
    """Hide the secrets of this configuration, and of what stands beside this data directory, from now on.

    Returns which files could not be read, and why.
    """
    known = keeper()
    known.learn(config, data_dir)
    return known.unread


def hidden(text: str) -> str:
    """The text without secrets."""
    return keeper().redact(text)


class HiddenStream(io.TextIOBase):
    """Passes on what is written to it, by whole lines and without secrets; for standard error, any thread.

    What Python itself writes there (tracebacks, warnings, errors that nobody waits for) comes by no other way.
    """

    def __init__(self, stream: TextIO, hide: Callable[[str], str]) -> None:
        self._stream = stream
        self._hide = hide
        self._held = ""
        self._lock = threading.RLock()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # TextIOBase has it as a plain attribute
        """That of the stream below."""
        return self._stream.encoding

    def writable(self) -> bool:
        """Yes."""
        return True

    def isatty(self) -> bool:
        """Whether a person looks at it."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The file below."""
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Keep it until its line ends."""
        with self._lock:
            self._held += text
            cut = self._held.rfind("\n") + 1
            if not cut and len(self._held) > _HOLD_CHARS:
                cut = len(self._held)
            self._pass_on(cut)
        return len(text)

    def flush(self) -> None:
        """Pass on everything."""
        with self._lock:
            self._pass_on(len(self._held))
            self._stream.flush()

    def _pass_on(self, cut: int) -> None:
        ready, self._held = self._held[:cut], self._held[cut:]
        if ready:
            self._stream.write(self._hide(ready))
