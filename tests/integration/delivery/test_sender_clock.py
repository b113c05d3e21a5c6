"""Does a wall clock that is set keep a reply waiting?"""

import pytest

from turnkeel_core import LocalFault, Transient, Uncertain

SECOND, MINUTE, DAY = 1_000, 60_000, 86_400_000


@pytest.mark.parametrize(
    "step", [Transient("busy"), Uncertain("no answer"), LocalFault("no token")], ids=lambda s: type(s).__name__
)
def test_a_clock_set_back_by_a_day_holds_no_reply_and_none_behind_it(office, step):
    office.chat.script(step)
    office.queue("r1", lane="one")
    office.queue("r2", lane="one")
    office.play(2 * MINUTE, then=[(SECOND, lambda: office.clock.step(-DAY))])
    assert office.shown() == ["text of r1", "text of r2"]


def test_a_clock_set_forward_by_a_day_ends_what_waits_and_nothing_is_sent_twice(office):
    office.calls.lasting[id(office.chat)] = 10 * SECOND
    office.queue("r1", lane="one")
    office.queue("r2", lane="one")
    office.play(5 * MINUTE, then=[(SECOND, lambda: office.clock.step(DAY))])
    assert office.shown() == ["text of r1"]
    assert (office.row("r1").status, office.row("r2").status) == ("delivered", "expired")
