"""How does any command-line program become an agent? One run per message: text on stdin, reply on stdout."""

import argparse
import math
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

from attrs import evolve, frozen

from turnkeel.agent.errors import AgentError
from turnkeel.agent.kit import Agent
from turnkeel.agent.log import report
from turnkeel.agent.message import Message
from turnkeel.agent.program import ProgramEnd, ProgramRun
from turnkeel.agent.start import CannotStart, start_program
from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.sessions.container_attachments import OutputRefused
from turnkeel_core import OutputPolicy

_DEFAULT_OUTPUT_LIMIT = OutputPolicy().output_limit_bytes
_EPILOG = """A run that exits 0 answers the message with what it printed. Any other end leaves the message in hand and
ends this command with 1 (127 or 126: the program is missing or cannot be run), so that the host tries it again."""


@frozen(kw_only=True)
class ExecOrder:
    """What to run for each message, and within which limits. `directory` None: in the session folder."""

    argv: tuple[str, ...]
    allow_empty: bool = False
    timeout_s: float | None = None
    output_limit: int = _DEFAULT_OUTPUT_LIMIT
    directory: Path | None = None


@frozen
class Answer:
    """The program did its work: reply with what it printed."""

    text: str


@frozen
class Silence:
    """The program did its work and had nothing to say, as allowed."""


@frozen
class GiveUp:
    """Another run would end the same way: fail the message."""

    reason: str
    detail: str


@frozen
class TryAgain:
    """The run failed: leave the claim and end with this code."""

    reason: str
    detail: str
    exit_code: int = 1


Verdict: TypeAlias = Answer | Silence | GiveUp | TryAgain


def exec_main(argv: Sequence[str]) -> int:
    """Run `agent exec` with the arguments after these words; returns the exit code.

    0 idle and told to stop, 1 a run failed or the session cannot be used, 2 wrong usage, 126/127 as in a shell,
    130/143 interrupted at work.
    """
    try:
        order = parse_order(argv)
        with Agent.from_environment() as agent:
            # What was typed here says more than what the host set for agents in general.
            agent.limits = evolve(agent.limits, output_limit_bytes=order.output_limit)
            for message in agent.messages():
                if code := _work_on(agent, message, order):
                    return code
    except (AgentError, AdapterError) as fault:
        report(str(fault))
        return 1
    except KeyboardInterrupt:
        return 130
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    return 0


def parse_order(argv: Sequence[str]) -> ExecOrder:
    """Read the command line; wrong usage ends in SystemExit(2) with the reason on stderr."""
    parser = argparse.ArgumentParser(
        prog="turnkeel agent exec",
        usage="%(prog)s [--allow-empty] [--timeout SECONDS] [--output-limit BYTES] [--directory DIR] -- CMD [ARG...]",
        description="Answer each message of this session with what CMD prints.",
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument("--allow-empty", action="store_true", help="no output settles the message silently")
    parser.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="stop a run after this time, to try again")
    parser.add_argument("--output-limit", type=_size, metavar="BYTES", default=_DEFAULT_OUTPUT_LIMIT,
                        help="fail a message whose run prints more (default: %(default)s)")  # fmt: skip
    parser.add_argument("--directory", type=Path, metavar="DIR", help="run CMD there (default: the session folder)")
    cut = argv.index("--") if "--" in argv else len(argv)
    options = parser.parse_args(argv[:cut])
    command = tuple(argv[cut + 1 :])
    if not command or not command[0]:
        parser.error("no program given: put it after --, as in: agent exec -- tr a-z A-Z")
    return ExecOrder(
        argv=command,
        allow_empty=options.allow_empty,
        timeout_s=options.timeout,
        output_limit=options.output_limit,
        directory=options.directory,
    )


def judge(end: ProgramEnd, order: ExecOrder) -> Verdict:
    """Say what a run's end means for its message."""
    if end.how == "flooded":
        return GiveUp("output_limit", f"more than {order.output_limit} bytes on stdout\n{end.stderr_end}")
    if end.how == "deadline":
        return TryAgain("timeout", f"still running after {order.timeout_s:g} s\n{end.stderr_end}")
    if end.status != 0:
        return TryAgain(f"exit_{end.status}" if end.status > 0 else f"signal_{-end.status}", end.stderr_end)
    text = end.output.decode(errors="replace").rstrip("\r\n")
    if text.strip():
        return Answer(text)
    return Silence() if order.allow_empty else GiveUp("no_output", end.stderr_end)


def _work_on(agent: Agent, message: Message, order: ExecOrder) -> int:
    match _run(agent, message, order):
        case Silence():
            agent.done(message)
        case Answer(text):
            try:
                agent.reply(message, text)
            except OutputRefused as refusal:
                agent.fail(message, "output_limit", str(refusal))
        case GiveUp(reason, detail):
            agent.fail(message, reason, detail)
        case TryAgain(reason, detail, exit_code):
            agent.note_attempt(message, reason, detail)
            words = detail.strip().splitlines()
            last = f" ({words[-1]:.200})" if words else ""
            report(f"message {message.id}: {reason}{last}; left for the host to try again")
            return exit_code
    return 0


def _run(agent: Agent, message: Message, order: ExecOrder) -> Verdict:
    text = "\n".join((*message.context, message.text)).encode(errors="replace")
    with ExitStack() as held:
        try:
            # A stop request waits until the program is in the hands of its run, so that it is never left behind.
            with agent.shielded():
                process = start_program(order.argv, order.directory or agent.folder)
                run = held.enter_context(
                    ProgramRun(process, text, output_limit=order.output_limit, on_output=agent.progress)
                )
        except CannotStart as error:
            return TryAgain(error.reason, str(error), error.exit_code)
        return judge(run.run(order.timeout_s), order)


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
