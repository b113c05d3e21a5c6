"""When would the plan change if nothing but time happens?"""

from typing import TypeAlias

from attrs import evolve

from turnkeel_core.limits import run_turns
from turnkeel_core.policy import SweepPolicy
from turnkeel_core.spawn import SpawnSnapshot, turns
from turnkeel_core.stuck import explain_stuck_action
from turnkeel_core.stuck_records import (
    KillIgnoringDue,
    KillNeverStarted,
    KillNoProgress,
    KillOverCeiling,
    KillOverRunLimit,
    KillStaleClaim,
    LeaveAlone,
    StopIdle,
    StuckAction,
    StuckSnapshot,
)
from turnkeel_core.sweep_backoffs import backoff_turns
from turnkeel_core.sweep_plan import judged, runs_of, sweep_actions
from turnkeel_core.sweep_records import (
    ChargeAttempt,
    CloneRecurrence,
    ContainerUnknown,
    DelayRetry,
    FailMessage,
    FenceSession,
    HoldWake,
    NoContainer,
    ParkRecurrence,
    ReleaseClaims,
    SettleAck,
    StopAborted,
    StopContainer,
    SweepAction,
    SweepSnapshot,
    Wake,
)

Outline: TypeAlias = tuple[object, ...]


def next_change(seen: SweepSnapshot, policy: SweepPolicy) -> int | None:
    """The first later instant whose plan has another outline; None if time alone changes nothing.

    Walks the instants at which some rule turns, asking the plan itself at each: no rule is repeated here.
    """
    now, at = outline(sweep_actions(seen, policy)), seen
    while True:
        instants = [instant for instant in _instants(at, policy) if instant > at.now_ms]
        if not instants:
            return None
        at = evolve(seen, now_ms=min(instants))
        if outline(sweep_actions(at, policy)) != now:
            return at.now_ms


def outline(actions: tuple[SweepAction, ...]) -> Outline:
    """The plan without what grows with the clock: which actions, about which messages."""
    return tuple(_outline(action) for action in actions)


def _outline(action: SweepAction) -> Outline:
    match action:
        case Wake(incarnation, due, if_failed):
            return ("Wake", incarnation, due, outline(if_failed))
        case HoldWake(reason, _, due):
            return ("HoldWake", reason, due)
        case StopContainer(incarnation, because, if_stopped, _):
            return ("StopContainer", incarnation, _verdict(because), outline(if_stopped))
        case ReleaseClaims(_, message_ids):
            return ("ReleaseClaims", message_ids)
        case FenceSession():
            return ("FenceSession",)
        case SettleAck() | ChargeAttempt() | DelayRetry() | FailMessage() | CloneRecurrence() | ParkRecurrence():
            return (type(action).__name__, action.message_id)


def _verdict(because: StuckAction | StopAborted) -> Outline:
    match because:
        case KillStaleClaim() | KillNoProgress() | KillOverRunLimit():
            return (type(because).__name__, because.message_id)
        case StopIdle():
            return (type(because).__name__, because.reason)
        case StopAborted():
            return (type(because).__name__, because.message_ids)
        case LeaveAlone() | KillOverCeiling() | KillNeverStarted() | KillIgnoringDue():
            return (type(because).__name__,)


def _instants(seen: SweepSnapshot, policy: SweepPolicy) -> list[int]:
    turned = [*run_turns(runs_of(seen), policy.limit), *backoff_turns(seen, policy)]
    match seen.container:
        case ContainerUnknown():
            return []
        case NoContainer():
            starts = turns(SpawnSnapshot(now_ms=seen.now_ms, deaths=seen.container.deaths), policy.spawn)
            claimed = {claim.message_id for claim in seen.container.orphans}
            return [*starts, *turned, *_dues(seen, policy), *_scheduled(seen, claimed)]
        case StuckSnapshot():
            facts = judged(seen, seen.container, policy)
            flip_at_ms = explain_stuck_action(facts, policy.stuck).flip_at_ms
            flips = [] if flip_at_ms is None else [flip_at_ms]
            claimed = {claim.message_id for claim in seen.container.claims}
            return [*flips, *turned, *_dues(seen, policy, facts.due_since_ms), *_scheduled(seen, claimed)]


def _dues(seen: SweepSnapshot, policy: SweepPolicy, due_since_ms: int | None = None) -> list[int]:
    """When messages become due; beside work that is due already only what waited longer than that."""
    step, instants = policy.due_resolution_ms, list[int]()
    for message in seen.messages:
        since_ms = message.due_at_ms if message.since_at_ms is None else message.since_at_ms
        longer = due_since_ms is None or (since_ms is not None and since_ms < due_since_ms)
        if message.due_at_ms is not None and longer:
            instants.append(message.due_at_ms // step * step)
    return instants


def _scheduled(seen: SweepSnapshot, claimed: set[str]) -> list[int]:
    return [m.due_at_ms for m in seen.messages if m.message_id in claimed and m.due_at_ms is not None]
