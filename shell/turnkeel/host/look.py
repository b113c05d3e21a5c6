"""What is true of a session right now? Facts become one snapshot; nothing is decided here."""

from attrs import evolve, frozen

from turnkeel.events import Died, FaultSeen
from turnkeel.host.ports import HostPorts, SessionStore
from turnkeel.login import is_refused, refusal
from turnkeel_adapters.runners.records import Alive, Ended, Handle, LookOutcome, Unknown
from turnkeel_adapters.sessions.evidence import read_files, running_facts
from turnkeel_adapters.sessions.records import SessionReading
from turnkeel_adapters.state.crons import next_occurrences, standing
from turnkeel_adapters.state.incarnations import Incarnation
from turnkeel_adapters.state.notes import Parked
from turnkeel_core import Blocked, ContainerUnknown, NoContainer, Sleep, StuckSnapshot, SweepSnapshot
from turnkeel_core.limits import HOUR_MS
from turnkeel_core.suspend import SetBack


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
    """What the host knows beside a session: the clock, why nothing may start, who waits, when the machine slept.

    `doubt`: why it is not known which of the session's containers run; then nothing of it is judged, charged or begun.
    """

    now_ms: int
    doubt: str | None = None
    blocked: Blocked | None = None
    place_wanted: bool = False
    sleeps: tuple[Sleep, ...] = ()
    set_back: SetBack | None = None
    count_runs: bool = True  # of use only where runs per hour are limited


def look(session: str, ports: HostPorts, situation: Situation) -> View:
    """Read the container first, then the files: what a dead container left can change no more.

    The clock was read before both: nothing seen can be older than it is, and ages come out too young, never too old.
    Raises SessionFault if the files cannot be read; a hot journal is rolled back once its writer is known dead.
    """
    store, now_ms = ports.sessions.store(session), situation.now_ms
    latest = ports.state.incarnations.latest(session)
    handle = None if latest is None else latest.handle
    seen = None if handle is None else ports.runner.look(handle)
    if situation.doubt is not None:
        seen = Unknown(reason=situation.doubt)
    since = None if latest is None else latest.mark
    reading = read_files(store, now_ms, since, writer_dead=seen is None or isinstance(seen, Ended))
    if isinstance(seen, Ended) and handle is not None and latest is not None:
        bury(session, latest, seen, reading, ports)
        ports.runner.forget(handle)
    parked = standing(ports.state.notes.parked(session), reading.recurring) if reading.recurring else ()
    since_ms = now_ms - HOUR_MS
    runs = store.runs(since_ms, ports.state.charges.runs(session, since_ms)) if situation.count_runs else ()
    snapshot = SweepSnapshot(
        now_ms=now_ms,
        incarnation=0 if latest is None else latest.number,
        messages=reading.messages,
        acks=reading.acks,
        container=_container(session, ports, store, reading, seen, latest, situation),
        marks=ports.state.charges.marks(session),
        recurring=next_occurrences(reading.recurring, parked, ports.zone, now_ms),
        random_permille=ports.random_permille(),
        runs=runs,
        backoffs=ports.state.charges.backoffs(session, now_ms),
    )
    return View(session=session, store=store, snapshot=snapshot, reading=reading, handle=handle, parked=parked)


def bury(session: str, incarnation: Incarnation, ended: Ended, reading: SessionReading, ports: HostPorts) -> None:
    """Record the end of a container, next to what the host had intended; an end that nobody saw blames nobody."""
    if is_refused(incarnation, ended):
        reason = refusal(reading, lambda message_id: ports.sessions.store(session).error_note(message_id))
        ports.state.pauses.add(session, reason, ended.ended_at_ms)
        ports.report(FaultSeen(session, "login", "refused", f"{reason}; mend it, then: turnkeel resume {session}"))
    unseen = ended.exit_code is None and ended.signal is None
    ports.state.incarnations.ended(
        session,
        incarnation.number,
        at_ms=ended.ended_at_ms,
        ending="stopped" if incarnation.intent is not None else "host_gone" if unseen else "exited",
        exit_code=ended.exit_code,
        exit_signal=ended.signal,
        progressed=bool(reading.progressed),
        oom=ended.oom,
    )
    report = Died(session, incarnation.number, ended.exit_code, ended.signal, incarnation.intent, ended.oom)
    ports.report(report)


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
            files, back, read_at_ms = store.signature(), situation.set_back, ports.clock.read().wall_ms
            facts = running_facts(situation.now_ms, latest.spawned_at_ms, reading, files, back, read_at_ms)
            if facts.spawned_at_ms is not None and facts.spawned_at_ms < latest.spawned_at_ms:
                # Kept: once the clock is there again, all that it did since would look older than itself.
                ports.state.incarnations.spawned_by(session, latest.number, facts.spawned_at_ms)
            return evolve(facts, place_wanted=situation.place_wanted, sleeps=situation.sleeps)
        case _:
            deaths, blocked = ports.state.incarnations.deaths(session), situation.blocked
            if blocked is None and ports.runner.trouble() is not None:
                blocked = "runtime"
            if blocked is None and ports.state.pauses.is_paused(session):
                blocked = "paused"
            refused = is_refused(latest, seen if isinstance(seen, Ended) else None)
            return NoContainer(orphans=reading.claims, deaths=deaths, blocked=blocked, login_refused=refused)
