"""What does this configuration file say, and what is wrong with it?"""

import shlex
import tomllib
from pathlib import Path
from typing import TypeAlias, cast

from attrs import evolve
from cattrs.errors import BaseValidationError

from turnkeel_adapters.config.channels import BUILT_IN, Channels, read_channels
from turnkeel_adapters.config.container import agent_problems, read_container
from turnkeel_adapters.config.records import AgentConfig, HostConfig
from turnkeel_adapters.config.zones import BadZone, load_zone
from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.runners.environment import DEFAULT_ALLOW, compose_environment
from turnkeel_adapters.runners.errors import EnvironmentRefused
from turnkeel_adapters.sessions.providers import BadHandle, provider_key
from turnkeel_adapters.wire.faults import Refused, describe, shape
from turnkeel_adapters.wire.strict import strict_converter
from turnkeel_core import LoginPolicy, ResumePolicy

EVERY_TOOL = "*"
"""In `stuck.timeout_tools`: trust the timeout that any tool declares."""

Pairs: TypeAlias = tuple[tuple[str, str], ...]
Table: TypeAlias = dict[str, object]


class ConfigFault(AdapterError, ValueError):
    """Whoever wrote the configuration made mistakes; `problems` names each with its full key."""

    path: Path
    problems: tuple[str, ...]

    def __init__(self, path: Path, problems: tuple[str, ...]) -> None:
        super().__init__(path, problems)
        self.path = path
        self.problems = problems

    def __str__(self) -> str:
        """The file, then one line for each problem."""
        return "\n  ".join((f"{self.path}:", *self.problems))


def load_config(path: Path | None) -> HostConfig:
    """The configuration in `path`, or the defaults if there is none; ConfigFault names all that is wrong."""
    if path is None:
        return HostConfig()
    table = read_table(path)
    container, container_problems = read_container(table.get("container"), _CONVERTER)
    channels, channel_problems = read_channels(table.get("channels"), _CONVERTER)
    problems = (*_meaning_problems(table), *container_problems, *channel_problems)
    plain = {key: value for key, value in table.items() if key not in ("container", "channels")}
    try:
        config = _CONVERTER.structure(_with_host_defaults(plain), HostConfig)
    except (BaseValidationError, Refused) as error:
        raise ConfigFault(path, (*describe(error), *problems)) from error
    problems = (*problems, *_raw_problems(config, channels))
    if problems:
        raise ConfigFault(path, problems)
    container = None if container is None else evolve(container, file=path)
    return evolve(_finished(config), container=container, channels=channels)


def read_table(path: Path) -> Table:
    """The file as plain tables; ConfigFault if it cannot be read or is no TOML."""
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError as error:
        raise ConfigFault(path, ("there is no such file",)) from error
    except OSError as error:
        raise ConfigFault(path, (f"cannot be read: {error.strerror}",)) from error
    except (ValueError, RecursionError) as error:
        raise ConfigFault(path, (f"not TOML: {error}",)) from error


def _environment(value: object, _: object) -> Pairs:
    if not isinstance(value, dict):
        raise Refused(f"must be a table of texts, not {shape(value)}")
    items = cast(Table, value)
    wrong = [f"{name} must be a text, not {shape(item)}" for name, item in items.items() if not isinstance(item, str)]
    if wrong:
        raise Refused("; ".join(wrong))
    return tuple((name, str(item)) for name, item in items.items())


_CONVERTER = strict_converter(frozenset())
_CONVERTER.register_structure_hook_func(lambda cls: cls == Pairs, _environment)


def _with_host_defaults(table: Table) -> Table:
    """`[stuck]` without `timeout_tools` means the host's default, not the policy's."""
    stuck = table.get("stuck")
    if not isinstance(stuck, dict):
        return table
    return {**table, "stuck": {"timeout_tools": [EVERY_TOOL], **cast(Table, stuck)}}


def _finished(config: HostConfig) -> HostConfig:
    stuck, agent = config.stuck, config.agent
    if stuck.timeout_tools is not None and EVERY_TOOL in stuck.timeout_tools:
        stuck = evolve(stuck, timeout_tools=None)
    if agent.command is not None:
        agent = evolve(agent, argv=tuple(shlex.split(agent.command)))
    allowed = tuple(dict.fromkeys((*DEFAULT_ALLOW, *agent.pass_environment)))
    login = tuple(dict.fromkeys((*LoginPolicy().patterns, *config.login.patterns)))
    return evolve(
        config,
        stuck=stuck,
        agent=evolve(agent, pass_environment=allowed),
        resume=_with_usual(config.resume),
        login=evolve(config.login, patterns=login),
    )


def _with_usual(resume: ResumePolicy) -> ResumePolicy:
    """The patterns of a file are added to the usual ones."""
    usual = ResumePolicy()
    return evolve(
        resume,
        session_patterns=tuple(dict.fromkeys((*usual.session_patterns, *resume.session_patterns))),
        anchor_patterns=tuple(dict.fromkeys((*usual.anchor_patterns, *resume.anchor_patterns))),
    )


def _raw_problems(config: HostConfig, channels: Channels) -> tuple[str, ...]:
    known = {*BUILT_IN, *(name for name, _ in channels)}
    return tuple(
        f"redact.raw_channels: no channel {name!r:.80}" for name in config.redact.raw_channels if name not in known
    )


def _meaning_problems(table: Table) -> tuple[str, ...]:
    """What types alone do not show, as far as the types are right."""
    zone = (*_zone_problems(table.get("timezone")), *agent_problems(table))
    try:
        return (*zone, *_agent_problems(_CONVERTER.structure(table.get("agent", {}), AgentConfig)))
    except (BaseValidationError, Refused):
        # `[agent]` has faults of type, which are named already.
        return zone


def _zone_problems(name: object) -> tuple[str, ...]:
    if not isinstance(name, str):
        return ()
    try:
        load_zone(name)
    except BadZone as error:
        return (f"timezone: {error}",)
    return ()


def _agent_problems(agent: AgentConfig) -> tuple[str, ...]:
    problems = [*_command_problems(agent), *_provider_problems(agent)]
    try:
        compose_environment({}, agent.pass_environment, {})
    except EnvironmentRefused as error:
        problems.append(f"agent.pass_environment: {error}")
    try:
        compose_environment({}, (), dict(agent.environment))
    except EnvironmentRefused as error:
        problems.append(f"agent.environment: {error}")
    return tuple(problems)


def _provider_problems(agent: AgentConfig) -> tuple[str, ...]:
    if agent.provider is None:
        return ()
    if agent.speaks_contract:
        return ("agent.provider: an agent that speaks the contract keeps its handles itself; leave it out",)
    try:
        provider_key(agent.provider)
    except BadHandle as error:
        return (f"agent.provider: {error}",)
    return ()


def _command_problems(agent: AgentConfig) -> tuple[str, ...]:
    if agent.argv is not None:
        if agent.command is not None:
            return ("agent.argv: command is given too; keep one of them",)
        if not agent.argv or not agent.argv[0] or any("\0" in word for word in agent.argv):
            return ("agent.argv: the first word must name a program, and no word may hold NUL",)
        return ()
    if agent.command is None:
        return ()
    try:
        words = shlex.split(agent.command)
    except ValueError as error:
        return (f"agent.command: cannot be split into words: {error}",)
    if not words or not words[0] or "\0" in agent.command:
        return ("agent.command: must name a program, without NUL",)
    return ()
