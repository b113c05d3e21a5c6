"""What hides the secrets of a host, as they stand at each look?"""

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import evolve

from turnkeel_adapters.secrets.files import Stamp, named_files, stamps_of
from turnkeel_adapters.secrets.known import KnownSecrets, known_secrets
from turnkeel_adapters.secrets.noted import write_note
from turnkeel_adapters.secrets.places import note_of, policy_of, secret_places
from turnkeel_core import Redactions, redact, redactions_of

if TYPE_CHECKING:
    from turnkeel_adapters.config.records import HostConfig

_KEPT: Final = 10_000
"""So many values that stand nowhere any more stay hidden: a key that was exchanged may still open something."""

_JUST_WRITTEN_NS: Final = 50_000_000
"""A file that was written so shortly before it was read may be written again without another stamp."""


class SecretKeeper:
    """The one place that secrets are gathered in and hidden by: a process makes one, and hands it to all its parts.

    Reading happens at the first use, and at `refresh` if a file has changed. Any thread may use it.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        """`environ`: the variables to look through, by default this process's."""
        self._environ = os.environ if environ is None else environ
        self._config: HostConfig | None = None
        self._data_dir: Path | None = None
        self._lock = threading.RLock()
        self._patterns = self._places()
        self._stamps: dict[str, Stamp] | None = None
        self._values: dict[str, None] = {}
        self._found = KnownSecrets()
        self._all = self._in_replies = redactions_of(())
        self._raw_channels = frozenset[str]()

    def learn(self, config: "HostConfig | None" = None, data_dir: Path | None = None) -> None:
        """Know the secrets of this configuration, and of what stands beside this data directory, from now on."""
        with self._lock:
            if config is not None and config != self._config:
                self._config, self._stamps = config, None
            if data_dir is not None and data_dir != self._data_dir:
                self._data_dir, self._stamps = data_dir, None
            self._patterns = self._places()

    def note(self) -> None:
        """Tell later commands, which get no configuration, where to look; for the host alone. OSError."""
        if self._config is not None and self._data_dir is not None:
            write_note(self._data_dir, note_of(self._config, self._environ, self._data_dir))

    def refresh(self) -> bool:
        """Read the files again if one has changed, come or gone; True if something else is hidden now."""
        with self._lock:
            stamps = stamps_of(path for pattern in self._patterns for path in named_files(pattern))
            if stamps == self._stamps:
                return False
            # The stamps are older than what is read now: what changes meanwhile is read again next time.
            self._stamps = None if _just_written(stamps) else stamps
            return self._read()

    def latest(self) -> Redactions:
        """Look, and what is hidden then."""
        self.refresh()
        return self.redactions

    def redact(self, text: str) -> str:
        """The text without secrets: for logs, reasons, reports and everything else that is told or stored."""
        return redact(text, self.redactions)

    def redact_reply(self, channel: str, text: str) -> str:
        """A reply as it leaves for `channel`, by the rules of `[redact] raw_channels`.

        What its name alone gives away (`password=…`) stays: in what an agent says it is mostly an example.
        """
        self._learnt()
        return text if channel in self._raw_channels else redact(text, self._in_replies)

    @property
    def redactions(self) -> Redactions:
        """What is hidden as of the last look."""
        self._learnt()
        return self._all

    @property
    def count(self) -> int:
        """How many values are known."""
        self._learnt()
        return len(self._values)

    @property
    def unread(self) -> tuple[str, ...]:
        """Which files cannot be read, and why: what is in them cannot be hidden."""
        self._learnt()
        return self._found.unread

    def _places(self) -> tuple[str, ...]:
        places = secret_places(self._config, self._environ, self._data_dir)
        return tuple(dict.fromkeys(place.pattern for place in places))

    def _learnt(self) -> None:
        if self._stamps is None:
            with self._lock:
                self.refresh()

    def _read(self) -> bool:
        self._found = known_secrets(self._config, self._environ, self._data_dir)
        known = frozenset(self._found.values)
        gone = [value for value in self._values if value not in known]
        values = dict.fromkeys((*gone[-_KEPT:], *self._found.values))
        self._raw_channels = frozenset(() if self._config is None else self._config.redact.raw_channels)
        if values.keys() == self._values.keys():
            return False
        policy = policy_of(self._config, self._data_dir)
        self._in_replies = redactions_of(values, evolve(policy, by_name=False))
        self._values, self._all = values, redactions_of(values, policy)
        return True


def _just_written(stamps: dict[str, Stamp]) -> bool:
    now_ns = time.time_ns()
    return any(stamp is not None and abs(now_ns - stamp[3]) < _JUST_WRITTEN_NS for stamp in stamps.values())
