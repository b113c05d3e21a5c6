"""Are outgoing rows chosen, settled, expired and imported as in the measured system, where that is right?"""

import importlib.util
import json
import math
from pathlib import Path

from attrs import evolve

from turnkeel_core import (
    ClaimRow,
    DeliverRow,
    DeliverySnapshot,
    Dropped,
    ExpirySnapshot,
    FailRow,
    LegacyEntry,
    LegacySnapshot,
    OutboxPolicy,
    PruneSnapshot,
    QuarantineFile,
    Receipt,
    RemoveFile,
    RetryRow,
    Sent,
    SettlePolicy,
    SettleSnapshot,
    Transient,
    Unclassified,
    explain_deliveries,
    is_permanent_error,
    plan_deliveries,
    plan_expiry,
    plan_legacy_import,
    plan_prune,
    settle_delivery,
)
from turnkeel_core.outbox_backoff import backoff_ms, next_try_at_ms

_SPEC = importlib.util.spec_from_file_location("lifecycle_store", Path(__file__).with_name("lifecycle_store.py"))
store = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(store)

KIND = tuple(
    f"outbox.{name}"
    for name in (
        "backoff_ms",
        "is_permanent_error",
        "retry_eligibility",
        "select_pending",
        "fail_delivery",
        "ack_delivery",
        "move_to_failed",
        "recovery_pass",
        "import_legacy_queue",
        "prune_outbox",
        "expire_outbox",
        "terminalise_non_final",
    )
)


def test_the_rows_end_as_expected(vector):
    given, expected = vector["input"], vector["expected"]
    found = globals()[f"_{vector['kind'].removeprefix('outbox.')}"](given)
    assert _alike(found, expected), found


def _alike(found, expected):
    if isinstance(expected, dict) and isinstance(found, dict):
        return set(found) >= set(expected) and all(
            _alike(found[key], value) or (key == "terminal_reason" and value is None) for key, value in expected.items()
        )
    return found == expected


def _backoff_ms(given):
    return {"ms": backoff_ms(given["failures"], OutboxPolicy())}


def _is_permanent_error(given):
    return {"permanent": is_permanent_error(given["error"])}


def _retry_eligibility(given):
    entry, now = given["entry"], given["now"]
    row = store.row_of(
        {
            "id": "a",
            "status": "queued",
            "attempt_count": entry["retryCount"],
            "queued_at": entry["enqueuedAt"],
            "last_attempt_at": entry.get("lastAttemptAt"),
        },
        now,
    )
    left = next_try_at_ms(row, OutboxPolicy()) - now
    eligible = row.attempts <= 0 or left <= 0
    return {"eligible": eligible} if eligible else {"eligible": False, "remainingBackoffMs": left}


def _select_pending(given):
    now = given["now"]
    held = store.Store(rows=[store.row_of(row, now, given["startup_cutoff"]) for row in given["rows"]])
    actions = plan_deliveries(DeliverySnapshot(now_ms=now, owner="w", rows=tuple(held.rows.values())), store.PROMPT)
    held.apply([action for action in actions if not isinstance(action, ClaimRow)])
    return {
        "ids": [action.row_id for action in actions if isinstance(action, ClaimRow)],
        "statuses": {row_id: row.status for row_id, row in held.rows.items()},
    }


def _settled(given, outcome, claim=True):
    row = store.row_of(given["row"], given["now"])
    row = store.being_sent(row, given["now"]) if claim else row
    held = store.Store(rows=[row])
    token = row.token if claim else None
    actions = settle_delivery(SettleSnapshot(now_ms=given["now"], row=row, token=token, outcome=outcome))
    held.apply(actions)
    return {**_columns(held.rows[row.row_id], actions), "delivered_at": _delivered_at(given, actions)}


