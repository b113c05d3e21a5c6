"""Does a line get the core's answer, and a bad line an error of its own?"""

import inspect
import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import turnkeel_core as core
from turnkeel.cli.decide import decide_lines, decide_main
from turnkeel.cli.decisions import DECISIONS
from turnkeel_adapters.wire import to_data

NOW = 1_776_686_400_000
SILENT = {"now_ms": NOW, "heartbeat_at_ms": NOW - 2_000_000}


def _ask(*asked, explain=False):
    lines = [item if isinstance(item, str) else json.dumps(item) for item in asked]
    return [json.loads(answer) for answer in decide_lines(lines, explain)]


ANSWERED = [
    (
        "decide_stuck_action",
        SILENT,
        [{"type": "KillOverCeiling", "age_ms": 2_000_000, "ceiling_ms": 1_800_000, "measured_from": "heartbeat"}],
    ),
    ("decide_retry", {"now_ms": 0, "tries": 1}, [{"type": "RetryAt", "tries": 2, "at_ms": 10_000, "delay_ms": 10_000}]),
    ("decide_spawn", {"now_ms": 0}, [{"type": "SpawnNow", "fruitless": 0}]),
    (
        "decide_grace",
        {"previous_wall_ms": 0, "previous_mono_ms": 0, "now_ms": 9_000, "now_mono_ms": 1_000},
        [{"type": "GiveGrace", "resumed_at_ms": 9_000, "gap_ms": 8_000}],
    ),
    ("plan_requeue", {"now_ms": 0}, []),
    (
        "plan_starts",
        {"now_ms": 0, "waiting": [{"session": "g/s"}]},
        [{"type": "StartNow", "session": "g/s", "ahead": 0}],
    ),
    (
        "plan_sweep",
        {"now_ms": 0, "container": {"type": "NoContainer"}, "messages": [{"message_id": "m"}]},
        [{"type": "Wake", "incarnation": 1, "due": ["m"], "if_failed": []}],
    ),
    (
        "next_cron_run",
        {"cron": "0 9 * * *", "zone": "Europe/Berlin", "after_ms": NOW},
        [{"type": "CronRun", "at_ms": 1_776_754_800_000}],
    ),
]


@pytest.mark.parametrize(("decision", "given", "actions"), ANSWERED, ids=[case[0] for case in ANSWERED])
def test_every_decision_answers_its_line(decision, given, actions):
    (answer,) = _ask({"decision": decision, "input": given})
    assert answer["decision"] == decision
    assert answer["actions"] == actions
    assert set(answer) - {"next_change_at_ms"} == {"decision", "actions"}


TURN = core.Turn(turn_id="t1", session="main/a", accepted_at_ms=1)
ROW = core.OutboxRow(
    row_id="r1",
    kind="final",
    channel="mail",
    lane="main/a",
    ordinal=1,
    queued_at_ms=1,
    idempotency_key="t1/final/1",
    turn_id="t1",
    payload_ok=False,
)
SEEN = core.TurnSnapshot(now_ms=NOW, turn=TURN, rows=(ROW,))
REPLY = core.Reply(row_id="r2", kind="final", channel="mail", lane="main/a", ordinal=2)
# What these answer is told elsewhere; here it is asked whether each name leads to its own decision.
ASKED = {
    "decide_run": core.RunSnapshot(now_ms=NOW),
    "decide_output": core.OutputSnapshot(now_ms=NOW, text_bytes=2_000_000),
    "decide_mount": core.MountSnapshot(now_ms=NOW, group="main", host="/a"),
    "plan_mounts": core.MountsSnapshot(now_ms=NOW, mounts=(core.MountSnapshot(now_ms=NOW, group="main", host="/a"),)),
    "plan_adoption": core.AdoptionSnapshot(
        now_ms=NOW, running=(core.RunningContainer(session="main/a", incarnation=1, container_id="c"),)
    ),
    "accept_turn": core.AcceptSnapshot(
        now_ms=NOW, turn_id="t1", session="main/a", identity=core.MessageIdentity(), payload_bytes=1
    ),
    "claim_turn": core.ClaimSnapshot(now_ms=NOW, owner="host", turn=TURN, rows=()),
    "finalize_turn_from_outbox": SEEN,
    "plan_turn_recovery": core.RecoverySnapshot(now_ms=NOW, owner="host", turns=(SEEN,)),
    "abort_session": core.AbortSnapshot(now_ms=NOW, sessions=("main/a",), turns=(TURN,), rows=(ROW,)),
    "plan_enqueue": core.EnqueueSnapshot(now_ms=NOW, owner="host", replies=(REPLY,)),
    "plan_deliveries": core.DeliverySnapshot(now_ms=NOW, owner="host", rows=(ROW,)),
    "settle_delivery": core.SettleSnapshot(now_ms=NOW, row=ROW, outcome=core.Dropped("by hand")),
    "plan_expiry": core.ExpirySnapshot(now_ms=NOW, rows=(ROW,), turns=(SEEN,)),
    "plan_prune": core.PruneSnapshot(
        now_ms=NOW, identities=(core.KeptIdentity(identity="i", turn_id="t0", settled_at_ms=1),)
    ),
    "plan_legacy_import": core.LegacySnapshot(now_ms=NOW, entries=(core.LegacyEntry(file="a.json", fault="no JSON"),)),
    "plan_row_retry": core.RowRetrySnapshot(now_ms=NOW, row_id="r2", row=ROW, channel=core.ChannelFacts(channel="c")),
    "decide_lease": core.LeaseSnapshot(now_ms=NOW, asker="host"),
    "find_interrupted": core.InterruptedSnapshot(
        now_ms=NOW,
        dispatched=(core.Dispatched(key=core.MessageKey("c", "m"), sent_at_ms=1, started_at_ms=1),),
    ),
    "plan_occurrences": core.OccurrenceSnapshot(
        now_ms=NOW,
        series="s",
        next_at_ms=NOW,
        moved_at_ms=1,
        runs=core.DueRuns(due_at_ms=(NOW,), following=core.NoMoreRuns()),
    ),
    "decide_sender": core.SenderSnapshot(now_ms=NOW, chat="c", sender="ann"),
    "decide_login": core.LoginSnapshot(now_ms=NOW, error="invalid x-api-key"),
    "should_clear_resume": core.ResumeSnapshot(now_ms=NOW, error="session expired", session="s", anchor="a"),
    "decide_trigger": core.TriggerSnapshot(now_ms=NOW, chat="c", trigger="@Andy"),
}


