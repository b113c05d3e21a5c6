"""What is wrong with data that should become a record, and where?"""

from collections.abc import Iterator
from difflib import get_close_matches

from attrs import fields
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError, IterableValidationError

from turnkeel_adapters.errors import AdapterError


class WireFault(AdapterError, ValueError):
    """Whoever wrote the data gave something that is no such record; `errors` names every fault with its path."""

    errors: tuple[str, ...]

    def __init__(self, errors: tuple[str, ...]) -> None:
        super().__init__(errors)
        self.errors = errors

    def __str__(self) -> str:
        """All faults in one line."""
        return "; ".join(self.errors)


class Refused(ValueError):
    """One value does not fit; the text says what was expected and what came."""


def describe(error: Exception, path: str = "") -> tuple[str, ...]:
    """Every fault below a cattrs error as `path: what is wrong`, all of them below `path`."""
    return tuple(_walk(error, path))


def shape(value: object) -> str:
    """The value's kind in JSON's words."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "a whole number"
        case float():
            return "a decimal number"
        case str():
            return "a text"
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return f"a {type(value).__name__}"


def unknown_key(path: str, key: str, known: list[str]) -> str:
    """The fault of a key that does not exist, with the nearest one that does."""
    near = get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}" if known else "no keys are known here"
    return f"{_below(path, key)}: unknown key; {hint}"


def _walk(error: BaseException, path: str) -> Iterator[str]:
    match error:
        case ClassValidationError():
            at_fields, whole = error.group_exceptions()
            for fault, note in at_fields:
                yield from _walk(fault, _below(path, note.name))
            for fault in whole:
                yield from _walk(fault, path)
        case IterableValidationError():
            at_items, whole = error.group_exceptions()
            for fault, item in at_items:
                yield from _walk(fault, f"{path}[{item.index}]")
            for fault in whole:
                yield from _walk(fault, path)
        case ForbiddenExtraKeysError():
            known = [field.name for field in fields(error.cl)]
            yield from (unknown_key(path, key, known) for key in sorted(error.extra_fields))
        case KeyError():
            yield _at(path, "missing")
        case _:
            yield _at(path, str(error))


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _at(path: str, text: str) -> str:
    return f"{path}: {text}" if path else text
