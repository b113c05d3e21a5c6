"""In which condition is a session, and since when?"""

from typing import Literal, TypeAlias

from attrs import evolve, frozen

from turnkeel.host.look import View
from turnkeel_adapters.state.incarnations import Incarnation
from turnkeel_adapters.state.notes import Hold
from turnkeel_adapters.state.pauses import Pause
from turnkeel_core import (
    ContainerUnknown,
    LeaveAlone,
    NoContainer,
    OpenMessage,
    RunLater,
    SpawnLater,
    SpawnSnapshot,
    StuckSnapshot,
    SweepPolicy,
    decide_run,
    decide_spawn,
    decide_stuck_action,
)
from turnkeel_core.sweep_charges import due_messages
from turnkeel_core.sweep_plan import runs_of

State: TypeAlias = Literal["running", "starting", "paused", "waiting", "due", "idle", "faulty", "closed"]


@frozen(kw_only=True)
class Condition:
    """One session as `status` shows it. `reason` belongs to `state`; `until_at_ms` is when a wait ends by itself.

    `due` counts messages that call for a container and that no live one holds, `claimed` those with a claim,
    `failed` rows that are given up, `dead` the open dead records; `tries` is the highest count of an open message.
    `paused_since_at_ms` is set of every paused session, also of one whose container goes on.
    """

    session: str
    state: State
    reason: str | None = None
    since_at_ms: int | None = None
    until_at_ms: int | None = None
    incarnation: int | None = None
    last_progress_at_ms: int | None = None
    heartbeat_at_ms: int | None = None
    due: int = 0
    claimed: int = 0
    oldest_due_at_ms: int | None = None
    oldest_due_age_ms: int | None = None
    next_due_at_ms: int | None = None
    tries: int = 0
    failed: int = 0
    dead: int = 0
    last_error: str | None = None
    last_error_at_ms: int | None = None
    faults: tuple[str, ...] = ()
    paused_since_at_ms: int | None = None
    paused_reason: str | None = None


def with_pause(condition: Condition, pause: Pause | None) -> Condition:
    """The same with its pause, which is the state of a session where nothing runs."""
    if pause is None or condition.state == "closed":
        return condition
    noted = evolve(condition, paused_since_at_ms=pause.since_at_ms, paused_reason=pause.reason)
    if condition.state not in ("due", "waiting", "idle"):
        return noted
    return evolve(noted, state="paused", reason=pause.reason, since_at_ms=pause.since_at_ms, until_at_ms=None)


def condition_of(
    view: View, known: Condition, started: Incarnation | None, hold: Hold | None, policy: SweepPolicy
) -> Condition:
    """The condition of a session just looked at. `known` is what the host remembers of it, `started` its incarnation
    that is not dead, `hold` its hold; the last two None without a host that noted them."""
    counted = _counted(view, known, policy)
    match view.snapshot.container:
        case StuckSnapshot() as container:
            return _running(counted, container, started, policy)
        case ContainerUnknown(reason):
            since = None if started is None else started.spawned_at_ms
            return evolve(counted, state="running", reason=f"not verified: {reason}", since_at_ms=since)
        case _ if started is not None and started.state == "starting":
            return evolve(counted, state="starting", since_at_ms=started.spawned_at_ms, incarnation=started.number)
        case _ if counted.due:
            return _due(counted, view, hold, policy)
        case _:
            return _resting(counted, view)


def _counted(view: View, known: Condition, policy: SweepPolicy) -> Condition:
    seen, reading = view.snapshot, view.reading
    # What a live container holds is claimed; what a dead one held is due again.
    held = {claim.message_id for claim in reading.claims} if isinstance(seen.container, StuckSnapshot) else set[str]()
    due = [message for message in due_messages(seen, policy) if message.message_id not in held]
    since = [at_ms for message in due if (at_ms := _since(message)) is not None]
    pending = [message for message in seen.messages if message.status == "pending"]
    later = [m.due_at_ms for m in pending if m.due_at_ms is not None and m.due_at_ms > seen.now_ms]
    oldest = min(since, default=None)
    return evolve(
        known,
        incarnation=seen.incarnation or None,
        last_progress_at_ms=reading.progress_at_ms,
        heartbeat_at_ms=view.store.signature().heartbeat_at_ms,
        due=len(due),
        claimed=len(reading.claims),
        oldest_due_at_ms=oldest,
        oldest_due_age_ms=None if oldest is None else max(0, seen.now_ms - oldest),
        next_due_at_ms=min(later, default=None),
        tries=max((message.tries or 0 for message in pending), default=0),
        failed=sum(message.status == "failed" for message in seen.messages),
        faults=(*known.faults, *_rows(view, known.faults)),
    )


def _rows(view: View, noted: tuple[str, ...]) -> list[str]:
    found = [(f"{f.table}.{f.column} of {f.message_id}", f.detail) for f in view.reading.row_faults]
    return [f"{row}: bad_row: {detail}" for row, detail in found if not any(row in text for text in noted)]


def _since(message: OpenMessage) -> int | None:
    return message.due_at_ms if message.since_at_ms is None else message.since_at_ms


def _running(
    counted: Condition, container: StuckSnapshot, started: Incarnation | None, policy: SweepPolicy
) -> Condition:
    verdict = decide_stuck_action(container, policy.stuck)
    fresh = isinstance(verdict, LeaveAlone) and verdict.reason == "no_evidence_yet"
    waits = container.waiting
    return evolve(
        counted,
        state="starting" if fresh else "running",
        reason=None if waits is None else f"the agent waits: {waits.reason}",
        until_at_ms=None if waits is None else waits.until_at_ms,
        since_at_ms=container.spawned_at_ms if started is None else started.spawned_at_ms,
    )


def _due(counted: Condition, view: View, hold: Hold | None, policy: SweepPolicy) -> Condition:
    if hold is not None:
        return evolve(
            counted, state="waiting", reason=hold.reason, since_at_ms=hold.since_at_ms, until_at_ms=hold.until_at_ms
        )
    container = view.snapshot.container
    deaths = container.deaths if isinstance(container, NoContainer) else ()
    spawn = decide_spawn(SpawnSnapshot(now_ms=view.snapshot.now_ms, deaths=deaths), policy.spawn)
    if isinstance(spawn, SpawnLater):
        since = max(death.died_at_ms for death in deaths)
        return evolve(counted, state="waiting", reason="backoff", since_at_ms=since, until_at_ms=spawn.at_ms)
    run = decide_run(runs_of(view.snapshot), policy.limit)
    if isinstance(run, RunLater):
        return evolve(counted, state="waiting", reason="rate", until_at_ms=run.at_ms)
    return evolve(counted, state="due", since_at_ms=counted.oldest_due_at_ms)


def _resting(counted: Condition, view: View) -> Condition:
    """Nothing is due; a message that was tried and will be tried again makes the session wait."""
    now_ms = view.snapshot.now_ms
    tried = [message for message in view.snapshot.messages if message.status == "pending" and message.tries]
    retries = [m.due_at_ms for m in tried if m.due_at_ms is not None and m.due_at_ms > now_ms]
    if retries:
        return evolve(counted, state="waiting", reason="retry", until_at_ms=min(retries))
    return evolve(counted, state="idle", since_at_ms=counted.last_progress_at_ms)
