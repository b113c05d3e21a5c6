"""Which rule of the stuck question fires, and after which instant?

Each rule is asked about one container, or about one claim of it, and answers with the instant after which it fires.
Order, thresholds and what counts as evidence are decided here and nowhere else.
"""

from typing import Literal

from attrs import evolve, frozen

from turnkeel_core.explain import Fact, RuleTried
from turnkeel_core.facts import Claim
from turnkeel_core.policy import StuckPolicy
from turnkeel_core.stuck_records import (
    KillIgnoringDue,
    KillNeverStarted,
    KillNoProgress,
    KillOverCeiling,
    KillOverRunLimit,
    KillStaleClaim,
    StopIdle,
    StuckAction,
    StuckSnapshot,
)


@frozen
class Rule:
    """One rule as tried; `held` says why a rule whose limit has passed does not fire."""

    tried: RuleTried
    action: StuckAction | None = None
    held: Literal["waiting", "resumed"] | None = None


def evaluate(seen: StuckSnapshot, policy: StuckPolicy) -> tuple[Rule, ...]:
    """The rules in order, up to and including the first that fires."""
    claims = _own_claims(seen)
    rules = [_ceiling(seen, policy), _startup(seen, policy)]
    rules += [_stale_claim(claim, seen, policy) for claim in claims]
    rules += [_no_progress(claim, seen, policy) for claim in claims]
    rules += [_run_limit(claim, seen, policy) for claim in claims]
    rules += [_unclaimed(seen, policy), _idle(seen, policy)]
    fired = next((i for i, rule in enumerate(rules) if rule.tried.result == "fired"), len(rules))
    return tuple(rules[: fired + 1])


def _ceiling(seen: StuckSnapshot, policy: StuckPolicy) -> Rule:
    facts = (
        Fact("heartbeat_at_ms", _own_heartbeat(seen)),
        Fact("outbound_at_ms", seen.outbound_at_ms),
        Fact("spawned_at_ms", seen.spawned_at_ms),
    )
    sign = _last_sign(seen)
    if sign is None:
        return _skipped("ceiling", "no heartbeat was ever seen and the spawn is unknown", facts)
    start_ms, source = sign
    ceiling_ms = max(policy.ceiling_ms, _tool_timeout(seen, policy))
    action = KillOverCeiling(seen.now_ms - start_ms, ceiling_ms, source)
    return _timed(_tried("ceiling", f"last sign: the {source}", facts), start_ms, ceiling_ms, action, seen, policy)


def _last_sign(seen: StuckSnapshot) -> tuple[int, Literal["heartbeat", "write", "spawn"]] | None:
    """The last sign of life: a heartbeat, or a newer write of one that beats; one that never beat has its spawn."""
    beat_ms, write_ms = _own_heartbeat(seen), _own_write(seen)
    if beat_ms is None:
        return None if seen.spawned_at_ms is None else (seen.spawned_at_ms, "spawn")
    return (beat_ms, "heartbeat") if write_ms is None or write_ms <= beat_ms else (write_ms, "write")


def _startup(seen: StuckSnapshot, policy: StuckPolicy) -> Rule:
    start_ms = seen.spawned_at_ms
    facts = (Fact("spawned_at_ms", start_ms), Fact("outbound_at_ms", seen.outbound_at_ms))
    if start_ms is None:
        return _skipped("startup", "the spawn is unknown", facts)
    if _own_heartbeat(seen) is not None:
        return _skipped("startup", "met by a heartbeat", facts)
    if _own_claims(seen):
        return _skipped("startup", "met by a claim", facts)
    if _own_write(seen) is not None:
        return _skipped("startup", "met by a write", facts)
    limit_ms = policy.startup_deadline_ms
    action = KillNeverStarted(seen.now_ms - start_ms, limit_ms)
    return _timed(_tried("startup", "no sign of life since the spawn", facts), start_ms, limit_ms, action, seen, policy)


def _stale_claim(claim: Claim, seen: StuckSnapshot, policy: StuckPolicy) -> Rule:
    subject, start_ms, heartbeat_at_ms = claim.message_id, claim.claimed_at_ms, _own_heartbeat(seen)
    facts = (
        Fact("claimed_at_ms", start_ms),
        Fact("heartbeat_at_ms", heartbeat_at_ms),
        Fact("outbound_at_ms", seen.outbound_at_ms),
    )
    if start_ms is None:
        return _skipped("claim", "the claim's time cannot be read", facts, subject)
    if start_ms < 0:
        return _skipped("claim", "the claim's time lies before the epoch: no clock showed that", facts, subject)
    if heartbeat_at_ms is not None and heartbeat_at_ms > start_ms:
        return _skipped("claim", "a heartbeat came after the claim", facts, subject)
    limit_ms = _tolerance(seen, policy)
    action = KillStaleClaim(subject, seen.now_ms - start_ms, limit_ms)
    tried = _tried("claim", "no heartbeat since the claim", facts, subject)
    # One that did not beat after its claim, but wrote, lived until then.
    return _timed(tried, max(start_ms, _own_write(seen) or 0), limit_ms, action, seen, policy)


