"""What do the tables `[channels.NAME]` say, and what is wrong with them?"""

import re
from typing import Final, TypeAlias, cast

from cattrs import Converter
from cattrs.errors import BaseValidationError

from turnkeel_adapters.channels.local import LOCAL
from turnkeel_adapters.channels.settings import WebhookSettings
from turnkeel_adapters.wire.faults import Refused, describe, shape

Channels: TypeAlias = tuple[tuple[str, WebhookSettings], ...]

BUILT_IN: Final = (LOCAL, "terminal")
"""Channels that need no table."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")  # channel names know no case: there is one way to write each


def read_channels(value: object, converter: Converter) -> tuple[Channels, tuple[str, ...]]:
    """Each table as a record, in the order of the file, and every problem with its full key."""
    if value is None:
        return (), ()
    if not isinstance(value, dict):
        return (), (f"channels: must be a table, not {shape(value)}",)
    found: list[tuple[str, WebhookSettings]] = []
    problems: list[str] = []
    for name, table in cast("dict[str, object]", value).items():
        key = f"channels.{name[:60]}"
        if _NAME.fullmatch(name) is None:
            problems.append(f"{key!r}: a channel's name is small letters, digits, - and _, up to 64")
        elif name in BUILT_IN:
            problems.append(f"{key}: is built in and has no table")
        elif not isinstance(table, dict):
            problems.append(f"{key}: must be a table, not {shape(table)}")
        else:
            try:
                found.append((name, converter.structure(table, WebhookSettings)))
            except (BaseValidationError, Refused) as error:
                problems += describe(error, key)
    return tuple(found), tuple(problems)
