"""`demo`: does the host keep its promise when agents crash, hang and misbehave? Seen at work, then read back."""

import asyncio
import json
import os
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Literal, TypeAlias

from attrs import frozen

from turnkeel.cli.assemble import OpenHost, open_host
from turnkeel.cli.errors import DONE, FAILED, INTERRUPTED, WrongUsage
from turnkeel.cli.reading import open_reading
from turnkeel.cli.report import Reporter
from turnkeel.events import HostEvent
from turnkeel.lab.board import Board
from turnkeel.lab.cast import CAST, Role, demo_config
from turnkeel.lab.chat_host import AGENT
from turnkeel.lab.letters_part import play_letters
from turnkeel.lab.readback import find_leftovers, read_aftermath
from turnkeel.lab.telling import tell
from turnkeel.lab.verdict import find_wrong
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.sessions.records import NewMessage
from turnkeel_adapters.system.doorbell import ring

_GIVE_UP_S: Final = 60.0
_GARBAGE: Final = b"this is no database " * 300

Ending: TypeAlias = Literal["done", "interrupted", "too late"]


@frozen(kw_only=True)
class Run:
    """How the host's run ended; `leftovers` are the processes that were there when it said that it was done."""

    ending: Ending
    took_s: float
    leftovers: tuple[str, ...]


def demo(*, plain: bool | None = None, keep: Path | None = None) -> int:
    """Run a host with misbehaving agents for some seconds and prove from the files what became of every message.

    `plain` prints lines instead of a live table (None: unless a terminal is there); `keep` is a new directory for the
    data, which is otherwise temporary. Returns 0, 1 if anything is not as promised, 130 if interrupted; WrongUsage for
    a `keep` that holds something.
    """
    has_terminal = sys.stdout.isatty() and os.environ.get("TERM") not in (None, "dumb")
    is_plain = not has_terminal if plain is None else plain
    with ExitStack() as stack:
        if keep is None:
            data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="turnkeel-demo-")))
        else:
            data = _new_place(keep)
        set_scene(data, CAST)
        print(f"A host with {len(CAST)} sessions, minutes shortened to seconds. Its data: {data}\n", flush=True)
        run = _run_plain(data) if is_plain else _run_live(data)
        if run.ending == "interrupted":
            print("\ninterrupted: nothing is judged")
            return INTERRUPTED
        wrong = _read_back(data, run, is_kept=keep is not None, plain=is_plain)
        try:
            well = play_letters(data, plain=is_plain, notes=_places(data) if keep is not None else ())
        except KeyboardInterrupt:
            print("\ninterrupted: nothing is judged")
            return INTERRUPTED
        return DONE if well and not wrong else FAILED


def set_scene(data: Path, cast: tuple[Role, ...]) -> None:
    """Make the sessions and store their messages, as `turnkeel send` would; break what is to be broken."""
    sessions = FileSessions(data)
    for role in cast:
        folder = sessions.tree.create(SessionName.parse(role.session))
        for number, message_id in enumerate(role.message_ids, 1):
            now_ms = time.time_ns() // 1_000_000
            content = json.dumps({"text": f"question {number}", "sender": "demo"})
            message = NewMessage(message_id=message_id, content=content, sent_at_ms=now_ms)
            sessions.store(role.session).insert(message, now_ms)
        if role.broken:
            (folder / "inbound.db").write_bytes(_GARBAGE)
    ring(data)


def _read_back(data: Path, run: Run, *, is_kept: bool, plain: bool) -> tuple[str, ...]:
    """Tell what the files say; returns what is not as promised."""
    limits = demo_config(AGENT).host
    notes = [f"the host was done after {run.took_s:.1f} s"]
    if is_kept:
        notes.append(f"its data is kept; look around: turnkeel why --data {shlex.quote(str(data))} hangs-silently")
    with open_reading(data) as reading:
        after = read_aftermath(reading, CAST, run.leftovers)
        wrong = find_wrong(CAST, after, limits.log_max_bytes * (limits.log_keep + 1))
        if run.ending == "too late":
            wrong = (f"the host was not done after {_GIVE_UP_S:.0f} s", *wrong)
        tell(reading, CAST, after, wrong, notes=tuple(notes), plain=plain)
    return wrong


def _places(data: Path) -> tuple[str, ...]:
    where = shlex.quote(str(data))
    return (f"its data is kept; look around: turnkeel outbox --data {where}, turnkeel turns --data {where}",)


def _new_place(keep: Path) -> Path:
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise WrongUsage(f"{keep} holds something already: name a new or an empty directory")
    return keep


def _run_plain(data: Path) -> Run:
    return _run(data, Reporter(sys.stdout))


def _run_live(data: Path) -> Run:
    # Loaded only where it is shown.
    from turnkeel.lab.live import watched

    board = Board(CAST)
    with watched(board):
        return _run(data, board)


def _run(data: Path, report: Callable[[HostEvent], None]) -> Run:
    with open_host(data, demo_config(AGENT), report) as host:
        begun_s = time.monotonic()
        ending = asyncio.run(_until_done(host))
        # Counted before the host's runner is closed, which would end whatever the host itself had left.
        return Run(ending=ending, took_s=time.monotonic() - begun_s, leftovers=find_leftovers(data))


async def _until_done(host: OpenHost) -> Ending:
    """Run until nothing is left to do, or until a signal or the time limit stops the host."""
    loop, stops = asyncio.get_running_loop(), list[Ending]()

    def stop(why: Ending) -> None:
        stops.append(why)
        host.stop()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop, "interrupted")
    limit = loop.call_later(_GIVE_UP_S, stop, "too late")
    try:
        await host.run(until_idle=True)
    finally:
        limit.cancel()
    return stops[0] if stops else "done"
