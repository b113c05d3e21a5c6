"""Which channels have open rows that wait for a person?"""

from typing import Final, cast

from attrs import frozen

from turnkeel_adapters.state.database import StateDatabase

SQL: Final = (
    "SELECT channel, sum(status = 'unknown'), sum(deferred_since_at_ms IS NOT NULL), min(deferred_since_at_ms)"
    " FROM outbox WHERE completed_at_ms IS NULL GROUP BY channel"
)


@frozen(kw_only=True)
class ChannelTrouble:
    """Of a channel's open rows: how many have an unknown outcome, and how many wait for it to be set up, since when."""

    channel: str
    unknown: int
    deferred: int
    deferred_since_at_ms: int | None


def channels_in_trouble(database: StateDatabase) -> tuple[ChannelTrouble, ...]:
    """By name; none if every open row goes its way by itself. Costs by what is open. StateFault."""
    rows = cast("list[tuple[str, int, int, int | None]]", database.rows(SQL))
    found = (ChannelTrouble(channel=c, unknown=u, deferred=d, deferred_since_at_ms=at) for c, u, d, at in rows)
    return tuple(sorted((one for one in found if one.unknown or one.deferred), key=lambda one: one.channel))