def _columns(row, actions):
    failed = [action for action in actions if isinstance(action, FailRow) and action.row_id == row.row_id]
    permanent = any(action.reason == "permanent" for action in failed)
    terminal = bool(failed) or row.status == "expired" and row.reason is not None
    return {
        "status": row.status,
        "attempt_count": row.attempts,
        "next_attempt_at": row.due_at_ms,
        "last_attempt_at": row.last_attempt_at_ms,
        "last_error": row.last_error,
        "error_class": "permanent" if permanent else "terminal" if terminal else None,
        "terminal_reason": row.reason,
        "completed_at": row.completed_at_ms,
    }


def _delivered_at(given, actions):
    done = [action.at_ms for action in actions if isinstance(action, DeliverRow)]
    return done[0] if done else given["row"].get("delivered_at")


def _fail_delivery(given):
    return _settled(given, Unclassified(given["error"]))


def _ack_delivery(given):
    return _settled(given, Sent((Receipt(0, "id", given["now"]),)))


def _move_to_failed(given):
    return _settled(given, Dropped("moved to failed"), claim=False)


def _limits(cfg, **more):
    """The measured system's settings: no positive number means the default, no `deliver` means `fail`."""
    delivery = ((cfg.get("messages") or {}).get("delivery")) or {}
    age, limits = delivery.get("maxAgeMs"), {}
    if isinstance(age, int | float) and not isinstance(age, bool) and math.isfinite(age) and age > 0:
        limits["expiry_ms"] = max(int(age), 1)
    action = "deliver" if delivery.get("expireAction") == "deliver" else "fail"
    return evolve(store.PROMPT, expire_action=action, **limits, **more)


def _expired(given, policy):
    now = given["now"]
    rows = [store.row_of(row, now, given.get("startup_cutoff")) for row in given["rows"]]
    held = store.Store([store.turn_of(turn, now) for turn in given.get("turns", ())], rows)
    actions = _expire(held, now, policy)
    return held, actions


def _expire(held, now, policy):
    asked = ExpirySnapshot(now_ms=now, rows=tuple(held.rows.values()), turns=held.all_seen(now))
    actions = plan_expiry(asked, SettlePolicy(outbox=policy))
    held.apply(actions)
    return actions


def _expire_outbox(given):
    held, actions = _expired(given, _limits(given["cfg"]))
    return {"rows": {row_id: _columns(row, actions) for row_id, row in held.rows.items()}}


def _terminalise_non_final(given):
    held, _ = _expired(given, store.PROMPT)
    return {"rows": {row_id: row.status for row_id, row in held.rows.items()}}


def _recovery_pass(given):
    policy, now = _limits(given["cfg"]), given["now"]
    end, sent, done, counts = now + given["max_recovery_ms"], [], [], {"leased": 0, "backoff": 0}
    held, actions = _expired(given, policy)
    done += actions
    waiting = {"leased", "backoff"}
    texts = {row["id"]: json.loads(row["payload"])["payloads"][0]["text"] for row in given["rows"] if _readable(row)}
    spent = 0
    while True:
        rows = tuple(row for row in held.rows.values() if row.row_id not in sent)
        asked = DeliverySnapshot(now_ms=now, owner="w", rows=rows, aborted_turns=held.aborted(), deadline_at_ms=end)
        plan = plan_deliveries(asked, policy)
        if not sent and not counts.get("counted"):
            rules = [rule.rule for rule in explain_deliveries(asked, policy).rules]
            counts |= {rule: rules.count(rule) for rule in waiting} | {"counted": 1}
        closed = [action for action in plan if isinstance(action, FailRow)]
        spent += sum(action.reason == "exhausted" for action in closed)
        held.apply(closed)
        done += closed
        claim = next((action for action in plan if isinstance(action, ClaimRow)), None)
        if claim is None:
            break
        held.apply([claim])
        sent.append(claim.row_id)
        now += given["send_takes_ms"]
        done += _outcome(held, claim, given["script"].get(texts[claim.row_id]), now)
    settled = [action for action in done if getattr(action, "row_id", None) in sent]
    return {
        "sent": [texts[row_id] for row_id in sent],
        "summary": {
            "recovered": sum(isinstance(action, DeliverRow) for action in settled),
            "failed": sum(isinstance(action, RetryRow | FailRow) for action in settled),
            "skippedMaxRetries": spent,
            "deferredBackoff": counts["backoff"],
            "skippedStartupCutoff": counts["leased"],
        },
        "rows": {row_id: _columns(row, done) for row_id, row in held.rows.items()},
        "turns": {turn_id: turn.status for turn_id, turn in held.turns.items()},
    }


