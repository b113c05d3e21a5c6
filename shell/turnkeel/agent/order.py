"""What is run for each message, and within which limits? The command line of `agent exec`."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

from turnkeel.agent.handing import asks_for_resume
from turnkeel_adapters.sessions.providers import BadHandle, provider_key
from turnkeel_core import OutputPolicy

_DEFAULT_OUTPUT_LIMIT = OutputPolicy().output_limit_bytes
_UNNAMED: Final = "program"
_EPILOG = """A run that exits 0 answers the message with what it printed. Any other end leaves the message in hand and
ends this command with 1 (127 or 126: the program is missing or cannot be run), so that the host tries it again; 77 says
that the login of CMD is refused: the host then pauses the session and charges nothing.
{resume} in a word of CMD is the handle of the conversation to go on with; without one the word is left out, and an
option right before it. CMD writes its new handle to the file that TURNKEEL_RESUME_FILE names."""


@frozen(kw_only=True)
class ExecOrder:
    """What to run for each message, and within which limits. `directory` None: in the session folder.

    `provider` is whose conversation the command goes on with; None: it asks for no handle.
    """

    argv: tuple[str, ...]
    allow_empty: bool = False
    timeout_s: float | None = None
    output_limit: int = _DEFAULT_OUTPUT_LIMIT
    directory: Path | None = None
    provider: str | None = None


def parse_order(argv: Sequence[str]) -> ExecOrder:
    """Read the command line; wrong usage ends in SystemExit(2) with the reason on stderr."""
    parser = argparse.ArgumentParser(
        prog="turnkeel agent exec",
        usage="%(prog)s [--allow-empty] [--timeout SECONDS] [--output-limit BYTES] [--directory DIR] "
        "[--provider NAME] -- CMD [ARG...]",
        description="Answer each message of this session with what CMD prints.",
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument("--allow-empty", action="store_true", help="no output settles the message silently")
    parser.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="stop a run after this time, to try again")
    parser.add_argument("--output-limit", type=_size, metavar="BYTES", default=_DEFAULT_OUTPUT_LIMIT,
                        help="fail a message whose run prints more (default: %(default)s)")  # fmt: skip
    parser.add_argument("--directory", type=Path, metavar="DIR", help="run CMD there (default: the session folder)")
    parser.add_argument("--provider", type=_provider, metavar="NAME",
                        help="whose conversation {resume} is (default: the name of CMD)")  # fmt: skip
    cut = argv.index("--") if "--" in argv else len(argv)
    options = parser.parse_args(argv[:cut])
    command = tuple(argv[cut + 1 :])
    if not command or not command[0]:
        parser.error("no program given: put it after --, as in: agent exec -- tr a-z A-Z")
    if asks_for_resume(command[:1]):
        parser.error("the program itself cannot be a handle: {resume} stands in the words after it")
    return ExecOrder(
        argv=command,
        allow_empty=options.allow_empty,
        timeout_s=options.timeout,
        output_limit=options.output_limit,
        directory=options.directory,
        provider=options.provider if options.provider else _provider_of(command),
    )


def _seconds(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text} is no positive number of seconds")
    return value


def _size(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is no positive number of bytes")
    return value


def _provider(text: str) -> str:
    try:
        return provider_key(text)
    except BadHandle as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _provider_of(command: tuple[str, ...]) -> str | None:
    if not asks_for_resume(command):
        return None
    try:
        return provider_key(Path(command[0]).name)
    except BadHandle:
        return _UNNAMED
