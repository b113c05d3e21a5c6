"""Are pauses kept, and is a session forgotten whole or not at all?"""

from pathlib import Path

import apsw
import pytest

from turnkeel_adapters.lifecycle.store import StateLifecycle
from turnkeel_adapters.schedules.records import Occurrence, Schedule
from turnkeel_adapters.schedules.store import StateSchedules
from turnkeel_adapters.sessions.records import OutboundMark
from turnkeel_adapters.state.dead import DeadRecord
from turnkeel_adapters.state.journal import JournalLine
from turnkeel_adapters.state.notes import Parked
from turnkeel_adapters.state.pauses import Pause
from turnkeel_adapters.state.store import FILE_NAME, HostState
from turnkeel_core import AcceptTurn, ChargeAttempt, EnqueueRow, OutboxRow, Receipt, RecordReceipts, Turn

UNDER_OTHERS = ("identity", "receipt", "life", "occurrence")
"""They name no session: each goes with its turn, row or schedule, and an identity outlives them."""
VERSION_1 = (Path(__file__).parent / "turnkeel_db_version_1.sql").read_text(encoding="utf-8")


@pytest.fixture
def state(tmp_path):
    with HostState(tmp_path) as state:
        yield state


@pytest.mark.parametrize(
    ("paused", "resumed", "holds"),
    [
        pytest.param([], [], set(), id="nothing is paused at first"),
        pytest.param(["main/a"], [], {"main/a"}, id="one is paused, the other is not"),
        pytest.param([None], [], {"main/a", "main/b"}, id="all are paused"),
        pytest.param(["main/a", None], ["main/a"], {"main/a", "main/b"}, id="one resumed stays paused with all"),
        pytest.param(["main/a", None], [None], {"main/a"}, id="all resumed leaves what was paused by name"),
        pytest.param(["main/a", "main/a"], ["main/a"], set(), id="paused twice is resumed once"),
        pytest.param(["main/a"], [None, "main/b"], {"main/a"}, id="resuming others changes nothing"),
    ],
)
def test_a_session_is_paused(state, paused, resumed, holds):
    for session in paused:
        state.pauses.pause(session, None, 1)
    for session in resumed:
        state.pauses.resume(session)
    assert {name for name in ("main/a", "main/b") if state.pauses.is_paused(name)} == holds


def test_a_pause_tells_whether_it_is_new_and_keeps_its_start(state):
    assert state.pauses.pause("main/a", "lunch", 10)
    assert not state.pauses.pause("main/a", None, 20)
    assert state.pauses.paused() == (Pause(session="main/a", reason="lunch", since_at_ms=10),)
    assert not state.pauses.pause("main/a", "a long lunch", 30)
    assert state.pauses.paused() == (Pause(session="main/a", reason="a long lunch", since_at_ms=10),)
    assert state.pauses.resume("main/a")
    assert not state.pauses.resume("main/a")
    assert state.pauses.paused() == ()


@pytest.mark.parametrize(
    ("said", "stands"), [("lunch", "lunch; no login"), (None, "no login"), ("no login", "no login")]
)
def test_a_reason_more_does_not_replace_what_the_operator_said(state, said, stands):
    state.pauses.pause("main/a", said, 10)
    for _ in range(2):
        state.pauses.add("main/a", "no login", 20)
    assert state.pauses.paused() == (Pause(session="main/a", reason=stands, since_at_ms=10),)
    state.pauses.add("main/b", "no login", 30)
    assert state.pauses.paused()[1] == Pause(session="main/b", reason="no login", since_at_ms=30)


def test_the_pause_of_all_comes_first_and_a_restart_keeps_them(state, tmp_path):
    for session in ("main/b", "!/a", None):
        state.pauses.pause(session, None, 5)
    with HostState(tmp_path) as again:
        assert [pause.session for pause in again.pauses.paused()] == [None, "!/a", "main/b"]


def test_a_file_of_version_1_gets_the_table_and_keeps_every_row(tmp_path):
    old = apsw.Connection(str(tmp_path / FILE_NAME))
    old.execute(VERSION_1).fetchall()
    tables = [name for (name,) in old.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()]
    before = {name: old.execute(f"SELECT * FROM {name}").fetchall() for name in tables}
    old.close()
    assert "pause" not in before and all(before.values())
    with HostState(tmp_path) as state:
        assert state.pauses.paused() == ()
        assert state.pauses.pause("main/a", None, 1)
        for name, rows in before.items():
            # A later migration may have added columns behind those there were.
            assert [row[: len(rows[0])] for row in state.database.rows(f"SELECT * FROM {name}")] == rows


# Closed, open, forgotten


