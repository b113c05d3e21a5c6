"""What is true of a session right now? Facts become one snapshot; nothing is decided here."""

from attrs import frozen

from turnkeel.host.events import Died
from turnkeel.host.ports import HostPorts, SessionStore
from turnkeel_adapters.errors import SessionFault
from turnkeel_adapters.runners.records import Alive, Ended, Handle, LookOutcome, Unknown
from turnkeel_adapters.sessions.records import OutboundMark, SessionReading
from turnkeel_adapters.state.crons import next_occurrences, standing
from turnkeel_adapters.state.incarnations import Incarnation
from turnkeel_adapters.state.notes import Parked
from turnkeel_core import Blocked, ContainerUnknown, NoContainer, Sleep, StuckSnapshot, SweepSnapshot


@frozen(kw_only=True)
class View:
    """One session as seen for one pass."""

    session: str
    store: SessionStore
    snapshot: SweepSnapshot
    reading: SessionReading
    handle: Handle | None
    parked: tuple[Parked, ...] = ()


def may_run(session: str, ports: HostPorts) -> bool:
    """Could a container of this session be running? Its files are not asked, so this holds when they are broken."""
    latest = ports.state.incarnations.latest(session)
    handle = None if latest is None else latest.handle
    return handle is not None and not isinstance(ports.runner.look(handle), Ended)


@frozen(kw_only=True)
class Situation:
    """What the host knows beside a session: the clock, why nothing may start, who waits, when the machine slept."""

    now_ms: int
    blocked: Blocked | None = None
    place_wanted: bool = False
    sleeps: tuple[Sleep, ...] = ()


def look(session: str, ports: HostPorts, situation: Situation) -> View:
    """Read the container first, then the files: what a dead container left can change no more.

    The clock was read before both: nothing seen can be older than it is, and ages come out too young, never too old.
    Raises SessionFault if the files cannot be read; a hot journal is rolled back once its writer is known dead.
    """
    store, now_ms = ports.sessions.store(session), situation.now_ms
    latest = ports.state.incarnations.latest(session)
    handle = None if latest is None else latest.handle
    seen = None if handle is None else ports.runner.look(handle)
    since = None if latest is None else latest.mark
    reading = read_files(store, now_ms, since, writer_dead=seen is None or isinstance(seen, Ended))
    if isinstance(seen, Ended) and handle is not None and latest is not None:
        bury(session, latest, seen, reading, ports)
        ports.runner.forget(handle)
    parked = standing(ports.state.notes.parked(session), reading.recurring) if reading.recurring else ()
    snapshot = SweepSnapshot(
        now_ms=now_ms,
        incarnation=0 if latest is None else latest.number,
        messages=reading.messages,
        acks=reading.acks,
        container=_container(session, ports, store, reading, seen, latest, situation),
        marks=ports.state.charges.marks(session),
        recurring=next_occurrences(reading.recurring, parked, ports.zone, now_ms),
        random_permille=ports.random_permille(),
    )
    return View(session=session, store=store, snapshot=snapshot, reading=reading, handle=handle, parked=parked)


def bury(session: str, incarnation: Incarnation, ended: Ended, reading: SessionReading, ports: HostPorts) -> None:
    """Record the end of a container, next to what the host had intended."""
    ports.state.incarnations.ended(
        session,
        incarnation.number,
        at_ms=ended.ended_at_ms,
        ending="exited" if incarnation.intent is None else "stopped",
        exit_code=ended.exit_code,
        exit_signal=ended.signal,
        progressed=bool(reading.progressed),
    )
    ports.report(Died(session, incarnation.number, ended.exit_code, ended.signal, incarnation.intent))


def read_files(store: SessionStore, now_ms: int, since: OutboundMark | None, *, writer_dead: bool) -> SessionReading:
    """Read the session's files; what a killed writer left half-written is rolled back, if it is known dead.

    Of inbound.db the writers are on the host's side, where SQLite's own locks tell a dead one from a live one; of
    outbound.db it is the container, and only a verified end counts.
    """
    for inbound_only in (True, False):
        try:
            return store.read(now_ms, since)
        except SessionFault as fault:
            if fault.kind != "hot_journal" or (fault.path.name != "inbound.db" and not writer_dead):
                raise
            store.roll_back(inbound_only=inbound_only and not writer_dead)
    return store.read(now_ms, since)


def _container(
    session: str,
    ports: HostPorts,
    store: SessionStore,
    reading: SessionReading,
    seen: LookOutcome | None,
    latest: Incarnation | None,
    situation: Situation,
) -> StuckSnapshot | NoContainer | ContainerUnknown:
    match seen:
        case Unknown(reason=reason):
            return ContainerUnknown(reason)
        case Alive() if latest is not None:
            return _running(store, reading, latest.spawned_at_ms, situation)
        case _:
            deaths, blocked = ports.state.incarnations.deaths(session), situation.blocked
            if blocked is None and ports.state.pauses.is_paused(session):
                blocked = "paused"
            return NoContainer(orphans=reading.claims, deaths=deaths, blocked=blocked)


def _running(store: SessionStore, reading: SessionReading, spawned_at_ms: int, situation: Situation) -> StuckSnapshot:
    files, progress = store.signature(), reading.progress_at_ms
    return StuckSnapshot(
        now_ms=situation.now_ms,
        heartbeat_at_ms=files.heartbeat_at_ms,
        claims=reading.claims,
        tool=reading.tool,
        spawned_at_ms=spawned_at_ms,
        outbound_at_ms=None if files.outbound is None else files.outbound.mtime_ns // 1_000_000,
        progress_at_ms=progress,
        waiting=reading.waiting,
        last_activity_at_ms=spawned_at_ms if progress is None else max(progress, spawned_at_ms),
        place_wanted=situation.place_wanted,
        sleeps=situation.sleeps,
    )
