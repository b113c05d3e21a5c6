"""How does the agent process come to life, and what exactly does it inherit?"""

import ctypes
import os
import signal
import sys
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


class StartFailed(Exception):
    """The agent did not start: the step that failed, and its errno."""

    def __init__(self, stage: str, errno: int) -> None:
        super().__init__(stage, errno)
        self.stage = stage
        self.errno = errno


def adopt_orphans() -> None:
    """Make processes whose parents end children of this one (Linux); none can slip away by forking twice."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def start_agent(argv: list[str], environment: dict[str, str], folder: str) -> tuple[int, int]:
    """Start the agent in a session of its own: (pid, fd of its output). Raises StartFailed."""
    told, tell = os.pipe()
    output, out = os.pipe()
    guard = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become_agent(argv, environment, folder, guard, out, tell)
    os.close(tell)
    os.close(out)
    with os.fdopen(told, "rb") as file:
        failure = file.read().split()  # ends at once when the exec closes the other end
    if not failure:
        return pid, output
    os.waitpid(pid, 0)
    os.close(output)
    raise StartFailed(failure[0].decode(), int(failure[1]))


def _become_agent(
    argv: list[str], environment: dict[str, str], folder: str, guard: int, out: int, tell: int
) -> NoReturn:
    stage = "session"
    try:
        os.setsid()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:  # it died before the line above: nobody would end this agent
            os._exit(127)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        stage = "folder"
        os.chdir(folder)
        stage = "output"
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        stage = "program"
        os.execvpe(argv[0], argv, environment)
    except OSError as error:
        os.write(tell, f"{stage} {error.errno}".encode())
    finally:
        os._exit(127)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
