"""Which retries did a clock that was set back move out of reach?"""

from attrs import evolve

from turnkeel_core.facts import Backoff
from turnkeel_core.policy import SweepPolicy
from turnkeel_core.retry import GiveUp, RetrySnapshot, decide_retry
from turnkeel_core.sweep_records import DelayRetry, SweepSnapshot

_ALL_OF_THE_JITTER = 1_000


def backoff(message_id: str, charged: int, seen: SweepSnapshot, policy: SweepPolicy) -> DelayRetry:
    """The usual wait after the attempt number `charged`, from now on.

    The charge is made already; asked for the backoff of that charge, the limit must not get in the way.
    """
    return DelayRetry(message_id, seen.now_ms + _wait_ms(charged, seen.random_permille, policy))


def mend_backoffs(seen: SweepSnapshot, policy: SweepPolicy) -> tuple[DelayRetry, ...]:
    """Waits that the host set and that end later than any wait it would set now begin anew (field FK-08).

    Only what the row still says as the host wrote it: a due time given by anybody else is nobody's backoff.
    """
    return tuple(
        backoff(noted.message_id, noted.tries, seen, policy)
        for noted, due_at_ms in _waiting(seen, policy)
        if seen.now_ms < due_at_ms - _longest_ms(noted, policy)
    )


def backoff_turns(seen: SweepSnapshot, policy: SweepPolicy) -> list[int]:
    """The instants from which on a wait is as long as one may be."""
    return [due_at_ms - _longest_ms(noted, policy) for noted, due_at_ms in _waiting(seen, policy)]


def _waiting(seen: SweepSnapshot, policy: SweepPolicy) -> list[tuple[Backoff, int]]:
    """The backoffs that stand in their rows, to the store's resolution, with what stands there."""
    step, noted = policy.due_resolution_ms, {one.message_id: one for one in seen.backoffs}
    acked = {ack.message_id for ack in seen.acks}
    return [
        (wait, message.due_at_ms)
        for message in seen.messages
        if message.status == "pending"
        and message.message_id not in acked
        and (wait := noted.get(message.message_id)) is not None
        and message.due_at_ms is not None
        and message.due_at_ms // step == wait.retry_at_ms // step
    ]


def _longest_ms(noted: Backoff, policy: SweepPolicy) -> int:
    return _wait_ms(noted.tries, _ALL_OF_THE_JITTER, policy)


def _wait_ms(charged: int, random_permille: int, policy: SweepPolicy) -> int:
    unlimited = evolve(policy.retry, max_tries=max(charged, policy.retry.max_tries))
    retry = decide_retry(RetrySnapshot(now_ms=0, tries=charged - 1, random_permille=random_permille), unlimited)
    return 0 if isinstance(retry, GiveUp) else retry.delay_ms
