"""What must happen to this session now, and when must it be looked at again?"""

from attrs import evolve

from turnkeel_core.explain import Explanation, Fact, RuleTried
from turnkeel_core.limits import explain_run
from turnkeel_core.policy import SweepPolicy
from turnkeel_core.spawn import SpawnSnapshot, explain_spawn
from turnkeel_core.stuck import explain_stuck_action
from turnkeel_core.stuck_records import StuckSnapshot
from turnkeel_core.sweep_charges import due_messages
from turnkeel_core.sweep_plan import judged, runs_of, sweep_actions
from turnkeel_core.sweep_records import ContainerUnknown, NoContainer, SweepAction, SweepPlan, SweepSnapshot
from turnkeel_core.sweep_time import next_change


def plan_sweep(seen: SweepSnapshot, policy: SweepPolicy = SweepPolicy()) -> SweepPlan:
    """One session's pass. Deciding again after the actions were carried out charges nothing twice."""
    return SweepPlan(sweep_actions(seen, policy), next_change(seen, policy))


def explain_sweep(seen: SweepSnapshot, policy: SweepPolicy = SweepPolicy()) -> Explanation:
    """The steps of the pass and what each saw; `parts` hold the decision about the container."""
    plan, flip_to = plan_sweep(seen, policy), None
    if plan.next_change_at_ms is not None:
        flip_to = _names(sweep_actions(evolve(seen, now_ms=plan.next_change_at_ms), policy))
    part = _container_part(seen, policy)
    limited = policy.limit.runs_per_hour is not None and part is not None
    runs = (explain_run(runs_of(seen), policy.limit),) if limited else ()
    return Explanation(
        decision="plan_sweep",
        answer=_names(plan.actions),
        at_ms=seen.now_ms,
        rules=_steps(seen, plan.actions, policy),
        flip_at_ms=plan.next_change_at_ms,
        flip_to=flip_to,
        parts=(*(() if part is None else (part,)), *runs),
    )


def _judged(seen: SweepSnapshot) -> tuple[Fact, ...]:
    return (Fact("container", _state(seen)), *((Fact("aborted", len(seen.aborted)),) if seen.aborted else ()))


def _names(actions: tuple[SweepAction, ...]) -> str:
    return ", ".join(type(action).__name__ for action in actions) or "nothing to do"


def _steps(seen: SweepSnapshot, actions: tuple[SweepAction, ...], policy: SweepPolicy) -> tuple[RuleTried, ...]:
    taken = {type(action).__name__ for action in actions}
    due = tuple(message.message_id for message in due_messages(seen, policy))
    later = [m.due_at_ms for m in seen.messages if m.due_at_ms is not None and m.due_at_ms > seen.now_ms]
    claims = () if isinstance(seen.container, ContainerUnknown) else _claims(seen.container)
    due_facts = (
        Fact("due", len(due)),
        Fact("first_due", due[0] if due else None),
        Fact("next_due_at_ms", min(later, default=None)),
    )
    return (
        _step("settle acks", taken, {"SettleAck"}, "final words of the container", Fact("acks", len(seen.acks))),
        _step("charge and release", taken, {"ChargeAttempt", "FailMessage", "ReleaseClaims"}, "claims held", *claims),
        _step("wake", taken, {"Wake", "HoldWake"}, "messages that call for a container", *due_facts),
        _step("judge", taken, {"StopContainer"}, "the running container", *_judged(seen)),
        _step("mend waits", taken, {"DelayRetry"}, "retries put off by the host", Fact("waits", len(seen.backoffs))),
        _step("recur", taken, {"CloneRecurrence", "ParkRecurrence"}, "ended", Fact("recurring", len(seen.recurring))),
    )


def _step(rule: str, taken: set[str], actions: set[str], because: str, *facts: Fact) -> RuleTried:
    return RuleTried(rule=rule, result="fired" if taken & actions else "skipped", because=because, facts=facts)


def _claims(container: StuckSnapshot | NoContainer) -> tuple[Fact, ...]:
    claims = container.claims if isinstance(container, StuckSnapshot) else container.orphans
    of = "running" if isinstance(container, StuckSnapshot) else "dead"
    if isinstance(container, NoContainer) and container.login_refused:
        of = "dead, its login refused"
    return (Fact("claims", len(claims)), Fact("of", of))


def _state(seen: SweepSnapshot) -> str:
    match seen.container:
        case StuckSnapshot():
            return f"incarnation {seen.incarnation} runs"
        case NoContainer(blocked=blocked):
            return "none" if blocked is None else f"none, blocked: {blocked}"
        case ContainerUnknown(reason):
            return f"unknown: {reason}"


def _container_part(seen: SweepSnapshot, policy: SweepPolicy) -> Explanation | None:
    match seen.container:
        case StuckSnapshot():
            return explain_stuck_action(judged(seen, seen.container, policy), policy.stuck)
        case NoContainer():
            return explain_spawn(SpawnSnapshot(now_ms=seen.now_ms, deaths=seen.container.deaths), policy.spawn)
        case ContainerUnknown():
            return None
