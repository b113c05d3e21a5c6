"""What does the question "is it stuck?" see, and which answers are there?"""

from typing import Literal, TypeAlias

from attrs import frozen

from turnkeel_core.facts import Claim, DeclaredTool, Sleep, Waiting


@frozen(kw_only=True)
class StuckSnapshot:
    """What is known of a running container at `now_ms`; read in one look, claims in the store's order.

    Of an instant that is not known, None skips the rules that need it. `spawned_at_ms` None: the incarnation is
    unknown, all evidence counts. `outbound_at_ms` is the last write to the outbound store. `progress_at_ms` is the
    last output, tool change or ack. `due_since_ms` is since when a message that the container can see is due; None
    if none is. `place_wanted`: another session waits for this container's place to run. `sleeps` are the sleeps of the
    machine that may lie in the times given (`decide_grace`): they count as no silence. `run_held`: the session has had
    its runs of this hour (`decide_run`), so that nothing further may be taken.
    """

    now_ms: int
    heartbeat_at_ms: int | None = None
    claims: tuple[Claim, ...] = ()
    tool: DeclaredTool | None = None
    spawned_at_ms: int | None = None
    outbound_at_ms: int | None = None
    progress_at_ms: int | None = None
    waiting: Waiting | None = None
    due_since_ms: int | None = None
    last_activity_at_ms: int | None = None
    place_wanted: bool = False
    sleeps: tuple[Sleep, ...] = ()
    run_held: bool = False


@frozen
class LeaveAlone:
    """No rule fires. `until_ms` is the nearest instant at which one would, on these facts alone."""

    reason: Literal["healthy", "no_evidence_yet", "waiting", "resumed"]
    until_ms: int | None


@frozen
class KillOverCeiling:
    """No sign of life for `age_ms` (> `ceiling_ms`), counted from the last heartbeat or write, or from the spawn."""

    age_ms: int
    ceiling_ms: int
    measured_from: Literal["heartbeat", "write", "spawn"] = "heartbeat"


@frozen
class KillNeverStarted:
    """Neither a heartbeat nor a claim nor a write for `age_ms` (> `deadline_ms`) after the spawn."""

    age_ms: int
    deadline_ms: int


@frozen
class KillStaleClaim:
    """`message_id` was claimed `claim_age_ms` ago; no heartbeat came since, and no write for over `tolerance_ms`."""

    message_id: str
    claim_age_ms: int
    tolerance_ms: int


@frozen
class KillNoProgress:
    """`message_id` is claimed and nothing has moved for `silent_ms` (> `limit_ms`), beating or not."""

    message_id: str
    silent_ms: int
    limit_ms: int


@frozen
class KillOverRunLimit:
    """`message_id` has been claimed for `claim_age_ms` (> `limit_ms`)."""

    message_id: str
    claim_age_ms: int
    limit_ms: int


@frozen
class KillIgnoringDue:
    """Work is due and the container has taken none and shown no progress for `silent_ms` (> `limit_ms`)."""

    silent_ms: int
    limit_ms: int


@frozen
class StopIdle:
    """Nothing claimed, last activity `idle_ms` ago (> `limit_ms`): not a kill, charges nothing.

    `idle`: nothing is due either. `place`: nor that, and another session waits for its place. `rate`: what may be due
    must wait, the session has had its runs of this hour.
    """

    idle_ms: int
    limit_ms: int
    reason: Literal["idle", "place", "rate"] = "idle"


StuckAction: TypeAlias = (
    LeaveAlone
    | KillOverCeiling
    | KillNeverStarted
    | KillStaleClaim
    | KillNoProgress
    | KillOverRunLimit
    | KillIgnoringDue
    | StopIdle
)
