"""Does one pass leave the rows of the existing host, where no deviation is meant? Real stores, real executor."""

import itertools
import os
from contextlib import closing
from pathlib import Path
from zoneinfo import ZoneInfo

import apsw
from attrs import evolve

from turnkeel.host.act import act
from turnkeel.host.look import View
from turnkeel.host.ports import HostPolicies, HostPorts
from turnkeel_adapters.errors import SessionFault
from turnkeel_adapters.runners.errors import SpawnFailed
from turnkeel_adapters.runners.records import Ended, Handle, SpawnOrder, Stopped
from turnkeel_adapters.sessions.connect import ensure_schema
from turnkeel_adapters.sessions.records import OutboundMark
from turnkeel_adapters.sessions.store import FileSessionStore
from turnkeel_adapters.state.store import HostState
from turnkeel_adapters.system.clock import Instant
from turnkeel_core import (
    KillOverCeiling,
    KillStaleClaim,
    NoContainer,
    Recurring,
    StopContainer,
    StuckSnapshot,
    SweepSnapshot,
    Wake,
    plan_sweep,
)
from turnkeel_core.schedule import CronRun, next_cron_run

KIND = ("sweep_session", "retry_backoff")
SESSION = "main/golden"
LEGACY_COLUMNS = (
    "id TEXT PRIMARY KEY, seq INTEGER UNIQUE, kind TEXT NOT NULL, timestamp TEXT NOT NULL,"
    " status TEXT DEFAULT 'pending', process_after TEXT, recurrence TEXT, tries INTEGER DEFAULT 0,"
    " platform_id TEXT, channel_type TEXT, thread_id TEXT, content TEXT NOT NULL"
)


def test_one_pass_leaves_the_expected_rows(vector, tmp_path):
    facts = _facts(vector)
    folder = tmp_path / "session"
    folder.mkdir()
    _build(folder, facts)
    outcome = _one_pass(tmp_path, folder, facts)
    expected = dict(vector["expected"])
    if vector["kind"] == "retry_backoff":
        expected = {"messages_in": expected["messages"], "processing_ack": expected["acks"]}
    left = {
        "messages_in": _rows(folder / "inbound.db", "messages_in"),
        "processing_ack": _rows(folder / "outbound.db", "processing_ack"),
        **outcome,
    }
    left["processing_left"] = sum(row["status"] == "processing" for row in left["processing_ack"] or [])
    for key, value in expected.items():
        assert _like(left[key], value) == value, key


def _facts(vector):
    if vector["kind"] == "sweep_session":
        return vector["input"]
    given = vector["input"]
    return {
        "now": given["now"],
        "agent_group_exists": True,
        "inbound": "current",
        "outbound": "current",
        "messages_in": given["messages"],
        "processing_ack": given["acks"],
        "container_state": None,
        "heartbeat_mtime_ms": None,
        "container_running": False,
        "wake": "fail",  # a crash reset is what is left to do when no spawn follows
        "acks_are_synced": False,
        "timezone": "UTC",
    }


def _build(folder, facts):
    match facts["inbound"]:
        case "current":
            ensure_schema(folder / "inbound.db", "inbound")
        case "legacy":
            with closing(apsw.Connection(str(folder / "inbound.db"))) as db:
                db.execute(f"CREATE TABLE messages_in ({LEGACY_COLUMNS})")
                db.execute(
                    "CREATE TABLE delivered (message_out_id TEXT PRIMARY KEY, delivered_at TEXT NOT NULL);"
                    "CREATE TABLE destinations (name TEXT PRIMARY KEY, type TEXT NOT NULL)"
                )
        case "empty-file":
            (folder / "inbound.db").touch()
    match facts["outbound"]:
        case "current" | "no-container-state":
            ensure_schema(folder / "outbound.db", "outbound")
        case "empty-file":
            (folder / "outbound.db").touch()
    if facts["outbound"] == "no-container-state":
        with closing(apsw.Connection(str(folder / "outbound.db"))) as db:
            db.execute("DROP TABLE container_state")
    if facts["inbound"] in {"current", "legacy"}:
        _insert(folder / "inbound.db", "messages_in", [_complete(row) for row in facts["messages_in"]])
    if facts["outbound"] in {"current", "no-container-state"}:
        _insert(folder / "outbound.db", "processing_ack", facts["processing_ack"])
        if facts["container_state"] and facts["outbound"] == "current":
            state = {"id": 1, "updated_at": "2026-01-01T00:00:00.000Z", **facts["container_state"]}
            _insert(folder / "outbound.db", "container_state", [state])
    if facts["heartbeat_mtime_ms"] is not None:
        (folder / ".heartbeat").touch()
        stamp = int(facts["heartbeat_mtime_ms"]) * 1_000_000
        os.utime(folder / ".heartbeat", ns=(stamp, stamp))


def _complete(row):
    return {"kind": "chat", "timestamp": "2026-04-20 00:00:00", "content": "{}", **row}


def _insert(path, table, rows):
    with closing(apsw.Connection(str(path))) as db:
        for row in rows:
            marks = ", ".join("?" for _ in row)
            db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))


