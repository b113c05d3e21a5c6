"""How does any command-line program become an agent? One run per message: text on stdin, reply on stdout."""

from collections.abc import Sequence

from attrs import evolve

from turnkeel.agent.errors import AgentError
from turnkeel.agent.kit import Agent
from turnkeel.agent.log import report
from turnkeel.agent.message import Message
from turnkeel.agent.order import ExecOrder, parse_order
from turnkeel.agent.running import Answer, GiveUp, Silence, TryAgain, run_for
from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.sessions.container_attachments import OutputRefused
from turnkeel_core.login import LOGIN_REFUSED_EXIT

__all__ = ["ExecOrder", "exec_main", "parse_order"]


def exec_main(argv: Sequence[str]) -> int:
    """Run `agent exec` with the arguments after these words; returns the exit code.

    0 idle and told to stop, 1 a run failed or the session cannot be used, 2 wrong usage, 77 the login of
    the program is refused, 126/127 as in a shell, 130/143 interrupted at work.
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


def _work_on(agent: Agent, message: Message, order: ExecOrder) -> int:
    match run_for(agent, message, order):
        case Silence(keep):
            agent.done(message, keep=keep)
        case Answer(text, keep):
            try:
                agent.reply(message, text, keep=keep)
            except OutputRefused as refusal:
                agent.fail(message, "output_limit", str(refusal))
        case GiveUp(reason, detail):
            agent.fail(message, reason, detail)
        case TryAgain(reason, detail, exit_code, error):
            if error is not None and (said := agent.refused_login(error)) is not None:
                # Its own line comes last: that is what people are shown.
                reason, detail, exit_code = "login_refused", f"{detail.rstrip()}\n{said}".lstrip(), LOGIN_REFUSED_EXIT
            agent.note_attempt(message, reason, detail)
            words = detail.strip().splitlines()
            last = f" ({words[-1]:.200})" if words else ""
            report(f"message {message.id}: {reason}{last}; left for the host to try again")
            return exit_code
    return 0
