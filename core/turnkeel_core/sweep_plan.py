"""Which actions does one pass over a session take?

Order of one pass (DESIGN §4.3): acks are settled → attempts of a dead incarnation are charged and its claims released
→ a wake, if something is due and nothing runs → otherwise the running container is judged → waits that a clock set
back made too long begin anew → recurrences fan out.
A pass that wakes does not judge.
"""

from attrs import evolve

from turnkeel_core.facts import Claim
from turnkeel_core.limits import RunLater, RunSnapshot, decide_run
from turnkeel_core.policy import SweepPolicy
from turnkeel_core.spawn import SpawnLater, SpawnSnapshot, decide_spawn
from turnkeel_core.stuck import decide_stuck_action
from turnkeel_core.stuck_records import LeaveAlone, StuckSnapshot
from turnkeel_core.sweep_backoffs import mend_backoffs
from turnkeel_core.sweep_charges import charge, delay, due_messages, release
from turnkeel_core.sweep_records import (
    CloneRecurrence,
    ContainerUnknown,
    DelayRetry,
    FailMessage,
    FenceSession,
    HoldWake,
    NoContainer,
    ParkRecurrence,
    SettleAck,
    StopAborted,
    StopContainer,
    SweepAction,
    SweepSnapshot,
    Wake,
)


def sweep_actions(seen: SweepSnapshot, policy: SweepPolicy) -> tuple[SweepAction, ...]:
    """All actions of this pass, in order."""
    return (*_settle(seen), *_container(seen, policy), *_mend(seen, policy), *_recur(seen))


def judged(seen: SweepSnapshot, container: StuckSnapshot, policy: SweepPolicy) -> StuckSnapshot:
    """The running container as this pass judges it: this pass's clock, this pass's due messages."""
    taken = {claim.message_id for claim in container.claims}
    unclaimed = [
        message
        for message in due_messages(seen, policy)
        if not message.first_poll_only and message.message_id not in taken
    ]
    unknown_ms = seen.now_ms if container.spawned_at_ms is None else container.spawned_at_ms
    known = (message.since_at_ms if message.since_at_ms is not None else message.due_at_ms for message in unclaimed)
    due_since_ms = min((unknown_ms if at_ms is None else at_ms for at_ms in known), default=None)
    held = isinstance(decide_run(runs_of(seen), policy.limit), RunLater)
    return evolve(container, now_ms=seen.now_ms, due_since_ms=due_since_ms, run_held=held)


def runs_of(seen: SweepSnapshot) -> RunSnapshot:
    """The runs that count against the limit per hour; one under way counts whenever it began."""
    claims: tuple[Claim, ...] = ()
    match seen.container:
        case StuckSnapshot(claims=claims) | NoContainer(orphans=claims):
            pass
        case ContainerUnknown():
            pass
    context = {message.message_id for message in seen.messages if not message.triggers}
    held = {claim.message_id for claim in claims} - context
    ended = tuple(run for run in seen.runs if run.incarnation != seen.incarnation or run.message_id not in held)
    return RunSnapshot(now_ms=seen.now_ms, runs=ended, held=len(held))


def _settle(seen: SweepSnapshot) -> tuple[SettleAck, ...]:
    open_ids = {message.message_id for message in seen.messages}
    return tuple(SettleAck(ack.message_id, ack.outcome) for ack in seen.acks if ack.message_id in open_ids)


def _container(seen: SweepSnapshot, policy: SweepPolicy) -> tuple[SweepAction, ...]:
    match seen.container:
        case ContainerUnknown():
            return ()
        case NoContainer():
            return _recover_and_wake(seen, seen.container, policy)
        case StuckSnapshot():
            return _judge(seen, seen.container, policy)


def _recover_and_wake(seen: SweepSnapshot, gone: NoContainer, policy: SweepPolicy) -> tuple[SweepAction, ...]:
    reason = "container gone"
    blamed = () if gone.login_refused else gone.orphans
    charges = charge(seen, blamed, policy, reason, delayed=False)
    failed = {action.message_id for action in charges if isinstance(action, FailMessage)}
    due = tuple(m.message_id for m in due_messages(seen, policy) if m.message_id not in failed)
    if not due:
        return (*charge(seen, blamed, policy, reason, delayed=True), *release(seen, gone.orphans))
    recovery = (*charges, *release(seen, gone.orphans))
    if gone.blocked is not None:
        return (*recovery, HoldWake(gone.blocked, None, due))
    spawn = decide_spawn(SpawnSnapshot(now_ms=seen.now_ms, deaths=gone.deaths), policy.spawn)
    if isinstance(spawn, SpawnLater):
        return (*recovery, HoldWake("backoff", spawn.at_ms, due))
    run = decide_run(runs_of(seen), policy.limit)
    if isinstance(run, RunLater):
        return (*recovery, HoldWake("rate", run.at_ms, due))
    return (*recovery, Wake(seen.incarnation + 1, due, delay(seen, blamed, policy)))


def _mend(seen: SweepSnapshot, policy: SweepPolicy) -> tuple[DelayRetry, ...]:
    return () if isinstance(seen.container, ContainerUnknown) else mend_backoffs(seen, policy)


def _judge(seen: SweepSnapshot, container: StuckSnapshot, policy: SweepPolicy) -> tuple[SweepAction, ...]:
    stopped = tuple(claim.message_id for claim in container.claims if claim.message_id in seen.aborted)
    if stopped:
        fence = FenceSession(seen.incarnation, "could not be stopped after an abort")
        return (StopContainer(seen.incarnation, StopAborted(stopped), release(seen, container.claims), (fence,)),)
    stuck = decide_stuck_action(judged(seen, container, policy), policy.stuck)
    if isinstance(stuck, LeaveAlone):
        return ()
    name = type(stuck).__name__
    if_stopped = (*charge(seen, container.claims, policy, name, delayed=True), *release(seen, container.claims))
    fence = FenceSession(seen.incarnation, f"could not be stopped after {name}")
    return (StopContainer(seen.incarnation, stuck, if_stopped, (fence,)),)


def _recur(seen: SweepSnapshot) -> tuple[CloneRecurrence | ParkRecurrence, ...]:
    return tuple(
        ParkRecurrence(row.message_id, row.cron, row.refusal or "no next run")
        if row.next_at_ms is None
        else CloneRecurrence(row.message_id, row.next_at_ms)
        for row in seen.recurring
    )
