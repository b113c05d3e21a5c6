"""Which value holds for each setting, where does it come from, and why is the default what it is?"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias, cast

from attrs import Attribute, AttrsInstance, fields, frozen, has

from turnkeel_adapters.config.load import EVERY_TOOL, read_table
from turnkeel_adapters.config.records import HostConfig

Source: TypeAlias = Literal["default", "file", "caller"]


@frozen(kw_only=True)
class ConfigLine:
    """One setting: `value` and `default` as TOML would write them, `unset` for none; values of the agent's
    environment are not shown. `source`: nobody said it, the file did, or whoever called (the command line)."""

    key: str
    value: str
    default: str
    reason: str
    source: Source


def explain_config(config: HostConfig, path: Path | None) -> tuple[ConfigLine, ...]:
    """Every setting in order; `path` is the file that `config` was loaded from."""
    given = frozenset[str]() if path is None else _keys(read_table(path))
    return tuple(_lines(config, HostConfig(), "", given))


def _lines(record: AttrsInstance, default: AttrsInstance, prefix: str, given: frozenset[str]) -> Iterator[ConfigLine]:
    for field in fields(type(record)):
        value: object = getattr(record, field.name)
        usual: object = getattr(default, field.name)
        if has(type(value)):
            nested, nested_default = cast(AttrsInstance, value), cast(AttrsInstance, usual)
            yield from _lines(nested, nested_default, f"{field.name}.", given)
        else:
            yield _line(f"{prefix}{field.name}", value, usual, field, given)


def _line(key: str, value: object, usual: object, field: "Attribute[object]", given: frozenset[str]) -> ConfigLine:
    source: Source = "default" if value == usual else "caller"
    return ConfigLine(
        key=key,
        value=_shown(key, value),
        default=_shown(key, usual),
        reason=str(field.metadata["reason"]),
        source="file" if key in given else source,
    )


def _shown(key: str, value: object) -> str:
    if key == "stuck.timeout_tools" and value is None:
        return json.dumps([EVERY_TOOL])
    if key == "agent.environment":
        # Values may be secrets; the names are what one needs to see.
        names = [name for name, _ in cast(tuple[tuple[str, str], ...], value)]
        return "{ " + ", ".join(f"{name} = …" for name in names) + " }" if names else "{}"
    return "unset" if value is None else json.dumps(value, ensure_ascii=False)


def _keys(table: dict[str, object]) -> frozenset[str]:
    """`a.b` of each key `b` in a table `a`; `agent.command` says `agent.argv` too."""
    keys = {key for key, value in table.items() if not isinstance(value, dict)}
    for name, value in table.items():
        if isinstance(value, dict):
            keys |= {f"{name}.{key}" for key in cast(dict[str, object], value)}
    return frozenset(keys | {"agent.argv"} if "agent.command" in keys else keys)
