"""What can be typed to hold sessions back, and to end them? Each command loads its own module when it is called."""

from typing import Annotated, TypeAlias

from cyclopts import App, Parameter

from turnkeel.cli.options import Data, Every, OneSession, Session

KnownOnes: TypeAlias = Annotated[
    bool, Parameter(name="--all", negative="", help="Every session with a fault or a wait.")
]


def pause(
    session: OneSession = None,
    /,
    *,
    every: Every = False,
    reason: Annotated[str | None, Parameter(help="Shown by status.", show_default=False)] = None,
    data: Data = None,
) -> int:
    """Start no new container for a session, or for any; one that runs goes on."""
    from turnkeel.cli.pause import pause as command

    return command(session, data, every=every, reason=reason)


def resume(session: OneSession = None, /, *, every: Every = False, data: Data = None) -> int:
    """End a pause."""
    from turnkeel.cli.pause import resume as command

    return command(session, data, every=every)


session_app = App(name="session", help="Close a session, open it again, clear its faults, or delete it for good.")


@session_app.command(name="close")
def session_close(session: Session, /, *, data: Data = None) -> int:
    """Start no container for a session any more and refuse messages for it."""
    from turnkeel.cli.session import close as command

    return command(session, data)


@session_app.command(name="open")
def session_open(session: Session, /, *, data: Data = None) -> int:
    """Take a closed session up again."""
    from turnkeel.cli.session import reopen as command

    return command(session, data)


@session_app.command(name="clear")
def session_clear(session: OneSession = None, /, *, every: KnownOnes = False, data: Data = None) -> int:
    """Say that what was wrong with a session is mended: its faults are dropped and it is looked at again at once."""
    from turnkeel.cli.session_clear import clear as command

    return command(session, data, every=every)


@session_app.command(name="delete")
def session_delete(
    session: Session,
    /,
    *,
    yes: Annotated[bool, Parameter(negative="", help="Do not ask.")] = False,
    data: Data = None,
) -> int:
    """Remove a closed session for good: its messages, files, logs and records."""
    from turnkeel.cli.session import delete as command

    return command(session, data, yes=yes)
