"""Which exit code does a failure get, and which one line tells it?"""

import errno
from typing import Final

DONE: Final = 0
FAILED: Final = 1
WRONG_USAGE: Final = 2
HELD: Final = 3
INTERRUPTED: Final = 130

_HELPS: Final = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "this user's quota is used up: free some space",
    errno.EROFS: "mount it writable, or use another place",
    errno.EACCES: "fix the owner or the permissions",
    errno.EPERM: "fix the owner or the permissions",
    errno.EEXIST: "move away what stands there, or name another place",
    errno.ENOTDIR: "a file stands where a folder must be: name another place",
    errno.EMFILE: "raise this user's limit of open files",
}


class CommandFailed(Exception):
    """What was asked for did not work; the text says why and what to do."""


class WrongUsage(Exception):
    """The command line asks for something that makes no sense; the text says what to write instead."""


def exit_code_of(error: Exception) -> int | None:
    """The exit code of an expected failure: 1 failed, 2 wrong usage or configuration, 3 another host is at work.

    None for an error nobody expected: that one is a fault of this program and keeps its traceback.
    """
    # Imported where something went wrong already: a command that works does not pay for it.
    from turnkeel_adapters.config import BadZone, ConfigFault
    from turnkeel_adapters.errors import AdapterError, BadSessionName
    from turnkeel_adapters.runners.errors import RunnerError
    from turnkeel_adapters.system.install import InstallIdUnreadable
    from turnkeel_adapters.system.lock import AlreadyHeld, LockError

    match error:
        case WrongUsage() | ConfigFault() | BadZone() | BadSessionName():
            return WRONG_USAGE
        case AlreadyHeld():
            return HELD
        case CommandFailed() | AdapterError() | LockError() | RunnerError() | InstallIdUnreadable() | OSError():
            return FAILED
        case _:
            return None


def line_of(error: Exception) -> str:
    """What went wrong, for standard error."""
    if isinstance(error, OSError) and error.strerror is not None:
        place = "" if error.filename is None else f"{error.filename}: "
        helps = _HELPS.get(error.errno or 0)
        return f"{place}{error.strerror}{f'; {helps}' if helps else ''}"
    return str(error) or type(error).__name__
