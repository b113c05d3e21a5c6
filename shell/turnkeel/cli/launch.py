"""How is a session's agent started: as a process of this machine, or in a container?"""

import importlib.metadata
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import frozen

import turnkeel
import turnkeel_adapters
import turnkeel_core
from turnkeel_adapters.config.records import AgentConfig, ContainerConfig
from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.runners.environment import compose_environment
from turnkeel_adapters.runners.oci.argv import group_of
from turnkeel_adapters.runners.oci.settings import ContainerSettings
from turnkeel_adapters.runners.records import SpawnOrder
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_core import LoginPolicy, ResumePolicy

LOG_DIR: Final = "logs"


class NoAgent(AdapterError):
    """Nothing says which program answers the messages."""


@frozen(kw_only=True)
class ProcessLauncher:
    """Composes the order for one incarnation: command, environment by allow-list, log file.

    A program that does not speak the session contract is wrapped by `agent exec` and runs in `directory`; one that
    does finds its session folder as working directory and in TURNKEEL_SESSION_DIR.
    """

    data_dir: Path
    sessions: FileSessions
    agent: AgentConfig
    directory: Path
    environ: Mapping[str, str]
    resume: ResumePolicy = ResumePolicy()
    login: LoginPolicy = LoginPolicy()

    def order(self, session: str, incarnation: int) -> SpawnOrder:
        """The order for `session`'s container number `incarnation`."""
        folder = self.sessions.store(session).folder
        self.sessions.complete(session)
        facts = {
            "TURNKEEL_SESSION": session,
            "TURNKEEL_SESSION_DIR": str(folder),
            "TURNKEEL_INCARNATION": str(incarnation),
            **_limits(self.agent, self.resume, self.login),
        }
        extra = {**_import_path(), **dict(self.agent.environment), **facts}
        return SpawnOrder(
            session=session,
            incarnation=incarnation,
            folder=folder,
            argv=self._argv(),
            environment=compose_environment(self.environ, self.agent.pass_environment, extra),
            log_path=self.log_path(session),
        )

    def log_path(self, session: str) -> Path:
        """The file in which the output of the session's agents is kept."""
        return log_path(self.data_dir, session)

    def _argv(self) -> tuple[str, ...]:
        argv = self.agent.argv
        if not argv:
            raise NoAgent("no agent is configured: give [agent] command, --agent or --agent-runner")
        program = argv[0]
        if "/" in program:
            # What is typed counts from where it is typed, whatever folder the agent then runs in.
            program = str(self.directory / program)
        argv = (program, *argv[1:])
        return argv if self.agent.speaks_contract else (*self._wrapper(), "--", *argv)

    def _wrapper(self) -> tuple[str, ...]:
        return wrapper(sys.executable, self.agent, "--directory", str(self.directory))


@frozen(kw_only=True)
class ContainerLauncher:
    """Composes the order for one incarnation in a container: nothing of this machine's PATH or interpreter goes in.

    A program that does not speak the session contract is wrapped by `agent exec`, run by the image's own Python. No
    command at all leaves it to the image what is started.
    """

    data_dir: Path
    sessions: FileSessions
    agent: AgentConfig
    container: ContainerConfig
    environ: Mapping[str, str]
    resume: ResumePolicy = ResumePolicy()
    login: LoginPolicy = LoginPolicy()

    def order(self, session: str, incarnation: int) -> SpawnOrder:
        """The order for `session`'s container number `incarnation`."""
        folder = self.sessions.store(session).folder.absolute()  # a mount needs the whole path
        self.sessions.complete(session)
        facts = {
            "TURNKEEL_SESSION": session,
            "TURNKEEL_INCARNATION": str(incarnation),
            **_limits(self.agent, self.resume, self.login),
        }
        return SpawnOrder(
            session=session,
            incarnation=incarnation,
            folder=folder,
            argv=container_argv(self.agent, self.container.of(group_of(session))),
            environment=compose_environment(self.environ, ("TZ",), facts),
            log_path=self.log_path(session),
        )

    def log_path(self, session: str) -> Path:
        """The file in which the end of the output of the session's containers is kept."""
        return log_path(self.data_dir, session)


def container_argv(agent: AgentConfig, settings: ContainerSettings) -> tuple[str, ...]:
    """What is started in the image; empty: whatever the image says."""
    if settings.command or not agent.argv:
        return settings.command
    return agent.argv if agent.speaks_contract else (*wrapper(settings.python, agent), "--", *agent.argv)


def wrapper(python: str, agent: AgentConfig, *more: str) -> tuple[str, ...]:
    """`agent exec` as far as the command that it runs."""
    options = [*more, "--output-limit", str(agent.output_limit_bytes)]
    if agent.allow_empty:
        options.append("--allow-empty")
    if agent.provider is not None:
        options += ["--provider", agent.provider]
    if agent.timeout_s is not None:
        options += ["--timeout", str(agent.timeout_s)]
    # -P: the session folder is the working directory, and an agent can write to it; nothing is imported from it.
    return (python, "-P", "-m", "turnkeel.agent", "exec", *options)


def log_path(data_dir: Path, session: str) -> Path:
    """Where a session's log lies."""
    return data_dir / LOG_DIR / f"{session}.log"


def _limits(agent: AgentConfig, resume: ResumePolicy, login: LoginPolicy) -> dict[str, str]:
    """What the agent's side refuses by itself, before the host would, and which errors mean what to it."""
    usual = ResumePolicy()
    # Only what was added: the kit inside an image has usual ones of its own.
    patterns = {
        "session_patterns": [one for one in resume.session_patterns if one not in usual.session_patterns],
        "anchor_patterns": [one for one in resume.anchor_patterns if one not in usual.anchor_patterns],
        "error_chars": resume.error_chars,
    }
    said = {} if resume == usual else {"TURNKEEL_RESUME_PATTERNS": json.dumps(patterns)}
    logins = {
        "patterns": [one for one in login.patterns if one not in LoginPolicy().patterns],
        "error_chars": login.error_chars,
    }
    if login != LoginPolicy():
        said["TURNKEEL_LOGIN_PATTERNS"] = json.dumps(logins)
    return {
        "TURNKEEL_OUTPUT_LIMIT": str(agent.output_limit_bytes),
        "TURNKEEL_ATTACHMENT_LIMIT": str(agent.attachment_limit_bytes),
        **said,
    }


def _import_path() -> dict[str, str]:
    """A bare checkout is not installed: tell the agent's interpreter where the packages are."""
    try:
        importlib.metadata.distribution("turnkeel")
    except importlib.metadata.PackageNotFoundError:
        packages = (turnkeel, turnkeel_adapters, turnkeel_core)
        roots = dict.fromkeys(str(Path(package.__file__ or "").parent.parent) for package in packages)
        return {"PYTHONPATH": os.pathsep.join(roots)}
    return {}
