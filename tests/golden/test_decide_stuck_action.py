"""Does the stuck decision give the existing host's answers where the spawn is unknown?"""

from typing import Any

from turnkeel_adapters.timestamps import parse_sqlite_utc
from turnkeel_core import (
    Claim,
    DeclaredTool,
    KillOverCeiling,
    KillStaleClaim,
    LeaveAlone,
    StuckAction,
    StuckSnapshot,
    decide_stuck_action,
)

KIND = "decide_stuck_action"


def test_the_decision_is_the_measured_one(vector: dict[str, Any]) -> None:
    seen = _snapshot(vector["input"])

    assert _measured_form(decide_stuck_action(seen)) == vector["expected"]


def _snapshot(given: dict[str, Any]) -> StuckSnapshot:
    claims = (
        Claim(message_id=claim["message_id"], claimed_at_ms=parse_sqlite_utc(claim["status_changed"]))
        for claim in given["claims"]
    )
    return StuckSnapshot(
        now_ms=given["now"],
        heartbeat_at_ms=given["heartbeatMtimeMs"] or None,
        claims=tuple(claims),
        tool=_tool(given["containerState"]),
    )


def _tool(state: dict[str, Any] | None) -> DeclaredTool | None:
    if state is None or state["current_tool"] is None:
        return None
    timeout_ms, started = state["tool_declared_timeout_ms"], state["tool_started_at"]
    is_number = isinstance(timeout_ms, int | float) and not isinstance(timeout_ms, bool)
    return DeclaredTool(
        name=state["current_tool"],
        timeout_ms=int(timeout_ms) if is_number else None,
        started_at_ms=parse_sqlite_utc(started) if isinstance(started, str) else None,
    )


def _measured_form(action: StuckAction) -> dict[str, object]:
    match action:
        case LeaveAlone():
            return {"action": "ok"}
        case KillOverCeiling(age_ms, ceiling_ms, "heartbeat"):
            return {"action": "kill-ceiling", "heartbeatAgeMs": age_ms, "ceilingMs": ceiling_ms}
        case KillStaleClaim(message_id, age_ms, tolerance_ms):
            return {"action": "kill-claim", "messageId": message_id, "claimAgeMs": age_ms, "toleranceMs": tolerance_ms}
        case other:
            return {"action": f"not an answer of the existing host: {other}"}
