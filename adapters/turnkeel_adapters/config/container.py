"""What do the tables `[container]` and `[container.groups.NAME]` say, and what is wrong with them?

A group inherits each key that it does not set, whole: an `environment` of its own takes the place of the general one.
"""

import re
import shlex
from typing import Final, TypeAlias, cast

from attrs import fields
from cattrs import Converter
from cattrs.errors import BaseValidationError

from turnkeel_adapters.config.records import ContainerConfig
from turnkeel_adapters.runners.oci.settings import ContainerSettings
from turnkeel_adapters.wire.faults import Refused, describe, shape, unknown_key

Table: TypeAlias = dict[str, object]

_GROUP: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:+-]{0,127}")
_FOR_PROCESSES: Final = ("environment", "pass_environment")


def read_container(value: object, converter: Converter) -> tuple[ContainerConfig | None, tuple[str, ...]]:
    """The table as a record, and every problem with its full key; None if there is no table, or a problem."""
    if value is None:
        return None, ()
    if not isinstance(value, dict):
        return None, (f"container: must be a table, not {shape(value)}",)
    general = dict(cast(Table, value))
    groups = general.pop("groups", {})
    settings, problems = _settings("container", general, {}, converter)
    if not isinstance(groups, dict):
        return None, (*problems, f"container.groups: must be a table, not {shape(groups)}")
    named: list[tuple[str, ContainerSettings]] = []
    for name, table in cast(Table, groups).items():
        special, wrong = _group(name, table, general, converter)
        problems += wrong
        named += [(name, special)] if special is not None else []
    if problems or settings is None:
        return None, problems
    return ContainerConfig(settings=settings, groups=tuple(named)), ()


def agent_problems(table: Table) -> tuple[str, ...]:
    """What `[agent]` says of processes alone, and would not hold for containers without anyone noticing."""
    agent = table.get("agent")
    if "container" not in table or not isinstance(agent, dict):
        return ()
    return tuple(
        f"agent.{key}: is for agents that run as processes; write it in [container]"
        for key in _FOR_PROCESSES
        if key in cast(Table, agent)
    )


def _group(
    name: str, table: object, general: Table, converter: Converter
) -> tuple[ContainerSettings | None, tuple[str, ...]]:
    key = f"container.groups.{name[:60]}"
    if _GROUP.fullmatch(name) is None:
        return None, (f"{key!r}: names no group of sessions",)
    if not isinstance(table, dict):
        return None, (f"{key}: must be a table, not {shape(table)}",)
    given = cast(Table, table)
    settings, problems = _settings(key, given, general, converter)
    if "runtime" in given:
        problems += (f"{key}.runtime: all groups of a host use one; write it in [container]",)
    return (None if problems else settings), problems


def _settings(
    key: str, given: Table, inherited: Table, converter: Converter
) -> tuple[ContainerSettings | None, tuple[str, ...]]:
    """Structure `given` over `inherited`, whose own problems are told elsewhere."""
    known = {field.name for field in fields(ContainerSettings)}
    problems = [unknown_key(key, name, sorted(known)) for name in given if name not in known]
    table = {name: value for name, value in {**inherited, **given}.items() if name in known}
    if isinstance(line := table.get("command"), str):
        try:
            table["command"] = shlex.split(line)
        except ValueError as error:
            table["command"] = []
            problems += [f"{key}.command: cannot be split into words: {error}"] if "command" in given else []
    try:
        settings = converter.structure(table, ContainerSettings)
    except (BaseValidationError, Refused) as error:
        told = describe(error, key)
        return None, (*problems, *(one for one in told if not inherited or _is_of(one, key, given)))
    return settings, tuple(problems)


def _is_of(problem: str, key: str, given: Table) -> bool:
    """Is it about a key of `given`?"""
    return re.split(r"[:.\[]", problem.removeprefix(f"{key}."), maxsplit=1)[0] in given
