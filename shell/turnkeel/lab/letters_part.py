"""Are replies still shown once when the chat fails and the host is killed in mid-send? Seen at work, then read back."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from turnkeel.cli.output import flat
from turnkeel.cli.reading import open_reading
from turnkeel.cli.send import accept
from turnkeel.delivery.intake import Accepted
from turnkeel.lab.chat import TROUBLES, Call, Chat, Trouble, read_calls
from turnkeel.lab.chat_host import KEYED, KEYLESS
from turnkeel.lab.letters import GROUP, LETTERS, SLAMMED, Letter, Plot, letter_of
from turnkeel.lab.letters_end import LetterEnd, closing_line, find_wrong, read_ends
from turnkeel.lab.readback import find_leftovers
from turnkeel.lab.telling import print_rows

_GIVE_UP_S: Final = 40.0
_STOP_S: Final = 5.0
_HANG_MS: Final = 1_600
_LOOK_S: Final = 0.02
_SHORT: Final[dict[Trouble, str]] = {
    "none": "took it",
    "fails": "answered 500",
    "busy": "answered 429",
    "refuses": "answered 413",
    "drops": "hung up",
    "loses": "lost its acknowledgement",
    "hangs": "never answered",
    "hangs_after": "took it, never answered",
    "late": "took it too late",
}


def play_letters(data: Path, *, plain: bool, notes: tuple[str, ...] = ()) -> bool:
    """Send messages whose answers go through failing chats, and kill their hosts meanwhile.

    `notes` are told at the end. True if every one of them is delivered, visibly failed or held for a person, and none
    was shown twice. An interrupted one raises KeyboardInterrupt, with nothing left running.
    """
    print(
        f"\nNow {len(LETTERS)} messages whose answers go through a chat that fails, hangs and loses acknowledgements."
    )
    print("Their host is a process of its own, killed (-9) while a send is under way.\n", flush=True)
    story, folders = _Story(), (data / "chats" / KEYED, data / "chats" / KEYLESS)
    accepted = {letter.name: _accept(data, letter) for letter in LETTERS}
    with ExitStack() as stack:
        stack.enter_context(_interruptible())
        keyed = Chat(folders[0], Plot(SLAMMED, story.slammed), keyed=True, hang_ms=_HANG_MS, told=story.call)
        stack.callback(keyed.close)
        keyless = Chat(folders[1], Plot(frozenset(), story.slammed), keyed=False, hang_ms=_HANG_MS, told=story.call)
        stack.callback(keyless.close)
        in_time = _serve(data, (keyed.url, keyless.url), story)
    leftovers = find_leftovers(data)
    with open_reading(data) as reading:
        ends = read_ends(reading.state, accepted, (*read_calls(folders[0]), *read_calls(folders[1])))
        unread = () if reading.has_state else reading.notes
    wrong = (*unread, *find_wrong(ends, story.kills, leftovers))
    if not in_time:
        wrong = (f"the host was not done after {_GIVE_UP_S:.0f} s, or failed", *wrong)
    _tell(ends, wrong, (f"processes left: {len(leftovers)}", *notes), plain=plain)
    return not wrong


@contextmanager
def _interruptible() -> Generator[None, None, None]:
    """Let other requests to end do what Ctrl-C does."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


class _Story:
    """Tells what happens while it happens, and says when a host is to be killed."""

    def __init__(self) -> None:
        self.kills = 0
        self.kill_now = threading.Event()
        self._begun_s = time.monotonic()
        self._lock = threading.Lock()

    def call(self, call: Call) -> None:
        """The chat has read a call."""
        letter = letter_of(call)
        name = "a notice" if letter is None else letter.name
        what = (
            "knows it already and shows nothing new"
            if call.again and call.trouble == "none"
            else TROUBLES[call.trouble]
        )
        with self._lock:
            self.line(f"{name:<8}  call {call.tries}: the chat {what}")
        if letter is not None and letter.kills and call.tries == 1:
            self.kill_now.set()

    def slammed(self) -> None:
        """The chat has hung up on somebody before it read what he wanted."""
        with self._lock:
            self.line("somebody  the chat hangs up before it reads anything")

    def line(self, text: str) -> None:
        """One line, with the seconds since the beginning."""
        print(f"{time.monotonic() - self._begun_s:6.1f} s  {text}", flush=True)


def _accept(data: Path, letter: Letter) -> str:
    chat = f"{GROUP}/{letter.session}"
    answer = accept(data, chat, letter.name, key=letter.name, channel=letter.channel, chat=chat)
    assert isinstance(answer, Accepted), answer
    return answer.turn_id


def _serve(data: Path, urls: tuple[str, str], story: _Story) -> bool:
    """Host after host, until one is done; False if that takes too long."""
    until_s = time.monotonic() + _GIVE_UP_S
    while True:
        story.kill_now.clear()
        with _host(data, urls) as host:
            story.line(f"a host starts: process {host.pid}")
            while host.poll() is None and not story.kill_now.wait(_LOOK_S):
                if time.monotonic() > until_s:
                    return False
            if host.poll() is None:
                host.kill()
                host.wait()
                story.kills += 1
                story.line(f"the host is killed in mid-send: process {host.pid}")
                continue
        story.line("nothing is left to do, the host ends")
        return host.returncode == 0


@contextmanager
def _host(data: Path, urls: tuple[str, str]) -> Generator["subprocess.Popen[bytes]", None, None]:
    """A host; if it still runs at the end of the block it is asked to end, and takes its agents along."""
    argv = (sys.executable, "-P", "-m", "turnkeel.lab.chat_host", str(data), *urls)
    host = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        yield host
    finally:
        if host.poll() is None:
            host.terminate()
            try:
                host.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                host.kill()
                host.wait()


def _tell(ends: tuple[LetterEnd, ...], wrong: tuple[str, ...], notes: tuple[str, ...], *, plain: bool) -> None:
    print("\nWhat became of every message (read back from the host's files and from the chat's record):\n")
    print_rows(("message", "became", "calls", "seen", "doubts", "what the chat did", "reason"), map(_row, ends), plain)
    print("\n  seen: how often people saw the answer")
    print("  doubts: how often it is on record that nobody knew whether a call had arrived")
    for note in notes:
        print(f"  {note}")
    if wrong:
        print("\nWRONG:\n")
        for line in wrong:
            print(flat(f"  {line}"))
    print(f"\n{closing_line(ends)}")


def _row(end: LetterEnd) -> tuple[str, ...]:
    troubles = ", ".join(dict.fromkeys(_SHORT[trouble] for trouble in end.letter.troubles)) or "took it"
    killed = "; host killed" if end.letter.kills else ""
    held = "this chat knows no keys: a person must say" if end.became == "unknown" else end.reason
    became = end.became if end.became in ("delivered", "unknown", "failed") else end.became.upper()
    return (end.letter.name, became, str(end.calls), str(end.seen), str(end.doubts), f"{troubles}{killed}", held)
