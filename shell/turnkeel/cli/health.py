"""What waits for a person? Dead letters, replies of unknown arrival, channels not set up, schedules that stand."""

import os
from pathlib import Path
from typing import Final

from attrs import frozen

from turnkeel.cli.reading import Reading, patiently
from turnkeel.cli.schedules_health import SchedulesHealth, schedule_troubles, schedules_health_of
from turnkeel_adapters.lifecycle.trouble import ChannelTrouble, channels_in_trouble

_LEAST: Final = 1_048_576


@frozen(kw_only=True)
class Health:
    """How many dead letters there are, and the channels with replies that do not go their way by themselves.

    `disk` says why the data directory takes no message now, or soon will not; None if it does.
    """

    dead: int
    disk: str | None = None
    channels: tuple[ChannelTrouble, ...] = ()
    schedules: SchedulesHealth = SchedulesHealth()

    @property
    def unknown(self) -> int:
        """How many replies nobody knows the arrival of."""
        return sum(one.unknown for one in self.channels)


def health_of(reading: Reading, now_ms: int) -> Health:
    """As the store says now."""
    dead = sum(patiently(reading.state.dead.counts).values())
    channels = patiently(lambda: channels_in_trouble(reading.state.database))
    disk = disk_trouble(reading.data_dir)
    return Health(dead=dead, disk=disk, channels=channels, schedules=schedules_health_of(reading, now_ms))


def disk_trouble(data_dir: Path) -> str | None:
    """What keeps the disk of a data directory from taking a message; None if nothing does."""
    try:
        disk = os.statvfs(data_dir)
    except OSError as error:
        return f"the disk of {data_dir} does not answer ({error.strerror}): check it"
    if disk.f_flag & os.ST_RDONLY:
        return f"{data_dir} is mounted read-only, so that no message is accepted: mount it writable"
    free = disk.f_frsize * (disk.f_bfree if os.geteuid() == 0 else disk.f_bavail)
    if free < _LEAST:
        left = f"the disk of {data_dir} has {free // 1_024} KiB left"
        return f"{left}, and a full one accepts no message: free some space"
    return None


def health_line(health: Health) -> str | None:
    """The same in one line, each with the command that tells more; None if nothing waits for a person."""
    parts = [] if health.disk is None else [health.disk]
    if health.dead:
        parts.append(f"{_count(health.dead, 'dead letter')}: turnkeel dead list")
    if health.unknown:
        parts.append(f"{_count(health.unknown, 'reply')} whose arrival is unknown: turnkeel outbox --status unknown")
    for one in health.channels:
        if one.deferred:
            waits = "waits" if one.deferred == 1 else "wait"
            what = f"{_count(one.deferred, 'reply')} {waits} until channel {one.channel} can be used"
            parts.append(f"{what}: turnkeel outbox --channel {one.channel}")
    parts += schedule_troubles(health.schedules)
    return f"attention: {'; '.join(parts)}" if parts else None


def _count(number: int, noun: str) -> str:
    many = noun.removesuffix("y") + "ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else many}"
