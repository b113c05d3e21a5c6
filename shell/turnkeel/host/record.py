"""Where does a decision go before it is carried out? Into the journal: facts, policy, actions and reasons."""

from attrs import evolve

from turnkeel.host.look import View
from turnkeel.host.ports import HostPolicies, HostPorts
from turnkeel.starts import QUEUED
from turnkeel_adapters.state.journal import JournalLine
from turnkeel_adapters.wire import dumps, dumps_all
from turnkeel_core import (
    AdoptionAction,
    AdoptionSnapshot,
    HoldWake,
    StartSnapshot,
    StopContainer,
    StopIdle,
    SweepAction,
    SweepPlan,
    explain_adoption,
    explain_starts,
    explain_sweep,
    plan_starts,
)


def record(view: View, plan: SweepPlan, ports: HostPorts, policies: HostPolicies) -> None:
    """One durable journal line for one pass over a session."""
    why = explain_sweep(view.snapshot, policies.sweep)
    ports.state.journal.append(
        JournalLine(
            at_ms=view.snapshot.now_ms,
            session=view.session,
            incarnation=view.snapshot.incarnation,
            decision="plan_sweep",
            policy=dumps(policies.sweep),
            input=dumps(view.snapshot),
            actions=dumps(plan),
            why=dumps(why),
        )
    )


def record_starts(view: View, plan: SweepPlan, queue: StartSnapshot, ports: HostPorts, policies: HostPolicies) -> None:
    """A further line where the queue for places decided: it holds the session back, or wants its place."""
    if not any(_is_of_queue(action) for action in plan.actions):
        return
    ports.state.journal.append(
        JournalLine(
            at_ms=queue.now_ms,
            session=view.session,
            incarnation=view.snapshot.incarnation,
            decision="plan_starts",
            policy=dumps(policies.start),
            input=dumps(queue),
            actions=dumps_all(plan_starts(queue, policies.start)),
            why=dumps(explain_starts(queue, policies.start)),
        )
    )


def _is_of_queue(action: SweepAction) -> bool:
    if isinstance(action, StopContainer):
        return isinstance(action.because, StopIdle) and action.because.reason == "place"
    return isinstance(action, HoldWake) and action.reason in QUEUED


def record_adoption(
    seen: AdoptionSnapshot, actions: tuple[AdoptionAction, ...], ports: HostPorts, policies: HostPolicies
) -> None:
    """One durable journal line for each session that a comparison with the runtime's list found something of."""
    for session, incarnation in {action.session: action.incarnation for action in actions}.items():
        running = tuple(one for one in seen.running if one.session == session)
        part = evolve(seen, running=running, records=tuple(one for one in seen.records if one.session == session))
        ports.state.journal.append(
            JournalLine(
                at_ms=seen.now_ms,
                session=session,
                incarnation=incarnation,
                decision="plan_adoption",
                policy=dumps(policies.adoption),
                input=dumps(part),
                actions=dumps_all(action for action in actions if action.session == session),
                why=dumps(explain_adoption(part, policies.adoption)),
            )
        )
