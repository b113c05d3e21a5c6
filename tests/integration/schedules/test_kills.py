"""Does every nominal time get its one row, and every run its one answer, whoever is killed, at whatever instant?"""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import apsw
import pytest

from turnkeel_adapters.schedules.records import OPEN, RAN

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PATHS = os.pathsep.join(str(ROOT / part) for part in ("core", "adapters", "shell"))
STEP_MS = {"beat": 1_000, "minute": 2_000}


class Trial:
    """A data directory with an interval and a cron schedule, and hosts that are killed in it."""

    def __init__(self, folder, seed):
        self.data, self.rng, self.host = folder / "data", random.Random(seed), None
        self.log = (folder / "host.log").open("ab")
        agent = f"{sys.executable} -c 'import sys, time; time.sleep(0.3); print(sys.stdin.read())'"
        self.agent = ("--agent", agent)
        late = ("--missed", "all", "--overlap", "queue")
        self.ask("sched", "add", "beat", "main/beat", "beat", "--every", "1s", *late)
        self.ask("sched", "add", "minute", "main/minute", "minute", "--cron", "* * * * *", "--zone", "UTC", *late)

    def command(self, *words):
        return [sys.executable, str(HERE / "fast_cron.py"), *words, "--data", str(self.data)]

    def ask(self, *words):
        environ = {**os.environ, "PYTHONPATH": PATHS}
        done = subprocess.run(self.command(*words), env=environ, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def count(self, series):
        return self.rows(f"SELECT count(*) FROM occurrence WHERE series = '{series}'")[0][0]

    def start(self, *words, die=""):
        environ = {**os.environ, "PYTHONPATH": PATHS, "DIE": die}
        command = self.command("run", *self.agent, *words)
        self.host = subprocess.Popen(command, env=environ, stdout=self.log, stderr=self.log)
        return self.host

    def kill_in_a_run(self):
        """Once an occurrence is claimed whose turn is open, at a random instant of its run."""
        self.start()
        end = time.monotonic() + 60
        while not self.rows("SELECT 1 FROM occurrence JOIN turn USING (turn_id) WHERE turn.completed_at_ms IS NULL"):
            assert time.monotonic() < end, "nothing ran"
            time.sleep(0.02)
        time.sleep(self.rng.uniform(0, 3))
        self.end()

    def rows(self, sql):
        db = apsw.Connection(str(self.data / "turnkeel.db"), apsw.SQLITE_OPEN_READWRITE)
        try:
            db.set_busy_timeout(5_000)
            return db.execute(sql).fetchall()
        finally:
            db.close()

    def end(self):
        if self.host is not None:
            self.host.kill()
            self.host.wait()


@pytest.fixture
def trial(tmp_path):
    seed = int(os.environ.get("SEED", "0")) or time.time_ns() % 1_000_000
    print(f"SEED={seed}")
    made = Trial(tmp_path, seed)
    yield made
    made.end()
    made.log.close()


@pytest.mark.parametrize("rounds", [2, pytest.param(40, marks=pytest.mark.long)])
def test_an_interval_and_a_cron_survive_kills_during_their_runs_without_a_double_or_lost_firing(trial, rounds):
    for _ in range(rounds):
        trial.kill_in_a_run()
        time.sleep(trial.rng.choice((0, 0, 2.5)))
    for series in STEP_MS:
        trial.ask("sched", "cancel", series)
    assert trial.start("--until-idle").wait(180) == 0
    figures = {series: check(trial, series) for series in STEP_MS}
    print(figures)
    ran = {series: sum(one[outcome] for outcome in RAN) for series, one in figures.items()}
    assert sum(ran.values()) > rounds and min(ran.values()) > 0, figures


def test_a_host_killed_between_the_claim_and_the_inbox_loses_nothing_and_runs_nothing_twice(trial):
    for deaths in (1, 2):
        assert trial.start(die="before the inbox").wait(120) == -9
        # the second host may run what the first one claimed before it claims another and dies of that
        [(accepted, still_open)] = trial.rows("SELECT count(*), sum(completed_at_ms IS NULL) FROM turn")
        assert accepted >= deaths and still_open >= 1
    for series in STEP_MS:
        trial.ask("sched", "cancel", series)
    assert trial.start("--until-idle").wait(120) == 0
    figures = {series: check(trial, series) for series in STEP_MS if trial.count(series)}
    assert sum(one["ran"] for one in figures.values()) >= 2, figures


@pytest.mark.long
def test_a_host_killed_inside_the_transaction_of_a_claim_claims_it_when_it_is_back(trial):
    assert trial.start(die="in the transaction").wait(60) == -9
    assert trial.rows("SELECT count(*) FROM occurrence") == [(0,)] == trial.rows("SELECT count(*) FROM turn")
    trial.kill_in_a_run()
    for series in STEP_MS:
        trial.ask("sched", "cancel", series)
    assert trial.start("--until-idle").wait(120) == 0
    assert sum(check(trial, series)["ran"] for series in STEP_MS if trial.count(series)) >= 1


def check(trial, series):
    """The outcomes; wrong are a nominal time without a row, a run without one answer, an answer too many."""
    shown = json.loads(trial.ask("sched", "show", series, "--limit", "100000", "--json"))
    found = shown["occurrences"][::-1]
    times = [one["nominal_at_ms"] for one in found]
    step_ms = STEP_MS[series]
    assert times == list(range(times[0], times[0] + step_ms * len(times), step_ms)), "a nominal time is missing"
    ran = [one for one in found if one["turn_id"] is not None]
    assert not [one for one in found if one["outcome"] in OPEN]
    assert all(one["outcome"] == "ran" for one in ran), ran
    turns = Counter(one["turn_id"] for one in ran)
    assert set(turns.values()) <= {1}
    said = dict(trial.rows("SELECT turn_id, count(*) FROM outbox WHERE status = 'delivered' GROUP BY turn_id"))
    assert {turn: said.get(turn) for turn in turns} == dict.fromkeys(turns, 1)
    accepted = {turn for (turn,) in trial.rows(f"SELECT turn_id FROM turn WHERE session = 'main/{series}'")}
    assert accepted == set(turns), "a turn that is no occurrence's"
    inbound = apsw.Connection(str(trial.data / "v2-sessions" / "main" / series / "inbound.db"))
    rows = [row_id for (row_id,) in inbound.execute("SELECT id FROM messages_in").fetchall()]
    inbound.close()
    assert sorted(rows) == sorted(turns)
    return Counter(one["outcome"] for one in found)
