"""`sweep` without `--dry-run`: how is one pass over each session carried out while no host is at work?"""

import time
from pathlib import Path

from attrs import frozen

from turnkeel import __version__
from turnkeel.cli.errors import FAILED, CommandFailed, WrongUsage
from turnkeel.cli.hiding import keeper
from turnkeel.cli.looking import ports_for
from turnkeel.cli.output import flat, print_json
from turnkeel.cli.place import existing_data_dir
from turnkeel.cli.planned import LimitsOf
from turnkeel.cli.reading import open_reading
from turnkeel.cli.report import describe
from turnkeel.cli.sweep import chosen
from turnkeel.events import FaultSeen, HostEvent
from turnkeel.host.act import act
from turnkeel.host.look import Situation, look
from turnkeel.host.ports import HostPolicies, HostPorts
from turnkeel.host.reconcile import reconcile
from turnkeel.host.record import record
from turnkeel_adapters.errors import AdapterError, SessionFault
from turnkeel_adapters.runners.errors import RuntimeUnavailable
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.state.store import FILE_NAME, HostState
from turnkeel_adapters.system.clock import SystemClock
from turnkeel_adapters.system.lock import DataLock
from turnkeel_core import HoldWake, ParkRecurrence, plan_sweep


@frozen(kw_only=True)
class Swept:
    """What the pass did, event by event, in order; `held` are due messages that wait for a host, `broken` sessions
    that could not be swept."""

    events: tuple[HostEvent, ...]
    passed: tuple[str, ...]
    held: dict[str, tuple[str, ...]]
    broken: tuple[str, ...]


def sweep_once(
    sessions: tuple[str, ...], data: Path | None, config: Path | None, *, assume_stopped: bool, json: bool
) -> int:
    """Take the data lock, pass over each session once, start nothing; what an earlier host left running goes on,
    unless it hangs or is a stray."""
    limits = LimitsOf(config)
    data_dir = existing_data_dir(data)
    started_at_ms = SystemClock().read().wall_ms
    # Loaded here only: it brings the whole host with it.
    from turnkeel.cli.assemble import open_state

    with DataLock(data_dir, started_at_ms=started_at_ms, version=__version__):
        names, everyone = _names(sessions, data_dir, assume_stopped)
        with open_state(data_dir, keeper()) as state:
            swept = _pass_over(names, everyone, data_dir, state, limits)
    if json:
        print_json(_document(data_dir, swept))
    else:
        _print(swept)
    return FAILED if swept.broken else 0


def _names(sessions: tuple[str, ...], data_dir: Path, assume_stopped: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The sessions to sweep, and all that are open.

    A claim in a tree that has no records may belong to another host's live container.
    """
    with open_reading(data_dir) as reading:
        names, everyone = chosen(reading, sessions), chosen(reading, ())
        if (data_dir / FILE_NAME).exists() or assume_stopped:
            return names, everyone
        for name in names:
            try:
                claims = reading.sessions.store(name).read(time.time_ns() // 1_000_000).claims
            except SessionFault:
                continue  # the pass reports it
            if claims:
                raise WrongUsage(
                    f"{name} has claimed messages, and no {FILE_NAME} says whose: if no container of any host runs, "
                    "add --assume stopped"
                )
        return names, everyone


def _pass_over(
    names: tuple[str, ...], everyone: tuple[str, ...], data_dir: Path, state: HostState, limits: LimitsOf
) -> Swept:
    events: list[HostEvent] = []
    held: dict[str, tuple[str, ...]] = {}
    broken: list[str] = []
    from turnkeel.cli.assemble import policies_of, runner_of
    from turnkeel.cli.ids import new_message_id

    config = limits.config
    runner = runner_of(config, data_dir, lambda: SystemClock().read().wall_ms, keeper())
    ports = ports_for(
        data_dir,
        state=state,
        sessions=FileSessions(data_dir),
        runner=runner,
        zone=limits.zone,
        report=events.append,
        new_id=new_message_id,
    )
    try:
        reconcile(ports, policies_of(config), everyone, booting=True)
        for name in names:
            policies = HostPolicies(sweep=limits.session(name, state).policy, host=config.host)
            try:
                if due := _pass(name, ports, policies):
                    held[name] = due
            except AdapterError as error:
                kind = error.kind if isinstance(error, SessionFault) else type(error).__name__
                subject = error.path.name if isinstance(error, SessionFault) else "files"
                ports.report(FaultSeen(name, subject, kind, str(error)))
                broken.append(name)
    except RuntimeUnavailable as error:
        raise CommandFailed(f"the container runtime does not answer, nothing was done: {error}") from error
    finally:
        runner.detach()
    return Swept(events=tuple(events), passed=names, held=held, broken=tuple(broken))


def _pass(session: str, ports: HostPorts, policies: HostPolicies) -> tuple[str, ...]:
    """One pass; the messages that are due and wait."""
    view = look(session, ports, Situation(now_ms=ports.clock.read().wall_ms, blocked="paused"))
    plan = plan_sweep(view.snapshot, policies.sweep)
    holds = [action for action in plan.actions if isinstance(action, HoldWake)]
    # The hold is this command's own: it ends with it, so it is not noted.
    rest = tuple(action for action in plan.actions if not isinstance(action, HoldWake))
    if rest:
        record(view, plan, ports, policies)
        act(view, rest, ports, policies)
    for action in rest:
        if isinstance(action, ParkRecurrence):
            ports.report(FaultSeen(session, f"recurrence of {action.message_id}", "bad_cron", action.reason))
    return tuple(message_id for hold in holds for message_id in hold.due)


def _document(data_dir: Path, swept: Swept) -> dict[str, object]:
    return {
        "read_at_ms": time.time_ns() // 1_000_000,
        "data": str(data_dir),
        "dry_run": False,
        "passed": swept.passed,
        "broken": swept.broken,
        "did": [{"event": type(event).__name__, "line": describe(event)} for event in swept.events],
        "due": [{"session": session, "messages": ids} for session, ids in swept.held.items()],
    }


def _print(swept: Swept) -> None:
    for event in swept.events:
        print(flat(describe(event)))
    for session, due in swept.held.items():
        print(flat(f"{session}: {len(due)} due, waiting for a host"))
    print(f"sessions swept: {len(swept.passed)}; no container was started")