@pytest.mark.parametrize(("decision", "seen"), ASKED.items(), ids=ASKED.keys())
def test_every_other_decision_answers_with_its_actions_and_its_reasons(decision, seen):
    (answer,) = _ask({"decision": decision, "input": to_data(seen)}, explain=True)
    found = getattr(core, decision)(seen)
    assert answer["actions"] == [to_data(action) for action in (found if isinstance(found, tuple) else (found,))]
    assert answer["actions"]
    assert answer["why"]["at_ms"] == NOW


def test_the_tables_above_name_every_decision():
    assert {*(case[0] for case in ANSWERED), *ASKED} == set(DECISIONS)


def test_every_decision_of_the_core_can_be_asked():
    decisions = {
        name
        for name in core.__all__
        if (
            asked := inspect.signature(getattr(core, name)).parameters
            if inspect.isfunction(getattr(core, name))
            else {}
        )
        and [*asked] == ["seen", "policy"]
        and not name.startswith("explain_")
    }
    assert decisions <= set(DECISIONS)


def test_a_sweep_answers_with_its_next_change():
    running = {"type": "StuckSnapshot", "now_ms": 0, "heartbeat_at_ms": NOW - 1, "spawned_at_ms": NOW - 5_000}
    (answer,) = _ask({"decision": "plan_sweep", "input": {"now_ms": NOW, "incarnation": 1, "container": running}})
    assert answer["actions"] == []
    assert answer["next_change_at_ms"] == NOW + 1_800_000


def test_a_policy_changes_the_answer_and_null_means_the_defaults():
    loose, usual = _ask(
        {"decision": "decide_stuck_action", "input": SILENT, "policy": {"ceiling_ms": 9_000_000}},
        {"decision": "decide_stuck_action", "input": SILENT, "policy": None},
    )
    assert loose["actions"][0]["type"] == "LeaveAlone"
    assert usual["actions"][0]["type"] == "KillOverCeiling"


@pytest.mark.parametrize(("decision", "given"), [case[:2] for case in ANSWERED[:-1]], ids=[c[0] for c in ANSWERED[:-1]])
def test_with_explain_every_decision_says_why(decision, given):
    (answer,) = _ask({"decision": decision, "input": given}, explain=True)
    assert answer["why"]["decision"] == decision
    assert answer["why"]["rules"]


def test_the_reason_is_the_cores_own():
    (answer,) = _ask({"decision": "decide_stuck_action", "input": SILENT}, explain=True)
    assert answer["why"] == to_data(core.explain_stuck_action(core.StuckSnapshot(**SILENT)))


@pytest.mark.parametrize("mark", [0, "a", None, [1], {"b": 2}, False, 1.5])
def test_the_id_comes_back_with_an_answer_and_with_an_error(mark):
    good, bad = _ask(
        {"decision": "decide_spawn", "input": {"now_ms": 0}, "id": mark}, {"decision": "no", "input": {}, "id": mark}
    )
    assert good["id"] == bad["id"] == mark
    assert "error" in bad


