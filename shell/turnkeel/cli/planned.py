"""Which limits hold for a session, and what would a pass over it do?"""

import os
from datetime import tzinfo
from pathlib import Path

from attrs import evolve, frozen

from turnkeel.cli.hiding import learn
from turnkeel.cli.looking import Looker, assume_running
from turnkeel.cli.reading import Reading, patiently
from turnkeel.host.look import View
from turnkeel.starts import QUEUED
from turnkeel_adapters.config import HostConfig, load_config, resolve_zone
from turnkeel_adapters.state.store import HostState
from turnkeel_adapters.wire import WireFault, loads
from turnkeel_core import Explanation, NoContainer, SweepPlan, SweepPolicy, explain_sweep, plan_sweep


@frozen(kw_only=True)
class Limits:
    """The limits that a decision about a session uses, and where they come from."""

    policy: SweepPolicy
    source: str


class LimitsOf:
    """The limits of each session: of the configuration named, else of the host's last decision, else the defaults."""

    def __init__(self, config: Path | None) -> None:
        self.config: HostConfig = load_config(config)
        learn(self.config)
        self.zone: tzinfo = resolve_zone(self.config, os.environ)[1]
        self._file = config

    def session(self, session: str, state: HostState) -> Limits:
        """What holds for this session."""
        if self._file is not None:
            return Limits(policy=self.config.sweep, source=str(self._file))
        for line in patiently(lambda: state.journal.of_session(session, limit=1, decision="plan_sweep")):
            try:
                return Limits(policy=loads(line.policy, SweepPolicy), source="the host's last decision")
            except WireFault:
                break  # written by another version: the defaults are the best guess, and named as such
        return Limits(policy=self.config.sweep, source="the defaults")


@frozen(kw_only=True)
class Planned:
    """What one pass over a session would do now, and why."""

    view: View
    plan: SweepPlan
    why: Explanation
    limits: Limits


def plan_session(
    session: str, looker: Looker, reading: Reading, limits: LimitsOf, assume: str | None = None
) -> Planned:
    """Look and decide, and do nothing; SessionFault if the files cannot be read."""
    view = looker.look(session)
    if assume == "running":
        view = assume_running(view)
    found = limits.session(session, reading.state)
    hold = next((hold for hold in patiently(reading.state.notes.holds) if hold.session == session), None)
    gone = view.snapshot.container
    # Whether a place to run is free is known to the running host alone, and it notes who waits for one.
    queued = next((word for word in QUEUED if hold is not None and hold.reason == word), None)
    if queued is not None and reading.host is not None and isinstance(gone, NoContainer):
        view = evolve(view, snapshot=evolve(view.snapshot, container=evolve(gone, blocked=queued)))
    return Planned(
        view=view,
        plan=plan_sweep(view.snapshot, found.policy),
        why=explain_sweep(view.snapshot, found.policy),
        limits=found,
    )
