"""What does the run of a program for one message come to?"""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TypeAlias

from attrs import evolve, frozen

from turnkeel.agent.handing import HandOver, UnusableHandle, filled_words
from turnkeel.agent.kit import Agent
from turnkeel.agent.log import report
from turnkeel.agent.message import Message
from turnkeel.agent.order import ExecOrder
from turnkeel.agent.program import ProgramEnd, ProgramRun
from turnkeel.agent.resuming import kept_resume
from turnkeel.agent.start import CannotStart, start_program
from turnkeel_adapters.sessions.container_resume import KeptResume
from turnkeel_adapters.sessions.providers import BadHandle


@frozen
class Answer:
    """The program did its work: reply with what it printed, and go on with `keep` next time."""

    text: str
    keep: KeptResume | None = None


@frozen
class Silence:
    """The program did its work and had nothing to say, as allowed."""

    keep: KeptResume | None = None


@frozen
class GiveUp:
    """Another run would end the same way: fail the message."""

    reason: str
    detail: str


@frozen
class TryAgain:
    """The run failed: leave the claim and end with this code. `error` is what the program itself said of it."""

    reason: str
    detail: str
    exit_code: int = 1
    error: str | None = None


Verdict: TypeAlias = Answer | Silence | GiveUp | TryAgain


def run_for(agent: Agent, message: Message, order: ExecOrder) -> Verdict:
    """Run the command for a message; once more, at once, if it failed because its conversation is gone."""
    if order.provider is None:
        return _run(agent, message, order, order.argv, os.environ)
    with HandOver() as hand:
        verdict, retry = _resumed(agent, message, order, order.provider, hand, retried=False)
        if retry:
            hand.forget()
            verdict, _ = _resumed(agent, message, order, order.provider, hand, retried=True)
        return verdict


def judge(end: ProgramEnd, order: ExecOrder) -> Verdict:
    """Say what a run's end means for its message."""
    if end.how == "flooded":
        return GiveUp("output_limit", f"more than {order.output_limit} bytes on stdout\n{end.stderr_end}".rstrip())
    if end.how == "deadline":
        late = f"still running after {order.timeout_s:g} s\n{end.stderr_end}"
        return TryAgain("timeout", late, error=end.stderr_end)
    if end.status != 0:
        reason = f"exit_{end.status}" if end.status > 0 else f"signal_{-end.status}"
        return TryAgain(reason, end.stderr_end, error=end.stderr_end)
    text = end.output.decode(errors="replace").rstrip("\r\n")
    if text.strip():
        return Answer(text)
    return Silence() if order.allow_empty else GiveUp("no_output", end.stderr_end)


def _resumed(
    agent: Agent, message: Message, order: ExecOrder, provider: str, hand: HandOver, *, retried: bool
) -> tuple[Verdict, bool]:
    """The verdict on a run that goes on with what is stored now, and whether to run it again."""
    used = agent.resume_handles(provider)
    words, environment = filled_words(order.argv, used), hand.environment(os.environ)
    verdict = _with_error(_run(agent, message, order, words, environment), hand.error())
    if isinstance(verdict, TryAgain):
        if verdict.error is None:
            return verdict, False
        return verdict, agent.recover_resume(provider, verdict.error, used, retried=retried)
    if isinstance(verdict, GiveUp):
        return verdict, False
    return evolve(verdict, keep=_handed(hand, provider)), False


def _with_error(verdict: Verdict, error: str) -> Verdict:
    """An error that the program wrote down is its word on the run, whatever it printed and ended with."""
    if not error:
        return verdict
    if isinstance(verdict, TryAgain):
        return evolve(verdict, detail=f"{verdict.detail}\n{error}".lstrip(), error=error)
    return TryAgain("error_result", error, error=error)


def _handed(hand: HandOver, provider: str) -> KeptResume | None:
    try:
        handles = hand.handles()
        return None if handles is None else kept_resume(provider, handles)
    except (UnusableHandle, BadHandle) as fault:
        report(f"the handle of before is kept: {fault}")
        return None


def _run(
    agent: Agent, message: Message, order: ExecOrder, words: Sequence[str], environment: Mapping[str, str]
) -> Verdict:
    text = "\n".join((*message.context, message.text)).encode(errors="replace")
    with ExitStack() as held:
        try:
            # A stop request waits until the program is in the hands of its run, so that it is never left behind.
            with agent.shielded():
                process = start_program(words, order.directory or agent.folder, environment)
                run = held.enter_context(
                    ProgramRun(process, text, output_limit=order.output_limit, on_output=agent.progress)
                )
        except CannotStart as error:
            return TryAgain(error.reason, str(error), error.exit_code)
        return judge(run.run(order.timeout_s), order)
