"""Which wrong answers of the core were found, and stay mended?"""

from datetime import UTC

import pytest

from turnkeel_core import (
    Claim,
    KillIgnoringDue,
    OpenMessage,
    StopIdle,
    StuckSnapshot,
    SweepSnapshot,
    decide_stuck_action,
    plan_sweep,
)
from turnkeel_core.schedule import CronRefused, next_cron_run

NOW = 1_776_686_400_000
MIN = 60_000
SPAWNED = NOW - 60 * MIN
OLD_CLAIM = Claim(message_id="old", claimed_at_ms=SPAWNED - MIN)


def beating(*messages):
    container = StuckSnapshot(now_ms=NOW, heartbeat_at_ms=NOW + 600 * MIN, spawned_at_ms=SPAWNED)
    return SweepSnapshot(now_ms=NOW, incarnation=1, messages=messages, container=container)


def test_work_that_becomes_due_beside_a_message_for_a_first_poll_is_seen_in_time():
    later = OpenMessage(message_id="later", due_at_ms=NOW + 5_000, since_at_ms=NOW + 5_000)

    plan = plan_sweep(beating(OpenMessage(message_id="first", first_poll_only=True, since_at_ms=NOW), later))

    assert plan.next_change_at_ms == NOW + 5_000 + 30 * MIN + 1


def test_a_message_stamped_in_the_future_does_not_hide_work_that_becomes_due_before():
    skewed = OpenMessage(message_id="skewed", since_at_ms=NOW + 20_000)
    later = OpenMessage(message_id="later", due_at_ms=NOW + 5_000, since_at_ms=NOW + 5_000)

    assert plan_sweep(beating(skewed, later)).next_change_at_ms == NOW + 5_000 + 30 * MIN + 1


@pytest.mark.parametrize(
    ("facts", "action"),
    [
        ({"due_since_ms": NOW - 31 * MIN}, KillIgnoringDue(31 * MIN, 30 * MIN)),
        ({"last_activity_at_ms": NOW - 16 * MIN}, StopIdle(16 * MIN, 15 * MIN)),
    ],
    ids=["due work is ignored", "nothing happens"],
)
def test_a_claim_of_an_earlier_incarnation_excuses_nothing(facts, action):
    seen = StuckSnapshot(now_ms=NOW, heartbeat_at_ms=NOW, spawned_at_ms=SPAWNED, claims=(OLD_CLAIM,), **facts)

    assert decide_stuck_action(seen) == action


@pytest.mark.parametrize("days", ["LW,1", "1,LW", "LW/2"])
def test_the_last_weekday_is_refused_wherever_it_stands(days):
    assert isinstance(next_cron_run(f"0 0 {days} * *", UTC, NOW), CronRefused)
