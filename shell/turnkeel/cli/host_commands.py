"""`run`, `send` and `chat`: how does an operator bring a host to life and talk to it?"""

import asyncio
import os
import shlex
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from attrs import evolve

from turnkeel.cli.assemble import OpenHost, open_host
from turnkeel.cli.assemble_delivery import TERMINAL, channels_of
from turnkeel.cli.conversation import Conversation
from turnkeel.cli.errors import WrongUsage
from turnkeel.cli.hiding import CANNOT_BE_HIDDEN, keeper, learn
from turnkeel.cli.report import LogFormat, Reporter
from turnkeel.delivery.interrupted import tell_interrupted
from turnkeel.events import HostEvent
from turnkeel.host.host import RunSummary
from turnkeel_adapters.channels import TerminalChannel
from turnkeel_adapters.config.load import load_config
from turnkeel_adapters.config.records import HostConfig
from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.lifecycle.store import StateLifecycle
from turnkeel_adapters.runners.environment import compose_environment
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.system.clock import SystemClock
from turnkeel_adapters.system.doorbell import ring


def run(
    data: Path,
    *,
    agent: str | None = None,
    agent_runner: str | None = None,
    config: Path | None = None,
    until_idle: bool = False,
    log_format: LogFormat = "text",
) -> int:
    """Keep all sessions of a data directory; with `until_idle` end when nothing is left to do.

    Returns 0, or 1 if it ended because all work was done and a message had failed or a session was faulty.
    """
    settings = config_for(config, agent, agent_runner)
    reporter = Reporter(log_format=log_format)
    with open_host(data, settings, reporter, secrets=keeper()) as host:
        tell_interrupted(StateLifecycle(host.state.database), reporter, settings.interrupted)
        summary = asyncio.run(_run(host, until_idle))
    return 1 if until_idle and (summary.faulty or summary.failed_messages) else 0


def chat(
    *,
    agent: str | None = None,
    agent_runner: str | None = None,
    config: Path | None = None,
    data: Path | None = None,
    session: str = "chat",
    verbose: bool = False,
) -> int:
    """A host of its own and a conversation with one session: each line of input is a message, each reply is printed.

    Without `data` everything lives in a temporary directory. Returns 1 if a message was not answered.
    """
    settings = config_for(config, agent, agent_runner)
    # A person who sees that there is no answer needs no notice of it.
    settings = evolve(settings, delivery=evolve(settings.delivery, notify=False))
    name = str(SessionName.parse(session))
    reporter = Reporter() if verbose else _silent
    with ExitStack() as stack:
        where = data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="turnkeel-chat-")))
        clock = SystemClock()
        known = channels_of(settings, lambda: clock.read().wall_ms)
        known[TERMINAL] = TerminalChannel(sys.stdout, lambda: clock.read().wall_ms, named=False)
        host = stack.enter_context(open_host(where, settings, reporter, known, keeper()))
        for unread in keeper().unread:
            print(f"turnkeel: {unread}: {CANNOT_BE_HIDDEN}", file=sys.stderr)
        if name in host.state.registry.closed():
            raise AdapterError(f"session {name} is closed; send to another one")
        sessions = FileSessions(where)
        sessions.tree.create(SessionName.parse(name))
        store = StateLifecycle(host.state.database)
        return asyncio.run(_chat(host, Conversation(name, TERMINAL, host.intake, store, sessions.store(name)), where))


def config_for(config: Path | None, agent: str | None, agent_runner: str | None) -> HostConfig:
    """The configuration, with the agent named on the command line if one is; its secrets are hidden from now on."""
    settings = load_config(config)
    learn(settings)
    if agent is not None and agent_runner is not None:
        raise WrongUsage("give --agent (any program) or --agent-runner (speaks the session contract), not both")
    command = agent if agent_runner is None else agent_runner
    if command is None:
        if not settings.agent.argv and settings.container is None:
            raise WrongUsage("no agent: give --agent CMD, --agent-runner CMD, or [agent] command in the configuration")
        return settings
    try:
        argv = tuple(shlex.split(command))
    except ValueError as error:
        raise WrongUsage(f"the agent command {command!r} cannot be split into words: {error}") from error
    if not argv:
        raise WrongUsage("the agent command is empty: name a program")
    if settings.container is None:
        _require_program(argv[0], settings)
    elif all(one.command for one in settings.container.all()):
        raise WrongUsage("[container] command says what is started in the image: leave it out, or --agent")
    return evolve(settings, agent=evolve(settings.agent, argv=argv, speaks_contract=agent_runner is not None))


def _require_program(program: str, settings: HostConfig) -> None:
    """Better refused now than failed for every message."""
    environ = compose_environment(os.environ, settings.agent.pass_environment, dict(settings.agent.environment))
    if shutil.which(program, path=environ.get("PATH")) is None:
        raise WrongUsage(f"no such program: {program!r} is not on the agent's PATH or cannot be run")


async def _run(host: OpenHost, until_idle: bool) -> RunSummary:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, host.stop)
    return await host.run(until_idle=until_idle)


async def _chat(host: OpenHost, conversation: Conversation, data: Path) -> int:
    loop = asyncio.get_running_loop()
    running = asyncio.create_task(host.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, host.stop)
    talking = asyncio.create_task(conversation.talk(lambda: ring(data)))
    await asyncio.wait({running, talking}, return_when=asyncio.FIRST_COMPLETED)
    talking.cancel()
    host.stop()
    await running
    if talking.cancelled() or not talking.done():
        return 130
    return 0 if talking.result() else 1


def _silent(event: HostEvent) -> None:
    """Nothing is told while people talk."""
