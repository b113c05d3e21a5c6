"""Does each table of `turnkeel.db` keep its own promises, and refuse what must never be?"""

import apsw
import pytest
from attrs import evolve

from turnkeel_adapters.sessions.records import OutboundMark
from turnkeel_adapters.state import journal as journal_module
from turnkeel_adapters.state.dead import DeadRecord
from turnkeel_adapters.state.journal import JournalLine
from turnkeel_adapters.state.notes import Parked
from turnkeel_adapters.state.store import HostState
from turnkeel_core import ChargeAttempt, ChargeMark, Death

A, B = "main/a", "main/b"
MARK = OutboundMark(replies=3, acks=7)


@pytest.fixture
def state(tmp_path):
    with HostState(tmp_path) as state:
        yield state


def end(state, number, *, session=A, ending="exited", at_ms=2_000, code=1, signal=None, progressed=False):
    state.incarnations.ended(
        session, number, at_ms=at_ms, ending=ending, exit_code=code, exit_signal=signal, progressed=progressed
    )


def run(state, number, *, session=A, spawned_at_ms=1_000):
    state.incarnations.begin(session, number, spawned_at_ms, MARK)
    state.incarnations.started(session, number, "process", f"{number}:1")


# Incarnations


def test_an_incarnation_is_kept_from_its_intent_to_its_end(state):
    assert state.incarnations.latest(A) is None
    state.incarnations.begin(A, 1, 1_000, MARK)
    starting = state.incarnations.latest(A)
    assert (starting.state, starting.mark, starting.container_id) == ("starting", MARK, None)
    state.incarnations.started(A, 1, "process", "12:34")
    running = state.incarnations.latest(A)
    assert (running.state, running.runtime, running.container_id) == ("running", "process", "12:34")
    end(state, 1, code=None, signal=9, progressed=True)
    dead = state.incarnations.latest(A)
    assert (dead.state, dead.died_at_ms, dead.ending) == ("dead", 2_000, "exited")
    assert (dead.exit_code, dead.exit_signal, dead.progressed) == (None, 9, True)
    assert dead.container_id == "12:34"


@pytest.mark.parametrize("number", [1, 2], ids=["the same", "the next"])
@pytest.mark.parametrize("started", [False, True], ids=["starting", "running"])
def test_no_second_incarnation_begins_while_one_is_open(state, number, started):
    state.incarnations.begin(A, 1, 1_000, MARK)
    if started:
        state.incarnations.started(A, 1, "process", "12:34")
    with pytest.raises(apsw.ConstraintError):
        state.incarnations.begin(A, number, 1_500, MARK)
    assert len(state.incarnations.history(A, limit=9)) == 1
    state.incarnations.begin(B, 1, 1_000, MARK)


def test_a_number_is_never_used_twice(state):
    run(state, 1)
    end(state, 1)
    with pytest.raises(apsw.ConstraintError):
        state.incarnations.begin(A, 1, 3_000, MARK)
    state.incarnations.begin(A, 2, 3_000, MARK)
    assert [row.number for row in state.incarnations.history(A, limit=9)] == [2, 1]


def test_the_first_record_of_an_end_stays(state):
    run(state, 1)
    end(state, 1, code=1, at_ms=2_000)
    end(state, 1, code=0, at_ms=9_000, ending="host_gone", progressed=True)
    row = state.incarnations.latest(A)
    assert (row.exit_code, row.died_at_ms, row.ending, row.progressed) == (1, 2_000, "exited", False)


def test_what_is_dead_starts_no_more_and_is_not_meant_to_stop(state):
    run(state, 1)
    end(state, 1)
    state.incarnations.started(A, 1, "process", "99:99")
    state.incarnations.intend_stop(A, 1, "StopIdle", 3_000)
    row = state.incarnations.latest(A)
    assert (row.state, row.container_id, row.intent) == ("dead", "1:1", None)


def test_the_first_reason_to_stop_stays(state):
    run(state, 1)
    state.incarnations.intend_stop(A, 1, "KillStaleClaim", 1_500)
    state.incarnations.intend_stop(A, 1, "shutdown", 1_600)
    assert state.incarnations.latest(A).intent == "KillStaleClaim"


