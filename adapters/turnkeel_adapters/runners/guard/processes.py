"""Which processes are there, whose are they, and how is exactly one of them signalled? (Linux; elsewhere: none)"""

import os
import signal
from collections.abc import Iterable
from typing import NamedTuple


class Process(NamedTuple):
    """One running process; `started` is in clock ticks since boot, so (pid, started) is never used twice."""

    pid: int
    parent: int
    leads_session: bool
    started: int


def read_process(pid: int, *, even_ended: bool = False) -> Process | None:
    """The process with this pid; None if there is none. A zombie waiting for its parent counts `even_ended` only."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()  # the name before it may hold spaces and parentheses
    except OSError:
        return None
    if len(fields) < 20:
        return None
    ended = fields[0] in (b"X", b"Z") and int(fields[17]) <= 1  # with more threads only its first thread has ended
    if ended and not even_ended:
        return None
    return Process(pid, int(fields[1]), int(fields[3]) == pid, int(fields[19]))


def all_processes() -> dict[int, Process]:
    """Every running process of this machine (or of this pid namespace) by pid; empty without /proc."""
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return {}
    return {pid: process for pid in pids if (process := read_process(pid)) is not None}


def descendants(roots: Iterable[int], table: dict[int, Process]) -> list[Process]:
    """All children of `roots`, their children and so on; without `roots` themselves."""
    children: dict[int, list[Process]] = {}
    for process in table.values():
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    seen = set(roots)
    todo = list(seen)
    while todo:
        for child in children.get(todo.pop(), []):
            if child.pid not in seen:
                seen.add(child.pid)
                found.append(child)
                todo.append(child.pid)
    return found


def read_environment(pid: int) -> dict[str, str]:
    """The variables a process was started with; empty if it ended, or if this user may not ask."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            entries = file.read().split(b"\0")
    except OSError:
        return {}
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in (entry.partition(b"=") for entry in entries)}


def signal_process(process: Process, number: int) -> bool:
    """Signal exactly this process, never a later one with its pid; False if it is gone or this is not allowed."""
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    except (AttributeError, OSError):
        fd = -1  # a kernel or sandbox without pidfds: the start time below still tells a recycled pid
    try:
        now = read_process(process.pid)
        if now is None or now.started != process.started:
            return False
        if fd >= 0:
            signal.pidfd_send_signal(fd, number)
        else:
            os.kill(process.pid, number)
        return True
    except OSError:
        return False
    finally:
        if fd >= 0:
            os.close(fd)
