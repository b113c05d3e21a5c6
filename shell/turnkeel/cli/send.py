"""`send`: how does an operator give a session a message?"""

import os
import sys
import time
from functools import partial
from pathlib import Path

from turnkeel.cli.answer_channel import require_channel
from turnkeel.cli.assemble_delivery import intake_of
from turnkeel.cli.conversation import message_from, turn_id_of
from turnkeel.cli.place import make_data_dir
from turnkeel.delivery.intake import Accepted, Answer, Duplicate
from turnkeel_adapters.channels.local import LOCAL
from turnkeel_adapters.config.load import load_config
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.state.store import HostState
from turnkeel_adapters.system.doorbell import ring
from turnkeel_core import MessageIdentity


def send(
    data: Path,
    session: str,
    text: str,
    *,
    key: str | None = None,
    channel: str = LOCAL,
    chat: str | None = None,
    config: Path | None = None,
) -> int:
    """Accept a message and print its id; AdapterError or WrongUsage: nothing was accepted."""
    require_channel(channel, load_config(config), config)
    answer = accept(data, session, text, key=key, channel=channel, chat=chat, config=config)
    print(turn_id_of(answer))
    if isinstance(answer, Accepted) and answer.stopped is not None:
        print(f"turnkeel: {answer.stopped.text}", file=sys.stderr)
    if isinstance(answer, Accepted) and answer.waits is not None:
        print(f"turnkeel: accepted, but not in its session's inbox yet: {answer.waits}", file=sys.stderr)
    if isinstance(answer, Duplicate):
        status = answer.status or "ended long ago"
        print(f"turnkeel: this key was accepted before; its message is {status}", file=sys.stderr)
    return 0


def accept(
    data: Path,
    session: str,
    text: str,
    *,
    key: str | None = None,
    channel: str = LOCAL,
    chat: str | None = None,
    config: Path | None = None,
) -> Answer:
    """Accept a message for a session, which is made if it is new; `-` reads it from standard input.

    It is on the disk when this returns; a running host is told, and finds it anyway. The same `key` again is the same
    message.
    """
    name = str(SessionName.parse(session))
    place, settings = chat or name, load_config(config)
    words = sys.stdin.read() if text == "-" else text
    said = message_from(words, time.time_ns() // 1_000_000, channel=channel, chat=place)
    identity = MessageIdentity(channel=channel, chat=place, message_id=key)
    make_data_dir(data)
    with HostState(data) as state:
        told = partial(ring, data)
        return intake_of(state, FileSessions(data), settings.settle, f"send-{os.getpid()}", told).accept(
            name, said, identity
        )
