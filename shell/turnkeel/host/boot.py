"""Beginning and end of a host: nothing of an earlier one runs on, nothing of this one stays behind."""

from turnkeel.host.events import FaultSeen, NotStopped
from turnkeel.host.look import bury, read_files
from turnkeel.host.ports import HostPolicies, HostPorts
from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.runners.records import Ended, Handle, StillThere
from turnkeel_adapters.sessions.records import SessionReading
from turnkeel_adapters.state.incarnations import Incarnation


def boot(ports: HostPorts, policies: HostPolicies) -> int:
    """Stop every container of this install and close the records of those that are gone; returns how many ran.

    Containers are not adopted yet: an agent ends when its host dies, so whatever still runs is on its way out.
    """
    ports.state.notes.clear()
    leftovers = ports.runner.list_own()
    stuck = {handle.session for handle in leftovers if not _stop(handle, ports, policies)}
    for incarnation in ports.state.incarnations.open():
        if incarnation.session in stuck:
            continue
        _close(incarnation, ports)
    return len(leftovers)


def _stop(handle: Handle, ports: HostPorts, policies: HostPolicies) -> bool:
    outcome = ports.runner.stop(handle, policies.host.stop_grace_ms)
    if isinstance(outcome, StillThere):
        at_ms = ports.clock.read().wall_ms
        ports.state.notes.report_fault(handle.session, "stop", "fenced", outcome.reason, at_ms)
        ports.report(NotStopped(handle.session, handle.incarnation, outcome.reason))
        return False
    ports.state.notes.clear_fault(handle.session, "stop")
    return True


def _close(incarnation: Incarnation, ports: HostPorts) -> None:
    now_ms = ports.clock.read().wall_ms
    try:
        store = ports.sessions.store(incarnation.session)
        reading = read_files(store, now_ms, incarnation.mark, writer_dead=True)
    except AdapterError as error:
        ports.report(FaultSeen(incarnation.session, "files", type(error).__name__, str(error)))
        reading = SessionReading()
    if incarnation.handle is None or incarnation.intent is None:
        session, number, progressed = incarnation.session, incarnation.number, bool(reading.progressed)
        ports.state.incarnations.ended(
            session, number, at_ms=now_ms, ending="host_gone", exit_code=None, exit_signal=None, progressed=progressed
        )
    else:
        gone = Ended(exit_code=None, signal=None, ended_at_ms=now_ms)
        bury(incarnation.session, incarnation, gone, reading, ports)


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
