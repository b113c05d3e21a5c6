"""Which limits do schedules have, and why these values?"""

from attrs import field, frozen
from attrs.validators import ge, instance_of, optional

_COUNT = (instance_of(int), ge(0))
_AT_LEAST_ONE = (instance_of(int), ge(1))


def _why(reason: str) -> dict[str, str]:
    return {"reason": reason}


@frozen(kw_only=True)
class SchedulePolicy:
    """Limits of `compute_next_run` and `plan_occurrences` (spec/tars-and-b01.md §3)."""

    max_interval_ms: int = field(
        default=366 * 86_400_000,
        validator=_AT_LEAST_ONE,
        metadata=_why("longer than a leap year is a slip of the pen"),
    )
    malformed_interval_ms: int | None = field(
        default=None,
        validator=optional(_AT_LEAST_ONE),
        metadata=_why("a text that is no interval is refused; NanoClaw would run it again after 60 s"),
    )
    due_limit: int = field(
        default=1_000, validator=_AT_LEAST_ONE, metadata=_why("a year of missed seconds must not become a row each")
    )
    catch_up_limit: int = field(
        default=100, validator=_AT_LEAST_ONE, metadata=_why("no outage may start more late runs than this at once")
    )
    queue_limit: int = field(
        default=1, validator=_AT_LEAST_ONE, metadata=_why("one run that waits brings a slow series up to date")
    )
    grace_permille: int = field(
        default=500, validator=_COUNT, metadata=_why("half a period late is still nearer to this run than to the next")
    )
    grace_min_ms: int = field(
        default=120_000, validator=_COUNT, metadata=_why("a restart or a reconnect of two minutes is no missed run")
    )
    grace_max_ms: int = field(
        default=7_200_000, validator=_COUNT, metadata=_why("after two hours a briefing for the morning is stale")
    )
    look_ms: int = field(
        default=60_000,
        validator=_AT_LEAST_ONE,
        metadata=_why("once a minute covers clocks that were set, and lost rings"),
    )
    queued_look_ms: int = field(
        default=1_000, validator=_AT_LEAST_ONE, metadata=_why("a run that waits for another starts soon after its end")
    )
    missed_looks: int = field(
        default=3,
        validator=_AT_LEAST_ONE,
        metadata=_why("one late look is a busy machine, three are a stopped scheduler"),
    )
    shortest_ms: int = field(
        default=1_000,
        validator=_AT_LEAST_ONE,
        metadata=_why("an agent that starts more than once a second is a runaway"),
    )
    retention_ms: int = field(
        default=90 * 86_400_000,
        validator=_AT_LEAST_ONE,
        metadata=_why("a quarter of a year tells what ran and what did not"),
    )
