"""Which secrets does a command keep out of what it prints?

Those of its own environment, of the configuration it was given, and all that are known by their form. A command that
gets no configuration does not know what stands in one: the host hid that before it stored a reason.
"""

import os
from collections.abc import Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, cast

from turnkeel_adapters.secrets import known_secrets
from turnkeel_core import Redactions, redact, redactions_of

if TYPE_CHECKING:
    from turnkeel_adapters.config.records import HostConfig

_CURRENT: Final = ContextVar[Redactions | None]("redactions", default=None)


def learn(config: "HostConfig | None") -> tuple[str, ...]:
    """Hide the secrets of the environment and of this configuration from now on.

    Returns which files could not be read, and why.
    """
    found = known_secrets(config, os.environ)
    _CURRENT.set(redactions_of(found.values))
    return found.unread


def redactions() -> Redactions:
    """What is hidden now. Threads begin without it: give it to what runs there."""
    known = _CURRENT.get()
    if known is None:
        learn(None)
        return redactions()
    return known


def hidden(text: str) -> str:
    """The text without secrets."""
    return redact(text, redactions())


def hidden_data(value: object, using: Redactions) -> object:
    """The data with every text in it redacted; to redact what is serialised could spoil its form."""
    match value:
        case str():
            return redact(value, using)
        case dict():
            items = cast("dict[str, object]", value)
            return {redact(key, using): hidden_data(item, using) for key, item in items.items()}
        case list() | tuple():
            return [hidden_data(item, using) for item in cast("Sequence[object]", value)]
        case _:
            return value
