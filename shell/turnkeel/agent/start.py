"""Can the program be started, and if not, whose fault is it?"""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class CannotStart(Exception):
    """The program does not exist or cannot be run; `exit_code` is what a shell would answer."""

    def __init__(self, reason: str, exit_code: int, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.exit_code = exit_code


def start_program(
    argv: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start the program in its own process group with three pipes, in our environment if none is given.

    Raises CannotStart.
    """
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(
            argv, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, cwd=folder, process_group=0, env=environment
        )
    except FileNotFoundError as error:
        if not folder.is_dir():
            raise CannotStart("no_folder", 1, f"the folder {folder} is gone") from error
        raise CannotStart("not_found", 127, f"{argv[0]}: no such program; check its name and PATH") from error
    except BlockingIOError as error:
        raise CannotStart("cannot_start", 1, f"{argv[0]}: no process can be made now: {error}") from error
    except (OSError, ValueError) as error:
        raise CannotStart("cannot_execute", 126, f"{argv[0]}: cannot be run: {error}") from error
