"""Do turns live and end as in the measured system, where that is right?"""

import importlib.util
from pathlib import Path

from attrs import evolve

from turnkeel_core import (
    AbortSnapshot,
    AcceptSnapshot,
    AcceptTurn,
    ClaimTurn,
    Dropped,
    KeptIdentity,
    KnownTurn,
    MessageIdentity,
    PruneSnapshot,
    Receipt,
    RecoverySnapshot,
    RetryTurn,
    ReturnExisting,
    RunFacts,
    Sent,
    SettleFailed,
    SettlePolicy,
    SettleSnapshot,
    TurnPolicy,
    Unclassified,
    abort_session,
    accept_turn,
    encode_identity,
    finalize_turn_from_outbox,
    plan_prune,
    plan_turn_recovery,
    settle_delivery,
)

_SPEC = importlib.util.spec_from_file_location("lifecycle_store", Path(__file__).with_name("lifecycle_store.py"))
store = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(store)

KIND = tuple(
    f"turn.{name}"
    for name in (
        "finalize_after_dispatch",
        "worker_turn_pass",
        "on_outbox_settled",
        "record_recovery_failure",
        "accept_initial_status",
        "list_recoverable",
        "fail_stale_turns",
        "prune_turns",
        "abort_session",
        "after_abort",
        "is_same_message",
        "accept_sequence",
        "duplicate_returns_existing_id",
    )
)


def test_the_turn_ends_as_expected(vector):
    given, expected = vector["input"], vector["expected"]
    found = globals()[f"_{vector['kind'].removeprefix('turn.')}"](given)
    assert _alike(found, expected), found


def _alike(found, expected):
    if isinstance(expected, dict) and isinstance(found, dict):
        return set(found) >= set(expected) and all(
            _alike(found[key], value) or (key == "terminal_reason" and value is None) for key, value in expected.items()
        )
    return found == expected


def _turn_form(turn, given, actions):
    """The measured columns: failures are counted when an attempt is told to be one, the reason is the error's text."""
    retry = next((action for action in actions if isinstance(action, RetryTurn | SettleFailed)), None)
    counted = retry is not None and (isinstance(retry, RetryTurn) or retry.reason == "attempts_exhausted")
    return {
        "status": turn.status,
        "attempt_count": retry.attempts_started if counted else given["attempt_count"],
        "next_attempt_at": turn.due_at_ms,
        "completed_at": turn.completed_at_ms,
        "terminal_reason": None if retry is None else retry.error,
    }


def _finalize_after_dispatch(given):
    now, turn = given["now"], given["turn"]
    held = store.Store(
        [store.turn_of(turn, now, turn["attempt_count"] + 1)], [store.row_of(row, now) for row in given["rows"]]
    )
    run = RunFacts(
        finals_attempted=given["attempted_final"],
        finals_suppressed=given["suppressed_final"],
        finals_queued=given["queued_final"],
        finals_sent=given["sends"]["final"],
    )
    turn_id = next(iter(held.turns))
    actions = finalize_turn_from_outbox(held.seen(turn_id, now, run=run))
    held.apply(actions)
    return _turn_form(held.turns[turn_id], turn, actions)


def _record_recovery_failure(given):
    now, turn = given["now"], given["turn"]
    held = store.Store([store.turn_of(turn, now, turn["attempt_count"] + 1)])
    turn_id = next(iter(held.turns))
    actions = finalize_turn_from_outbox(held.seen(turn_id, now, run=RunFacts(error=given["error"])))
    held.apply(actions)
    form = _turn_form(held.turns[turn_id], turn, actions)
    marked = any(isinstance(action, SettleFailed) for action in actions)
    return {"attempts": form["attempt_count"] if actions else 0, "marked_failed": marked, "turn": form}


def _recover(given, policy):
    now = given["now"]
    turns = [store.turn_of(turn, now) for turn in given["turns"]]
    held = store.Store(turns, [store.row_of(row, now) for turn in given["turns"] for row in turn.get("rows", ())])
    actions = plan_turn_recovery(RecoverySnapshot(now_ms=now, owner="w", turns=held.all_seen(now)), policy)
    held.apply(actions)
    return held, actions


