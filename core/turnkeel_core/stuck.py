"""Is this container stuck, and on what evidence?

Rules in order; the first whose instant has passed (strictly) decides:

    ceiling    no heartbeat and no write for too long                  KillOverCeiling
    startup    no sign of life at all since the spawn                  KillNeverStarted
    claim      a message claimed, then no heartbeat                    KillStaleClaim
    progress   a message claimed, beating, but nothing moves           KillNoProgress
    run        a message claimed for longer than a run may take        KillOverRunLimit
    unclaimed  work is due, and the container takes none               KillIgnoringDue
    idle       nothing claimed, nothing due or nothing may be taken    StopIdle

Only evidence of this incarnation counts (DESIGN §4.1, §4.10). With `spawned_at_ms=None` and the default policy the
answers are those of the existing host (spec/nanoclaw.md §5.2).
"""

from attrs import evolve

from turnkeel_core.explain import Explanation
from turnkeel_core.policy import StuckPolicy
from turnkeel_core.stuck_records import LeaveAlone, StuckAction, StuckSnapshot
from turnkeel_core.stuck_rules import Rule, evaluate


def decide_stuck_action(seen: StuckSnapshot, policy: StuckPolicy = StuckPolicy()) -> StuckAction:
    """Leave the container alone, or stop it, with the evidence."""
    return _answer(evaluate(seen, policy))


def explain_stuck_action(seen: StuckSnapshot, policy: StuckPolicy = StuckPolicy()) -> Explanation:
    """Every rule of `decide_stuck_action` on these facts, the one that fired, and the nearest flip."""
    rules = evaluate(seen, policy)
    flip_at_ms = _flip(rules)
    flip_to = None
    if flip_at_ms is not None:
        flip_to = type(decide_stuck_action(evolve(seen, now_ms=flip_at_ms), policy)).__name__
    return Explanation(
        decision="decide_stuck_action",
        answer=type(_answer(rules)).__name__,
        at_ms=seen.now_ms,
        rules=tuple(rule.tried for rule in rules),
        flip_at_ms=flip_at_ms,
        flip_to=flip_to,
    )


def _answer(rules: tuple[Rule, ...]) -> StuckAction:
    for rule in rules:
        if rule.tried.result == "fired" and rule.action is not None:
            return rule.action
    for rule in rules:
        if rule.held is not None:
            return LeaveAlone(rule.held, _flip(rules))
    starting = any(rule.tried.rule == "startup" and rule.action is not None for rule in rules)
    if starting:
        return LeaveAlone("no_evidence_yet", _flip(rules))
    return LeaveAlone("healthy", _flip(rules))


def _flip(rules: tuple[Rule, ...]) -> int | None:
    """Time alone changes the answer only when a rule before the one that fired comes to fire."""
    instants: list[int] = []
    for rule in rules:
        if rule.tried.result == "fired":
            break
        if rule.tried.fires_after_ms is not None:
            instants.append(rule.tried.fires_after_ms + 1)
    return min(instants, default=None)