def _readable(row):
    return store.payload_ok(row) and json.loads(row["payload"]).get("payloads")


def _outcome(held, claim, script, now):
    row = held.rows[claim.row_id]
    if script is None or script == "ok":
        outcome = Sent((Receipt(0, "id", now),))
    elif script == "best_effort_all_failed":
        outcome = Transient("partial delivery failure (bestEffort)")
    else:
        outcome = Unclassified(script)
    turn = held.seen(row.turn_id, now) if row.turn_id in held.turns else None
    actions = settle_delivery(SettleSnapshot(now_ms=now, row=row, token=claim.token, outcome=outcome, turn=turn))
    held.apply(actions)
    return list(actions)


def _prune_outbox(given):
    rows = [
        evolve(
            store.row_of(row, given["now"]),
            completed_at_ms=row.get("completed_at") or row.get("delivered_at") or row["queued_at"],
        )
        for row in given["rows"]
    ]
    held = store.Store(rows=rows)
    limits = SettlePolicy(outbox=OutboxPolicy(retention_ms=given["age_ms"], dead_retention_ms=given["age_ms"]))
    held.apply(plan_prune(PruneSnapshot(now_ms=given["now"], rows=tuple(rows)), limits))
    return {"left": sorted(held.rows)}


def _entry(name, text):
    try:
        data = json.loads(text)
    except ValueError as error:
        return LegacyEntry(file=name, fault=f"not JSON: {error}")
    if not isinstance(data, dict):
        return LegacyEntry(file=name, fault="no JSON object")

    def of(key, kind):
        value = data.get(key)
        return value if isinstance(value, kind) and not isinstance(value, bool) else None

    return LegacyEntry(
        file=name,
        entry_id=of("id", str),
        channel=of("channel", str),
        target=of("to", str),
        account=of("accountId", str),
        turn_id=of("turnId", str),
        enqueued_at_ms=of("enqueuedAt", int),
        retry_count=of("retryCount", int),
        last_attempt_at_ms=of("lastAttemptAt", int),
        last_error=of("lastError", str),
    )


def _import_legacy_queue(given):
    files = given["files"]
    read = {name: _entry(name, text) for name, text in files.items() if name.endswith(".json")}
    known = [row["id"] if isinstance(row, dict) else row for row in given["existing"]]
    asked = LegacySnapshot(now_ms=given["now"], entries=tuple(read.values()), known_ids=tuple(known))
    actions, held = plan_legacy_import(asked), store.Store()
    held.apply(actions)
    gone = {action.file for action in actions if isinstance(action, RemoveFile)}
    quarantined = [action.file for action in actions if isinstance(action, QuarantineFile)]
    by_id = {entry.entry_id: entry for entry in read.values()}
    again = plan_legacy_import(evolve(asked, known_ids=(*known, *held.rows)))
    assert not [action for action in again if not isinstance(action, RemoveFile | QuarantineFile)]
    return {
        "rows": [_legacy_form(row, by_id[row.row_id]) for row in held.rows.values()],
        "left": sorted(set(files) - gone - set(quarantined)),
        "quarantined": sorted(quarantined),
    }


def _legacy_form(row, entry):
    return {
        "id": row.row_id,
        "turn_id": row.turn_id,
        "channel": row.channel,
        "account_id": entry.account or "",
        "target": entry.target,
        "dispatch_kind": row.kind,
        "queued_at": row.queued_at_ms,
        "status": row.status,
        "attempt_count": row.attempts,
        "next_attempt_at": row.due_at_ms,
        "last_error": row.last_error,
        "last_attempt_at": row.last_attempt_at_ms,
    }
