"""What does a real host do when the wall clock is set by hours under it, or the machine sleeps? (libfaketime)"""

import os
import subprocess
import sys
import time
from glob import glob

import pytest
from attrs import evolve

from turnkeel_adapters.config.records import AgentConfig
from turnkeel_adapters.timestamps import sqlite_utc

from .conftest import AGENTS

LIBRARY = "/usr/lib/*/faketime/libfaketime.so.1"
HOUR = 3_600
CLAIMED = "SELECT 1 FROM processing_ack WHERE status = 'processing'"
# As in agents/wall_clock.py: the host's threads must not sleep by the function that the library gets wrong.
HOST = """
import runpy, select, sys, time
time.sleep = lambda seconds: select.select([], [], [], seconds)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
SEEN = """
import apsw, os, sqlite3, sys, time
open(sys.argv[1], "w").close()
os.utime(sys.argv[1])
print(time.time(), os.stat(sys.argv[1]).st_mtime, time.monotonic(),
      *sqlite3.connect(":memory:").execute("SELECT unixepoch('now')").fetchone(),
      *apsw.Connection(":memory:").execute("SELECT unixepoch('now')").fetchone())
"""


class WallClock:
    """The wall clock of the processes that get its environment; the monotonic one runs on, as in a machine that sleeps."""

    def __init__(self, library, folder):
        self._file = folder / "wall-clock"
        self.ahead_s = 0.0
        self.set(0)
        self.environment = {
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_NO_CACHE": "1",
        }

    def set(self, ahead_s):
        """So many seconds ahead of this test's own clock, from now on."""
        self.ahead_s = ahead_s
        draft = self._file.with_suffix(".new")
        draft.write_text(f"{ahead_s:+d}\n")
        draft.replace(self._file)

    def now(self):
        return time.time() + self.ahead_s


@pytest.fixture
def wall(tmp_path):
    found = glob(LIBRARY)
    if not found and not os.environ.get("CI"):
        pytest.skip("the package `faketime` is not installed: the wall clock of a process cannot be set")
    assert found, "CI must be able to set the wall clock of a process; missing: the package `faketime`"
    return WallClock(found[0], tmp_path)


@pytest.fixture
def setting(quick, wall):
    """A configuration in which whatever is taken for silence is punished soon; agents live by the faked clock too."""
    argv = (sys.executable, str(AGENTS / "wall_clock.py"))
    return evolve(
        quick,
        stuck=evolve(quick.stuck, claim_tolerance_ms=3_000, ceiling_ms=5_000, progress_silence_ms=20_000),
        retry=evolve(quick.retry, base_ms=2_000),
        # A reply that was about to leave is hours late by the new clock: by default it would fail visibly.
        outbox=evolve(quick.outbox, expire_action="deliver"),
        host=evolve(quick.host, fallback_scan_ms=500),
        agent=AgentConfig(argv=argv, speaks_contract=True, environment=tuple(wall.environment.items())),
    )


def serve(lab, wall, setting, **environment):
    return lab.serve(setting, limit=HOST, environment={**wall.environment, **environment})


def end(lab, host):
    host.terminate()
    assert host.wait(60) == 0, lab.served()[-3000:]
    assert "Traceback" not in lab.served()


def answered(lab, name, tries=0):
    return all(fate.answered_once and fate.tries == tries for fate in lab.fates(name).values())


def test_the_trials_clock_is_the_one_that_programs_see(tmp_path, wall):
    seen = []
    for ahead_s in (0, 5 * HOUR, -26 * HOUR):
        wall.set(ahead_s)
        program = [sys.executable, "-c", SEEN, str(tmp_path / "touched")]
        said = subprocess.run(program, env={**os.environ, **wall.environment}, capture_output=True, check=True)
        *walls, mono, lite, apsw = (float(word) for word in said.stdout.split()[:2] + said.stdout.split()[2:])
        seen.append(mono)
        assert all(abs(at - wall.now()) < 30 for at in (*walls, lite, apsw))
    assert seen == sorted(seen) and seen[-1] - seen[0] < HOUR


ZONES = ("UTC", "UTC"), ("America/St_Johns", "Asia/Kathmandu"), ("Pacific/Kiritimati", "Pacific/Niue")
STEPS = {
    "forward": (3 * HOUR,),
    "back": (-3 * HOUR,),
    "to and fro": (5 * HOUR, -2 * HOUR, -30 * HOUR, 3 * HOUR, 0),
}


