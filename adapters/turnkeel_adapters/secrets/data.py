"""How do secrets leave what is no plain text, so that its form stays?"""

import json
from collections.abc import Callable, Sequence
from typing import TypeAlias, cast

Redact: TypeAlias = Callable[[str], str]


def redact_data(value: object, redact: Redact) -> object:
    """The data with every text in it redacted; to redact what is serialised could spoil its form."""
    match value:
        case str():
            return redact(value)
        case dict():
            items = cast("dict[str, object]", value)
            return {redact(key): redact_data(item, redact) for key, item in items.items()}
        case list() | tuple():
            return [redact_data(item, redact) for item in cast("Sequence[object]", value)]
        case _:
            return value


def redact_json(text: str, redact: Redact) -> str:
    """A JSON document with its texts redacted; as it was, to the byte, if it holds no secret."""
    if redact(text) == text:
        return text
    return json.dumps(redact_data(json.loads(text), redact), separators=(",", ":"))
