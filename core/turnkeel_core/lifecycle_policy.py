"""Which limits do the decisions about turns, outbox rows and leases use, and why these values?

The second half of `policy`, in its form: every threshold with its default and the reason in one line.
"""

from typing import Literal

from attrs import Factory, field, frozen
from attrs.validators import deep_iterable, ge, in_, instance_of, min_len

_COUNT = (instance_of(int), ge(0))
_AT_LEAST_ONE = (instance_of(int), ge(1))


def _why(reason: str) -> dict[str, str]:
    return {"reason": reason}


@frozen(kw_only=True)
class LeasePolicy:
    """How long a right lasts that nobody renews."""

    lease_ms: int = field(
        default=30_000,
        validator=_AT_LEAST_ONE,
        metadata=_why("three missed renewals of 10 s; a dead owner is seen soon"),
    )
    skew_ms: int = field(
        default=5_000,
        validator=_COUNT,
        metadata=_why("two clocks, or two looks at one, differ by less; by more, the clock was set back since"),
    )


@frozen(kw_only=True)
class TurnPolicy:
    """Limits of accepting, claiming, settling and recovering turns (spec/openclaw-lifecycle.md §7)."""

    max_attempts: int = field(
        default=3, validator=_AT_LEAST_ONE, metadata=_why("a turn that ended three started runs badly is poison")
    )
    backoff_ms: int = field(default=15_000, validator=_COUNT, metadata=_why("15 s let a model provider's hiccup pass"))
    stale_ms: int = field(
        default=86_400_000,
        validator=_COUNT,
        metadata=_why("an answer to yesterday's message confuses more than it helps"),
    )
    recovery_limit: int = field(
        default=16, validator=_AT_LEAST_ONE, metadata=_why("so many runs may start in one pass; the rest wait a second")
    )
    no_reply_grace_ms: int = field(
        default=10_000,
        validator=_COUNT,
        metadata=_why("the existing agent-runner answers within seconds after it marked a message done"),
    )
    payload_limit_bytes: int = field(
        default=1_048_576, validator=_AT_LEAST_ONE, metadata=_why("texts and references; files travel as attachments")
    )
    identity_limit_chars: int = field(
        default=512, validator=_AT_LEAST_ONE, metadata=_why("longer than any channel's ids; a key must stay a key")
    )
    retention_ms: int = field(
        default=172_800_000, validator=_COUNT, metadata=_why("two days to look back at what was settled")
    )
    dead_retention_ms: int = field(
        default=2_592_000_000, validator=_COUNT, metadata=_why("30 days to find, retry or drop what failed")
    )
    identity_retention_ms: int = field(
        default=604_800_000, validator=_COUNT, metadata=_why("a week: longer than any known channel delivers again")
    )
    stop_words: tuple[str, ...] = field(
        default=("/stop",),
        validator=deep_iterable((instance_of(str), min_len(1))),
        metadata=_why("a message that is one of these, in any case, ends the session's work instead of adding to it"),
    )
    lease: LeasePolicy = Factory(LeasePolicy)


@frozen(kw_only=True)
class OutboxPolicy:
    """Limits of sending, retrying, expiring and forgetting outbox rows (spec/openclaw-lifecycle.md §7)."""

    max_attempts: int = field(
        default=5, validator=_AT_LEAST_ONE, metadata=_why("five tries span 13 minutes; expiry ends the rest")
    )
    backoff_ms: tuple[int, ...] = field(
        default=(5_000, 25_000, 120_000, 600_000),
        validator=deep_iterable(ge(1), min_len(1)),
        metadata=_why("a restart, a hiccup, an incident, an outage; the last one repeats"),
    )
    expiry_ms: int = field(
        default=1_800_000,
        validator=_AT_LEAST_ONE,
        metadata=_why("a reply over 30 min late answers a chat that moved on"),
    )
    expire_action: Literal["fail", "deliver"] = field(
        default="fail", validator=in_(("fail", "deliver")), metadata=_why("late floods after an outage hurt more")
    )
    on_unknown: Literal["hold", "resend"] = field(
        default="hold",
        validator=in_(("hold", "resend")),
        metadata=_why("never a blind resend unless the owner says so"),
    )
    unknown_limit_ms: int = field(
        default=86_400_000, validator=_COUNT, metadata=_why("a day for a person or the channel to tell what happened")
    )
    defer_ms: int = field(
        default=30_000,
        validator=_AT_LEAST_ONE,
        metadata=_why("a channel that is not set up is looked at twice a minute"),
    )
    defer_limit_ms: int = field(
        default=86_400_000, validator=_COUNT, metadata=_why("a channel not set up within a day is a failure to be seen")
    )
    pass_limit: int = field(
        default=32, validator=_AT_LEAST_ONE, metadata=_why("one pass stays short; the next begins at once")
    )
    channel_limit: int = field(
        default=4, validator=_AT_LEAST_ONE, metadata=_why("four sends at once per channel; a slow one blocks no other")
    )
    fresh_ms: int = field(
        default=60_000, validator=_COUNT, metadata=_why("older than a minute is backlog: fresh replies go first")
    )
    pace_ms: int = field(
        default=1_000, validator=_COUNT, metadata=_why("a channel takes one message a second; backlog keeps to it")
    )
    retention_ms: int = field(
        default=172_800_000, validator=_COUNT, metadata=_why("two days to look back at what was sent")
    )
    dead_retention_ms: int = field(
        default=2_592_000_000, validator=_COUNT, metadata=_why("30 days to find, retry or drop what failed")
    )
    lease: LeasePolicy = Factory(LeasePolicy)


@frozen(kw_only=True)
class SettlePolicy:
    """What ends a row may end its turn: both policies."""

    outbox: OutboxPolicy = Factory(OutboxPolicy)
    turn: TurnPolicy = Factory(TurnPolicy)


@frozen(kw_only=True)
class DeliveryPolicy:
    """How the host looks, waits and cleans up while it delivers; no decision about a row or turn depends on these."""

    notify: bool = field(
        default=True, validator=instance_of(bool), metadata=_why("a person who waits is told that no answer comes")
    )
    fallback_ms: int = field(
        default=60_000, validator=_AT_LEAST_ONE, metadata=_why("a look once a minute covers what nobody announced")
    )
    prune_ms: int = field(
        default=600_000, validator=_AT_LEAST_ONE, metadata=_why("what is kept for days need not go to the minute")
    )
    prune_limit: int = field(
        default=500, validator=_AT_LEAST_ONE, metadata=_why("a batch takes some milliseconds; the next follows soon")
    )
    notice_limit: int = field(
        default=16, validator=_AT_LEAST_ONE, metadata=_why("a pass stays short however many turns have failed")
    )
    retry_ms: int = field(
        default=1_000, validator=_AT_LEAST_ONE, metadata=_why("a store that is locked or full is tried again, doubling")
    )
    retry_max_ms: int = field(
        default=30_000, validator=_AT_LEAST_ONE, metadata=_why("a store that works again is used within half a minute")
    )
    stop_grace_ms: int = field(
        default=10_000, validator=_COUNT, metadata=_why("most calls end by then; service managers give 30 s or more")
    )
    call_limit_ms: int = field(
        default=600_000,
        validator=_AT_LEAST_ONE,
        metadata=_why("longer than any channel's own time limit; a hung call must not hold its conversation for ever"),
    )