def test_a_spawn_without_identity_can_only_end(state):
    state.incarnations.begin(A, 1, 1_000, MARK)
    assert [row.session for row in state.incarnations.open()] == [A]
    end(state, 1, ending="not_started", code=None)
    assert (state.incarnations.open(), state.incarnations.latest(A).container_id) == ((), None)


def test_a_start_that_came_to_nothing_is_over_and_a_running_container_is_no_such_start(state):
    state.incarnations.not_started(A, 500)
    state.incarnations.begin(A, 1, 1_000, MARK)
    run(state, 1, session=B)
    for session in (A, B):
        state.incarnations.not_started(session, 2_000)
    row = state.incarnations.latest(A)
    assert (row.state, row.ending, row.died_at_ms, row.progressed) == ("dead", "not_started", 2_000, False)
    assert state.incarnations.latest(B).state == "running"
    state.incarnations.begin(A, 2, 3_000, MARK)


ENDINGS = {
    "an exit by itself": ("exited", None, True),
    "a kill": ("stopped", "KillStaleClaim", True),
    "a spawn that failed": ("not_started", None, True),
    "an idle stop": ("stopped", "StopIdle", False),
    "a shutdown": ("stopped", "shutdown", False),
    "the host's own death": ("host_gone", None, False),
}


@pytest.mark.parametrize(("ending", "intent", "counts"), ENDINGS.values(), ids=ENDINGS.keys())
def test_only_a_death_that_may_be_the_containers_fault_counts_as_one(state, ending, intent, counts):
    run(state, 1)
    if intent is not None:
        state.incarnations.intend_stop(A, 1, intent, 1_500)
    end(state, 1, ending=ending)
    death = Death(spawned_at_ms=1_000, died_at_ms=2_000, progressed=False)
    assert state.incarnations.deaths(A) == ((death,) if counts else ())


def test_the_latest_deaths_are_given_oldest_first(state):
    for number in range(1, 21):
        run(state, number, spawned_at_ms=number * 10_000)
        end(state, number, at_ms=number * 10_000 + 5, progressed=number == 20)
    deaths = state.incarnations.deaths(A)
    assert [death.spawned_at_ms for death in deaths] == [number * 10_000 for number in range(5, 21)]
    assert [death.progressed for death in deaths[-2:]] == [False, True]
    assert state.incarnations.deaths(A, limit=2) == deaths[-2:]
    assert state.incarnations.deaths(B) == ()


# Charges


def charge(message_id="m1", incarnation=1, tries=1, retry_at_ms=None):
    return ChargeAttempt(message_id, incarnation, tries, retry_at_ms, "container gone")


def test_a_charge_noted_twice_stays_as_it_was(state):
    state.charges.note(A, (charge(tries=1),), 100)
    state.charges.note(A, (charge(tries=2), charge("m2")), 200)
    assert set(state.charges.marks(A)) == {
        ChargeMark(message_id="m1", incarnation=1, tries=1),
        ChargeMark(message_id="m2", incarnation=1, tries=1),
    }
    assert state.charges.of_message(A, "m1")[0].noted_at_ms == 100


def test_an_applied_charge_is_history_and_cannot_be_noted_again(state):
    state.charges.note(A, (charge(retry_at_ms=5_000),), 100)
    state.charges.note(B, (charge(),), 100)
    state.charges.applied(A)
    state.charges.note(A, (charge(),), 200)
    assert (state.charges.marks(A), len(state.charges.marks(B))) == ((), 1)
    [kept] = state.charges.of_message(A, "m1")
    assert (kept.state, kept.retry_at_ms, kept.reason) == ("applied", 5_000, "container gone")


def test_the_history_of_a_message_is_oldest_first(state):
    for incarnation in (1, 2, 3):
        state.charges.note(A, (charge(incarnation=incarnation, tries=incarnation),), incarnation * 100)
    assert [kept.tries for kept in state.charges.of_message(A, "m1")] == [1, 2, 3]


def test_noting_nothing_writes_nothing(state):
    state.charges.note(A, (), 100)
    assert state.database.rows("SELECT count(*) FROM charge") == [(0,)]


# Dead records


RECORD = DeadRecord(session=A, message_id="m1", payload="hello", reason="container gone", tries=5, made_at_ms=100)


