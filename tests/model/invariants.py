"""Which laws hold for every stored turn, row, receipt and lease, whatever happened? (spec/openclaw-lifecycle.md §10.4)

Each function takes a `Records` and returns what breaks the law, as texts; an empty list is obedience. A store, a
simulation and a kill harness can all be looked at in this shape. The numbers are those of the list.
"""

from collections import Counter
from typing import Any, NamedTuple

from turnkeel_core import OutboxPolicy, TurnPolicy, encode_identity
from turnkeel_core.lifecycle_states import ROW_FAILED, ROW_OPEN, ROW_TABLE, ROW_TERMINAL, TURN_TABLE, TURN_TERMINAL
from turnkeel_core.outbox_backoff import backoff_ms


class Call(NamedTuple):
    """One platform call, as the channel saw it."""

    row_id: str
    token: int
    key: str
    at_ms: int
    first_part: int = 0


class Pass(NamedTuple):
    """One recovery or delivery pass: how much could be claimed, the limit, and how much was."""

    available: int
    limit: int
    claimed: int


class Records(NamedTuple):
    """What is stored now, and what happened on the way there.

    `steps` are (before, after) pairs of a turn or row, before None for a new one; `writes` are (latest token, token
    written with, changed anything); `free` has a row's id for each claim of it that charged nothing; `messages` are
    (identity, turn id) of every accept; `imports` are (file, end). `boots` are the answers of one snapshot asked by
    processes of different start times; `replayed` is the state after applying the log to nothing.
    """

    now_ms: int
    turns: tuple[Any, ...] = ()
    rows: tuple[Any, ...] = ()
    receipts: dict[str, tuple[Any, ...]] = {}
    earlier_receipts: dict[str, tuple[Any, ...]] = {}
    steps: tuple[tuple[Any, Any], ...] = ()
    writes: tuple[tuple[int, int, bool], ...] = ()
    calls: tuple[Call, ...] = ()
    free: tuple[str, ...] = ()
    messages: tuple[tuple[Any, str], ...] = ()
    passes: tuple[Pass, ...] = ()
    pruned: tuple[Any, ...] = ()
    forgotten: tuple[tuple[str, int], ...] = ()
    imports: tuple[tuple[str, str], ...] = ()
    boots: tuple[Any, ...] = ()
    replayed: Any = None
    policy: TurnPolicy = TurnPolicy()
    outbox: OutboxPolicy = OutboxPolicy()


def _rows_of(seen, turn):
    return [row for row in seen.rows if row.turn_id == turn.turn_id]


def _finals(seen, turn):
    return [row for row in _rows_of(seen, turn) if row.kind == "final"]


def law_01_only_finals_decide(seen):
    odd = [f"{row.row_id} has kind {row.kind!r}" for row in seen.rows if row.kind not in {"tool", "block", "final"}]
    by_row = {"sent", "final_failed", "final_partially_delivered"}
    decided = [turn for turn in seen.turns if turn.reason in {"final_failed", "final_partially_delivered"}]
    pruned = {row.turn_id for row in seen.pruned if hasattr(row, "row_id")}
    bare = [t for t in decided if t.turn_id not in pruned and not _finals(seen, t)]
    return odd + [f"{turn.turn_id} was decided by {by_row & {turn.reason}} without a final" for turn in bare]


def law_02_nothing_leaves_a_terminal_state(seen):
    tables = {"row": {line[:2] for line in ROW_TABLE}, "turn": {line[:2] for line in TURN_TABLE}}
    return [
        f"{before} became {after}"
        for before, after in seen.steps
        if (table := tables["row" if hasattr(after, "row_id") else "turn"])
        and (None if before is None else before.status, after.status) not in table
        and (before is None or before.status != after.status)
    ]


def law_03_tokens_grow_and_fence(seen):
    shrunk = [f"{b} to {a}" for b, a in seen.steps if b is not None and a.token < b.token]
    stale = [f"{old} of {new} changed something" for new, old, changed in seen.writes if changed and old < new]
    held = [x for x in (*seen.turns, *seen.rows) if x.lease is not None and x.lease.token != x.token]
    return shrunk + stale + [f"{x} has a lease of another token" for x in held]


