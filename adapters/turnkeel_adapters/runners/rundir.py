"""What have guards put into the run folder: doors of those that run, last words of those that ended?"""

import os
import socket
import struct
from pathlib import Path

from attrs import frozen

from turnkeel_adapters.runners.census import ContainerKey
from turnkeel_adapters.runners.guard.door import address_in, peer_of
from turnkeel_adapters.runners.guard.report import REPORT_SUFFIX, Report, read_kept
from turnkeel_adapters.runners.marker import file_name, file_start

_KNOCK_LIMIT_US = 400_000


@frozen(kw_only=True)
class RunFolder:
    """The run folder of an install; without a path there is none, and nothing is ever found in it."""

    path: Path | None
    install_id: str
    orphan_limit_ms: int

    def prepare(self, session: str) -> None:
        """Make the folder (0700), and remove what containers of this session left; none of them may run. OSError."""
        if self.path is None:
            return
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        start = file_start(self.install_id, session)
        for name in os.listdir(self.path):
            if name.startswith(start):
                (self.path / name).unlink(missing_ok=True)

    def order(self, key: ContainerKey) -> dict[str, object]:
        """What a guard has to know of it."""
        if self.path is None:
            return {}
        return {
            "run_dir": os.path.abspath(self.path),
            "name": file_name(self.install_id, *key),
            "orphan_limit_ms": self.orphan_limit_ms,
        }

    def report(self, key: ContainerKey) -> Report | None:
        """How this container ended, if its guard left word of it."""
        return None if self.path is None else read_kept(os.fspath(self._report(self.path, key)))

    def forget(self, key: ContainerKey) -> None:
        """Remove the report of an ended container."""
        if self.path is not None:
            try:
                self._report(self.path, key).unlink(missing_ok=True)
            except OSError:
                pass  # the session's next start tries again

    def knock(self, key: ContainerKey) -> socket.socket | None:
        """A connection to this container's guard, in 0.4 s at most; None if nobody of this user is there."""
        if self.path is None:
            return None
        try:
            folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return None
        guest = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Who gave up waiting still stands at the door of a guard that was stopped: it must send them away first.
        guest.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, _KNOCK_LIMIT_US))
        try:
            guest.connect(address_in(folder, file_name(self.install_id, *key)))
            if peer_of(guest)[1] == os.geteuid():
                return guest
        except OSError:
            pass  # no door, nobody behind it, or too many before it for too long
        finally:
            os.close(folder)
        guest.close()
        return None

    def _report(self, path: Path, key: ContainerKey) -> Path:
        return path / (file_name(self.install_id, *key) + REPORT_SUFFIX)
