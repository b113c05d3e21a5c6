"""Where does a decision go before it is carried out? Into the journal: facts, policy, actions and reasons."""

from turnkeel.host.look import View
from turnkeel.host.ports import HostPolicies, HostPorts
from turnkeel_adapters.state.journal import JournalLine
from turnkeel_adapters.wire import dumps, dumps_all
from turnkeel_core import AdoptionAction, AdoptionSnapshot, SweepPlan, explain_adoption, explain_sweep


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


def record_adoption(
    seen: AdoptionSnapshot, actions: tuple[AdoptionAction, ...], ports: HostPorts, policies: HostPolicies
) -> None:
    """One durable journal line for a comparison with the runtime's list; it belongs to no one session."""
    ports.state.journal.append(
        JournalLine(
            at_ms=seen.now_ms,
            session="",
            incarnation=0,
            decision="plan_adoption",
            policy=dumps(policies.adoption),
            input=dumps(seen),
            actions=dumps_all(actions),
            why=dumps(explain_adoption(seen, policies.adoption)),
        )
    )
