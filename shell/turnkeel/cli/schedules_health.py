"""Are the schedules looked at, and which of them wait for a person?"""

from typing import Final

from attrs import frozen

from turnkeel.cli.reading import Reading, patiently
from turnkeel.cli.render import render_ago
from turnkeel_adapters.schedules.records import LastLook
from turnkeel_adapters.schedules.rows import ScheduleRows
from turnkeel_core import SchedulePolicy

_USUAL_MS: Final = SchedulePolicy().missed_looks * SchedulePolicy().look_ms


@frozen(kw_only=True)
class SchedulesHealth:
    """How many schedules have a time to come, how many are parked, and the last look of the host at them.

    `late`: a host is at work, and by its own word it should have looked again by now.
    """

    waiting: int = 0
    parked: tuple[str, ...] = ()
    last_look: LastLook | None = None
    up: bool = False
    late: bool = False


def schedules_health_of(reading: Reading, now_ms: int) -> SchedulesHealth:
    """As the store says now."""
    return patiently(lambda: _read(reading, now_ms))


def schedules_line(health: SchedulesHealth, now_ms: int) -> str | None:
    """How it goes; None where there are no schedules."""
    if not health.waiting and not health.parked:
        return None
    count = "1 waits" if health.waiting == 1 else f"{health.waiting} wait"
    look = health.last_look
    looked = "never looked at" if look is None else f"last looked at {render_ago(now_ms - look.looked_at_ms)}"
    parked = f", {len(health.parked)} parked" if health.parked else ""
    return f"schedules: {count}{parked}, {looked}"


def schedule_troubles(health: SchedulesHealth) -> tuple[str, ...]:
    """What a person should see to, each with the command that tells more."""
    parts: list[str] = []
    if health.waiting and not health.up:
        parts.append("schedules wait, and no host is at work: turnkeel run")
    elif health.late:
        parts.append("the host does not look at its schedules: turnkeel status, and its log")
    if health.last_look is not None and health.last_look.trouble is not None and health.waiting:
        parts.append(f"{health.last_look.trouble}: turnkeel sched list")
    if health.parked:
        parts.append(f"parked: {', '.join(health.parked)}: turnkeel sched list")
    return tuple(parts)


def _read(reading: Reading, now_ms: int) -> SchedulesHealth:
    with reading.state.database.reading() as connection:
        rows = ScheduleRows(connection, str)
        waiting = tuple(one for one in rows.waiting() if one.next_at_ms is not None)
        parked = tuple(one.series for one in rows.all() if one.status == "parked")
        look = rows.last_look()
    host = reading.host
    late = False
    if host is not None and waiting:
        # For a schedule that was made, or a host that was started, since the last look, the next one is still to come.
        made_at_ms = max(one.moved_at_ms for one in waiting)
        begun_at_ms = max(made_at_ms, host.started_at_ms or 0, 0 if look is None else look.looked_at_ms)
        patience_ms = _USUAL_MS if look is None else look.alarm_at_ms - look.looked_at_ms
        late = now_ms - begun_at_ms >= patience_ms
    return SchedulesHealth(waiting=len(waiting), parked=parked, last_look=look, up=host is not None, late=late)
