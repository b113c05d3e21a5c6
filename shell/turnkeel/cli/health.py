"""What waits for a person? Dead letters, replies whose arrival is unknown, channels that are not set up."""

from attrs import frozen

from turnkeel.cli.reading import Reading, patiently
from turnkeel_adapters.lifecycle.trouble import ChannelTrouble, channels_in_trouble


@frozen(kw_only=True)
class Health:
    """How many dead letters there are, and the channels with replies that do not go their way by themselves."""

    dead: int
    channels: tuple[ChannelTrouble, ...] = ()

    @property
    def unknown(self) -> int:
        """How many replies nobody knows the arrival of."""
        return sum(one.unknown for one in self.channels)


def health_of(reading: Reading) -> Health:
    """As the store says now."""
    dead = sum(patiently(reading.state.dead.counts).values())
    return Health(dead=dead, channels=patiently(lambda: channels_in_trouble(reading.state.database)))


def health_line(health: Health) -> str | None:
    """The same in one line, each with the command that tells more; None if nothing waits for a person."""
    parts: list[str] = []
    if health.dead:
        parts.append(f"{_count(health.dead, 'dead letter')}: turnkeel dead list")
    if health.unknown:
        parts.append(f"{_count(health.unknown, 'reply')} whose arrival is unknown: turnkeel outbox --status unknown")
    for one in health.channels:
        if one.deferred:
            waits = "waits" if one.deferred == 1 else "wait"
            what = f"{_count(one.deferred, 'reply')} {waits} until channel {one.channel} can be used"
            parts.append(f"{what}: turnkeel outbox --channel {one.channel}")
    return f"attention: {'; '.join(parts)}" if parts else None


def _count(number: int, noun: str) -> str:
    many = noun.removesuffix("y") + "ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else many}"