def test_a_dead_record_kept_twice_is_one_and_the_first(state):
    state.dead.keep(RECORD)
    state.dead.keep(evolve(RECORD, payload="other", made_at_ms=200))
    assert state.dead.of_message(A, "m1") == (RECORD,)
    assert state.dead.counts() == {A: 1}


def test_a_message_that_was_retried_may_die_again(state):
    state.dead.keep(evolve(RECORD, state="retried"))
    state.dead.keep(evolve(RECORD, made_at_ms=200))
    assert [record.state for record in state.dead.of_message(A, "m1")] == ["retried", "dead"]
    assert [record.made_at_ms for record in state.dead.of_session(A, limit=9)] == [200]


@pytest.mark.parametrize("payload", [None, "", "a\0b", "\N{SNOWMAN}" * 100_000], ids=["none", "empty", "nul", "long"])
def test_any_payload_comes_back_as_it_was(state, payload):
    state.dead.keep(evolve(RECORD, payload=payload))
    assert state.dead.of_message(A, "m1")[0].payload == payload


def test_an_inbound_and_an_outbound_record_of_one_id_are_two(state):
    state.dead.keep(RECORD)
    state.dead.keep(evolve(RECORD, direction="outbound"))
    assert state.dead.counts() == {A: 2}


# Faults, holds, parked crons


def test_a_fault_of_the_same_kind_keeps_its_first_sighting(state):
    state.notes.report_fault(A, "inbound.db", "corrupt", "page 1", 100)
    state.notes.report_fault(A, "inbound.db", "corrupt", "page 2", 200)
    [fault] = state.notes.faults(A)
    assert (fault.detail, fault.first_at_ms, fault.last_at_ms) == ("page 2", 100, 200)
    state.notes.report_fault(A, "inbound.db", "missing", "gone", 300)
    [fault] = state.notes.faults(A)
    assert (fault.kind, fault.first_at_ms, fault.last_at_ms) == ("missing", 300, 300)


def test_faults_are_cleared_one_by_one(state):
    for session, subject in ((A, "inbound.db"), (A, "start"), (B, "start")):
        state.notes.report_fault(session, subject, "kind", "detail", 100)
    state.notes.clear_fault(A, "start")
    state.notes.clear_fault(A, "never reported")
    assert [(fault.session, fault.subject) for fault in state.notes.faults()] == [(A, "inbound.db"), (B, "start")]
    assert [fault.session for fault in state.notes.faults(B)] == [B]


def test_a_hold_keeps_when_the_same_wait_began(state):
    state.notes.hold(A, "backoff", 5_000, 100)
    state.notes.hold(A, "backoff", 9_000, 200)
    [hold] = state.notes.holds()
    assert (hold.until_at_ms, hold.since_at_ms) == (9_000, 100)
    state.notes.hold(A, "slot", None, 300)
    [hold] = state.notes.holds()
    assert (hold.reason, hold.until_at_ms, hold.since_at_ms) == ("slot", None, 300)
    state.notes.release_hold(A)
    state.notes.release_hold(A)
    assert state.notes.holds() == ()


def test_a_refused_cron_is_parked_once_and_again_only_if_its_text_changed(state):
    parked = Parked(session=A, message_id="m1", cron="61 * * * *", reason="minute", parked_at_ms=100)
    assert state.notes.park(parked) is True
    assert state.notes.park(evolve(parked, parked_at_ms=200)) is False
    assert state.notes.parked(A) == (parked,)
    changed = evolve(parked, cron="* 25 * * *", parked_at_ms=300)
    assert state.notes.park(changed) is True
    assert state.notes.parked(A) == (changed,)
    assert state.notes.park(evolve(parked, session=B)) is True


# Registry


def test_a_closed_session_stays_closed_when_its_folder_is_seen_again(state):
    state.registry.seen((A, B), 100)
    state.registry.close(A, 200)
    state.registry.seen((A, B), 300)
    state.registry.close("main/never seen", 300)
    assert state.registry.closed() == {A, "main/never seen"}
    assert state.registry.known() == {A, B, "main/never seen"}


# Journal


def line(number, policy="{}", session=A):
    return JournalLine(
        at_ms=number,
        session=session,
        incarnation=1,
        decision="plan_sweep",
        policy=policy,
        input="{}",
        actions="{}",
        why="{}",
    )