def _rows(path, table):
    if not path.exists() or path.stat().st_size == 0:
        return None
    with closing(apsw.Connection(str(path), apsw.SQLITE_OPEN_READONLY)) as db:
        found = db.execute(f"SELECT * FROM {table} ORDER BY rowid").fetchall()
        columns = [name for (name,) in db.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall()]
    return [dict(zip(columns, row, strict=True)) for row in found]


def _like(left, value):
    """Only the columns that the vector gives, new ids by their order."""
    if not isinstance(value, list) or not value or not isinstance(value[0], dict) or left is None:
        return left
    rows = sorted(left, key=lambda row: (row.get("seq") is None, row.get("seq") or 0)) if "seq" in value[0] else left
    return [{key: row[key] for key in wanted if key in row} for row, wanted in zip(rows, value, strict=True)]


class FakeRunner:
    """A container that starts or not as the vector says, and is gone at once when stopped."""

    def __init__(self, folder, wake):
        self.folder, self.wake, self.wakes = folder, wake, 0

    def trouble(self):
        return None

    def spawn(self, order):
        self.wakes += 1
        if self.wake == "fail":
            raise SpawnFailed(SESSION, "as the vector says", "none")
        if self.wake == "ok-clears-claims" and (self.folder / "outbound.db").exists():
            with closing(apsw.Connection(str(self.folder / "outbound.db"))) as db:
                db.execute("DELETE FROM processing_ack WHERE status = 'processing'")
        return _handle(order.incarnation)

    def stop(self, handle, grace_ms):
        return Stopped(ended=Ended(exit_code=None, signal=9, ended_at_ms=0), forced=True, survivors_killed=0)

    def forget(self, handle):
        pass


class FakeLauncher:
    def order(self, session, incarnation):
        return SpawnOrder(
            session=session,
            incarnation=incarnation,
            folder=Path("/nowhere"),
            argv=("none",),
            environment={},
            log_path=Path("/nowhere/log"),
        )


def _handle(incarnation):
    return Handle(runtime="fake", container_id="1:1", session=SESSION, incarnation=incarnation, spawned_at_ms=0)


def _one_pass(tmp_path, folder, facts):
    store, runner, kills = FileSessionStore(folder), FakeRunner(folder, facts["wake"]), []
    nothing = {"wakes": 0, "kills": [], "quarantined": False}
    if not facts["agent_group_exists"] or facts["inbound"] == "missing":
        return nothing
    with HostState(tmp_path) as state:
        ports = _ports(state, runner, facts)
        try:
            store.prepare()
            reading = store.read(facts["now"])
            if not facts.get("acks_are_synced", True):
                reading = evolve(reading, acks=())
        except SessionFault:
            return {**nothing, "quarantined": True}
        if facts["container_running"]:
            state.incarnations.begin(SESSION, 1, 0, OutboundMark(replies=0, acks=0))
            state.incarnations.started(SESSION, 1, "fake", "1:1")
        snapshot = _snapshot(store, reading, facts)
        view = View(session=SESSION, store=store, snapshot=snapshot, reading=reading, handle=_handle(1))
        policies = HostPolicies()
        plan = plan_sweep(snapshot, policies.sweep)
        act(view, plan.actions, ports, policies)
        for action in plan.actions:
            if isinstance(action, StopContainer):
                match action.because:
                    case KillOverCeiling():
                        kills.append("absolute-ceiling")
                    case KillStaleClaim():
                        kills.append("claim-stuck")
        assert runner.wakes == sum(isinstance(action, Wake) for action in plan.actions)
    return {"wakes": runner.wakes, "kills": kills, "quarantined": False}


def _snapshot(store, reading, facts):
    zone = ZoneInfo(facts["timezone"])
    recurring = []
    for row in reading.recurring:
        answer = next_cron_run(row.cron, zone, facts["now"])
        at_ms, refusal = (answer.at_ms, None) if isinstance(answer, CronRun) else (None, answer.reason)
        recurring.append(Recurring(message_id=row.message_id, cron=row.cron, next_at_ms=at_ms, refusal=refusal))
    if facts["container_running"]:
        container = StuckSnapshot(
            now_ms=facts["now"],
            heartbeat_at_ms=store.signature().heartbeat_at_ms,
            claims=reading.claims,
            tool=reading.tool,
        )
    else:
        container = NoContainer(orphans=reading.claims)
    return SweepSnapshot(
        now_ms=facts["now"],
        incarnation=1 if facts["container_running"] else 0,
        messages=reading.messages,
        acks=reading.acks,
        container=container,
        recurring=tuple(recurring),
    )


def _ports(state, runner, facts):
    class Clock:
        def read(self):
            return Instant(wall_ms=facts["now"], mono_ms=0)

    numbers = itertools.count()

    def new_id(prefix):
        return f"<{prefix}-new-{next(numbers)}>"

    return HostPorts(
        clock=Clock(),
        executor=None,
        runner=runner,
        sessions=None,
        state=state,
        launcher=FakeLauncher(),
        doorbell=None,
        zone=ZoneInfo(facts["timezone"]),
        random_permille=lambda: 0,
        new_id=new_id,
        report=lambda event: None,
    )
