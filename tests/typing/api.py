"""Does the public interface type-check the way hosts will use it? Checked by mypy and pyright, never run.

A host matches exhaustively: a new member of a union must be an error here first, so nothing below has a catch-all.
"""

from collections.abc import Mapping
from datetime import tzinfo
from typing import Protocol, TypeVar, assert_type

from turnkeel_adapters.config import HostConfig, load_config, resolve_zone
from turnkeel_adapters.wire import from_data, loads
from turnkeel_core import (
    ChargeAttempt,
    Claim,
    ClockSnapshot,
    CloneRecurrence,
    ContainerUnknown,
    DelayRetry,
    EndRun,
    Explanation,
    FailMessage,
    FenceSession,
    GiveGrace,
    GiveUp,
    GraceAction,
    HoldStart,
    HoldWake,
    KeepJudging,
    KillIgnoringDue,
    KillNeverStarted,
    KillNoProgress,
    KillOverCeiling,
    KillOverRunLimit,
    KillStaleClaim,
    LeaveAlone,
    NoContainer,
    ParkRecurrence,
    ReleaseClaims,
    RetryAction,
    RetryAt,
    RetryPolicy,
    RetrySnapshot,
    SetTimer,
    SettleAck,
    SpawnAction,
    SpawnLater,
    SpawnNow,
    SpawnPolicy,
    SpawnSnapshot,
    StartAction,
    StartNow,
    StopAborted,
    StopContainer,
    StopIdle,
    StuckAction,
    StuckPolicy,
    StuckSnapshot,
    SuspendPolicy,
    SweepAction,
    SweepPlan,
    SweepPolicy,
    SweepSnapshot,
    Wake,
    YieldPlace,
    decide_grace,
    decide_retry,
    decide_spawn,
    decide_stuck_action,
    explain_grace,
    explain_retry,
    explain_spawn,
    explain_stuck_action,
    explain_sweep,
    plan_sweep,
)
from turnkeel_core.schedule import CronAnswer, CronRefused, CronRun, next_cron_run


def on_stuck(action: StuckAction) -> str:
    """Positional and keyword patterns both bind."""
    match action:
        case LeaveAlone(reason, until_ms):
            assert_type(until_ms, int | None)
            return reason
        case KillOverCeiling(age_ms, ceiling_ms, measured_from):
            return f"{age_ms} > {ceiling_ms} since {measured_from}"
        case KillNeverStarted(age_ms, deadline_ms):
            return f"{age_ms} > {deadline_ms}"
        case KillStaleClaim(message_id=message_id) | KillNoProgress(message_id=message_id):
            return message_id
        case KillOverRunLimit(message_id, claim_age_ms, limit_ms):
            return f"{message_id}: {claim_age_ms} > {limit_ms}"
        case KillIgnoringDue(silent_ms, limit_ms):
            return f"{silent_ms} > {limit_ms}"
        case StopIdle(idle_ms, limit_ms):
            return f"{idle_ms} > {limit_ms}"


def on_sweep(action: SweepAction) -> str:
    """Every store action and every world action of a pass."""
    match action:
        case SettleAck(message_id, outcome):
            return f"{message_id} {outcome}"
        case ChargeAttempt() | DelayRetry() | FailMessage() | CloneRecurrence() | ParkRecurrence():
            return action.message_id
        case ReleaseClaims(_, message_ids):
            assert_type(message_ids, tuple[str, ...])
            return message_ids[0]
        case FenceSession(_, reason):
            return reason
        case Wake(incarnation, _, if_failed):
            return f"{incarnation}: {len(if_failed)}"
        case HoldWake(reason, until_ms, _):
            return f"{reason} {until_ms}"
        case StopContainer(_, because, _, _):
            return because.message_ids[0] if isinstance(because, StopAborted) else on_stuck(because)