def _no_progress(claim: Claim, seen: StuckSnapshot, policy: StuckPolicy) -> Rule:
    subject = claim.message_id
    facts = (Fact("claimed_at_ms", claim.claimed_at_ms), Fact("progress_at_ms", seen.progress_at_ms))
    if claim.claimed_at_ms is None or seen.progress_at_ms is None:
        return _skipped("progress", "the claim's time or the last progress is unknown", facts, subject)
    start_ms = max(claim.claimed_at_ms, seen.progress_at_ms)
    limit_ms = max(policy.progress_silence_ms, _tool_timeout(seen, policy))
    action = KillNoProgress(subject, seen.now_ms - start_ms, limit_ms)
    tried = _tried("progress", "nothing moved since", facts, subject)
    return _timed(tried, start_ms, limit_ms, action, seen, policy)


def _run_limit(claim: Claim, seen: StuckSnapshot, policy: StuckPolicy) -> Rule:
    subject, start_ms, limit_ms = claim.message_id, claim.claimed_at_ms, policy.run_limit_ms
    facts = (Fact("claimed_at_ms", start_ms),)
    if limit_ms is None:
        return _skipped("run", "no run limit is set", facts, subject)
    if start_ms is None:
        return _skipped("run", "the claim's time cannot be read", facts, subject)
    action = KillOverRunLimit(subject, seen.now_ms - start_ms, limit_ms)
    return _timed(_tried("run", "running since the claim", facts, subject), start_ms, limit_ms, action, seen, policy)


def _unclaimed(seen: StuckSnapshot, policy: StuckPolicy) -> Rule:
    facts = (Fact("due_since_ms", seen.due_since_ms), Fact("progress_at_ms", seen.progress_at_ms))
    if seen.due_since_ms is None:
        return _skipped("unclaimed", "nothing is due", facts)
    if seen.spawned_at_ms is None:
        return _skipped("unclaimed", "the spawn is unknown", facts)
    if _own_claims(seen):
        return _skipped("unclaimed", "a message is claimed", facts)
    start_ms = max(seen.due_since_ms, seen.spawned_at_ms)
    if seen.progress_at_ms is not None:
        start_ms = max(start_ms, seen.progress_at_ms)
    limit_ms = policy.unclaimed_limit_ms
    action = KillIgnoringDue(seen.now_ms - start_ms, limit_ms)
    return _timed(_tried("unclaimed", "due and not taken", facts), start_ms, limit_ms, action, seen, policy)


def idle_since(seen: StuckSnapshot, policy: StuckPolicy) -> int | None:
    """Since when it does nothing and has nothing to do; None if it works, waits as it declared, or that is unknown."""
    hold = _hold("idle", seen, policy)
    due = seen.due_since_ms is not None and not seen.run_held
    held = hold is not None and hold[0] >= seen.now_ms
    return None if held or due or _own_claims(seen) else seen.last_activity_at_ms


def _idle(seen: StuckSnapshot, policy: StuckPolicy) -> Rule:
    start_ms, yields = seen.last_activity_at_ms, seen.place_wanted and policy.idle_yield_ms < policy.idle_stop_ms
    limit_ms = policy.idle_yield_ms if yields else policy.idle_stop_ms
    facts: tuple[Fact, ...] = (Fact("last_activity_at_ms", start_ms), Fact("place_wanted", seen.place_wanted))
    if seen.run_held:
        # Left alone it would take the next message by itself: there is nothing to keep it warm for.
        limit_ms, facts = 0, (*facts, Fact("run_held", True))
    if start_ms is None:
        return _skipped("idle", "the last activity is unknown", facts)
    if _own_claims(seen):
        return _skipped("idle", "a message is claimed", facts)
    if seen.due_since_ms is not None and not seen.run_held:
        return _skipped("idle", "a message is due", facts)
    because = "no further run may begin" if seen.run_held else "nothing happened since"
    action = StopIdle(seen.now_ms - start_ms, limit_ms, "rate" if seen.run_held else "place" if yields else "idle")
    return _timed(_tried("idle", because, facts), start_ms, limit_ms, action, seen, policy)


