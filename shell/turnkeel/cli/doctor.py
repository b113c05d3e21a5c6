"""`doctor`: can a host work well on this machine and in this data directory, and what helps if not?"""

import os
import shlex
from collections.abc import Callable
from pathlib import Path

from attrs import asdict, evolve

from turnkeel.cli.doctor_container import check_containers
from turnkeel.cli.doctor_data import (
    check_database,
    check_directory,
    check_file_system,
    check_lock,
    check_sessions,
    check_space,
)
from turnkeel.cli.doctor_machine import (
    check_agent,
    check_clock,
    check_files_limit,
    check_python,
    check_runtime,
    check_sqlite,
    check_zone,
)
from turnkeel.cli.doctor_records import Checked, fail, ok, warn
from turnkeel.cli.errors import FAILED, WrongUsage
from turnkeel.cli.hiding import CANNOT_BE_HIDDEN, keeper, learn
from turnkeel.cli.output import flat, print_json
from turnkeel.cli.place import data_dir_of
from turnkeel_adapters.config import ConfigFault, HostConfig, load_config


def doctor(data: Path | None, *, config: Path | None, agent: str | None, json: bool) -> int:
    """Print one line per check; 1 if one failed. Reads only, but for a probe that writes and removes a folder."""
    data_dir = data_dir_of(data)
    settings, configured = _settings(config, agent)
    found = [configured, *(_carefully(subject, check) for subject, check in _checks(data_dir, settings))]
    found += _containers(settings, data_dir)
    failed = sum(one.level == "FAIL" for one in found)
    warned = sum(one.level == "warn" for one in found)
    if json:
        print_json({"data": str(data_dir), "ok": not failed, "checks": [asdict(one) for one in found]})
    else:
        for one in found:
            advice = "" if one.advice is None else f"; {one.advice}"
            print(flat(f"{one.level:<4}  {one.subject:<14}  {one.seen}{advice}"))
        print(f"{len(found)} checks: {failed} failed, {warned} warnings")
    return FAILED if failed else 0


def _checks(data_dir: Path, settings: HostConfig) -> tuple[tuple[str, Callable[[], Checked]], ...]:
    return (
        ("python", check_python),
        ("sqlite", check_sqlite),
        ("clock", check_clock),
        ("time zone", lambda: check_zone(settings, os.environ)),
        ("open files", check_files_limit),
        *(_agent_checks(settings) if settings.container is None else ()),
        ("data directory", lambda: check_directory(data_dir)),
        ("file system", lambda: check_file_system(data_dir)),
        ("free space", lambda: check_space(data_dir)),
        ("lock", lambda: check_lock(data_dir)),
        ("turnkeel.db", lambda: check_database(data_dir)),
        ("sessions", lambda: check_sessions(data_dir)),
        ("secrets", _check_secrets),
    )


def _check_secrets() -> Checked:
    known = keeper()
    if known.unread:
        seen = f"{'; '.join(known.unread)}: {CANNOT_BE_HIDDEN}"
        return warn("secrets", seen, "let this user read it, or take it out of the configuration")
    return ok("secrets", f"{known.count} values are known, and are hidden in what is told, stored and sent")


def _agent_checks(settings: HostConfig) -> tuple[tuple[str, Callable[[], Checked]], ...]:
    return (
        ("agent", lambda: check_agent(settings, os.environ, Path.cwd())),
        ("docker", lambda: check_runtime("docker")),
        ("podman", lambda: check_runtime("podman")),
    )


def _containers(settings: HostConfig, data_dir: Path) -> tuple[Checked, ...]:
    if settings.container is None:
        return ()
    try:
        return check_containers(settings, settings.container, data_dir, os.environ)
    except Exception as error:
        return (_broken("containers", error),)


def _carefully(subject: str, check: Callable[[], Checked]) -> Checked:
    """A check that breaks says so in its line: the others are wanted all the same."""
    try:
        return check()
    except Exception as error:
        return _broken(subject, error)


def _broken(subject: str, error: Exception) -> Checked:
    seen = f"could not be checked: {type(error).__name__}: {error}"
    return fail(subject, seen, "mend that, or report it as a fault")


def _settings(config: Path | None, agent: str | None) -> tuple[HostConfig, Checked]:
    try:
        settings = load_config(config)
        learn(settings)
    except (ConfigFault, OSError) as error:
        wrong = fail("configuration", str(error), "`turnkeel check --explain` shows every setting")
        return _with_agent(HostConfig(), agent), wrong
    seen = "none given, the defaults hold" if config is None else f"{config} is right"
    return _with_agent(settings, agent), ok("configuration", seen)


def _with_agent(settings: HostConfig, agent: str | None) -> HostConfig:
    if agent is None:
        return settings
    try:
        argv = tuple(shlex.split(agent))
    except ValueError as error:
        raise WrongUsage(f"--agent {agent!r} cannot be split into words: {error}") from error
    if not argv:
        raise WrongUsage("--agent is empty: name a program")
    return evolve(settings, agent=evolve(settings.agent, argv=argv))
