"""What do the vectors' turns and rows look like as records, and what is stored after the core's actions?

A store that only applies: every change comes out of a decision and goes in through `after_row` and `after_turn`. Both
lifecycle stores are given the same actions, and must hold the same records then.
"""

import json
from contextlib import contextmanager
from typing import Any

from attrs import evolve

from turnkeel_adapters.lifecycle.memory import MemoryLifecycle
from turnkeel_adapters.lifecycle.store import StateTables
from turnkeel_adapters.lifecycle.work import LifecycleWork
from turnkeel_adapters.state.migrations import MIGRATIONS
from turnkeel_adapters.state.remembered import StateConnection
from turnkeel_core import (
    AcceptTurn,
    EnqueueRow,
    ForgetIdentity,
    Lease,
    OutboxPolicy,
    OutboxRow,
    PruneRow,
    PruneTurn,
    Turn,
    TurnPolicy,
    TurnSnapshot,
    after_row,
    after_turn,
)

LEASE_MS = TurnPolicy().lease.lease_ms
PROMPT = OutboxPolicy(pace_ms=0, pass_limit=1_000, channel_limit=1_000)
"""The measured system has no pacing and no limit per channel."""


class Store:
    """Turns, rows and identities by id; `apply` knows every action that changes one."""

    def __init__(self, turns=(), rows=()):
        self.turns = {turn.turn_id: turn for turn in turns}
        self.rows = {row.row_id: row for row in rows}
        self.identities = {turn.identity: turn for turn in turns if turn.identity}

    def apply(self, actions):
        actions = tuple(actions)
        twins = [kept(lifecycle, self, actions) for lifecycle in (MemoryLifecycle().transaction, tables)]
        self._apply(actions)
        assert twins == [(self.turns, self.rows, ())] * 2

    def _apply(self, actions):
        for action in actions:
            match action:
                case AcceptTurn(turn):
                    self.turns[turn.turn_id] = self.identities[turn.identity] = turn
                case EnqueueRow(row):
                    self.rows[row.row_id] = row
                case PruneRow(row_id):
                    del self.rows[row_id]
                case PruneTurn(turn_id):
                    del self.turns[turn_id]
                case ForgetIdentity(identity):
                    del self.identities[identity]
                case _ if getattr(action, "row_id", None) in self.rows:
                    self.rows[action.row_id] = after_row(self.rows[action.row_id], action)
                case _ if getattr(action, "turn_id", None) in self.turns:
                    self.turns[action.turn_id] = after_turn(self.turns[action.turn_id], action)

    def seen(self, turn_id, now, **more):
        rows = tuple(row for row in self.rows.values() if row.turn_id == turn_id)
        return TurnSnapshot(now_ms=now, turn=self.turns[turn_id], rows=rows, **more)

    def all_seen(self, now):
        return tuple(self.seen(turn_id, now) for turn_id in self.turns)

    def aborted(self):
        return tuple(turn.turn_id for turn in self.turns.values() if turn.status == "aborted")


def _connect():
    """All tables, in memory. The vectors' records need not be as complete as those that this project stores."""
    connection = StateConnection(":memory:")
    for migration in MIGRATIONS:
        connection.execute(migration).fetchall()
    connection.execute("PRAGMA foreign_keys = ON; PRAGMA ignore_check_constraints = ON").fetchall()
    return connection


CONNECTION = _connect()


@contextmanager
def tables():
    """The tables of `turnkeel.db`, empty again afterwards."""
    CONNECTION.begin("BEGIN")
    try:
        yield LifecycleWork(StateTables(CONNECTION, str))
    finally:
        CONNECTION.undo("ROLLBACK")


def kept(transaction, held, actions):
    """The turns and rows that a store has after the actions, and what it refused."""
    with transaction() as work:
        nobody = {row.turn_id for row in held.rows.values() if row.turn_id} - held.turns.keys()
        for turn in (*held.turns.values(), *(Turn(turn_id=name, session="", accepted_at_ms=0) for name in nobody)):
            assert work.tables.turns.insert(turn, "{}")
        for row in held.rows.values():
            assert work.tables.outbox.insert(row, "{}")
        for identity, turn in held.identities.items():
            work.tables.identities.keep(identity, turn.turn_id, turn.completed_at_ms)
        new = [action.turn if isinstance(action, AcceptTurn) else getattr(action, "row", None) for action in actions]
        names = [getattr(one, "row_id", None) or one.turn_id for one in new if one is not None]
        refused = work.apply(actions, 0, dict.fromkeys(names, "{}"))
        turns = {name: work.tables.turns.get(name) for name in (*held.turns, *names)}
        rows = {name: work.tables.outbox.get(name) for name in (*held.rows, *names)}
    return ({k: v for k, v in turns.items() if v}, {k: v for k, v in rows.items() if v}, refused)


def turn_of(given: dict[str, Any], now: int, started: int | None = None) -> Turn:
    """A vector's turn; `attempt_count` there are recorded failures."""
    failures = given.get("attempt_count", 0)
    lease = Lease(owner="live", token=1, until_at_ms=now + LEASE_MS) if given.get("active") else None
    return Turn(
        turn_id=given.get("id", "t1"),
        session=given.get("session_key") or "",
        accepted_at_ms=given.get("accepted_at", now),
        status=given["status"],
        attempts_started=failures if started is None else started,
        due_at_ms=given.get("next_attempt_at"),
        token=0 if lease is None else 1,
        lease=lease,
        payload_ok=given.get("payload_ok", True),
        completed_at_ms=given.get("completed_at"),
        reason=given.get("terminal_reason"),
    )


def row_of(given: dict[str, Any], now: int, cutoff: int | None = None, channel: str = "telegram") -> OutboxRow:
    """A vector's row, in a lane of its own; what the present process made and never tried is its live sender's."""
    tried = given.get("attempt_count", 0) or given.get("last_attempt_at") is not None
    live = cutoff is not None and given.get("queued_at", now) >= cutoff and not tried
    return OutboxRow(
        row_id=given["id"],
        turn_id=given.get("turn_id"),
        kind=given.get("kind") or "final",
        channel=channel,
        lane=given["id"],
        ordinal=0,
        queued_at_ms=given.get("queued_at", now),
        idempotency_key=given["id"],
        status=given["status"],
        attempts=given.get("attempt_count", 0),
        due_at_ms=given.get("next_attempt_at"),
        last_attempt_at_ms=given.get("last_attempt_at") or None,
        completed_at_ms=given.get("completed_at"),
        payload_ok=payload_ok(given),
        token=1 if live else 0,
        lease=Lease(owner="live", token=1, until_at_ms=now + LEASE_MS) if live else None,
        reason=given.get("terminal_reason"),
        last_error=given.get("last_error"),
    )


def payload_ok(given: dict[str, Any]) -> bool:
    """A payload that is given must be a JSON object."""
    try:
        return isinstance(json.loads(given.get("payload", "{}")), dict)
    except ValueError:
        return False


def being_sent(row: OutboxRow, now: int) -> OutboxRow:
    """The measured system settles rows that it never marked as being sent; here a settlement needs that mark."""
    if row.status not in {"queued", "failed_retryable"}:
        return row
    token = row.token + 1
    return evolve(row, status="sending", token=token, lease=Lease(owner="w", token=token, until_at_ms=now + LEASE_MS))
