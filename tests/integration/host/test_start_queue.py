"""Do groups share the places of a real host, with real processes, and does it end in order?"""

import signal
import threading
from collections import Counter

import pytest
from attrs import evolve

from turnkeel.cli.report import describe
from turnkeel.events import Died, Held, Stopping, Woke
from turnkeel_adapters.runners.process import ProcessRunner
from turnkeel_core import StartPolicy, StopIdle

pytestmark = pytest.mark.long
FLOOD = [f"flood/{number}" for number in range(4)]


def most_at_a_time(live):
    """How many ran at most, of each group and in all, by the host's own events."""
    running, most, in_all = Counter[str](), Counter[str](), 0
    for _, event in live.told:
        if isinstance(event, Woke | Died):
            running[event.session.partition("/")[0]] += 1 if isinstance(event, Woke) else -1
            most |= running
            in_all = max(in_all, running.total())
    return dict(most), in_all


def test_two_groups_share_the_places_and_slow_starts_hold_up_nobody(lab, quick, agent, monkeypatch):
    start = StartPolicy(max_running=3, max_running_per_group=2)
    # Every thread that looks is one a slow start could have taken.
    host = evolve(quick.host, worker_threads=1)
    config = evolve(quick, agent=agent("echo", WORK_MS="200"), start=start, host=host)
    spawn, calm_is_answered, shown = ProcessRunner.spawn, threading.Event(), dict[str, str]()

    def spawns_slowly(self, order):
        if order.session.startswith("flood/"):
            assert calm_is_answered.wait(60), "it waited for another session's start"
        return spawn(self, order)

    monkeypatch.setattr(ProcessRunner, "spawn", spawns_slowly)
    sent = {name: lab.send(name, "hello")[0] for name in FLOOD}

    async def script(live):
        await live.until(lambda: len(live.of(Held)) >= 2)
        shown.update({hold.session: hold.reason for hold in lab.holds()})
        sent["calm/1"] = lab.send("calm/1", "hello")[0]
        await live.until(lambda: not lab.open_rows("calm/1"), limit_s=50)
        calm_is_answered.set()
        await live.until(lambda: not any(lab.open_rows(name) for name in FLOOD))

    live = lab.run(config, script)
    assert all(lab.fates(name)[message_id].answered_once for name, message_id in sent.items())
    most, in_all = most_at_a_time(live)
    assert most["flood"] <= 2 and in_all <= 3
    assert len(shown) == 2 and set(shown.values()) == {"group"}
    stops = [event for event in live.of(Stopping) if isinstance(event.because, StopIdle)]
    assert stops and {event.because.reason for event in stops} == {"place"}
    assert "another session waits for its place" in describe(stops[0])


def test_a_host_that_is_terminated_starts_nobody_who_waits_and_the_next_one_serves_them(lab, quick, agent):
    config = evolve(quick, agent=agent("echo", WORK_MS="1500"), start=StartPolicy(max_running=2))
    sent = {name: lab.send(name, "hello")[0] for name in ("g/1", "h/1", "g/2", "h/2")}
    host = lab.serve(config)
    lab.wait_for(lambda: lab.heard("Woke") == 2 and lab.heard("Held") == 2)
    host.send_signal(signal.SIGTERM)
    assert host.wait(30) == 0
    assert lab.heard("Woke") == 2
    assert not lab.agent_pids()
    assert all(fate.tries == 0 for name in ("g/2", "h/2") for fate in lab.fates(name).values())
    lab.run(config)
    assert all(lab.fates(name)[message_id].answered_once for name, message_id in sent.items())