def law_04_an_abort_is_a_fence(seen):
    aborted = {turn.turn_id: turn for turn in seen.turns if turn.status == "aborted"}
    rows = {row.row_id: row for row in seen.rows if row.turn_id in aborted}
    still = [f"{row.row_id} is open" for row in rows.values() if row.status in ROW_OPEN]
    after = [f"{r.row_id} is newer" for r in rows.values() if r.queued_at_ms > aborted[r.turn_id].completed_at_ms]
    sent = [call for call in seen.calls if call.row_id in rows]
    late = [c for c in sent if c.at_ms > aborted[rows[c.row_id].turn_id].completed_at_ms]
    return still + after + [f"{call} after the abort" for call in late]


def law_05_delivered_means_delivered(seen):
    pruned = {row.turn_id for row in seen.pruned if hasattr(row, "row_id")}
    broken = []
    for turn in (t for t in seen.turns if t.status == "delivered" and t.turn_id not in pruned):
        states = [row.status for row in _finals(seen, turn)]
        proved = "delivered" in states or turn.reason in {"no_reply", "suppressed"}
        if not proved or set(states) & (ROW_OPEN | ROW_FAILED):
            broken.append(f"{turn.turn_id}: {turn.reason}, {states}")
    return broken


def law_06_pending_means_an_open_final(seen):
    return [
        f"{turn.turn_id} is {turn.status}"
        for turn in seen.turns
        if turn.status not in TURN_TERMINAL and turn.lease is None and not turn.in_session
        if (turn.status == "delivery_pending") != any(row.status in ROW_OPEN for row in _finals(seen, turn))
    ]


def law_07_a_failed_turn_leaves_nothing_open(seen):
    ended = [t for t in seen.turns if t.status == "failed_terminal" and t.reason in {"stale", "attempts_exhausted"}]
    return [f"{r.row_id} of {t.turn_id}" for t in ended for r in _rows_of(seen, t) if r.status in ROW_OPEN]


def law_08_attempts_have_a_limit(seen):
    over = [t for t in seen.turns if not t.in_session and t.attempts_started > seen.policy.max_attempts]
    waits = [t for t in seen.turns if t.status == "failed_retryable" and t.due_at_ms is None]
    return [f"{t.turn_id} started {t.attempts_started}" for t in over] + [f"{t.turn_id} has no due time" for t in waits]


def law_09_a_turn_with_a_final_never_runs_again(seen):
    rows = {row.turn_id: row for row in seen.rows if row.kind == "final"}
    started = [(b, a) for b, a in seen.steps if hasattr(a, "attempts_started") and b is not None]
    again = [a for b, a in started if a.attempts_started > b.attempts_started and a.status == "running"]
    last = [a for a in again if a.turn_id in rows and not a.in_session]
    began = {a.turn_id: a.lease.until_at_ms - seen.policy.lease.lease_ms for a in last}
    return [f"{turn_id} ran after its final" for turn_id, at_ms in began.items() if rows[turn_id].queued_at_ms < at_ms]


def law_10_one_turn_per_identity(seen):
    by_key, broken = {}, []
    for identity, turn_id in seen.messages:
        key = encode_identity(identity)
        if key is not None and by_key.setdefault(key, (identity, turn_id)) != (identity, turn_id):
            broken.append(f"{identity} and {by_key[key]}: {turn_id}")
    return broken


def law_11_one_key_and_no_more_calls_than_attempts(seen):
    keys = Counter(row.idempotency_key for row in seen.rows)
    broken = [f"{key} is used {count} times" for key, count in keys.items() if count > 1]
    for row in seen.rows:
        calls = [call for call in seen.calls if call.row_id == row.row_id]
        allowed = row.attempts + seen.free.count(row.row_id) + (row.status in {"sending", "delivered", *ROW_FAILED})
        if {call.key for call in calls} - {row.idempotency_key}:
            broken.append(f"{row.row_id} was sent with other keys")
        if len(calls) > allowed:
            broken.append(f"{row.row_id}: {len(calls)} calls, {row.attempts} attempts")
    return broken


