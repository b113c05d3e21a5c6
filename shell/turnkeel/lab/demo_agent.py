"""What does an agent of the demo do? What its session is named after; every one is a real process with real faults."""

import os
import signal
import subprocess
import sys
import time
from typing import Final

from turnkeel.agent import Agent, Message
from turnkeel.lab.cast import OUTPUT_LIMIT_BYTES

CHILDREN: Final = 3
_FOR_EVER_S: Final = 3_600.0
_PYTHON: Final = (sys.executable, "-I", "-S", "-c")
_FLOOD: Final = "import os\nwhile True:\n    os.write(2, b'noise ' * 512)\n    os.write(1, b'words ' * 512)\n"
_PROGRAMS: Final = {
    "exec": ("tr", "a-z", "A-Z"),
    "floods": (*_PYTHON, _FLOOD),
    "says-nothing": (*_PYTHON, "pass"),
}


def main() -> int:
    """Play the role of the session that the host named; returns the exit code."""
    name = os.environ["TURNKEEL_SESSION"].rpartition("/")[2]
    is_first = os.environ["TURNKEEL_INCARNATION"] == "1"
    if name in _PROGRAMS:
        _become_exec(_PROGRAMS[name])
    if name == "hangs-silently" and is_first:
        _hang_silently()
    with Agent.from_environment() as agent:
        for message in agent.messages():
            _play(name, is_first, agent, message)
            if name == "forks":
                break  # its children are still there when it exits
    return 0


def _play(name: str, is_first: bool, agent: Agent, message: Message) -> None:
    if name == "crashes-always" or (name == "crashes-once" and is_first):
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "hangs-beating" and is_first:
        time.sleep(_FOR_EVER_S)
    if name == "forks":
        for _ in range(CHILDREN):
            _leave_child()
        agent.reply(message, f"{CHILDREN} children are left to themselves")
    else:
        agent.reply(message, f"heard: {message.text}")


def _become_exec(program: tuple[str, ...]) -> None:
    """Go on as `agent exec`, the wrapper of programs that know nothing of sessions."""
    options = ("--output-limit", str(OUTPUT_LIMIT_BYTES))
    # -P: the working directory is the session folder, and nothing is imported from it.
    argv = (sys.executable, "-P", "-m", "turnkeel.agent", "exec", *options, "--", *program)
    os.execv(sys.executable, argv)


def _hang_silently() -> None:
    """Claim a message, then never beat again and do not listen to TERM: only a kill helps."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with Agent(os.environ["TURNKEEL_SESSION_DIR"], beat_every_s=_FOR_EVER_S, handle_sigterm=False) as agent:
        agent.next_message()
        time.sleep(_FOR_EVER_S)


def _leave_child() -> None:
    sleep = f"import time; time.sleep({_FOR_EVER_S})"
    child = subprocess.Popen(
        (*_PYTHON, sleep), start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    child.returncode = 0  # it is meant to outlive this process: no complaint that nobody waited for it


if __name__ == "__main__":
    sys.exit(main())