def _own_heartbeat(seen: StuckSnapshot) -> int | None:
    at_ms, spawned_at_ms = seen.heartbeat_at_ms, seen.spawned_at_ms
    return None if _older(at_ms, 1, spawned_at_ms) else at_ms


def _own_write(seen: StuckSnapshot) -> int | None:
    """Of a container whose spawn is unknown the existing host's rules hold, and they know no writes."""
    at_ms, spawned_at_ms = seen.outbound_at_ms, seen.spawned_at_ms
    return None if spawned_at_ms is None or _older(at_ms, 1, spawned_at_ms) else at_ms


def _own_claims(seen: StuckSnapshot) -> tuple[Claim, ...]:
    return tuple(c for c in seen.claims if not _older(c.claimed_at_ms, c.resolution_ms, seen.spawned_at_ms))


def _older(at_ms: int | None, resolution_ms: int, spawned_at_ms: int | None) -> bool:
    """A coarse stamp stands for a span: it is older than the spawn only if all of that span is."""
    return at_ms is not None and spawned_at_ms is not None and at_ms + resolution_ms <= spawned_at_ms


def _tool_timeout(seen: StuckSnapshot, policy: StuckPolicy) -> int:
    tool = seen.tool
    if tool is None or tool.timeout_ms is None or _older(tool.started_at_ms, tool.resolution_ms, seen.spawned_at_ms):
        return 0
    trusted = policy.timeout_tools is None or tool.name in policy.timeout_tools
    return tool.timeout_ms if trusted else 0


def _tolerance(seen: StuckSnapshot, policy: StuckPolicy) -> int:
    return max(policy.claim_tolerance_ms, _tool_timeout(seen, policy))


def _hold(rule: str, seen: StuckSnapshot, policy: StuckPolicy) -> tuple[int, Literal["waiting", "resumed"]] | None:
    """Until when silence does not count: one tolerance after the machine slept, or after a declared wait ended."""
    tolerance_ms = _tolerance(seen, policy)
    holds: list[tuple[int, Literal["waiting", "resumed"]]] = []
    if seen.sleeps:
        holds.append((max(sleep.resumed_at_ms for sleep in seen.sleeps) + tolerance_ms, "resumed"))
    waiting = seen.waiting
    if waiting is not None and rule != "run" and not _older(waiting.since_at_ms, 1, seen.spawned_at_ms):
        end_at_ms = waiting.since_at_ms + policy.waiting_limit_ms
        if waiting.until_at_ms is not None:
            end_at_ms = min(end_at_ms, waiting.until_at_ms)
        holds.append((end_at_ms + tolerance_ms, "waiting"))
    return max(holds, default=None)


def _asleep(start_ms: int, seen: StuckSnapshot) -> int:
    """How much of the time since `start_ms` the machine slept: nobody could have made progress then."""
    return sum(min(sleep.gap_ms, max(sleep.resumed_at_ms - start_ms, 0)) for sleep in seen.sleeps)


def _tried(rule: str, because: str, facts: tuple[Fact, ...], subject: str | None = None) -> RuleTried:
    return RuleTried(rule=rule, result="not_yet", because=because, subject=subject, facts=facts)


def _skipped(rule: str, because: str, facts: tuple[Fact, ...], subject: str | None = None) -> Rule:
    return Rule(evolve(_tried(rule, because, facts, subject), result="skipped"))


def _timed(
    tried: RuleTried, start_ms: int, limit_ms: int, action: StuckAction, seen: StuckSnapshot, policy: StuckPolicy
) -> Rule:
    asleep_ms = _asleep(start_ms, seen)
    fires_after_ms = start_ms + limit_ms + asleep_ms
    limits: tuple[Fact, ...] = (Fact("limit_ms", limit_ms),)
    if asleep_ms:
        limits += (Fact("asleep_ms", asleep_ms),)
    hold = _hold(tried.rule, seen, policy)
    held: Literal["waiting", "resumed"] | None = None
    if hold is not None and hold[0] > fires_after_ms:
        held = hold[1] if fires_after_ms < seen.now_ms <= hold[0] else None
        fires_after_ms, limits = hold[0], (*limits, Fact(f"held_until_ms ({hold[1]})", hold[0]))
    result: Literal["fired", "not_yet"] = "fired" if seen.now_ms > fires_after_ms else "not_yet"
    tried = evolve(tried, result=result, limits=limits, fires_after_ms=fires_after_ms)
    return Rule(tried, action, held)
