"""What can be typed after `turnkeel`? Each command loads its own module when it is called, and no other."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

from cyclopts import Parameter

from turnkeel.cli.commands_control import pause, resume, session_app
from turnkeel.cli.commands_lifecycle import LIFECYCLE
from turnkeel.cli.commands_mounts import mounts_app
from turnkeel.cli.commands_schedules import sched_app
from turnkeel.cli.commands_senders import interrupted, senders_app
from turnkeel.cli.errors import WRONG_USAGE
from turnkeel.cli.options import Agent, AgentRunner, Config, Data, Json, Limit, Session
from turnkeel.cli.place import data_dir_of

Command: TypeAlias = Callable[..., object]


def chat(
    *,
    agent: Agent = None,
    agent_runner: AgentRunner = None,
    config: Config = None,
    data: Annotated[
        Path | None, Parameter(help="The data directory; default: a temporary one.", show_default=False)
    ] = None,
    session: Annotated[str, Parameter(help="The session to talk with.")] = "chat",
    verbose: Annotated[bool, Parameter(negative="", help="Tell what the host does.")] = False,
) -> int:
    """Talk with an agent: a host of its own, one line of input per message."""
    from turnkeel.cli import host_commands

    return host_commands.chat(
        agent=agent, agent_runner=agent_runner, config=config, data=data, session=session, verbose=verbose
    )


def run(
    *,
    data: Data = None,
    agent: Agent = None,
    agent_runner: AgentRunner = None,
    config: Config = None,
    until_idle: Annotated[bool, Parameter(negative="", help="End when nothing is left to do.")] = False,
    log_format: Annotated[Literal["text", "json"], Parameter(help="How each event is written.")] = "text",
) -> int:
    """Serve a data directory: wake agents for due messages, watch them, replace those that hang."""
    from turnkeel.cli import host_commands

    return host_commands.run(
        data_dir_of(data),
        agent=agent,
        agent_runner=agent_runner,
        config=config,
        until_idle=until_idle,
        log_format=log_format,
    )


def send(
    session: Annotated[str, Parameter(help="NAME or GROUP/NAME; made if it is new.")],
    text: Annotated[str, Parameter(help="The message; - reads it from standard input.", allow_leading_hyphen=True)],
    /,
    *,
    data: Data = None,
    config: Config = None,
    key: Annotated[
        str | None, Parameter(help="Its idempotency key: the same key again is the same message.", show_default=False)
    ] = None,
    channel: Annotated[str, Parameter(help="Where the answer goes; local: it is kept for `turnkeel show`.")] = "local",
    chat: Annotated[
        str | None, Parameter(help="The chat of that channel; default: the session's name.", show_default=False)
    ] = None,
) -> int:
    """Accept a message for a session and print its id; it is on the disk when the id is printed."""
    from turnkeel.cli import send

    return send.send(data_dir_of(data), session, text, config=config, key=key, channel=channel, chat=chat)


def show(
    session: Session,
    /,
    *,
    data: Data = None,
    limit: Limit = 50,
    after: Annotated[int | None, Parameter(help="Go on after this seq.", show_default=False)] = None,
    json: Json = False,
) -> int:
    """Show a conversation and what became of each message. What has the form of a key or password is not shown."""
    from turnkeel.cli.show import show as command

    return command(session, data, limit=limit, after=after, json=json)


def status(
    *,
    data: Data = None,
    limit: Limit = 100,
    after: Annotated[str | None, Parameter(help="Go on after this session.", show_default=False)] = None,
    json: Json = False,
    watch: Annotated[bool, Parameter(negative="", help="Show it again and again; q or Ctrl-C ends.")] = False,
    interval: Annotated[float, Parameter(help="With --watch: seconds between two looks.")] = 2.0,
) -> int:
    """Show whether a host is at work and how each session is."""
    if watch:
        from turnkeel.cli.watch import watch as watching

        return watching(data, limit=limit, after=after, json=json, interval=interval)
    from turnkeel.cli.status import status as command

    return command(data, limit=limit, after=after, json=json)


def sweep(
    *sessions: Annotated[str, Parameter(help="NAME or GROUP/NAME; default: all that are not closed.")],
    data: Data = None,
    config: Config = None,
    dry_run: Annotated[bool, Parameter(negative="", help="Show the plans and change nothing.")] = False,
    explain: Annotated[bool, Parameter(negative="", help="With --dry-run: every rule, fact and limit.")] = False,
    assume: Annotated[
        Literal["running", "stopped"] | None,
        Parameter(help="What to take for true of containers in a tree without turnkeel.db.", show_default=False),
    ] = None,
    json: Json = False,
) -> int:
    """Pass over the sessions once without starting a container: settle, charge, release, recur."""
    from turnkeel.cli.sweep import sweep as command

    return command(*sessions, data=data, config=config, dry_run=dry_run, explain=explain, assume=assume, json=json)


def why(
    id: Annotated[str, Parameter(name="ID", help="A session or a message id.")],
    /,
    *,
    data: Data = None,
    session: Annotated[str | None, Parameter(help="Search the message here only.", show_default=False)] = None,
    config: Config = None,
    limit: Limit = 10,
    json: Json = False,
) -> int:
    """Say why a session or a message is as it is, from its facts and the host's journal."""
    from turnkeel.cli.why import why as command

    return command(id, data, session=session, config=config, limit=limit, json=json)


def check(
    *,
    data: Data = None,
    config: Config = None,
    explain: Annotated[bool, Parameter(negative="", help="Show every setting, its default and the reason.")] = False,
    json: Json = False,
) -> int:
    """Check the configuration and whether the data directory can be read."""
    from turnkeel.cli.check import check as command

    return command(data, config=config, explain=explain, json=json)


def doctor(*, data: Data = None, config: Config = None, agent: Agent = None, json: Json = False) -> int:
    """Check this machine and the data directory, where it writes a small folder and removes it.

    With [container] it also starts one container as a session would, and removes that.
    """
    from turnkeel.cli.doctor import doctor as command

    return command(data, config=config, agent=agent, json=json)


def decide(
    *, explain: Annotated[bool, Parameter(negative="", help="Add the explanation of each decision.")] = False
) -> int:
    """Answer decisions asked as JSON lines on standard input: the core for hosts in other languages."""
    from turnkeel.cli.decide import decide_main

    return decide_main(sys.stdin, sys.stdout, explain)


def agent() -> int:
    """Make any program an agent: `turnkeel agent exec [OPTIONS] -- CMD`."""
    print("turnkeel: write: turnkeel agent exec [OPTIONS] -- CMD [ARG...]", file=sys.stderr)
    return WRONG_USAGE


def demo() -> int:
    """Show on your own machine how a hanging agent is found and replaced."""
    raise AssertionError("replaced by the demonstration's own function before it is called")


ALL: Final[tuple[Command, ...]] = (
    chat,
    run,
    send,
    show,
    status,
    pause,
    resume,
    session_app,
    *LIFECYCLE,
    sched_app,
    sweep,
    why,
    check,
    mounts_app,
    senders_app,
    interrupted,
    doctor,
    decide,
    agent,
)
