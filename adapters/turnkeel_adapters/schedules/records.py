"""What is kept of a schedule, and of each of its nominal times?"""

from typing import Final, Literal, TypeAlias

from attrs import field, frozen
from attrs.validators import in_

from turnkeel_core import CatchUp, Overlap, ResumeContext

Kind: TypeAlias = Literal["once", "interval", "cron"]
Status: TypeAlias = Literal["active", "paused", "done", "cancelled", "parked"]
Outcome: TypeAlias = Literal[
    "claimed",
    "queued",
    "ran",
    "failed",
    "aborted",
    "missed",
    "skipped_late",
    "skipped_paused",
    "skipped_closed",
    "skipped_overlap",
    "cancelled",
]
OPEN: Final = frozenset({"claimed", "queued"})
RAN: Final = frozenset({"claimed", "ran", "failed", "aborted"})
"""Not of these and not queued: it never ran."""


@frozen(kw_only=True)
class Schedule:
    """A series of runs of one prompt in one session.

    `value`: milliseconds, a cron text, or of `once` the instant as it was given. `zone` is its own IANA zone.
    `next_at_ms`: the nominal time it waits for, None unless it is active or paused; `moved_at_ms` when that was set.
    `context`: its runs stand alone, or take part in the session's conversation. `reason`: why it is parked. The answer
    goes to `channel`, `account`, `chat`, `thread`.
    """

    series: str
    session: str
    kind: Kind = field(validator=in_(("once", "interval", "cron")))
    value: str
    zone: str
    prompt: str
    channel: str
    account: str = ""
    chat: str = ""
    thread: str | None = None
    catch_up: CatchUp = CatchUp()
    overlap: Overlap = field(default="skip", validator=in_(("skip", "queue", "replace")))
    grace_ms: int | None = None
    context: ResumeContext = field(default="isolated", validator=in_(("group", "isolated")))
    status: Status = "active"
    next_at_ms: int | None
    moved_at_ms: int
    starts_at_ms: int | None = None
    made_at_ms: int
    reason: str | None = None


@frozen(kw_only=True)
class Occurrence:
    """One nominal time of a series and what became of it; (series, nominal time) is there once.

    `until_at_ms` and `count` tell of missed ones that are kept in one row (`count` None: not counted). `by_hand`: a
    person asked for it. `turn_id` names the turn of one that was claimed, also when the turn is kept no longer.
    """

    series: str
    nominal_at_ms: int
    outcome: Outcome
    noted_at_ms: int
    by_hand: bool = False
    turn_id: str | None = None
    ended_at_ms: int | None = None
    until_at_ms: int
    count: int | None = 1
    reason: str | None = None


@frozen(kw_only=True)
class LastLook:
    """When a host looked at its schedules last, and by when it means to have looked again, whatever holds it up.

    `trouble`: which schedules could not be looked at, and why.
    """

    looked_at_ms: int
    alarm_at_ms: int
    trouble: str | None = None
