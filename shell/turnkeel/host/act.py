"""How is a plan carried out? Each action against the stores or the runner, in the plan's order.

Store actions of one plan become one durable note in turnkeel.db, one transaction in inbound.db and, last, the release
of claims: a crash between any two of them repeats harmlessly (DESIGN §4.3). World actions have their intent recorded
first and their effect read back.
"""

from attrs import evolve

from turnkeel.events import Charged, Held, MessageFailed, NotStopped, Recurred, Settled, Stopping, WakeFailed, Woke
from turnkeel.host.look import View, bury
from turnkeel.host.ports import HostPolicies, HostPorts
from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.runners.errors import SpawnFailed
from turnkeel_adapters.runners.records import StillThere, Stopped
from turnkeel_adapters.sessions.changes import inbound_changes
from turnkeel_adapters.sessions.evidence import read_files
from turnkeel_adapters.sessions.records import SessionReading
from turnkeel_adapters.state.crons import park_of
from turnkeel_adapters.state.dead import compose_dead
from turnkeel_core import (
    ChargeAttempt,
    CloneRecurrence,
    DelayRetry,
    FailMessage,
    FenceSession,
    HoldWake,
    ParkRecurrence,
    ReleaseClaims,
    SettleAck,
    StopContainer,
    SweepAction,
    Wake,
)


def act(view: View, actions: tuple[SweepAction, ...], ports: HostPorts, policies: HostPolicies) -> bool:
    """Carry out `actions` in order; False if a container could not be started or stopped.

    Raises what the stores raise: then the rest waits for the next pass.
    """
    effective = True
    _write_rows(view, actions, ports)
    for action in actions:
        match action:
            case Wake():
                effective = _wake(view, action, ports)
            case HoldWake():
                _hold(view, action, ports)
            case StopContainer():
                effective = _stop(view, action, ports, policies)
            case CloneRecurrence():
                _clone(view, action, ports)
            case ParkRecurrence():
                ports.state.notes.park(park_of(view.session, action, view.snapshot.now_ms))
            case FenceSession():
                _fence(view, action, ports)
            case SettleAck() | ChargeAttempt() | DelayRetry() | FailMessage() | ReleaseClaims():
                pass  # written above, in one transaction
    return effective


def _write_rows(view: View, actions: tuple[SweepAction, ...], ports: HostPorts) -> None:
    settled = tuple(action for action in actions if isinstance(action, SettleAck))
    charges = tuple(action for action in actions if isinstance(action, ChargeAttempt))
    failed = tuple(action for action in actions if isinstance(action, FailMessage))
    _note(view, settled, charges, failed, ports)
    view.store.write_inbound(inbound_changes(actions))
    ports.state.charges.delayed(view.session, tuple(action for action in actions if isinstance(action, DelayRetry)))
    if any(isinstance(action, ReleaseClaims) for action in actions):
        view.store.release_claims()
        ports.state.charges.applied(view.session)
    for action in settled:
        ports.report(Settled(view.session, action.message_id, action.outcome))
    for charge in charges:
        ports.report(Charged(view.session, charge))
    for failure in failed:
        ports.report(MessageFailed(view.session, failure))


def _note(
    view: View,
    settled: tuple[SettleAck, ...],
    charges: tuple[ChargeAttempt, ...],
    failed: tuple[FailMessage, ...],
    ports: HostPorts,
) -> None:
    """What the rows cannot hold is durable before they change: charge marks, and payload and reason of the dead."""
    at = (view.session, view.store, view.snapshot.incarnation, view.snapshot.now_ms)
    dead = [compose_dead(*at, ack.message_id, "failed by the agent") for ack in settled if ack.outcome == "failed"]
    dead += [compose_dead(*at, failure.message_id, failure.reason, failure.tries) for failure in failed]
    if not dead and not charges:
        return
    with ports.state.database.transaction():
        for record in dead:
            ports.state.dead.keep(record)
        ports.state.charges.note(view.session, charges, view.snapshot.now_ms)