def fill(state, session):
    """One row at least in every table that knows sessions."""
    state.registry.seen((session,), 1)
    state.incarnations.begin(session, 1, 1, OutboundMark(replies=0, acks=0))
    state.incarnations.ended(session, 1, at_ms=2, ending="exited", exit_code=0, exit_signal=None, progressed=True)
    state.charges.note(
        session, (ChargeAttempt(message_id="m", incarnation=1, tries=1, retry_at_ms=None, reason="died"),), 1
    )
    state.dead.keep(DeadRecord(session=session, message_id="m", payload="p", reason="r", made_at_ms=1))
    state.notes.park(Parked(session=session, message_id="m", cron="c", reason="r", parked_at_ms=1))
    state.notes.report_fault(session, "s", "k", "d", 1)
    state.notes.hold(session, "slot", None, 1)
    state.pauses.pause(session, None, 1)
    line = JournalLine(
        at_ms=1, session=session, incarnation=1, decision="d", policy="{}", input="{}", actions="[]", why="{}"
    )
    state.journal.append(line)
    schedule = Schedule(
        series=f"s {session}", session=session, kind="once", value="1", zone="UTC", prompt="p", channel="c",
        next_at_ms=1, moved_at_ms=1, made_at_ms=1,
    )  # fmt: skip
    missed = Occurrence(
        series=schedule.series, nominal_at_ms=1, outcome="missed", noted_at_ms=1, ended_at_ms=1, until_at_ms=1
    )
    with StateSchedules(state.database).transaction() as work:
        assert work.schedules.insert(schedule) and work.schedules.note(missed)
    turn = Turn(turn_id=f"t {session}", session=session, accepted_at_ms=1)
    rows = [row_of(session, turn.turn_id), row_of(session, None)]
    with StateLifecycle(state.database).transaction() as work:
        texts = {turn.turn_id: "{}", **{row.row_id: "{}" for row in rows}}
        work.apply([AcceptTurn(turn), *map(EnqueueRow, rows)], 1, texts, because="b")
        work.apply([RecordReceipts(row.row_id, (Receipt(0, None, 1),)) for row in rows], 1)


def row_of(session, turn_id):
    name = f"r {session} {turn_id}"
    return OutboxRow(
        row_id=name, session=session, turn_id=turn_id, source=name, idempotency_key=name, kind="final", channel="c",
        lane="l", ordinal=1, queued_at_ms=1,
    )  # fmt: skip


def tables_naming(state, session):
    found = {}
    for (table,) in state.database.rows("SELECT name FROM sqlite_master WHERE type = 'table'"):
        columns = [row[1] for row in state.database.rows(f"PRAGMA table_info({table})")]
        for column in columns:
            [[count]] = state.database.rows(f"SELECT count(*) FROM {table} WHERE {column} = ?", session)
            if count:
                found[table] = count
    return found


def test_forgetting_leaves_no_row_of_the_session_and_every_row_of_the_others(state):
    for session in ("main/a", "main/b"):
        fill(state, session)
    everything = tables_naming(state, "main/b")
    tables = {name for (name,) in state.database.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert everything.keys() == tables - {"policy", "scheduler", *UNDER_OTHERS}, "fill() knows every table"
    state.registry.close("main/a", 1)
    assert state.registry.rows_about("main/a") == sum(everything.values())
    assert state.registry.forget("main/a")
    assert tables_naming(state, "main/a") == {}
    for table, left in (("receipt", 2), ("life", 3), ("occurrence", 1)):
        assert state.database.rows(f"SELECT count(*) FROM {table}") == [(left,)], "those of the other session"
    assert tables_naming(state, "main/b") == everything
    assert state.registry.rows_about("main/a") == 0


def close_it(state):
    state.registry.close("main/a", 1)


def close_it_with_a_container(state):
    state.registry.close("main/a", 1)
    state.incarnations.begin("main/a", 2, 1, OutboundMark(replies=0, acks=0))


@pytest.mark.parametrize(
    ("prepare", "verified_gone", "forgotten"),
    [
        pytest.param(lambda state: None, None, False, id="an active session is kept"),
        pytest.param(close_it, None, True, id="a closed one goes"),
        pytest.param(close_it_with_a_container, None, False, id="a container on record keeps it"),
        pytest.param(close_it_with_a_container, 1, False, id="another container that is gone does not help"),
        pytest.param(close_it_with_a_container, 2, True, id="its container is verified gone"),
    ],
)
def test_a_session_is_forgotten_only_if(state, prepare, verified_gone, forgotten):
    fill(state, "main/a")
    prepare(state)
    before = tables_naming(state, "main/a")
    assert state.registry.forget("main/a", verified_gone=verified_gone) is forgotten
    assert tables_naming(state, "main/a") == ({} if forgotten else before)


def test_a_closed_session_is_opened_again(state):
    state.registry.close("main/a", 1)
    assert state.registry.reopen("main/a")
    assert state.registry.closed() == frozenset()
    assert not state.registry.reopen("main/a")
    assert not state.registry.reopen("main/never-seen")
    assert state.registry.known() == {"main/a"}