def test_lines_come_newest_first_and_each_policy_is_kept_once(state):
    for number in range(5):
        state.journal.append(line(number, policy="one" if number < 3 else "two"))
    state.journal.append(line(9, session=B))
    assert [kept.at_ms for kept in state.journal.of_session(A, limit=3)] == [4, 3, 2]
    assert [kept.policy for kept in state.journal.of_session(A, limit=9)] == ["two", "two", "one", "one", "one"]
    assert [kept.at_ms for kept in state.journal.of_session(A, limit=9, before_id=3)] == [1, 0]
    assert state.database.rows("SELECT count(*) FROM policy") == [(3,)]


def test_the_oldest_lines_go_and_the_newest_stay(state, monkeypatch):
    monkeypatch.setattr(journal_module, "_PRUNE_EVERY", 10)
    monkeypatch.setattr(journal_module, "KEPT_LINES", 25)
    with state.database.transaction():
        for number in range(1, 61):
            state.journal.append(line(number))
    kept = [kept.at_ms for kept in state.journal.of_session(A, limit=100)]
    assert kept == list(range(60, 35, -1))
    with state.database.transaction():
        for number in range(61, 70):
            state.journal.append(line(number))
    assert len(state.journal.of_session(A, limit=100)) == 34


# What the tables themselves refuse


REFUSED = {
    "a session with an unknown status": "INSERT INTO session VALUES ('s', 'sleeping', 1)",
    "a session without a time": "INSERT INTO session (name) VALUES ('s')",
    "a text where a number belongs": "INSERT INTO session (name, seen_at_ms) VALUES ('s', 'yesterday')",
    "an incarnation numbered 0": "INSERT INTO incarnation (session, number, state, spawned_at_ms, replies_mark, acks_mark)"
    " VALUES ('s', 0, 'starting', 1, 0, 0)",
    "an incarnation in an unknown state": "UPDATE incarnation SET state = 'zombie'",
    "a running one without an identity": "UPDATE incarnation SET container_id = NULL",
    "a dead one without a time of death": "UPDATE incarnation SET state = 'dead', ending = 'exited'",
    "a dead one without an ending": "UPDATE incarnation SET state = 'dead', died_at_ms = 1",
    "a living one with a time of death": "UPDATE incarnation SET died_at_ms = 1, ending = 'exited'",
    "an unknown ending": "UPDATE incarnation SET state = 'dead', died_at_ms = 1, ending = 'vanished'",
    "a progress of 2": "UPDATE incarnation SET progressed = 2",
    "an unknown state of a charge": "INSERT INTO charge VALUES ('s', 1, 'm', 1, NULL, 'r', 'maybe', 1)",
    "a charge without a reason": "INSERT INTO charge VALUES ('s', 1, 'm', 1, NULL, NULL, 'noted', 1)",
    "an unknown direction of a dead record": "INSERT INTO dead (session, message_id, direction, reason, made_at_ms)"
    " VALUES ('s', 'm', 'sideways', 'r', 1)",
    "an unknown state of a dead record": "INSERT INTO dead (session, message_id, direction, reason, made_at_ms, state)"
    " VALUES ('s', 'm', 'inbound', 'r', 1, 'undead')",
    "a journal line with a policy nobody kept": "INSERT INTO journal (at_ms, session, incarnation, decision,"
    " policy_digest, input, actions, why) VALUES (1, 's', 1, 'd', 'nowhere', '', '', '')",
    "a policy taken from under its lines": "DELETE FROM policy",
}


@pytest.mark.parametrize("sql", REFUSED.values(), ids=REFUSED.keys())
def test_a_state_that_must_never_be_is_refused_and_changes_nothing(state, sql):
    run(state, 1)
    state.journal.append(line(1))
    before = [state.database.rows(f"SELECT * FROM {table}") for table in ("session", "incarnation", "charge", "dead")]
    with pytest.raises(apsw.ConstraintError), state.database.transaction() as db:
        db.execute(sql)
    after = [state.database.rows(f"SELECT * FROM {table}") for table in ("session", "incarnation", "charge", "dead")]
    assert after == before


def test_every_table_is_strict(state):
    tables = state.database.rows("SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND type = 'table'")
    assert {name for name, strict in tables if not strict} <= {"sqlite_schema"}
