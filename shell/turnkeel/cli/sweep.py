"""`sweep`: what would a pass over each session do, or do it once."""

import time
from pathlib import Path
from typing import Literal, TypeAlias

from turnkeel.cli.actions import render_plan
from turnkeel.cli.errors import FAILED, WrongUsage
from turnkeel.cli.looking import Looker, SeenProcesses
from turnkeel.cli.output import flat, print_json
from turnkeel.cli.planned import LimitsOf, Planned, plan_session
from turnkeel.cli.reading import Reading, open_reading
from turnkeel.cli.render import render_explanation
from turnkeel.cli.status import host_line, print_notes
from turnkeel_adapters.errors import SessionFault
from turnkeel_adapters.wire import to_data

Assumption: TypeAlias = Literal["running", "stopped"]


def sweep(
    *sessions: str,
    data: Path | None = None,
    config: Path | None = None,
    dry_run: bool = False,
    explain: bool = False,
    assume: Assumption | None = None,
    json: bool = False,
) -> int:
    """One pass over the sessions named, or all: planned and shown, or carried out without starting any container.

    Returns 1 if a session could not be swept. AlreadyHeld if a host is at work and this is no dry run.
    """
    if not dry_run:
        if explain or assume == "running":
            raise WrongUsage("--explain and --assume running go with --dry-run: a real pass acts on verified facts")
        from turnkeel.cli.sweep_once import sweep_once

        return sweep_once(sessions, data, config, assume_stopped=assume == "stopped", json=json)
    with open_reading(data) as reading:
        if assume is not None and reading.has_state:
            raise WrongUsage("--assume is for a tree without turnkeel.db; here the host's records say what runs")
        taken = assume or _assumption(reading)
        plans, faults = _plans(reading, sessions, LimitsOf(config), taken)
        if json:
            print_json(_document(reading, plans, faults, taken))
        else:
            _print(reading, plans, faults, taken, explain)
    return FAILED if faults else 0


def chosen(reading: Reading, sessions: tuple[str, ...]) -> tuple[str, ...]:
    """The sessions named, or all that are not closed; CommandFailed if one does not exist."""
    if sessions:
        return tuple(dict.fromkeys(reading.known(session) for session in sessions))
    return tuple(name for name in reading.names if name not in reading.closed)


def _plans(
    reading: Reading, sessions: tuple[str, ...], limits: LimitsOf, taken: Assumption | None
) -> tuple[dict[str, Planned], dict[str, str]]:
    looker = Looker(reading, limits.zone)
    plans: dict[str, Planned] = {}
    faults: dict[str, str] = {}
    for session in chosen(reading, sessions):
        try:
            plans[session] = plan_session(session, looker, reading, limits, taken)
        except SessionFault as fault:
            faults[session] = str(fault)
    return plans, faults


def _assumption(reading: Reading) -> Assumption | None:
    """Without records a container can be told to run only by a host at work or by the processes of this install."""
    if reading.has_state:
        return None
    seen = SeenProcesses(reading.data_dir, reading.host)
    return "running" if reading.host is not None or seen.any_running() else "stopped"


def _document(
    reading: Reading, plans: dict[str, Planned], faults: dict[str, str], taken: Assumption | None
) -> dict[str, object]:
    return {
        "read_at_ms": time.time_ns() // 1_000_000,
        "data": str(reading.data_dir),
        "dry_run": True,
        "assumed": taken,
        "notes": reading.notes,
        "sessions": [
            {
                "session": session,
                "at_ms": planned.view.snapshot.now_ms,
                "limits_from": planned.limits.source,
                "plan": to_data(planned.plan),
                "why": to_data(planned.why),
            }
            for session, planned in plans.items()
        ],
        "faults": [{"session": session, "fault": fault} for session, fault in faults.items()],
    }


def _print(
    reading: Reading, plans: dict[str, Planned], faults: dict[str, str], taken: Assumption | None, explain: bool
) -> None:
    print(host_line(reading.host, time.time_ns() // 1_000_000))
    print_notes(reading)
    if taken is not None:
        print(f"containers: none is on record, so all count as {taken}; --assume running|stopped says otherwise")
    for session, planned in plans.items():
        now_ms = planned.view.snapshot.now_ms
        print(f"{session} (limits: {planned.limits.source})")
        print(render_plan(planned.plan, now_ms))
        if explain:
            print(render_explanation(planned.why, "    "))
    for session, fault in faults.items():
        print(f"{session}\n  not looked at: {flat(fault)}")
    if not plans and not faults:
        print("no sessions")