def _worker_turn_pass(given):
    held, actions = _recover(given, TurnPolicy(recovery_limit=max(given["max_turns_per_pass"], 1)))
    replayed = [action.turn_id for action in actions if isinstance(action, ClaimTurn)]
    assert given["replay_outcome"] in {"completes_without_reply", "throws"}
    error = "boom" if given["replay_outcome"] == "throws" else None
    for action in (action for action in actions if isinstance(action, ClaimTurn)):
        run = RunFacts(token=action.token, error=error)
        held.apply(finalize_turn_from_outbox(held.seen(action.turn_id, given["now"], run=run)))
    failures = {turn["id"]: turn["attempt_count"] for turn in given["turns"]}
    counted = {action.turn_id: action.attempts_started for action in actions if isinstance(action, RetryTurn)}
    counted |= {
        action.turn_id: action.attempts_started
        for action in actions
        if isinstance(action, SettleFailed) and action.reason == "attempts_exhausted"
    }
    if error:
        counted |= {turn_id: held.turns[turn_id].attempts_started for turn_id in replayed}
    return {
        "replayed": replayed,
        "turns": {
            turn_id: {"status": turn.status, "attempt_count": counted.get(turn_id, failures[turn_id])}
            for turn_id, turn in held.turns.items()
        },
        "rows": {row_id: row.status for row_id, row in held.rows.items()},
    }


def _list_recoverable(given):
    limits = TurnPolicy(stale_ms=given["max_age_ms"], recovery_limit=1_000)
    _, actions = _recover(given, limits)
    return {"ids": [action.turn_id for action in actions if isinstance(action, ClaimTurn)]}


def _fail_stale_turns(given):
    # Turns that are young enough would be claimed by the same pass; they are not asked about here.
    held, actions = _recover(given, TurnPolicy(stale_ms=given["max_age_ms"]))
    stale = {action.turn_id: action for action in actions if isinstance(action, SettleFailed)}
    given_as = {turn["id"]: turn["status"] for turn in given["turns"]}
    assert all(action.reason == "stale" for action in stale.values())
    return {
        "count": len(stale),
        "turns": {
            turn_id: {
                "status": turn.status if turn_id in stale else given_as[turn_id],
                "terminal_reason": stale[turn_id].error if turn_id in stale else None,
            }
            for turn_id, turn in held.turns.items()
        },
    }


def _on_outbox_settled(given):
    now, event = given["now"], given["event"]
    turn = store.turn_of({**given["turn"], "active": given["turn_active"]}, now)
    held = store.Store([turn], [store.row_of({"turn_id": turn.turn_id, **row}, now) for row in given["rows"]])
    row_id = given["rows"][event["row"]]["id"]
    _settle(held, row_id, event, now, turn.turn_id)
    return {"turn": held.turns[turn.turn_id].status, "row": held.rows[row_id].status}


def _settle(held, row_id, event, now, turn_id):
    outcome = {
        "ack": lambda: Sent((Receipt(0, None, now),)),
        "fail": lambda: Unclassified(event["error"]),
        "move_to_failed": lambda: Dropped("moved to failed"),
    }[event["type"]]()
    if event["type"] != "move_to_failed":
        held.rows[row_id] = store.being_sent(held.rows[row_id], now)
    row = held.rows[row_id]
    seen = SettleSnapshot(now_ms=now, row=row, token=row.token, outcome=outcome, turn=held.seen(turn_id, now))
    held.apply(settle_delivery(seen))


def _aborted(given):
    now = given["now"]
    turns = [store.turn_of(turn, now) for turn in given["turns"]]
    held = store.Store(turns, [store.row_of(row, now) for row in given["rows"]])
    asked = AbortSnapshot(
        now_ms=now, sessions=(given["session_key"],), turns=tuple(turns), rows=tuple(held.rows.values())
    )
    held.apply(abort_session(asked))
    return held


def _abort_session(given):
    held = _aborted(given)
    return {
        "turns": {
            turn_id: {"status": turn.status, "completed_at": turn.completed_at_ms}
            for turn_id, turn in held.turns.items()
        },
        "rows": {
            row_id: {
                "status": row.status,
                "terminal_reason": row.reason,
                "error_class": "terminal" if row.status == "failed_terminal" else None,
            }
            for row_id, row in held.rows.items()
        },
    }


def _after_abort(given):
    now = given["now"]
    held = _aborted(
        {
            "now": now,
            "session_key": "s1",
            "turns": [{"id": "t", "status": "running", "session_key": "s1", "accepted_at": now}],
            "rows": [{"id": "r", "turn_id": "t", "status": "queued", "kind": "final"}],
        }
    )
    match given["event"]:
        case "finalize_delivered":
            held.apply(finalize_turn_from_outbox(held.seen("t", now, run=RunFacts(finals_attempted=0))))
        case "finalize_failed":
            held.apply(finalize_turn_from_outbox(held.seen("t", now, run=RunFacts(error="failed"))))
        case "fail_row":
            _settle(held, "r", {"type": "fail", "error": "ETIMEDOUT"}, now, "t")
        case "ack_row":
            _settle(held, "r", {"type": "ack"}, now, "t")
        case "move_row_to_failed":
            _settle(held, "r", {"type": "move_to_failed"}, now, "t")
        case other:
            held.apply(plan_turn_recovery(RecoverySnapshot(now_ms=now, owner="w", turns=held.all_seen(now))))
            assert other in {"recover", "mark_running", "mark_delivery_pending", "record_failure", "fail_stale"}
    return {
        "turn": held.turns["t"].status,
        "rows": {row_id: row.status for row_id, row in held.rows.items()},
    }


