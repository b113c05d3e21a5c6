"""Which value holds for each setting, where does it come from, and why is the default what it is?"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, TypeAlias, cast
from urllib.parse import urlsplit

from attrs import NOTHING, Attribute, AttrsInstance, evolve, fields, frozen, has

from turnkeel_adapters.config.channels import Channels
from turnkeel_adapters.config.load import EVERY_TOOL, read_table
from turnkeel_adapters.config.records import ContainerConfig, HostConfig
from turnkeel_adapters.mounts.records import MountSetting
from turnkeel_adapters.runners.oci.settings import ContainerSettings

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_CHANNELS: Final = "channels"
_MOUNTS: Final = "mounts"
_TABLES: Final = ("environment", "add_host", "secret_files", _CHANNELS)
_URLS: Final = ("url", "ask_url")

Source: TypeAlias = Literal["default", "file", "caller"]


@frozen(kw_only=True)
class ConfigLine:
    """One setting: `value` and `default` as TOML would write them, `unset` for none; values of environments and what
    follows the host of a URL are not shown. Of a group those are told that it does not inherit. `source`: nobody said
    it, the file did, or whoever called (the command line)."""

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
        if isinstance(value, ContainerConfig):
            yield from _container_lines(value, given)
        elif field.name == _CHANNELS and value:
            for name, settings in cast(Channels, value):
                yield from _table_lines(f"{_CHANNELS}.{_key(name)}.", settings, given)
        elif has(type(value)) and usual is None:
            yield from _table_lines(f"{prefix}{field.name}.", cast(AttrsInstance, value), given)
        elif has(type(value)):
            nested, nested_default = cast(AttrsInstance, value), cast(AttrsInstance, usual)
            yield from _lines(nested, nested_default, f"{prefix}{field.name}.", given)
        else:
            yield _line(f"{prefix}{field.name}", value, usual, field, given)


def _table_lines(prefix: str, record: AttrsInstance, given: frozenset[str]) -> Iterator[ConfigLine]:
    """A table that is there only if somebody wrote it; its fields have the defaults of its own."""
    for field in fields(type(record)):
        usual: object = None if field.default is NOTHING else field.default
        yield _line(f"{prefix}{field.name}", getattr(record, field.name), usual, field, given)


def _container_lines(config: ContainerConfig, given: frozenset[str]) -> Iterator[ConfigLine]:
    yield from _table_lines("container.", config.settings, given)
    for name, settings in config.groups:
        for field in fields(ContainerSettings):
            key, value = f"container.groups.{name}.{field.name}", getattr(settings, field.name)
            inherited: object = getattr(config.settings, field.name)
            if key in given or value != inherited:
                line = _line(key, value, inherited, field, given)
                yield evolve(line, reason="what [container] says holds where a group says nothing")


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
    if (last := key.rpartition(".")[2]) in _TABLES:
        pairs = cast(tuple[tuple[str, str], ...], value)
        # Values of an environment may be secrets; the names are what one needs to see.
        words = [f"{_key(name)} = {'…' if last == 'environment' else json.dumps(text)}" for name, text in pairs]
        return "{ " + ", ".join(words) + " }" if words else "{}"
    if last == _MOUNTS:
        return "[" + ", ".join(map(_mount, cast(tuple[MountSetting, ...], value))) + "]"
    if last in _URLS and isinstance(value, str):
        # What follows the host is a secret of some services.
        parts = urlsplit(value)
        return json.dumps(f"{parts.scheme}://{parts.netloc}/…", ensure_ascii=False)
    return "unset" if value is None else json.dumps(value, ensure_ascii=False)


def _mount(mount: MountSetting) -> str:
    parts = {"host": mount.host, "container": mount.container, "readonly": mount.readonly}
    words = (f"{name} = {json.dumps(part, ensure_ascii=False)}" for name, part in parts.items() if part is not None)
    return "{ " + ", ".join(words) + " }"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name)


def _keys(table: dict[str, object]) -> frozenset[str]:
    """`a.b` of each key `b` in a table `a`, at any depth; `agent.command` says `agent.argv` too."""
    keys = frozenset(_paths(table, ""))
    return keys | {"agent.argv"} if "agent.command" in keys else keys


def _paths(table: dict[str, object], prefix: str) -> Iterator[str]:
    for name, value in table.items():
        yield f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _paths(cast(dict[str, object], value), f"{prefix}{name}.")
