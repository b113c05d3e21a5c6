"""What does an action of a plan mean, in one line?"""

from turnkeel.cli.output import flat
from turnkeel.cli.render import render_when
from turnkeel.cli.report import verdict
from turnkeel_core import (
    ChargeAttempt,
    CloneRecurrence,
    DelayRetry,
    FailMessage,
    FenceSession,
    HoldWake,
    ParkRecurrence,
    ReleaseClaims,
    SettleAck,
    StopContainer,
    SweepAction,
    SweepPlan,
    Wake,
)

_SHOWN = 5


def render_plan(plan: SweepPlan, now_ms: int, indent: str = "  ") -> str:
    """Every action in order, with both branches of those that may not work, and when the plan changes by itself."""
    lines = [f"{indent}{line}" for action in plan.actions for line in render_action(action, now_ms)]
    if not plan.actions:
        lines.append(f"{indent}nothing to do")
    if plan.next_change_at_ms is not None:
        lines.append(f"{indent}changes by itself {render_when(plan.next_change_at_ms, now_ms)}")
    return "\n".join(lines)


def render_action(action: SweepAction, now_ms: int) -> list[str]:
    """The action with its evidence, and what follows if it works or does not."""
    match action:
        case Wake(_, _, if_failed):
            return [_phrase(action, now_ms), *_branch("if it does not start", if_failed, now_ms)]
        case StopContainer(_, _, if_stopped, if_alive):
            stopped = _branch("once it is gone", if_stopped, now_ms)
            return [_phrase(action, now_ms), *stopped, *_branch("if it stays", if_alive, now_ms)]
        case _:
            return [_phrase(action, now_ms)]


def _branch(when: str, actions: tuple[SweepAction, ...], now_ms: int) -> list[str]:
    return [f"  {when}: {_phrase(action, now_ms)}" for action in actions] or [f"  {when}: nothing more"]


def _phrase(action: SweepAction, now_ms: int) -> str:
    match action:
        case SettleAck(message_id, outcome):
            return f"settle {flat(message_id)}: the container says {outcome}"
        case ChargeAttempt(message_id, incarnation, tries, retry_at_ms, reason):
            then = "" if retry_at_ms is None else f", next try {render_when(retry_at_ms, now_ms)}"
            return f"charge attempt {tries} of {flat(message_id)} (container {incarnation}: {reason}){then}"
        case DelayRetry(message_id, retry_at_ms):
            return f"try {flat(message_id)} again {render_when(retry_at_ms, now_ms)}, nothing charged"
        case FailMessage(message_id, _, tries, max_tries, reason):
            return f"fail {flat(message_id)} for good: {tries} of {max_tries} tries are used ({reason})"
        case ReleaseClaims(incarnation, message_ids):
            return f"release the claims of container {incarnation}: {_few(message_ids)}"
        case FenceSession(_, reason):
            return f"fence the session: {reason}"
        case Wake(incarnation, due, _):
            return f"start container {incarnation} for {_few(due)}"
        case HoldWake(reason, until_ms, due):
            until = "" if until_ms is None else f" until {render_when(until_ms, now_ms)}"
            return f"start nothing yet ({reason}){until}; due: {_few(due)}"
        case StopContainer(incarnation, because, _, _):
            return f"stop container {incarnation}: {flat(verdict(because))}"
        case CloneRecurrence(message_id, next_at_ms):
            return f"write the next occurrence of {flat(message_id)}, due {render_when(next_at_ms, now_ms)}"
        case ParkRecurrence(message_id, cron, reason):
            return f"park the recurrence of {flat(message_id)}: {flat(repr(cron))} is refused: {flat(reason)}"


def _few(ids: tuple[str, ...]) -> str:
    return flat(", ".join(ids[:_SHOWN])) + (f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else "")
