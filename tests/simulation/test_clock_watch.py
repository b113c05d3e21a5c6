"""What does a host know of time after a clock went forward and back? Ages that are too young, never too old."""

from hypothesis import given, settings
from hypothesis import strategies as st

from turnkeel.host.clock_watch import ClockWatch
from turnkeel_adapters.system.clock import Instant
from turnkeel_core import Sleep, StuckSnapshot, SuspendPolicy
from turnkeel_core.stuck_rules import _asleep
from turnkeel_core.suspend import after_set_back

START_MS = 1_000_000


class SetClock:
    """Both clocks; the wall clock is set by hand."""

    def __init__(self):
        self.mono_ms = 0
        self.ahead_ms = START_MS

    def read(self):
        return Instant(wall_ms=self.mono_ms + self.ahead_ms, mono_ms=self.mono_ms)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 500), st.integers(-900, 900)), min_size=1, max_size=12))
def test_no_age_is_ever_too_old_whatever_the_clock_was_set_to(moves):
    clock = SetClock()
    watch = ClockWatch(clock, SuspendPolicy(jump_ms=0, remembered=64), lambda event: None)
    stamps = []
    for passed_ms, by_ms in moves:
        stamps.append(clock.read())
        clock.mono_ms += passed_ms
        clock.ahead_ms += by_ms
        now = watch.read()
        assert all(sleep.resumed_at_ms <= now.wall_ms for sleep in watch.sleeps)
        seen = StuckSnapshot(now_ms=now.wall_ms, sleeps=watch.sleeps)
        for stamp in stamps:
            age_ms = now.wall_ms - stamp.wall_ms - _asleep(stamp.wall_ms, seen)
            assert age_ms <= now.mono_ms - stamp.mono_ms
            if stamp.wall_ms > now.wall_ms:  # known to be from before the clock was set back, and since when
                assert watch.set_back is not None and stamp.wall_ms <= watch.set_back.until_ms
                since_ms = now.wall_ms - watch.set_back.at_ms - _asleep(watch.set_back.at_ms, seen)
                assert since_ms <= now.mono_ms - stamp.mono_ms


def test_a_step_back_takes_from_the_latest_sleep_first_and_ends_each_that_lay_ahead():
    sleeps = tuple(Sleep(resumed_at_ms=at_ms, gap_ms=gap_ms) for at_ms, gap_ms in ((100, 40), (500, 60), (900, 70)))
    now = [Sleep(resumed_at_ms=100, gap_ms=40), Sleep(resumed_at_ms=400, gap_ms=30)]
    assert after_set_back(sleeps, 400, 100) == tuple(now)
    assert after_set_back(sleeps, 400, 1_000) == tuple(now[:1])
    assert after_set_back(sleeps, 1_000, 50) == sleeps
