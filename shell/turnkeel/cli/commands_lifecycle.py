"""What can be typed about turns and replies? Each command loads its own module when it is called."""

from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

from cyclopts import App, Parameter

from turnkeel.cli.errors import WrongUsage
from turnkeel.cli.options import Config, Data, Json, Limit, OneSession

TurnState: TypeAlias = Literal[
    "accepted", "running", "failed_retryable", "delivery_pending", "delivered", "failed_terminal", "aborted"
]
RowState: TypeAlias = Literal[
    "queued", "sending", "failed_retryable", "unknown", "delivered", "failed_terminal", "expired"
]
OnlyOpen: TypeAlias = Annotated[bool, Parameter(name="--open", negative="", help="Only those that have not ended.")]
InSession: TypeAlias = Annotated[str | None, Parameter(help="Only of this session.", show_default=False)]
AfterId: TypeAlias = Annotated[str | None, Parameter(help="Go on after this one.", show_default=False)]
Ids: TypeAlias = Annotated[str, Parameter(name="ID", help="As `dead list` shows it; its beginning if that is unique.")]


def turns(
    session: OneSession = None,
    /,
    *,
    status: Annotated[TurnState | None, Parameter(help="Only in this state.", show_default=False)] = None,
    only_open: OnlyOpen = False,
    data: Data = None,
    config: Config = None,
    limit: Limit = 50,
    after: AfterId = None,
    json: Json = False,
) -> int:
    """Show the accepted messages, the newest first: what became of each, and what the open ones wait for."""
    from turnkeel.cli.turns import turns as command

    return command(
        session, data, status=status, only_open=only_open, config=config, limit=limit, after=after, json=json
    )


def trace(
    id: Annotated[  # noqa: A002  # the name that --help shows
        str, Parameter(name="ID", help="Of a turn, a message, a row of the outbox or a reply; a unique beginning does.")
    ],
    /,
    *,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> int:
    """Tell the life of a message: accepted, claimed, attempts, containers, parts sent, outcome, what it waits for.

    `turnkeel why ID` tells what the session's files say of a message, and why the host acts as it does.
    """
    from turnkeel.cli.trace import trace as command

    return command(id, data, config=config, json=json)


def abort(
    *sessions: Annotated[str, Parameter(name="SESSION", help="NAME or GROUP/NAME; one or more.")],
    data: Data = None,
    json: Json = False,
) -> int:
    """Stop what sessions are doing: waiting messages, the one at work, its replies that are not sent yet.

    Exit code 1 if nothing was left to stop. A chat message `/stop` does the same for its own session.
    """
    from turnkeel.cli.abort import abort as command

    if not sessions:
        raise WrongUsage("name a session: turnkeel abort SESSION")
    return command(sessions, data, json=json)


outbox_app = App(name="outbox", help="Show the replies to be sent and those sent; settle one that waits for a person.")


@outbox_app.default
def outbox(
    session: OneSession = None,
    /,
    *,
    status: Annotated[RowState | None, Parameter(help="Only in this state.", show_default=False)] = None,
    only_open: OnlyOpen = False,
    channel: Annotated[str | None, Parameter(help="Only of this channel.", show_default=False)] = None,
    data: Data = None,
    config: Config = None,
    limit: Limit = 50,
    after: AfterId = None,
    json: Json = False,
) -> int:
    """Show the replies, the newest first: what became of each, and why the open ones are not sent yet."""
    from turnkeel.cli.outbox import outbox as command

    return command(
        session,
        data,
        status=status,
        only_open=only_open,
        channel=channel,
        config=config,
        limit=limit,
        after=after,
        json=json,
    )


@outbox_app.command(name="settle")
def outbox_settle(
    id: Annotated[str, Parameter(name="ID", help="Of a row; a unique beginning does.")],  # noqa: A002
    /,
    *,
    sent: Annotated[bool, Parameter(negative="", help="It arrived.")] = False,
    not_sent: Annotated[bool, Parameter(negative="", help="It did not arrive: send it again.")] = False,
    drop: Annotated[bool, Parameter(negative="", help="Nobody wants it any more.")] = False,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> int:
    """Say what became of a reply whose arrival is unknown, or give an open one up."""
    from turnkeel.cli.outbox_settle import settle, word_of

    return settle(id, word_of(sent=sent, not_sent=not_sent, drop=drop), data, config=config, json=json)


dead_app = App(name="dead", help="Messages and replies that failed for good: list, show, retry or drop them.")


@dead_app.command(name="list")
def dead_list(
    session: OneSession = None,
    /,
    *,
    state: Annotated[Literal["dead", "retried", "dropped"], Parameter(help="In which state.")] = "dead",
    data: Data = None,
    limit: Limit = 50,
    after: Annotated[int | None, Parameter(help="Go on after this number.", show_default=False)] = None,
    json: Json = False,
) -> int:
    """Show what failed for good, the newest first, with the reason."""
    from turnkeel.cli.dead import dead_list as command

    return command(session, data, state=state, limit=limit, after=after, json=json)


@dead_app.command(name="show")
def dead_show(id: Ids, /, *, session: InSession = None, data: Data = None, json: Json = False) -> int:  # noqa: A002
    """Show all of one: text, reason, and how to go on. What has the form of a key or password is not shown."""
    from turnkeel.cli.dead import dead_show as command

    return command(id, data, session=session, json=json)


@dead_app.command(name="retry")
def dead_retry(
    *ids: Ids,
    every: Annotated[bool, Parameter(name="--all", negative="", help="Every one, or every one of --session.")] = False,
    session: InSession = None,
    even_if_sent: Annotated[
        bool, Parameter(negative="", help="Send a reply again that may have arrived, though it may be shown twice.")
    ] = False,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> int:
    """Have a dead message answered anew, as a new turn, or a dead reply sent again from its first missing part."""
    from turnkeel.cli.dead_back import retry

    return retry(ids, data, every=every, session=session, even_if_sent=even_if_sent, config=config, json=json)


@dead_app.command(name="drop")
def dead_drop(*ids: Ids, session: InSession = None, data: Data = None, json: Json = False) -> int:
    """Give dead letters up; what they say is kept until it is pruned."""
    from turnkeel.cli.dead_back import drop

    return drop(ids, data, session=session, json=json)


def import_(
    folder: Annotated[Path, Parameter(name="DIR", help="The folder with the queue's .json files.")],
    /,
    *,
    data: Data = None,
    dry_run: Annotated[bool, Parameter(negative="", help="Say what would become of each; change nothing.")] = False,
    json: Json = False,
) -> int:
    """Take over what OpenClaw left in its delivery-queue folder; stop OpenClaw first, or both will send it.

    Each file becomes a row of the outbox, or goes to failed/ beside if it cannot. Run again it adds nothing twice.
    """
    from turnkeel.cli.import_queue import import_queue

    return import_queue(folder, data, dry_run=dry_run, json=json)


LIFECYCLE: Final = (turns, trace, outbox_app, dead_app, abort, import_)
