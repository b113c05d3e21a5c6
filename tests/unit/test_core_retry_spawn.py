"""Again, when, or give up; start now or later; did the machine sleep?"""

import pytest

from turnkeel_core import (
    ClockSnapshot,
    Death,
    GiveGrace,
    GiveUp,
    KeepJudging,
    RetryAt,
    RetryPolicy,
    RetrySnapshot,
    SpawnLater,
    SpawnNow,
    SpawnPolicy,
    SpawnSnapshot,
    SuspendPolicy,
    decide_grace,
    decide_retry,
    decide_spawn,
    explain_grace,
    explain_retry,
    explain_spawn,
)

NOW = 1_776_686_400_000
S = 1_000
HUGE = 10**30


@pytest.mark.parametrize(
    ("tries", "answer"),
    [
        (0, RetryAt(1, NOW + 5 * S, 5 * S)),
        (1, RetryAt(2, NOW + 10 * S, 10 * S)),
        (2, RetryAt(3, NOW + 20 * S, 20 * S)),
        (3, RetryAt(4, NOW + 40 * S, 40 * S)),
        (4, RetryAt(5, NOW + 80 * S, 80 * S)),
        (5, GiveUp(5, 5)),
        (6, GiveUp(6, 5)),
        (None, RetryAt(1, NOW + 5 * S, 5 * S)),
        (-3, RetryAt(1, NOW + 5 * S, 5 * S)),
        (HUGE, GiveUp(HUGE, 5)),
    ],
)
def test_the_backoff_doubles_until_the_tries_are_used_up(tries, answer):
    assert decide_retry(RetrySnapshot(now_ms=NOW, tries=tries)) == answer


@pytest.mark.parametrize(("tries", "delay_ms"), [(9, 2_560 * S), (10, 3_600 * S), (22, 3_600 * S), (HUGE, 3_600 * S)])
def test_with_more_tries_allowed_the_backoff_ends_at_its_cap(tries, delay_ms):
    patient = RetryPolicy(max_tries=HUGE + 1)

    assert decide_retry(RetrySnapshot(now_ms=NOW, tries=tries), patient) == RetryAt(tries + 1, NOW + delay_ms, delay_ms)


@pytest.mark.parametrize(("permille", "delay_ms"), [(0, 5_000), (1, 5_001), (500, 5_500), (1000, 6_000)])
def test_jitter_only_ever_lengthens_by_up_to_a_fifth(permille, delay_ms):
    answer = decide_retry(RetrySnapshot(now_ms=NOW, tries=0, random_permille=permille))

    assert answer == RetryAt(1, NOW + delay_ms, delay_ms)


def test_jitter_stays_below_the_cap():
    capped = RetryPolicy(max_delay_ms=5_500)

    answer = decide_retry(RetrySnapshot(now_ms=NOW, tries=0, random_permille=1000), capped)

    assert answer == RetryAt(1, NOW + 5_500, 5_500)


def test_without_any_tries_allowed_the_first_attempt_is_the_last():
    assert decide_retry(RetrySnapshot(now_ms=NOW, tries=None), RetryPolicy(max_tries=0)) == GiveUp(0, 0)


@pytest.mark.parametrize(
    ("tries", "rules"),
    [(4, [("exhausted", "not_yet"), ("backoff", "fired")]), (5, [("exhausted", "fired")])],
)
def test_the_explanation_of_a_retry_ends_at_the_rule_that_fired(tries, rules):
    why = explain_retry(RetrySnapshot(now_ms=NOW, tries=tries))

    assert [(rule.rule, rule.result) for rule in why.rules] == rules


def deaths(*fruitless, died_at_ms=NOW):
    """One death per flag, a second of life each, the last at `died_at_ms`."""
    return tuple(
        Death(spawned_at_ms=died_at_ms - back * S - S, died_at_ms=died_at_ms - back * S, progressed=not flag)
        for back, flag in zip(range(len(fruitless) - 1, -1, -1), fruitless, strict=True)
    )


@pytest.mark.parametrize(
    ("in_a_row", "delay_s"),
    [(2, 10), (3, 20), (4, 40), (5, 80), (6, 160), (7, 300), (8, 300), (60, 300)],
)
def test_fruitless_deaths_in_a_row_slow_the_next_start(in_a_row, delay_s):
    history, delay_ms = deaths(*[True] * in_a_row), delay_s * S

    just_before = decide_spawn(SpawnSnapshot(now_ms=NOW + delay_ms - 1, deaths=history))
    at_last = decide_spawn(SpawnSnapshot(now_ms=NOW + delay_ms, deaths=history))

    assert just_before == SpawnLater(NOW + delay_ms, in_a_row, delay_ms)
    assert at_last == SpawnNow(in_a_row)


