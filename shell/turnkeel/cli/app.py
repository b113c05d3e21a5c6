"""Which commands does `turnkeel` have, and which exit code does each end give?"""

import importlib
import io
import os
import sys
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from typing import TYPE_CHECKING, Final, cast

from cyclopts import App, CycloptsError

from turnkeel import __version__
from turnkeel.cli import commands
from turnkeel.cli.errors import DONE, FAILED, INTERRUPTED, WRONG_USAGE, CommandFailed, exit_code_of, line_of
from turnkeel.cli.hiding import HiddenStream, begin, hidden

if TYPE_CHECKING:
    from turnkeel_adapters.secrets import SecretKeeper

_HELP: Final = "Keeps AI agents in containers at work, finds those that hang, and says why it did what it did."
_EPILOGUE: Final = (
    "Exit codes: 0 done, 1 the thing asked for failed, 2 wrong usage or configuration, 3 another host is at work."
)


def run_command_line(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code; an expected failure is one line on standard error.

    One that nobody expected keeps its traceback, without the secrets in it.
    """
    return copy_context().run(_begin, argv)  # what it learns of secrets is forgotten with it


def _begin(argv: Sequence[str]) -> int:
    _tolerate_any_text()
    with _errors_hidden(begin()):
        return _run_and_tell(argv)


@contextmanager
def _errors_hidden(known: "Callable[[], SecretKeeper]") -> Generator[None, None, None]:
    below = sys.stderr
    sys.stderr = HiddenStream(below, lambda text: known().redact(text))
    try:
        yield
    finally:
        try:
            sys.stderr.flush()
        except (OSError, ValueError):
            pass  # nobody listens
        sys.stderr = below


def _run_and_tell(argv: Sequence[str]) -> int:
    try:
        code = _run(list(argv))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Whoever read the answer has enough of it. Python flushes once more at its end: give it nowhere to fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        return _failed(error)


def _failed(error: Exception) -> int:
    code = exit_code_of(error)
    if code is None:
        # As a whole, not by lines: some secrets have several.
        _tell(f"a fault of this program:\n{hidden(''.join(traceback.format_exception(error)))}".rstrip())
        return FAILED
    _tell(line_of(error))
    return code


def _run(argv: list[str]) -> int:
    if argv == ["--version"]:
        print(f"turnkeel {__version__}")
        return DONE
    if argv[:2] == ["agent", "exec"]:
        return _agent_exec(argv[2:])
    try:
        command, bound, _ = _app(demo=argv[:1] == ["demo"]).parse_args(argv, print_error=False, exit_on_error=False)
    except CycloptsError as error:
        _tell(f"{str(error).strip()} (turnkeel --help)")
        return WRONG_USAGE
    code = command(*bound.args, **bound.kwargs)
    return code if isinstance(code, int) else DONE


def _app(*, demo: bool) -> App:
    app = App(name="turnkeel", help=_HELP, help_epilogue=_EPILOGUE, version=f"turnkeel {__version__}")
    for command in commands.ALL:
        app.command(command)
    app.command(_demo_command() if demo else commands.demo, name="demo")
    return app


def _demo_command() -> commands.Command:
    """The demonstration has options of its own, so its own function is registered when it is asked for."""
    try:
        return cast(commands.Command, importlib.import_module("turnkeel.lab.demo").demo)
    except ModuleNotFoundError as error:
        raise CommandFailed(f"the demonstration is not part of this installation ({error})") from error


def _agent_exec(argv: list[str]) -> int:
    from turnkeel.agent.exec import exec_main

    try:
        return exec_main(argv)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else DONE


def _tell(line: str) -> None:
    try:
        print(f"turnkeel: {hidden(line)}", file=sys.stderr)
    except OSError:
        return  # nobody listens


def _tolerate_any_text() -> None:
    """A text that the terminal's encoding lacks is shown escaped: it must not cost the rest of the answer."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