BAD = [
    ("no JSON", "{", "not JSON: "),
    ("no object", "[]", "the line must be an object with the keys decision and input"),
    ("no decision", "{}", "decision: must be a text, not null"),
    ("an unknown decision", '{"decision": "decide", "input": {}}', "decision: 'decide' is none; known: decide_stuck"),
    ("no input", '{"decision": "decide_spawn"}', "input: missing"),
    ("an empty input", '{"decision": "decide_spawn", "input": {}}', "input.now_ms: missing"),
    ("an input of another kind", '{"decision": "decide_spawn", "input": 7}', "input: must be an object, not a whole"),
    ("an unknown key", '{"decision": "decide_spawn", "inputs": {}}', "inputs: unknown key; known: decision, input"),
    (
        "faults on both sides",
        '{"decision": "decide_retry", "input": {"now_ms": "0"}, "policy": {"base_ms": -1}}',
        "input.now_ms: must be a whole number, not a text; input.tries: missing; policy.base_ms: must be >= 0: -1",
    ),
    (
        "an unknown zone",
        '{"decision": "next_cron_run", "input": {"cron": "* * * * *", "zone": "Mars", "after_ms": 0}}',
        "'Mars' names no time zone",
    ),
    ("a policy for cron", '{"decision": "next_cron_run", "input": {}, "policy": {}}', "policy: next_cron_run has none"),
    ("bytes that are no UTF-8", '{"decision": "\udcff"}', "the line is not UTF-8"),
]


@pytest.mark.parametrize(("line", "error"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_bad_line_gives_an_error_and_the_next_is_answered(line, error):
    good = {"decision": "decide_spawn", "input": {"now_ms": 0}}
    before, bad, after = _ask(good, line, good)
    assert bad["error"].startswith(error) and bad["line"] == 2
    assert before == after and before["actions"]


def test_a_refused_cron_text_is_an_answer_not_an_error():
    (answer,) = _ask({"decision": "next_cron_run", "input": {"cron": "no", "zone": "UTC", "after_ms": 0}})
    assert answer["actions"][0]["type"] == "CronRefused"


def test_blank_lines_are_counted_and_not_answered():
    (answer,) = _ask("", " \n", "x")
    assert answer["line"] == 3


def test_a_fault_inside_a_decision_costs_its_line_alone(monkeypatch):
    def broken(given, limits, explain):
        raise ZeroDivisionError("oops")

    monkeypatch.setitem(DECISIONS, "decide_spawn", broken)
    bad, good = _ask(
        {"decision": "decide_spawn", "input": {"now_ms": 0}},
        {"decision": "decide_retry", "input": {"now_ms": 0, "tries": 0}},
    )
    assert "please report it" in bad["error"] and "ZeroDivisionError: oops" in bad["error"]
    assert good["actions"]


@pytest.mark.parametrize(("extra", "code"), [("", 0), ("{}\n", 1)])
def test_the_exit_code_tells_whether_every_line_was_answered(extra, code):
    good = json.dumps({"decision": "decide_spawn", "input": {"now_ms": 0}}) + "\n"
    out = io.StringIO()
    assert decide_main(io.StringIO(good + extra + good), out) == code
    assert len(out.getvalue().splitlines()) == 2 + code


def test_a_host_may_keep_the_pipe_open_and_ask_again():
    asked, given = os.pipe()
    answered, answer = os.pipe()
    with open(asked) as stdin, open(given, "wb", 0) as ask, open(answered) as answers, open(answer, "w") as stdout:
        host = threading.Thread(target=decide_main, args=(stdin, stdout), daemon=True)
        host.start()
        for line in (b'{"decision": "decide_spawn", "input": {"now_ms": 1}}\n', b'{"decision": "\xff"}\n'):
            ask.write(line)
            assert json.loads(answers.readline()).keys() & {"actions", "error"}
        ask.close()
        host.join(timeout=60)
        assert not host.is_alive()


def test_answering_needs_neither_a_database_nor_a_terminal_library():
    root = Path(__file__).parents[2]
    code = (
        "import sys; from turnkeel.cli.decide import decide_lines; "
        'list(decide_lines([\'{"decision": "decide_spawn", "input": {"now_ms": 0}}\'])); '
        "heavy = {'apsw', 'sqlite3', 'asyncio', 'rich', 'cyclopts', 'structlog'}; "
        "print(sorted(heavy & sys.modules.keys()))"
    )
    path = os.pathsep.join(str(root / folder) for folder in ("core", "adapters", "shell"))
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
