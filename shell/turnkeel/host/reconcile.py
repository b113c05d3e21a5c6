"""Do the containers that run and the host's records of them agree, and what is done if not?"""

from attrs import frozen

from turnkeel.events import Adopted, FaultSeen, NotStopped, StrayStopped
from turnkeel.host.look import bury
from turnkeel.host.ports import HostPolicies, HostPorts
from turnkeel.host.record import record_adoption
from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.runners.records import Alive, Ended, Handle, StillThere, Unknown
from turnkeel_adapters.sessions.evidence import read_files
from turnkeel_adapters.sessions.records import SessionReading
from turnkeel_adapters.state.incarnations import Incarnation
from turnkeel_core import (
    AdoptContainer,
    AdoptionSnapshot,
    CloseRecord,
    LookAgain,
    OpenIncarnation,
    RunningContainer,
    StopStray,
    plan_adoption,
)


@frozen(kw_only=True)
class Census:
    """What came of it: sessions whose container goes on, that must be looked at, and that a stray keeps closed."""

    adopted: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    fenced: tuple[str, ...] = ()


def reconcile(ports: HostPorts, policies: HostPolicies, served: tuple[str, ...], *, booting: bool) -> Census:
    """Compare the runtime's list with the records, and mend what differs; RuntimeUnavailable.

    Strays go first: a session whose stray cannot be stopped must not get another container.
    """
    handles = {handle.container_id: handle for handle in ports.runner.list_own()}
    records = {record.session: record for record in ports.state.incarnations.open()}
    seen = _snapshot(handles, records, ports, served, booting)
    actions = plan_adoption(seen, policies.adoption)
    if actions:
        record_adoption(seen, actions, ports, policies)
    adopted, gone, fenced = list[str](), list[str](), list[str]()
    strays = {action.container_id for action in actions if isinstance(action, StopStray)}
    for handle in () if booting else handles.values():
        if handle.container_id not in strays:
            # A guard that did not answer when it was to be taken over may do so now; of our own this asks nothing.
            ports.runner.adopt(handle, ports.launcher.log_path(handle.session))
    for action in actions:
        match action:
            case StopStray(session, _, container_id):
                if not _stop(action, handles[container_id], ports, policies):
                    fenced.append(session)
            case AdoptContainer(session, _, container_id):
                _adopt(handles[container_id], ports)
                adopted.append(session)
            case CloseRecord(session, _):
                _close(records[session], ports)
            case LookAgain(session, _):
                gone.append(session)
    return Census(adopted=tuple(adopted), gone=tuple(gone), fenced=tuple(fenced))


def _snapshot(
    handles: dict[str, Handle], records: dict[str, Incarnation], ports: HostPorts, served: tuple[str, ...], boot: bool
) -> AdoptionSnapshot:
    running = (
        RunningContainer(session=one.session, incarnation=one.incarnation, container_id=one.container_id)
        for one in handles.values()
    )
    known = (
        OpenIncarnation(session=one.session, incarnation=one.number, state=one.state)
        for one in records.values()
        if one.state != "dead"
    )
    now_ms = ports.clock.read().wall_ms
    return AdoptionSnapshot(now_ms=now_ms, running=tuple(running), records=tuple(known), served=served, booting=boot)


def _adopt(handle: Handle, ports: HostPorts) -> None:
    ports.runner.adopt(handle, ports.launcher.log_path(handle.session))
    ports.state.incarnations.started(handle.session, handle.incarnation, handle.runtime, handle.container_id)
    ports.report(Adopted(handle.session, handle.incarnation))


def _stop(action: StopStray, handle: Handle, ports: HostPorts, policies: HostPolicies) -> bool:
    ports.state.incarnations.intend_stop(handle.session, handle.incarnation, "stray", ports.clock.read().wall_ms)
    outcome = ports.runner.stop(handle, policies.host.stop_grace_ms)
    if isinstance(outcome, StillThere):
        at_ms = ports.clock.read().wall_ms
        ports.state.notes.report_fault(handle.session, "stop", "fenced", outcome.reason, at_ms)
        ports.report(NotStopped(handle.session, handle.incarnation, outcome.reason))
        return False
    ports.state.notes.clear_fault(handle.session, "stop")
    ports.runner.forget(handle)
    ports.report(StrayStopped(handle.session, handle.incarnation, action.reason))
    return True


def _close(incarnation: Incarnation, ports: HostPorts) -> None:
    """Nothing runs under this record: close it with what the runtime may remember of the end."""
    session, handle, now_ms = incarnation.session, incarnation.handle, ports.clock.read().wall_ms
    seen = None if handle is None else ports.runner.look(handle)
    if isinstance(seen, Alive | Unknown):
        return  # the session's own passes find out
    try:
        reading = read_files(ports.sessions.store(session), now_ms, incarnation.mark, writer_dead=True)
    except AdapterError as error:
        ports.report(FaultSeen(session, "files", error.category, str(error)))
        reading = SessionReading()
    gone = Ended(exit_code=None, signal=None, ended_at_ms=now_ms) if seen is None else seen
    bury(session, incarnation, gone, reading, ports)
    if handle is not None:
        ports.runner.forget(handle)


def stop_for_shutdown(session: str, ports: HostPorts, grace_ms: int) -> None:
    """Stop a running container because the host ends: no kill, no fault of the container."""
    latest = ports.state.incarnations.latest(session)
    handle = None if latest is None else latest.handle
    if latest is None or handle is None:
        return
    try:
        ports.state.incarnations.intend_stop(session, latest.number, "shutdown", ports.clock.read().wall_ms)
    except AdapterError as error:
        # A full disk keeps the reason from being noted; the container must not stay behind for that.
        ports.report(FaultSeen(session, "turnkeel.db", "state", str(error)))
    outcome = ports.runner.stop(handle, grace_ms)
    if isinstance(outcome, StillThere):
        ports.report(NotStopped(session, latest.number, outcome.reason))
