"""What can be typed about interrupted messages and senders? Each command loads its own module when it is called."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from turnkeel.cli.options import Config, Data, Json


def interrupted(
    *,
    db: Annotated[
        Path | None, Parameter(help="A NanoClaw v1 database, in place of our own.", show_default=False)
    ] = None,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> int:
    """Show the messages that were handed to an agent long ago and never answered; changes nothing."""
    from turnkeel.cli.interrupted import interrupted as command

    return command(data, db=db, config=config, json=json)


senders_app = App(name="senders", help="Who may start an agent.")


@senders_app.command(name="check")
def senders_check(
    *,
    config: Config = None,
    chat: Annotated[str | None, Parameter(help="With --sender: ask about this chat.", show_default=False)] = None,
    sender: Annotated[
        str | None, Parameter(help="With --chat: ask about this sender, by every character.", show_default=False)
    ] = None,
    json: Json = False,
) -> int:
    """Check the allowlist, show its rules, and say what becomes of a sender's message in a chat."""
    from turnkeel.cli.senders import check as command

    return command(config, chat=chat, sender=sender, json=json)
