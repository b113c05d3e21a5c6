"""When may a row be tried again, and is an error's text one that never gets better?"""

from turnkeel_core.lifecycle_policy import OutboxPolicy
from turnkeel_core.outbox_records import OutboxRow

_PERMANENT = (
    "no conversation reference found",
    "chat not found",
    "user not found",
    "bot was blocked by the user",
    "forbidden: bot was kicked",
    "chat_id is empty",
    "recipient is not a valid",
    "outbound not configured for channel",
)


def backoff_ms(failures: int, policy: OutboxPolicy) -> int:
    """The wait after so many failures; the last one repeats, none waits for the first try."""
    return 0 if failures <= 0 else policy.backoff_ms[min(failures, len(policy.backoff_ms)) - 1]


def next_try_at_ms(row: OutboxRow, policy: OutboxPolicy) -> int:
    """The instant from which its backoff lets a row go, counted from its last try, or from its queueing."""
    return (row.last_attempt_at_ms or row.queued_at_ms) + backoff_ms(row.attempts, policy)


def is_permanent_error(error: str) -> bool:
    """Whether the text says that the same send can never succeed; only for channels that do not class their errors."""
    text = error.lower()
    return any(known in text for known in _PERMANENT)