def _wake(view: View, action: Wake, ports: HostPorts) -> bool:
    """Intent first; the heartbeat of an earlier container must not speak for the new one."""
    session, number, incarnations = view.session, action.incarnation, ports.state.incarnations
    # What the session's own files can refuse comes before the intent: a fault there must leave no open record.
    order = ports.launcher.order(session, number)
    view.store.remove_heartbeat()
    # A start whose record broke off (a full disk) is over: passes come one at a time.
    incarnations.not_started(session, ports.clock.read().wall_ms)
    incarnations.begin(session, number, ports.clock.read().wall_ms, view.reading.mark)
    try:
        handle = ports.runner.spawn(order)
    except (SpawnFailed, OSError) as error:
        at_ms = ports.clock.read().wall_ms
        # A runtime that is down is told and waited for by itself; it speaks against no session.
        incarnations.not_started(session, at_ms, runtime_down=ports.runner.trouble() is not None)
        ports.state.notes.report_fault(session, "start", "not_started", str(error), at_ms)
        ports.report(WakeFailed(session, number, str(error)))
        _write_rows(view, action.if_failed, ports)
        return False
    try:
        incarnations.started(session, number, handle.runtime, handle.container_id)
    except AdapterError:
        ports.runner.stop(handle, 0)  # without a record nobody would watch over it
        raise
    ports.state.notes.clear_fault(session, "start")
    ports.report(Woke(session, number, action.due))
    return True


def _hold(view: View, action: HoldWake, ports: HostPorts) -> None:
    ports.state.notes.hold(view.session, action.reason, action.until_ms, view.snapshot.now_ms)
    ports.report(Held(view.session, action))


def _stop(view: View, action: StopContainer, ports: HostPorts, policies: HostPolicies) -> bool:
    latest = ports.state.incarnations.latest(view.session)
    if view.handle is None or latest is None:
        return True
    intent = type(action.because).__name__
    ports.state.incarnations.intend_stop(view.session, action.incarnation, intent, view.snapshot.now_ms)
    ports.report(Stopping(view.session, action.incarnation, action.because))
    outcome = ports.runner.stop(view.handle, policies.host.stop_grace_ms)
    match outcome:
        case Stopped(ended=ended):
            reading = read_files(view.store, view.snapshot.now_ms, latest.mark, writer_dead=True)
            _after_stop(view, action, reading, ports)
            bury(view.session, evolve(latest, intent=intent), ended, reading, ports)
            ports.runner.forget(view.handle)
            ports.state.notes.clear_fault(view.session, "stop")
            ports.state.notes.release_hold(view.session)  # the fence, if an earlier stop failed
            return True
        case StillThere(reason=reason):
            ports.report(NotStopped(view.session, action.incarnation, reason))
            for consequence in action.if_alive:
                if isinstance(consequence, FenceSession):
                    _fence(view, consequence, ports, reason)
            return False


def _after_stop(view: View, action: StopContainer, reading: SessionReading, ports: HostPorts) -> None:
    """Until it was gone the container went on: what it finished meanwhile is not charged, the next pass settles it."""
    claimed = {claim.message_id for claim in reading.claims}
    owed = tuple(
        branch
        for branch in action.if_stopped
        if not isinstance(branch, ChargeAttempt | DelayRetry | FailMessage) or branch.message_id in claimed
    )
    _write_rows(view, owed, ports)


def _fence(view: View, action: FenceSession, ports: HostPorts, seen: str = "") -> None:
    detail = f"{action.reason}; {seen}" if seen else action.reason
    ports.state.notes.report_fault(view.session, "stop", "fenced", detail, view.snapshot.now_ms)
    ports.state.notes.hold(view.session, "fenced", None, view.snapshot.now_ms)


def _clone(view: View, action: CloneRecurrence, ports: HostPorts) -> None:
    kinds = {row.message_id: row.kind for row in view.reading.recurring}
    new_id = ports.new_id("task" if kinds.get(action.message_id) == "task" else "msg")
    if view.store.clone_recurrence(action.message_id, new_id, action.next_at_ms, view.snapshot.now_ms):
        ports.report(Recurred(view.session, action.message_id, action.next_at_ms))