@pytest.mark.parametrize(
    ("zones", "steps"),
    [
        pytest.param(ZONES[1], STEPS["to and fro"], id="to and fro", marks=pytest.mark.long),
        *(
            pytest.param(zones, steps, id=f"{name}, {zones[0]}", marks=pytest.mark.long)
            for zones in ZONES
            for name, steps in STEPS.items()
        ),
    ],
)
def test_steps_of_the_wall_clock_stop_no_healthy_agent_and_lose_no_message(lab, wall, setting, zones, steps):
    setting = evolve(setting, agent=evolve(setting.agent, environment=(*setting.agent.environment, ("TZ", zones[1]))))
    lab.send("a", f"work {len(steps) + 4}")
    host = serve(lab, wall, setting, TZ=zones[0])
    lab.wait_for(lambda: lab.sql("a", CLAIMED, file="outbound.db"))
    for n, ahead_s in enumerate(steps):
        name = f"spawn{n}"
        lab.send(name, "now")
        time.sleep(0.15 * n)  # somewhere around the spawn of that one
        wall.set(ahead_s)
        lab.send("a", f"after step {n}")
        time.sleep(1.0)
    names = ("a", *(f"spawn{n}" for n in range(len(steps))))
    lab.wait_for(lambda: not any(lab.open_rows(name) for name in names))
    end(lab, host)
    wrong = {name: lab.fates(name) for name in names if not answered(lab, name)}
    assert not wrong, f"{wrong}\n{lab.served()[-9000:]}"
    assert lab.heard("Stopping") == lab.served().count('"type": "StopIdle"')
    assert lab.heard("Charged") == 0 and not lab.faults()
    jumps = sum(later > before for before, later in zip((0, *steps), steps, strict=False))
    # At least: a machine of the tests may be put to sleep itself.
    assert lab.heard("Resumed") >= jumps


@pytest.mark.long
@pytest.mark.parametrize("ahead_s", [-3 * HOUR, 3 * HOUR])
def test_a_retry_that_waits_is_made_soon_although_the_clock_was_set(lab, wall, setting, ahead_s):
    [sent] = lab.send("a", "hang")
    host = serve(lab, wall, setting)
    lab.wait_for(lambda: lab.heard("Charged"))
    wall.set(ahead_s)
    lab.wait_for(lambda: lab.fates("a")[sent].answered_once)
    end(lab, host)
    assert lab.fates("a")[sent].tries == 1 and lab.heard("Charged") == 1


def test_a_message_due_later_is_claimed_once_the_wall_clock_says_so_and_not_before(lab, wall, setting):
    [sent] = lab.send("a", "now")
    due = sqlite_utc(int((wall.now() + 2 * HOUR) * 1000))
    lab.sql("a", "UPDATE messages_in SET process_after = ? WHERE id = ?", (due, sent))
    host = serve(lab, wall, setting)
    lab.wait_for(lambda: lab.heard("HostStarted"))
    for ahead_s in (0, HOUR, -10 * HOUR):
        wall.set(ahead_s)
        time.sleep(1.2)
        assert (lab.fates("a")[sent].status, lab.heard("Woke")) == ("pending", 0)
    wall.set(2 * HOUR + 1)
    lab.wait_for(lambda: lab.fates("a")[sent].answered_once)
    end(lab, host)
    assert answered(lab, "a")


@pytest.mark.parametrize("ahead_s", [pytest.param(-3 * HOUR, marks=pytest.mark.long), 3 * HOUR])
def test_a_hang_is_found_after_one_tolerance_although_the_machine_slept_or_its_clock_was_set(
    lab, wall, setting, ahead_s
):
    wall.set(ahead_s)
    host = serve(lab, wall, setting)
    lab.wait_for(lambda: lab.heard("HostStarted"))
    wall.set(0)
    [sent] = lab.send("a", "hang")
    lab.wait_for(lambda: lab.fates("a")[sent].answered_once)
    end(lab, host)
    assert lab.fates("a")[sent].tries == 1
    assert lab.heard("Stopping") == lab.heard("Charged") == 1
