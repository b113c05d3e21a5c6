"""How does an operator read what the host does? One line per event, for people or for machines."""

import sys
from datetime import datetime
from typing import Literal, TextIO, TypeAlias

import structlog

from turnkeel.cli.delivery_words import local, of_reply, of_turn
from turnkeel.cli.hiding import keeper
from turnkeel.events import (
    Adopted,
    Charged,
    ContextLost,
    Died,
    FailureTold,
    FaultCleared,
    FaultSeen,
    Held,
    HostEvent,
    HostStarted,
    HostStopped,
    MessageFailed,
    NotStopped,
    Recurred,
    ReplyExpired,
    ReplyHeld,
    ReplySent,
    Resumed,
    RunInterrupted,
    SendDeferred,
    SenderDenied,
    SendFailed,
    SendRetry,
    SendUnknown,
    Settled,
    Stopping,
    StrayStopped,
    TurnFailed,
    WakeFailed,
    Woke,
)
from turnkeel_adapters.secrets import redact_data
from turnkeel_adapters.wire import to_data
from turnkeel_core import (
    KillIgnoringDue,
    KillNeverStarted,
    KillNoProgress,
    KillOverCeiling,
    KillOverRunLimit,
    KillStaleClaim,
    LeaveAlone,
    StopAborted,
    StopIdle,
    StuckAction,
)

LogFormat: TypeAlias = Literal["text", "json"]


class Reporter:
    """Writes each event as one line, without the secrets that the command knows; called from any thread."""

    def __init__(self, stream: TextIO | None = None, log_format: LogFormat = "text") -> None:
        self._stream = sys.stderr if stream is None else stream
        self._hide = keeper().redact
        self._json = structlog.processors.JSONRenderer(sort_keys=True) if log_format == "json" else None

    def __call__(self, event: HostEvent) -> None:
        """Write it; a closed stream loses the line, never the host."""
        now = datetime.now().astimezone()
        if self._json is None:
            line = f"{now:%H:%M:%S} {self._hide(describe(event))}"
        else:
            what = redact_data(to_data(event), self._hide)
            fields = {"event": type(event).__name__, "at": now.isoformat(), "what": what}
            line = str(self._json(None, "", fields))
        try:
            print(line, file=self._stream, flush=True)
        except (OSError, ValueError):
            return


def describe(event: HostEvent) -> str:
    """The event in one plain line."""
    match event:
        case HostStarted(sessions, adopted):
            left = f", {adopted} containers of an earlier host go on" if adopted else ""
            return f"host started: {sessions} sessions{left}"
        case Adopted(session, incarnation):
            return f"{session}: container {incarnation} goes on, taken over from an earlier host"
        case StrayStopped(session, incarnation, reason):
            return f"{session}: container {incarnation} was a stray ({reason}) and is gone"
        case Woke(session, incarnation, due):
            return f"{session}: container {incarnation} started for {', '.join(due[:3])}{' …' if len(due) > 3 else ''}"
        case WakeFailed(session, incarnation, reason):
            return f"{session}: container {incarnation} could not be started, nothing is charged: {reason}"
        case Died(session, incarnation, exit_code, number, intent, oom):
            how = f"signal {number}" if number is not None else f"exit {'unseen' if exit_code is None else exit_code}"
            why = f", stopped: {intent}" if intent else ""
            return f"{session}: container {incarnation} is gone ({how}{', out of memory' if oom else ''}{why})"
        case Stopping(session, incarnation, because):
            return f"{session}: stopping container {incarnation}: {verdict(because)}"
        case NotStopped(session, incarnation, reason):
            return f"{session}: container {incarnation} could NOT be stopped, the session is fenced: {reason}"
        case Charged(session, charge):
            return f"{session}: attempt {charge.tries} of {charge.message_id} charged: {charge.reason}"
        case Settled(session, message_id, outcome):
            return f"{session}: {message_id} {outcome}"
        case MessageFailed(session, failure):
            return f"{session}: {failure.message_id} failed for good after {failure.tries} retries: {failure.reason}"
        case Held(session, hold):
            return f"{session}: {len(hold.due)} due, waiting: {hold.reason}"
        case Recurred(session, message_id, next_at_ms):
            return f"{session}: {message_id} recurs at {local(next_at_ms)}"
        case FaultSeen(session, subject, kind, detail):
            return f"{session or 'host'}: fault in {subject}: {kind}: {detail}"
        case FaultCleared(session, subject):
            return f"{session or 'host'}: {subject} works again"
        case Resumed(gap_ms):
            return f"the machine slept or its clock was set: {gap_ms / 1000:.0f} s do not count"
        case HostStopped(running):
            return f"host stopped: {running} containers stopped"
        case TurnFailed() | FailureTold() | RunInterrupted() | ContextLost() | SenderDenied():
            return of_turn(event)
        case ReplySent() | SendRetry() | SendDeferred() | SendUnknown() | ReplyHeld() | SendFailed() | ReplyExpired():
            return of_reply(event)


def verdict(because: StuckAction | StopAborted) -> str:
    """Why a container is stopped, or not, in one phrase."""
    match because:
        case LeaveAlone(reason, _):
            return f"left alone: {reason}"
        case KillOverCeiling(age_ms, ceiling_ms, measured_from):
            return f"no sign of life for {_s(age_ms)} since the {measured_from} (limit {_s(ceiling_ms)})"
        case KillNeverStarted(age_ms, deadline_ms):
            return f"no sign of life {_s(age_ms)} after its start (limit {_s(deadline_ms)})"
        case KillStaleClaim(message_id, claim_age_ms, tolerance_ms):
            return f"{message_id} claimed {_s(claim_age_ms)} ago, silent since (limit {_s(tolerance_ms)})"
        case KillNoProgress(message_id, silent_ms, limit_ms):
            return f"{message_id} makes no progress for {_s(silent_ms)} (limit {_s(limit_ms)})"
        case KillOverRunLimit(message_id, claim_age_ms, limit_ms):
            return f"{message_id} runs for {_s(claim_age_ms)} (limit {_s(limit_ms)})"
        case KillIgnoringDue(silent_ms, limit_ms):
            return f"takes no due work for {_s(silent_ms)} (limit {_s(limit_ms)})"
        case StopIdle(reason="rate"):
            return "nothing in hand, and its session has had its runs of this hour (runs_per_hour)"
        case StopIdle(idle_ms, limit_ms, reason):
            wanted = ", and another session waits for its place" if reason == "place" else ""
            return f"idle for {_s(idle_ms)} (limit {_s(limit_ms)}){wanted}"
        case StopAborted(message_ids):
            return f"{', '.join(message_ids)} was stopped by a person"


def _s(ms: int) -> str:
    return f"{ms / 1000:.1f} s"
