"""Do the commands about schedules do what they say, and say what is there?"""

import json
import os
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import pytest
from attrs import evolve

from turnkeel.cli.app import run_command_line
from turnkeel.cli.durations import duration_ms
from turnkeel.cli.errors import WrongUsage
from turnkeel_adapters.schedules.records import LastLook
from turnkeel_adapters.schedules.store import StateSchedules
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.sessions.container_outbound import open_outbound
from turnkeel_adapters.sessions.names import SessionName
from turnkeel_adapters.state.store import HostState
from turnkeel_adapters.system.lock import DataLock

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("core", "adapters", "shell"))}
DAY = 86_400_000


@pytest.fixture
def tk(tmp_path, capsys, monkeypatch):
    """Run one command line; its exit code, standard output (as data with --json) and standard error."""
    monkeypatch.setenv("TURNKEEL_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TZ", "Europe/Berlin")

    def run(*words):
        code = run_command_line(words)
        out, err = capsys.readouterr()
        return code, json.loads(out) if "--json" in words and code == 0 else out, err

    run.data = tmp_path / "data"
    return run


def ok(answer):
    code, out, err = answer
    assert code == 0, err
    return out


def serve(tk):
    command = [sys.executable, "-m", "turnkeel", "run", "--until-idle", "--agent", "cat"]
    environ = {**ENVIRONMENT, "TURNKEEL_DATA": str(tk.data)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def made_due(tk, name, since_ms):
    """As if no host had run for that long."""
    with closing(apsw.Connection(str(tk.data / "turnkeel.db"))) as db:
        db.execute(
            "UPDATE schedule SET next_at_ms = next_at_ms - ?, moved_at_ms = 0 WHERE series = ?", (since_ms, name)
        )


def test_a_schedule_is_added_listed_and_shown(tk):
    told = ok(tk("sched", "add", "noon", "ops", "look", "--cron", "0 12 * * *", "--missed", "within:2h", "--json"))
    made = told["schedule"]
    assert (made["session"], made["zone"], made["kind"], made["status"]) == (
        "main/ops",
        "Europe/Berlin",
        "cron",
        "active",
    )
    assert made["catch_up"] == {"runs": "within", "limit": None, "window_ms": 7_200_000}
    assert "first run" in ok(tk("sched", "add", "tick", "g/a", "go", "--every", "1h30m"))
    assert "every 1 h 30 min" in ok(tk("sched", "list"))
    assert [one["series"] for one in ok(tk("sched", "list", "--json"))["schedules"]] == ["noon", "tick"]
    shown = ok(tk("sched", "show", "noon"))
    assert "says: look" in shown and "within 2 h" in shown and "0 12 * * * (Europe/Berlin)" in shown


def test_each_schedule_has_its_own_zone_and_an_instant_is_read_in_it(tk):
    day = (datetime.now(UTC) + timedelta(days=3)).date()
    made = ok(tk("sched", "add", "x", "a", "p", "--at", f"{day}T09:00", "--zone", "Asia/Tokyo", "--json"))["schedule"]
    assert made["next_at"] == f"{day}T00:00:00.000Z"
    exact = ok(tk("sched", "add", "y", "a", "p", "--at", f"{day}T09:00+02:00", "--json"))["schedule"]
    assert exact["next_at"] == f"{day}T07:00:00.000Z"


def test_an_interval_may_have_a_start(tk):
    day = (datetime.now(UTC) + timedelta(days=3)).date()
    made = ok(tk("sched", "add", "x", "a", "p", "--every", "1d", "--starts", f"{day}T05:00Z", "--json"))["schedule"]
    assert made["next_at"] == f"{day}T05:00:00.000Z"


BAD = [
    ((), 2, "give one of"),
    (("--every", "5m", "--cron", "@daily"), 2, "give one of"),
    (("--every", "5"), 2, "no duration"),
    (("--every", "999ms"), 1, "more often"),
    (("--every", "367d"), 1, "longer than"),
    (("--cron", "* * *"), 1, "3 fields"),
    (("--cron", ""), 1, "empty"),
    (("--cron", "@daily", "--zone", "Berlin"), 2, "no time zone"),
    (("--at", "soon"), 2, "no instant"),
    (("--at", "2020-01-01T00:00"), 1, "has passed"),
    (("--every", "1h", "--missed", "all:0"), 2, "write skip"),
    (("--every", "1h", "--missed", "within:soon"), 2, "no duration"),
    (("--every", "1h", "--overlap", "both"), 2, "overlap"),
]


@pytest.mark.parametrize(("words", "code", "why"), BAD)
def test_what_makes_no_schedule_is_refused_and_nothing_is_stored(tk, words, code, why):
    got, _, err = tk("sched", "add", "x", "a", "p", *words)
    assert (got, why in err) == (code, True), err
    assert len(err.splitlines()) == 1
    tk.data.mkdir(exist_ok=True)
    assert ok(tk("sched", "list", "--json"))["schedules"] == []


def test_a_name_is_used_once_until_its_schedule_is_over(tk):
    ok(tk("sched", "add", "x", "a", "p", "--every", "1h"))
    code, _, err = tk("sched", "add", "x", "a", "q", "--every", "1h")
    assert code == 1 and "already" in err
    assert "cancelled, no more runs" in ok(tk("sched", "cancel", "x"))
    ok(tk("sched", "add", "x", "a", "q", "--every", "1h"))
    assert "says: q" in ok(tk("sched", "show", "x"))


@pytest.mark.parametrize("move", ["run", "pause", "resume", "cancel", "show", "missed"])
def test_a_name_nobody_gave_is_told(tk, move):
    ok(tk("sched", "add", "x", "a", "p", "--every", "1h"))
    code, _, err = tk("sched", move, "nobody")
    assert code == 1 and "there is no schedule nobody" in err


def test_a_run_by_hand_is_answered_once_and_moves_nothing(tk):
    before = ok(tk("sched", "add", "x", "a", "say so", "--every", "1h", "--json"))["schedule"]
    turn_id = ok(tk("sched", "run", "x")).strip()
    serve(tk)
    shown = ok(tk("sched", "show", "x", "--json"))
    assert shown["schedule"] == before
    [run] = shown["occurrences"]
    assert (run["turn_id"], run["outcome"], run["by_hand"]) == (turn_id, "ran", True)
    assert "say so" in ok(tk("show", "a"))


def test_what_was_missed_is_told_with_the_reason_and_the_latest_is_made_up_for(tk):
    ok(tk("sched", "add", "x", "a", "p", "--every", "1d"))
    made_due(tk, "x", 3 * DAY + 1)
    serve(tk)
    assert [one["outcome"] for one in ok(tk("sched", "show", "x", "--json"))["occurrences"]] == [
        "ran",
        "missed",
        "missed",
    ]
    assert ok(tk("sched", "missed")).count(" missed ") == 2
    assert len(ok(tk("sched", "missed", "x", "--limit", "1", "--json"))["occurrences"]) == 1


def test_what_passes_a_pause_is_missed_and_a_resumed_schedule_goes_on(tk):
    ok(tk("sched", "add", "x", "a", "p", "--every", "1d"))
    assert "paused" in ok(tk("sched", "pause", "x"))
    made_due(tk, "x", DAY + 1)
    serve(tk)
    assert [one["outcome"] for one in ok(tk("sched", "missed", "--json"))["occurrences"]] == ["skipped_paused"]
    resumed = ok(tk("sched", "resume", "x", "--json"))["schedule"]
    assert resumed["status"] == "active" and resumed["next_at_ms"] > time.time() * 1000
    ok(tk("sched", "cancel", "x"))
    code, _, err = tk("sched", "pause", "x")
    assert code == 1 and "is cancelled" in err


def test_the_host_carries_out_what_a_container_asks_about_its_tasks(tk):
    sessions = FileSessions(tk.data)
    sessions.tree.create(SessionName.parse("main/a"))
    folder = sessions.store("main/a").folder
    asked = [
        {"action": "schedule_task", "taskId": "t1", "prompt": "water them"},
        {"action": "pause_task", "taskId": "no"},
    ]
    with closing(open_outbound(folder / "outbound.db")) as db:
        for number, content in enumerate(asked):
            db.execute(
                "INSERT INTO messages_out (id, seq, timestamp, kind, content) VALUES (?, ?, datetime('now'), 'system', ?)",
                (f"out-{number}", 2 * number + 1, json.dumps(content)),
            )
    for _ in range(2):
        serve(tk)
    said = ok(tk("show", "a"))
    assert said.count("water them") == 3, said  # what was asked, the task, and the agent that says it again
    assert said.count('pause_task: no live task matched id "no".') == 2
    assert len(ok(tk("turns", "--json"))["turns"]) == 2


def test_reading_commands_leave_the_store_as_it_is(tk):
    ok(tk("sched", "add", "x", "a", "p", "--every", "1h"))
    before = (tk.data / "turnkeel.db").read_bytes()
    for words in (("list",), ("show", "x"), ("missed",)):
        ok(tk("sched", *words))
    assert (tk.data / "turnkeel.db").read_bytes() == before


def test_a_run_of_many_missed_ones_is_told_in_one_line(tk):
    ok(tk("sched", "add", "x", "a", "p", "--every", "1s", "--missed", "skip"))
    made_due(tk, "x", 10**9)
    serve(tk)
    with HostState(tk.data) as state, StateSchedules(state.database).reading() as work:
        counted = sum(one.count or 0 for one in work.schedules.latest("x", None, 10**6))
    assert counted >= 10**6
    assert "until" in ok(tk("sched", "missed", "--limit", "100000"))


# How the schedules are


def looked(tk, ago_ms, alarm_ms=180_000, trouble=None):
    """As if a host had looked that long ago, and at nothing since; its schedules are as old."""
    now_ms = time.time_ns() // 1_000_000
    with HostState(tk.data) as state, StateSchedules(state.database).transaction() as work:
        at_ms = now_ms - ago_ms
        work.schedules.looked(LastLook(looked_at_ms=at_ms, alarm_at_ms=at_ms + alarm_ms, trouble=trouble))
        for one in work.schedules.all():
            work.schedules.update(evolve(one, moved_at_ms=0))


def at_work(tk, since_ms):
    """A host that holds the data directory and does nothing else."""
    return DataLock(tk.data, started_at_ms=time.time_ns() // 1_000_000 - since_ms, version="x")


def test_status_says_when_the_schedules_were_looked_at_and_warns_when_a_host_no_longer_does(tk):
    tk.data.mkdir()
    assert "schedules" not in ok(tk("status"))
    ok(tk("sched", "add", "x", "a", "p", "--every", "1d"))
    with at_work(tk, 200_000):
        assert "schedules: 1 waits, never looked at" in ok(tk("status"))
        looked(tk, 179_000)
        told = ok(tk("status"))
        assert "schedules: 1 waits, last looked at 2 min 59 s ago" in told and "attention" not in told
        looked(tk, 180_000)
        told = ok(tk("status"))
        assert "attention: the host does not look at its schedules" in told
        shown = ok(tk("status", "--json"))["health"]["schedules"]
        assert (shown["late"], shown["up"], shown["waiting"]) == (True, True, 1)
        assert shown["last_look"]["looked_at_ms"] <= time.time() * 1000 - 180_000
    with at_work(tk, 1_000):
        assert "attention" not in ok(tk("status"))
    assert "attention: schedules wait, and no host is at work: turnkeel run" in ok(tk("status"))
    ok(tk("sched", "cancel", "x"))
    assert "schedules" not in ok(tk("status"))


def test_status_names_what_the_host_cannot_look_at_and_what_is_parked(tk):
    made = ok(tk("sched", "add", "x", "a", "p", "--cron", "@daily", "--json"))["schedule"]
    ok(tk("sched", "add", "y", "a", "p", "--every", "1d"))
    with at_work(tk, 0):
        looked(tk, 0, trouble="schedule y: ZeroDivisionError()")
        assert "attention: schedule y: ZeroDivisionError(): turnkeel sched list" in ok(tk("status"))
    made_due(tk, "x", made["next_at_ms"])
    with closing(apsw.Connection(str(tk.data / "turnkeel.db"))) as db:
        db.execute("UPDATE schedule SET zone = 'Atlantis/Capital' WHERE series = 'x'")
    ok(tk("sched", "pause", "x"))  # which looks at it first
    looked(tk, 0)
    told = ok(tk("status"))
    assert "schedules: 1 waits, 1 parked, last looked at" in told
    assert "parked: x: turnkeel sched list" in told and "ZeroDivisionError" not in told


@pytest.mark.parametrize("context", ["isolated", "group"])
def test_a_run_stands_alone_unless_it_is_to_take_part_in_the_conversation(tk, context):
    words = () if context == "isolated" else ("--context", "group")
    assert ok(tk("sched", "add", "x", "a", "p", "--every", "1h", *words, "--json"))["schedule"]["context"] == context
    assert f"context: {context}" in ok(tk("sched", "show", "x"))
    ok(tk("sched", "run", "x"))
    folder = FileSessions(tk.data).store("main/a").folder
    with closing(apsw.Connection(str(folder / "inbound.db"))) as db:
        [(content,)] = db.execute("SELECT content FROM messages_in").fetchall()
    assert json.loads(content) == {"prompt": "p", "script": None, "contextMode": context}


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("250ms", 250),
        ("90s", 90_000),
        ("5m", 300_000),
        ("1h30m", 5_400_000),
        ("2d", 2 * DAY),
        ("1W", 7 * DAY),
        ("1h 5min", 3_900_000),
    ],
)
def test_a_duration_names_its_units(text, ms):
    assert duration_ms(text) == ms


@pytest.mark.parametrize("text", ["", "5", "h", "-5m", "1.5h", "5x", "m5", "5m!", "٥m"])
def test_what_names_none_is_no_duration(text):
    with pytest.raises(WrongUsage):
        duration_ms(text)
