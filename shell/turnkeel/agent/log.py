"""Where do the kit and its programs report? On stderr, which the host keeps as the agent's log."""

import os
import select

_STDERR = 2
_PATIENCE_MS = 1_000


def report(text: str) -> None:
    """Write one line of the kit itself to the agent's log."""
    pass_on(f"turnkeel agent: {text}\n".encode(errors="replace"))


def pass_on(chunk: bytes) -> None:
    """Write bytes to the agent's log; what a log that nobody reads does not take within a second is dropped.

    So a stalled reader of the log slows the agent down, but cannot stop it, its time limits, or its heartbeat.
    """
    rest = memoryview(chunk)
    try:
        log = select.poll()
        log.register(_STDERR, select.POLLOUT)
        while rest and log.poll(_PATIENCE_MS):
            # This much goes into a pipe without waiting, once it says that it takes something.
            rest = rest[os.write(_STDERR, rest[: select.PIPE_BUF]) :]
    except OSError:
        return  # stderr is closed: there is no log
