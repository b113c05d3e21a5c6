"""How does a later host reach a guard, and who may come in?"""

import os
import socket
import struct

DOOR_SUFFIX = ".door"
_WAITING = 2


class Door:
    """A unix socket in the run folder. Nobody is let in but processes of this user."""

    def __init__(self, folder: str, name: str) -> None:
        """OSError if there cannot be a socket."""
        self.folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self.name = name
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(address_in(self.folder, name))
        self._socket.listen(_WAITING)
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """Has news when somebody knocks."""
        return self._socket.fileno()

    def let_in(self) -> tuple[int, int] | None:
        """(connected file, process id) of who knocks; None if it left meanwhile, or may not come in."""
        try:
            visitor, _ = self._socket.accept()
        except OSError:
            return None
        pid, user = peer_of(visitor)
        if user != os.geteuid():
            visitor.close()
            return None
        visitor.setblocking(True)
        return visitor.detach(), pid

    def close(self) -> None:
        """Let nobody in any more, and take the socket's name away."""
        self._socket.close()
        try:
            os.unlink(self.name + DOOR_SUFFIX, dir_fd=self.folder)
        except OSError:
            pass  # the session's next start tries again
        os.close(self.folder)


def address_in(folder: int, name: str) -> str:
    """The address of a door in an open folder, whose path may be longer than the 107 bytes of an address."""
    return f"/proc/self/fd/{folder}/{name}{DOOR_SUFFIX}"


def peer_of(connected: socket.socket) -> tuple[int, int]:
    """(process id, user id) of the other end, as the kernel saw them."""
    seen = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, user, _ = struct.unpack("3i", seen)
    return pid, user
