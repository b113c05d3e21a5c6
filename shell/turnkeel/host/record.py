"""Where does a decision go before it is carried out? Into the journal: facts, policy, actions and reasons."""

from turnkeel.host.look import View
from turnkeel.host.ports import HostPolicies, HostPorts
from turnkeel_adapters.state.journal import JournalLine
from turnkeel_adapters.wire import dumps
from turnkeel_core import SweepPlan, explain_sweep


def record(view: View, plan: SweepPlan, ports: HostPorts, policies: HostPolicies) -> None:
    """One durable journal line."""
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
