"""What does an operator read of turns and replies? One phrase per event."""

from datetime import datetime

from turnkeel.events import (
    ContextLost,
    FailureTold,
    ReplyEvent,
    ReplyExpired,
    ReplyHeld,
    ReplySent,
    RunInterrupted,
    SendDeferred,
    SenderDenied,
    SendFailed,
    SendRetry,
    SendUnknown,
    TurnFailed,
)


def of_turn(event: TurnFailed | FailureTold | RunInterrupted | ContextLost | SenderDenied) -> str:
    """What kept a message from an answer, or from its conversation, or may have."""
    match event:
        case TurnFailed(session, turn_id, reason, error):
            return f"{session}: {turn_id} is not answered: {reason}: {error}"
        case FailureTold(session, turn_id, chat):
            return f"{session}: {'chat and agent are' if chat else 'the agent is'} told that {turn_id} failed"
        case RunInterrupted(session, turn_id, age_ms):
            return f"{session}: {turn_id} was interrupted: it counts as running for {age_ms // 60_000} min"
        case ContextLost(session, message_id, detail):
            return f"{session}: {message_id} was answered without its conversation: {detail}"
        case SenderDenied(session, chat, sender, outcome):
            return f"{session}: a message of {sender or 'nobody known'} in {chat} was {outcome}: may start no agent"


def of_reply(event: ReplyEvent) -> str:
    """A reply, and what became of it."""
    return f"{event.session or 'nobody'}: reply {event.row_id} {_became(event)}"


def _became(event: ReplyEvent) -> str:
    match event:
        case ReplySent(channel=channel, parts=parts):
            return f"was delivered by {channel}{f' in {parts} parts' if parts > 1 else ''}"
        case SendRetry(channel=channel, attempts=attempts, retry_at_ms=at_ms, error=error):
            return f"was not taken by {channel} ({attempts} failed), again at {local(at_ms)}: {error}"
        case SendDeferred(channel=channel, error=error):
            return f"waits for {channel}, nothing is charged: {error}"
        case SendUnknown(channel=channel, because=because):
            return f"may or may not have arrived by {channel}: {because}"
        case ReplyHeld(channel=channel, until_at_ms=until_ms):
            return f"is held until {local(until_ms)}: {channel} cannot tell whether it arrived, a person must"
        case SendFailed(channel=channel, reason=reason, detail=detail):
            return f"was given up by {channel}: {reason}: {detail}"
        case ReplyExpired(channel=channel, age_ms=age_ms):
            return f"for {channel} expired {age_ms // 1000} s old"


def local(at_ms: int) -> str:
    """The instant by this machine's clock and zone."""
    return datetime.fromtimestamp(at_ms / 1000).astimezone().isoformat(timespec="seconds")
