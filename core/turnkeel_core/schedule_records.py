"""What is known of a schedule at one look, and what can be done about it?"""

from typing import Literal, TypeAlias

from attrs import field, frozen
from attrs.validators import and_, ge, in_, instance_of, optional

Overlap: TypeAlias = Literal["skip", "queue", "replace"]
MissedOutcome: TypeAlias = Literal["missed", "skipped_late", "skipped_paused", "skipped_closed"]

_LATE = ("skip", "latest", "all", "within")


@frozen
class NextRun:
    """The next nominal time, strictly after the instant asked about."""

    at_ms: int


@frozen
class NoMoreRuns:
    """The schedule is done: it ran, or was to run, once."""


@frozen
class ScheduleRefused:
    """It can have no next run: `what` is wrong, and `reason` says how."""

    what: Literal["kind", "interval", "cron", "timezone"]
    reason: str


NextRunAnswer: TypeAlias = NextRun | NoMoreRuns | ScheduleRefused


@frozen(kw_only=True)
class CatchUp:
    """Which missed runs are made up for.

    skip    none; the newest still runs within its grace
    latest  the newest, however late
    all     the newest `limit`, each (None: as many as the policy allows)
    within  those at most `window_ms` late, each
    """

    runs: Literal["skip", "latest", "all", "within"] = field(default="latest", validator=in_(_LATE))
    limit: int | None = field(default=None, validator=optional(and_(instance_of(int), ge(1))))
    window_ms: int | None = field(default=None, validator=optional(and_(instance_of(int), ge(0))))

    def __attrs_post_init__(self) -> None:
        if (self.runs == "within") != (self.window_ms is not None):
            raise ValueError("`within` needs window_ms, and nothing else has it")
        if self.limit is not None and self.runs != "all":
            raise ValueError("only `all` has a limit")


@frozen(kw_only=True)
class OlderRuns:
    """Nominal times that are told together: the first, the last, and how many; `count` None: not counted."""

    first_at_ms: int
    until_at_ms: int
    count: int | None


@frozen(kw_only=True)
class DueRuns:
    """The nominal times that have come, the newest ones oldest first, and what follows strictly after now."""

    following: NextRunAnswer
    due_at_ms: tuple[int, ...] = ()
    older: OlderRuns | None = None


@frozen(kw_only=True)
class OccurrenceSnapshot:
    """One schedule, its occurrences that have not ended, and what is due of it, read in one transaction.

    `next_at_ms` is the stored nominal time (None: done), `moved_at_ms` when it was stored. `known_at_ms`: those due
    that the store holds already. `running_at_ms`: nominal times whose turn is open. `queued_at_ms`: those that wait
    for one of these. `hold`: why nothing starts just now. `grace_ms` None: by the period. `starts_at_ms`: none before.
    """

    now_ms: int
    series: str
    next_at_ms: int | None
    moved_at_ms: int
    runs: DueRuns
    catch_up: CatchUp = CatchUp()
    overlap: Overlap = field(default="skip", validator=in_(("skip", "queue", "replace")))
    grace_ms: int | None = None
    known_at_ms: tuple[int, ...] = ()
    running_at_ms: tuple[int, ...] = ()
    queued_at_ms: tuple[int, ...] = ()
    hold: Literal["paused", "closed"] | None = None


@frozen
class ClaimOccurrence:
    """Take (series, nominal time) for good and accept its turn in the same transaction; taken before: nothing."""

    series: str
    nominal_at_ms: int
    late_ms: int


@frozen
class RecordMissed:
    """This nominal time does not run. `until_at_ms` and `count` tell of those recorded together with it."""

    series: str
    nominal_at_ms: int
    outcome: MissedOutcome
    until_at_ms: int
    count: int | None = 1


@frozen
class SkipOverlap:
    """It does not run, because that of `running_at_ms` still does."""

    series: str
    nominal_at_ms: int
    running_at_ms: int


@frozen
class QueueOverlap:
    """It waits until that of `running_at_ms` has ended."""

    series: str
    nominal_at_ms: int
    running_at_ms: int


@frozen
class ReplaceRunning:
    """Stop the run of this nominal time, since a newer one is due."""

    series: str
    nominal_at_ms: int


@frozen
class MoveSchedule:
    """The next nominal time to wait for; None: the schedule is done."""

    series: str
    next_at_ms: int | None


@frozen
class ParkSchedule:
    """Nothing can follow; the schedule stands still until somebody changes it."""

    series: str
    reason: str


OccurrenceAction: TypeAlias = (
    ClaimOccurrence | RecordMissed | SkipOverlap | QueueOverlap | ReplaceRunning | MoveSchedule | ParkSchedule
)