def _identity(ctx):
    thread = ctx.get("MessageThreadId")
    return MessageIdentity(
        channel=ctx.get("OriginatingChannel") or ctx.get("Provider") or ctx.get("Surface") or "",
        account=ctx.get("AccountId") or "",
        chat=ctx.get("OriginatingTo") or ctx.get("To") or ctx.get("From") or ctx.get("SessionKey") or "",
        thread=None if thread in {None, ""} else str(thread),
        message_id=ctx.get("MessageSid"),
    )


def _is_same_message(given):
    one, other = encode_identity(_identity(given["a"])), encode_identity(_identity(given["b"]))
    return {"duplicate": one is not None and one == other}


def _accept_initial_status(given):
    asked = AcceptSnapshot(now_ms=given["now"], turn_id="t", session="s", identity=MessageIdentity(), payload_bytes=0)
    return {"status": accept_turn(asked).turn.status}


def _accept(held, ctx, now, number):
    identity = _identity(ctx)
    known = held.identities.get(encode_identity(identity))
    asked = AcceptSnapshot(
        now_ms=now,
        turn_id=f"t{number}",
        session=ctx.get("SessionKey") or "none",
        identity=identity,
        payload_bytes=2,
        known=None if known is None else KnownTurn(turn_id=known.turn_id, status=known.status),
    )
    answer = accept_turn(asked)
    held.apply([answer] if isinstance(answer, AcceptTurn) else [])
    return answer


def _accept_sequence(given):
    held, made, results = store.Store(), [], []
    now = given["t0"]
    for number, step in enumerate(given["steps"]):
        now = given["t0"] + step.get("at", now - given["t0"])
        match step["op"]:
            case "accept":
                answer = _accept(held, step["ctx"], now, number)
                made += [answer.turn.turn_id] if isinstance(answer, AcceptTurn) else []
                results.append({"accepted": isinstance(answer, AcceptTurn)})
            case "finalize":
                _finish(held, made[step["turn"]], step["status"], now)
                results.append({})
            case "prune":
                _prune(held, now, step["age_ms"])
                results.append({"turns": len(held.turns)})
    return {"results": results, "turn_count": len(held.turns)}


def _finish(held, turn_id, status, now):
    if status == "aborted":
        turn = held.turns[turn_id]
        held.apply(abort_session(AbortSnapshot(now_ms=now, sessions=(turn.session,), turns=(turn,))))
    elif status == "failed":
        spent = evolve(held.turns[turn_id], attempts_started=TurnPolicy().max_attempts)
        held.turns[turn_id] = spent
        held.apply(finalize_turn_from_outbox(held.seen(turn_id, now, run=RunFacts(error="failed"))))
    else:
        held.apply(finalize_turn_from_outbox(held.seen(turn_id, now, run=RunFacts())))


def _prune(held, now, age_ms):
    limits = TurnPolicy(retention_ms=age_ms, dead_retention_ms=age_ms, identity_retention_ms=age_ms)
    kept = []
    for identity, turn in held.identities.items():
        latest = held.turns.get(turn.turn_id, turn)
        kept.append(KeptIdentity(identity=identity, turn_id=turn.turn_id, settled_at_ms=latest.completed_at_ms))
    asked = PruneSnapshot(now_ms=now, turns=tuple(held.turns.values()), identities=tuple(kept))
    held.apply(plan_prune(asked, SettlePolicy(turn=limits)))


def _prune_turns(given):
    turns = [
        evolve(
            store.turn_of(turn, given["now"]),
            completed_at_ms=turn.get("completed_at") or turn.get("updated_at") or turn["accepted_at"],
        )
        for turn in given["turns"]
    ]
    held = store.Store(turns)
    _prune(held, given["now"], given["age_ms"])
    return {"left": sorted(held.turns)}


def _duplicate_returns_existing_id(given):
    held = store.Store()
    answers = [_accept(held, step["ctx"], given["t0"], number) for number, step in enumerate(given["steps"])]
    assert isinstance(answers[1], ReturnExisting)
    return {"second_id_is_first": answers[1].turn_id == answers[0].turn.turn_id}
