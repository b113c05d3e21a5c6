"""`status --watch`: how is the data directory from moment to moment?"""

import io
import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Callable, Generator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import FrameType

from turnkeel.cli.errors import WrongUsage, exit_code_of, line_of
from turnkeel.cli.place import existing_data_dir
from turnkeel.cli.status import status

_SHORTEST_S = 0.1


def watch(data: Path | None, *, limit: int, after: str | None, json: bool, interval: float) -> int:
    """Show `status` again every `interval` seconds until q, Ctrl-C or TERM; a passing fault is shown and waited out."""
    if json:
        raise WrongUsage("give --watch or --json, not both: call `turnkeel status --json` again for each reading")
    if not _SHORTEST_S <= interval <= 86_400:
        raise WrongUsage(f"--interval must be at least {_SHORTEST_S} s and at most a day")
    existing_data_dir(data)
    with _ended_by_term():
        try:
            if sys.stdout.isatty():
                _live(data, limit, after, interval)
            else:
                _blocks(data, limit, after, interval)
        except KeyboardInterrupt:
            pass
    return 0


def block(data: Path | None, limit: int, after: str | None) -> str:
    """What `status` prints now, notes first; a failure is its one line."""
    out, notes = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(notes):
            status(data, limit=limit, after=after)
    except Exception as error:
        if exit_code_of(error) is None:
            raise
        return f"{notes.getvalue()}cannot be read now: {line_of(error)}\n"
    return notes.getvalue() + out.getvalue()


def _blocks(data: Path | None, limit: int, after: str | None, interval: float) -> None:
    while True:
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S %Z')}\n{block(data, limit, after)}", flush=True)
        time.sleep(interval)


def _live(data: Path | None, limit: int, after: str | None, interval: float) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    def picture() -> Text:
        foot = f"{time.strftime('%H:%M:%S')}, again every {interval:g} s; q ends"
        return Text(f"{block(data, limit, after)}{foot}", no_wrap=True, overflow="ellipsis")

    with _keys() as pressed:
        with Live(picture(), console=Console(), screen=True, auto_refresh=False, redirect_stdout=False) as live:
            while not pressed(interval):
                live.update(picture(), refresh=True)


@contextmanager
def _keys() -> Generator[Callable[[float], bool], None, None]:
    """Was q pressed within so many seconds? Without a keyboard it only waits."""
    if not sys.stdin.isatty():
        yield _waited
        return
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    tty.setcbreak(keyboard)
    try:
        yield lambda seconds: _q_within(keyboard, seconds)
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def _waited(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def _q_within(keyboard: int, seconds: float) -> bool:
    """Other keys refresh at once; a keyboard that is gone ends the watch."""
    ready, _, _ = select.select([keyboard], [], [], seconds)
    if not ready:
        return False
    pressed = os.read(keyboard, 64)
    return not pressed or b"q" in pressed.lower()


@contextmanager
def _ended_by_term() -> Generator[None, None, None]:
    """TERM ends it as Ctrl-C does, so that the terminal is given back as it was."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