@pytest.mark.parametrize(
    ("history", "fruitless"),
    [((), 0), (deaths(True), 1), (deaths(True, True, False), 0), (deaths(True, True, False, True), 1)],
    ids=["no death", "a single fruitless death", "progress counts anew", "one death after progress"],
)
def test_nothing_delays_the_start(history, fruitless):
    assert decide_spawn(SpawnSnapshot(now_ms=NOW, deaths=history)) == SpawnNow(fruitless)


@pytest.mark.parametrize(("lived_ms", "fruitless"), [(600 * S - 1, 2), (600 * S, 0)])
def test_a_long_life_counts_anew(lived_ms, fruitless):
    last = Death(spawned_at_ms=NOW - lived_ms, died_at_ms=NOW, progressed=False)
    before = Death(spawned_at_ms=NOW - lived_ms - 2 * S, died_at_ms=NOW - lived_ms - S, progressed=False)

    assert decide_spawn(SpawnSnapshot(now_ms=NOW, deaths=(before, last))).fruitless == fruitless


def test_a_long_healthy_life_forgives_the_deaths_before_it_but_not_those_after():
    healthy = Death(spawned_at_ms=NOW - 900 * S, died_at_ms=NOW - 100 * S, progressed=False)
    history = (*deaths(True, True, died_at_ms=NOW - 1_000 * S), healthy, *deaths(True, True))

    assert decide_spawn(SpawnSnapshot(now_ms=NOW, deaths=history)) == SpawnLater(NOW + 10 * S, 2, 10 * S)


def test_a_cap_below_the_first_delay_holds_from_the_start():
    assert decide_spawn(
        SpawnSnapshot(now_ms=NOW, deaths=deaths(True, True)), SpawnPolicy(max_delay_ms=3 * S)
    ) == SpawnLater(NOW + 3 * S, 2, 3 * S)


def test_the_explanation_of_a_late_start_says_when():
    why = explain_spawn(SpawnSnapshot(now_ms=NOW, deaths=deaths(True, True)))

    assert (why.answer, why.flip_at_ms, why.flip_to) == ("SpawnLater", NOW + 10 * S, "SpawnNow")
    assert [(rule.rule, rule.result) for rule in why.rules] == [("spawn_backoff", "fired")]


def test_the_explanation_of_an_immediate_start_has_no_flip():
    why = explain_spawn(SpawnSnapshot(now_ms=NOW, deaths=deaths(True)))

    assert (why.answer, why.flip_at_ms, why.flip_to) == ("SpawnNow", None, None)


@pytest.mark.parametrize(
    ("wall_ms", "mono_ms", "answer"),
    [
        (60_000, 60_000, KeepJudging(0)),
        (65_000, 60_000, KeepJudging(5_000)),
        (65_001, 60_000, GiveGrace(NOW + 65_001, 5_001)),
        (8 * 3_600_000, 1_000, GiveGrace(NOW + 8 * 3_600_000, 8 * 3_600_000 - 1_000)),
        (-3_600_000, 1_000, KeepJudging(-3_601_000)),
    ],
    ids=["clocks agree", "a drift at the limit", "one millisecond more", "a night asleep", "a clock set back"],
)
def test_a_sleep_is_seen_by_the_gap_between_the_clocks(wall_ms, mono_ms, answer):
    clocks = ClockSnapshot(previous_wall_ms=NOW, previous_mono_ms=7, now_ms=NOW + wall_ms, now_mono_ms=7 + mono_ms)

    assert decide_grace(clocks) == answer
    assert explain_grace(clocks).answer == type(answer).__name__


def test_the_jump_that_counts_as_sleep_is_the_policys():
    clocks = ClockSnapshot(previous_wall_ms=0, previous_mono_ms=0, now_ms=2, now_mono_ms=0)

    assert decide_grace(clocks, SuspendPolicy(jump_ms=1)) == GiveGrace(2, 2)


def test_a_death_in_the_future_of_a_clock_set_back_delays_nothing():
    later = 10_800_000
    deaths = tuple(Death(spawned_at_ms=at - 1, died_at_ms=at, progressed=False) for at in (later, later + 1, later + 2))
    seen = SpawnSnapshot(now_ms=1_000, deaths=deaths)
    assert decide_spawn(seen) == SpawnNow(0)
    # When the clock is there again, the second death in a row is answered as ever.
    assert explain_spawn(seen).flip_at_ms == later + 1
