"""Which attempts are owed a charge, which messages are due, and what is released?"""

from turnkeel_core.facts import Claim, OpenMessage
from turnkeel_core.policy import SweepPolicy
from turnkeel_core.retry import GiveUp, RetryAction, RetrySnapshot, decide_retry
from turnkeel_core.sweep_backoffs import backoff
from turnkeel_core.sweep_records import ChargeAttempt, DelayRetry, FailMessage, ReleaseClaims, SweepSnapshot


def charge(
    seen: SweepSnapshot, claims: tuple[Claim, ...], policy: SweepPolicy, reason: str, *, delayed: bool
) -> tuple[ChargeAttempt | DelayRetry | FailMessage, ...]:
    """Charge each claimed pending message once; one already scheduled for later has been charged (DESIGN §4.3)."""
    actions: list[ChargeAttempt | DelayRetry | FailMessage] = []
    for message, noted in _owed(seen, claims):
        tries = message.tries or 0
        retry = _retry(seen, tries, policy)
        if noted is not None and tries >= noted:
            if delayed:
                actions.append(backoff(message.message_id, tries, seen, policy))
        elif isinstance(retry, GiveUp):
            actions.append(FailMessage(message.message_id, seen.incarnation, retry.tries, retry.max_tries, reason))
        else:
            charged = retry.tries if noted is None else noted
            at_ms = retry.at_ms if delayed else None
            actions.append(ChargeAttempt(message.message_id, seen.incarnation, charged, at_ms, reason))
    return tuple(actions)


def delay(seen: SweepSnapshot, claims: tuple[Claim, ...], policy: SweepPolicy) -> tuple[DelayRetry, ...]:
    """The usual backoff for the same messages, when the spawn that was to be their retry did not happen."""
    delays: list[DelayRetry] = []
    for message, noted in _owed(seen, claims):
        tries = message.tries or 0
        if noted is not None:
            delays.append(backoff(message.message_id, noted, seen, policy))
        elif not isinstance(_retry(seen, tries, policy), GiveUp):
            delays.append(backoff(message.message_id, tries + 1, seen, policy))
    return tuple(delays)


def release(seen: SweepSnapshot, claims: tuple[Claim, ...]) -> tuple[ReleaseClaims, ...]:
    """All claims go at once, those of settled or unknown messages too."""
    ids = tuple(claim.message_id for claim in claims)
    return (ReleaseClaims(seen.incarnation, ids),) if ids else ()


def due_messages(seen: SweepSnapshot, policy: SweepPolicy) -> list[OpenMessage]:
    """Pending messages that call for a container now, by the clock of the container's own query."""
    acked = {ack.message_id for ack in seen.acks}
    step = policy.due_resolution_ms
    return [
        message
        for message in seen.messages
        if message.status == "pending"
        and message.triggers
        and not message.never_due
        and message.message_id not in acked
        and message.message_id not in seen.aborted
        and (message.due_at_ms is None or message.due_at_ms // step <= seen.now_ms // step)
    ]


def work_left(seen: SweepSnapshot) -> bool:
    """Is a message due or waiting for another try? Work of a later day is none."""
    return any(
        message.status == "pending"
        and message.triggers
        and not message.never_due
        and message.message_id not in seen.aborted
        and (message.due_at_ms is None or message.due_at_ms <= seen.now_ms or (message.tries or 0) > 0)
        for message in seen.messages
    )


def _retry(seen: SweepSnapshot, tries: int, policy: SweepPolicy) -> RetryAction:
    attempt = RetrySnapshot(now_ms=seen.now_ms, tries=tries, random_permille=seen.random_permille)
    return decide_retry(attempt, policy.retry)


def _owed(seen: SweepSnapshot, claims: tuple[Claim, ...]) -> list[tuple[OpenMessage, int | None]]:
    """Claimed pending messages not scheduled for later, with the tries that a charge mark says they have."""
    noted = {mark.message_id: mark.tries for mark in seen.marks if mark.incarnation == seen.incarnation}
    acked = {ack.message_id for ack in seen.acks} | set(seen.aborted)
    pending = {m.message_id: m for m in seen.messages if m.status == "pending" and m.message_id not in acked}
    owed: list[tuple[OpenMessage, int | None]] = []
    for message_id in dict.fromkeys(claim.message_id for claim in claims):
        message = pending.get(message_id)
        if message is None or (message.due_at_ms is not None and message.due_at_ms > seen.now_ms):
            continue
        owed.append((message, noted.get(message_id)))
    return owed