def law_12_receipts_only_grow(seen):
    shrunk = [k for k, old in seen.earlier_receipts.items() if not set(old) <= set(seen.receipts.get(k, ()))]
    proofs = {row.row_id: {receipt.part for receipt in seen.receipts.get(row.row_id, ())} for row in seen.rows}
    bare = [r.row_id for r in seen.rows if r.status == "delivered" and proofs[r.row_id] != set(range(r.parts))]
    return [f"receipts of {k} are gone" for k in shrunk] + [f"{k} is delivered without proof" for k in bare]


def law_13_attempts_and_backoff_agree(seen):
    most = seen.outbox.max_attempts
    over = [r for r in seen.rows if r.status == "failed_retryable" and r.attempts >= most]
    soon = [
        r
        for r in seen.rows
        if r.status == "unknown" and r.due_at_ms < (r.last_attempt_at_ms or 0) + backoff_ms(r.attempts, seen.outbox)
    ]
    return [f"{r.row_id} has {r.attempts} attempts" for r in over] + [f"{r.row_id} is due too soon" for r in soon]


def law_14_expiry_hits_old_rows_and_decides(seen):
    expired = [r for r in seen.rows if r.status == "expired"]
    young = [r for r in expired if r.completed_at_ms - r.queued_at_ms <= seen.outbox.expiry_ms]
    status = {turn.turn_id: turn.status for turn in seen.turns}
    waiting = [
        r
        for r in expired
        if r.kind == "final" and status.get(r.turn_id) not in {None, *TURN_TERMINAL}
        if not any(o.status in ROW_OPEN for o in seen.rows if o.turn_id == r.turn_id and o.kind == "final")
    ]
    return [f"{r.row_id} was young" for r in young] + [f"the turn of {r.row_id} waits" for r in waiting]


def law_15_tool_and_block_are_sent_once(seen):
    minor = {row.row_id: row for row in seen.rows if row.kind != "final"}
    calls = Counter(call.row_id for call in seen.calls if call.row_id in minor)
    twice = [f"{row_id} was sent {count} times" for row_id, count in calls.items() if count > 1]
    retry = [f"{k} waits" for k, row in minor.items() if row.status in {"failed_retryable", "unknown"}]
    return twice + retry


def law_16_a_pass_does_what_it_can(seen):
    return [f"{one}" for one in seen.passes if one.claimed != min(one.available, one.limit)]


def law_17_prune_takes_only_what_is_over(seen):
    terminal = ROW_TERMINAL | TURN_TERMINAL
    early = [f"{record} was pruned" for record in seen.pruned if record.status not in terminal]
    gone = {record.turn_id for record in seen.pruned if not hasattr(record, "row_id")}
    bare = [f"{row.row_id} lost its turn" for row in seen.rows if row.turn_id in gone]
    soon = [f"{k} was forgotten" for k, age_ms in seen.forgotten if age_ms <= seen.policy.identity_retention_ms]
    return early + bare + soon


def law_18_each_file_has_one_end(seen):
    ends = Counter(file for file, _ in seen.imports)
    known = {"row", "quarantined", "left"}
    return [f"{file}: {end}" for file, end in seen.imports if ends[file] > 1 or end not in known]


def law_19_no_decision_knows_when_its_process_began(seen):
    return [f"{one} is not {seen.boots[0]}" for one in seen.boots if one != seen.boots[0]]


def law_20_the_log_gives_the_state(seen):
    if seen.replayed is None:
        return []
    stored = {x.row_id if hasattr(x, "row_id") else x.turn_id: x for x in (*seen.turns, *seen.rows)}
    return [f"{key} differs" for key in stored.keys() | seen.replayed if stored.get(key) != seen.replayed.get(key)]


LAWS = tuple(law for name, law in sorted(globals().items()) if name.startswith("law_"))


def broken(seen):
    """Every law that does not hold, with what breaks it."""
    return [f"{law.__name__}: {text}" for law in LAWS for text in law(seen)]
