"""Which host does a guard serve, and for how long does it wait for the next one?"""

import os
import time
from collections.abc import Callable

from .door import Door
from .events import Events

_CHUNK = 65_536
_NO_FILE = -1


class Hosts:
    """First the host that started the guard, on stdin and stdout, then whoever comes through the door; one at a time.

    A host is dead when its end of the line is closed, or its process is gone: some fork of it may hold the line open.
    """

    def __init__(
        self,
        events: Events,
        door: Door | None,
        orphan_limit_ms: int,
        stop: Callable[[int], None],
        hide: Callable[[bytes], None],
    ) -> None:
        """`stop` is called with the grace that a host gives, `hide` with the JSON text of what the log is to leave out.

        Without a door nobody is waited for.
        """
        self._events = events
        self._door = door
        self._limit_ms = 0 if door is None else orphan_limit_ms
        self._stop = stop
        self._hide = hide
        self._greeting = ""
        self._text = b""
        self._hear = self._say = self._process = _NO_FILE
        self.give_up_at_ms: int | None = None
        """When the wait for a new host is over, on the monotonic clock; None while nobody is waited for."""

    def greet(self, line: str, heard: bytes) -> None:
        """Tell the first host, and each later one when it comes, of the agent; `heard`: what it said by now."""
        self._greeting = line
        self._text = heard
        tell(1, line)
        self._serve(0, 1, os.getppid())
        self._obey()

    def tell(self, line: str) -> None:
        """Say it to the host, if there is one."""
        if self._say != _NO_FILE:
            tell(self._say, line)

    def given_up(self) -> bool:
        """Is the wait for a new host over? True once."""
        over = self.give_up_at_ms is not None and now_ms() >= self.give_up_at_ms
        if over:
            self.give_up_at_ms = None
        return over

    def _serve(self, hear: int, say: int, pid: int) -> None:
        self._hear, self._say, self._process = hear, say, _open_process(pid)
        self._events.watch(hear, self._listen)
        self._events.watch(self._process, self._lose)
        self.give_up_at_ms = None

    def _listen(self) -> None:
        try:
            chunk = os.read(self._hear, _CHUNK)
        except ConnectionError:
            chunk = b""
        self._text += chunk
        self._obey()
        if not chunk:
            self._lose()

    def _obey(self) -> None:
        *lines, self._text = self._text.split(b"\n")
        for line in lines:
            words = line.split()
            if len(words) == 2 and words[0] == b"stop" and words[1].isdigit():
                self._stop(int(words[1]))
            elif words[:1] == [b"hide"]:
                self._hide(line.partition(b" ")[2])

    def _lose(self) -> None:
        for fd in (self._hear, self._process):
            self._events.leave(fd)
        if self._process != _NO_FILE:
            os.close(self._process)
        if self._hear == 0:
            _leave_pipes()
        else:
            os.close(self._hear)
        self._hear = self._say = self._process = _NO_FILE
        self._text = b""
        self.give_up_at_ms = now_ms() + self._limit_ms
        if self._door is not None:
            self._events.watch(self._door.fileno(), self._open_door)

    def _open_door(self) -> None:
        visitor = None if self._door is None else self._door.let_in()
        if self._door is None or visitor is None:
            return
        fd, pid = visitor
        if not tell(fd, self._greeting):  # it knocked while another was served, and left again: the wait goes on
            os.close(fd)
            return
        self._events.leave(self._door.fileno())  # the next one waits there until this one is gone
        self._serve(fd, fd, pid)


def now_ms() -> int:
    """The monotonic clock."""
    return time.monotonic_ns() // 1_000_000


def tell(fd: int, line: str) -> bool:
    """Say a line; False if nobody is there to hear it."""
    try:
        os.write(fd, line.encode() + b"\n")
        return True
    except OSError:
        return False


def _open_process(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return _NO_FILE


def _leave_pipes() -> None:
    # stderr is the host's too: whoever reads the other end of it waits for its last holder.
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)
    os.close(nothing)
