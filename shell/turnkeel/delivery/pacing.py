"""When may a channel be called next?"""

from collections.abc import Iterable, Mapping

from turnkeel_adapters.channels import Channel
from turnkeel_adapters.system.clock import Instant
from turnkeel_core import ChannelFacts


class Pacing:
    """How the channels stand, as this process knows it; kept in monotonic time, so that no clock can spoil it."""

    def __init__(self, channels: Mapping[str, Channel]) -> None:
        self._channels = channels
        self._resume_mono_ms: dict[str, int] = {}
        self._start_mono_ms: dict[str, int] = {}
        self._backlog_mono_ms: dict[str, int] = {}

    def pause(self, channel: str, until_mono_ms: int) -> None:
        """The channel asked for a pause; a shorter one ends no longer one."""
        self._resume_mono_ms[channel] = max(until_mono_ms, self._resume_mono_ms.get(channel, 0))

    def backlog_sent(self, channel: str, mono_ms: int) -> None:
        """A send from the backlog starts."""
        self._backlog_mono_ms[channel] = mono_ms

    def next_start(self, channel: str, mono_ms: int) -> int:
        """Take the next place in the channel's own pace: the instant of that start."""
        known = self._channels.get(channel)
        start_ms = max(mono_ms, self._start_mono_ms.get(channel, mono_ms))
        self._start_mono_ms[channel] = start_ms + (0 if known is None else known.capabilities.pace_ms)
        return start_ms

    def facts(self, now: Instant, full: Iterable[str], fallback_ms: int) -> tuple[ChannelFacts, ...]:
        """The channels for `plan_deliveries`; `full` ones get no more until a call of theirs ends."""
        paused, ahead_ms = set(full), now.wall_ms - now.mono_ms
        facts: list[ChannelFacts] = []
        for name, channel in self._channels.items():
            until_ms = max(self._resume_mono_ms.get(name, 0), self._start_mono_ms.get(name, 0))
            if name in paused:
                until_ms = max(until_ms, now.mono_ms + fallback_ms)
            backlog_ms = self._backlog_mono_ms.get(name)
            facts.append(
                channel.capabilities.facts(
                    name,
                    resume_at_ms=until_ms + ahead_ms if until_ms > now.mono_ms else None,
                    last_backlog_at_ms=None if backlog_ms is None else backlog_ms + ahead_ms,
                )
            )
        return tuple(facts)