def on_others(action: RetryAction | SpawnAction | StartAction | GraceAction | CronAnswer) -> str:
    """The small unions."""
    match action:
        case RetryAt(tries, at_ms, _):
            return f"{tries} {at_ms}"
        case GiveUp(tries, max_tries):
            return f"{tries} of {max_tries}"
        case SpawnNow(fruitless) | SpawnLater(fruitless=fruitless):
            return f"{fruitless}"
        case StartNow(session) | HoldStart(session=session) | YieldPlace(session=session) | EndRun(session):
            return session
        case SetTimer(group, at_ms):
            return f"{group} {at_ms}"
        case KeepJudging(gap_ms) | GiveGrace(gap_ms=gap_ms):
            return f"{gap_ms}"
        case CronRun(at_ms):
            return f"{at_ms}"
        case CronRefused(reason):
            return reason


def on_container(container: StuckSnapshot | NoContainer | ContainerUnknown) -> tuple[Claim, ...]:
    """What a sweep knows of the container."""
    match container:
        case StuckSnapshot(claims=claims) | NoContainer(orphans=claims):
            return claims
        case ContainerUnknown():
            return ()


S_contra = TypeVar("S_contra", contravariant=True)
P_contra = TypeVar("P_contra", contravariant=True)
A_co = TypeVar("A_co", covariant=True)


class Decision(Protocol[S_contra, P_contra, A_co]):
    """The one shape of every decision: facts and limits in, answer out; the limits have defaults."""

    def __call__(self, seen: S_contra, policy: P_contra = ..., /) -> A_co:
        """Answer for `seen` under `policy`."""
        ...


stuck: Decision[StuckSnapshot, StuckPolicy, StuckAction] = decide_stuck_action
retry: Decision[RetrySnapshot, RetryPolicy, RetryAction] = decide_retry
spawn: Decision[SpawnSnapshot, SpawnPolicy, SpawnAction] = decide_spawn
grace: Decision[ClockSnapshot, SuspendPolicy, GraceAction] = decide_grace
sweep: Decision[SweepSnapshot, SweepPolicy, SweepPlan] = plan_sweep
why_stuck: Decision[StuckSnapshot, StuckPolicy, Explanation] = explain_stuck_action
why_retry: Decision[RetrySnapshot, RetryPolicy, Explanation] = explain_retry
why_spawn: Decision[SpawnSnapshot, SpawnPolicy, Explanation] = explain_spawn
why_grace: Decision[ClockSnapshot, SuspendPolicy, Explanation] = explain_grace
why_sweep: Decision[SweepSnapshot, SweepPolicy, Explanation] = explain_sweep


class Facts(Protocol):
    """A port as another host may declare it, in the core's records alone."""

    def container(self, session: str, now_ms: int) -> StuckSnapshot:
        """What is known of the session's container."""
        ...

    def stop(self, session: str, because: StuckAction) -> None:
        """Stop it, and verify."""
        ...


class MemoryFacts:
    """Satisfies the port by its shape, without a base class."""

    def __init__(self) -> None:
        self.claims: dict[str, tuple[Claim, ...]] = {}

    def container(self, session: str, now_ms: int) -> StuckSnapshot:
        """What was put into memory."""
        return StuckSnapshot(now_ms=now_ms, claims=self.claims.get(session, ()))

    def stop(self, session: str, because: StuckAction) -> None:
        """Forget the claims."""
        del self.claims[session]


def one_pass(facts: Facts, session: str, now_ms: int) -> StuckAction:
    """A host's pass over one session."""
    action = decide_stuck_action(facts.container(session, now_ms))
    if not isinstance(action, LeaveAlone):
        facts.stop(session, action)
    return action


def a_host_of_another_kind() -> str:
    """The pieces fit together, and the results have the types that the signatures say."""
    action = one_pass(MemoryFacts(), "s", 0)
    assert_type(loads("{}", StuckSnapshot), StuckSnapshot)
    assert_type(from_data({}, StuckPolicy), StuckPolicy)
    return on_stuck(action)


def a_schedule(environ: Mapping[str, str]) -> CronAnswer:
    """A zone comes from the adapters and goes into the core as a `tzinfo`."""
    config = load_config(None)
    assert_type(config, HostConfig)
    name, zone = resolve_zone(config, environ)
    assert_type(name, str)
    assert_type(zone, tzinfo)
    return next_cron_run("0 9 * * *", zone, 0)
