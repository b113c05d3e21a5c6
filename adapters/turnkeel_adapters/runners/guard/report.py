"""How did an agent end, and where do its guard's last words wait for a host that comes later?"""

import os
import re
from typing import NamedTuple

REPORT_SUFFIX = ".ended"
_LINE = re.compile(r"ended (\d{1,18}) (\d{1,18}) (\d{1,3}|-) (\d{1,3}|-) ([01]) (\d{1,9})", re.ASCII)
_LONGEST = 200


class Report(NamedTuple):
    """How an agent ended, in its guard's words.

    `ended_mono_ms` is an instant of the monotonic clock, which a reboot sets back; `ended_at_ms` one of the wall clock,
    which may be set by hand.
    """

    ended_mono_ms: int
    ended_at_ms: int
    exit_code: int | None
    signal: int | None
    forced: bool
    survivors_killed: int

    def line(self) -> str:
        """The words of `read_line`."""
        code, number = ("-" if value is None else str(value) for value in (self.exit_code, self.signal))
        times = f"{self.ended_mono_ms} {self.ended_at_ms}"
        return f"ended {times} {code} {number} {int(self.forced)} {self.survivors_killed}"


def read_line(text: str) -> Report | None:
    """The report in a line; None if it holds none."""
    found = _LINE.fullmatch(text, 0, _LONGEST)
    if found is None:
        return None
    mono, wall, code, number, forced, killed = found.groups()
    return Report(
        ended_mono_ms=int(mono),
        ended_at_ms=int(wall),
        exit_code=None if code == "-" else int(code),
        signal=None if number == "-" else int(number),
        forced=forced == "1",
        survivors_killed=int(killed),
    )


def keep_report(folder: int, name: str, report: Report) -> None:
    """Leave a report in an open folder, whole or not at all. Best effort: a full disk costs the exit code, no more."""
    draft = f"{name}.new"
    try:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600, dir_fd=folder)
        try:
            text = report.line().encode() + b"\n"
            whole = os.write(fd, text) == len(text)
        finally:
            os.close(fd)
        if whole:
            os.rename(draft, name + REPORT_SUFFIX, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        pass


def read_kept(path: str) -> Report | None:
    """The report a guard left in a file; None if there is none that can be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # whatever was put there: no link, no waiting
    except OSError:
        return None
    try:
        return read_line(os.read(fd, _LONGEST).decode("ascii", "replace").removesuffix("\n"))
    except OSError:
        return None
    finally:
        os.close(fd)
