"""How are the core's records written down as JSON, and read back without guessing?

Keys are the field names, tuples are lists, None is null, and members of a union carry `type`. Defaults are written,
and may be left out when read.
"""

import json
from collections.abc import Iterable
from types import UnionType
from typing import TypeAlias, TypeVar, cast, get_type_hints, overload

from attrs import AttrsInstance, has
from cattrs.errors import BaseValidationError

import turnkeel_core
from turnkeel_adapters.wire.faults import Refused, WireFault, describe
from turnkeel_adapters.wire.strict import strict_converter, union_members
from turnkeel_core import schedule

__all__ = ["JsonValue", "WireFault", "dumps", "dumps_all", "from_data", "loads", "parse_json", "to_data"]

JsonValue: TypeAlias = "None | bool | int | float | str | list[JsonValue] | dict[str, JsonValue]"

T = TypeVar("T")


def _tagged() -> frozenset[type]:
    names = [getattr(turnkeel_core, name) for name in turnkeel_core.__all__] + [schedule.CronAnswer]
    hints = [hint for cls in names if has(cls) for hint in get_type_hints(cls).values()]
    return frozenset[type]().union(*(union_members(annotation) for annotation in [*names, *hints]))


_CONVERTER = strict_converter(_tagged())


def to_data(record: AttrsInstance) -> JsonValue:
    """The record as plain JSON values; `from_data` gives it back."""
    return cast(JsonValue, _CONVERTER.unstructure(record))


@overload
def from_data(data: JsonValue, cls: type[T], path: str = "") -> T: ...
@overload
def from_data(data: JsonValue, cls: UnionType, path: str = "") -> object: ...
def from_data(data: JsonValue, cls: type[T] | UnionType, path: str = "") -> object:
    """The record of class `cls`, or of one class of the union `cls`.

    WireFault names everything that is wrong, with paths that begin with `path`, the place of `data` in a larger whole.
    """
    try:
        return _CONVERTER.structure(data, cast(type[T], cls))
    except (BaseValidationError, Refused) as error:
        raise WireFault(describe(error, path)) from error


def dumps(record: AttrsInstance) -> str:
    """The record as one line of JSON, ASCII only, so that no pipe or store can spoil it."""
    return json.dumps(to_data(record))


def dumps_all(records: Iterable[AttrsInstance]) -> str:
    """The records as one line of JSON, a list."""
    return json.dumps([to_data(record) for record in records])


@overload
def loads(text: str, cls: type[T]) -> T: ...
@overload
def loads(text: str, cls: UnionType) -> object: ...
def loads(text: str, cls: type[T] | UnionType) -> object:
    """The record written in `text`; WireFault if it is no JSON or no such record."""
    return from_data(parse_json(text), cast(type[T], cls))


def parse_json(text: str) -> JsonValue:
    """The JSON value in `text`; WireFault for anything else, a key given twice and NaN included."""
    try:
        return cast(JsonValue, json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant))
    except RecursionError as error:
        raise WireFault(("nested too deeply",)) from error
    except Refused as error:
        raise WireFault((str(error),)) from error
    except ValueError as error:
        raise WireFault((f"not JSON: {error}",)) from error


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise Refused(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is given twice")
    return found


def _no_constant(name: str) -> object:
    raise Refused(f"{name} is no JSON value")
