"""Which channels has a host, by their names?"""

from collections.abc import Callable, Mapping, Sequence

from turnkeel_adapters.channels.local import LOCAL, LocalChannel
from turnkeel_adapters.channels.records import Channel
from turnkeel_adapters.channels.settings import WebhookSettings
from turnkeel_adapters.errors import AdapterError


class ExtraMissing(AdapterError):
    """The configuration wants what an optional part of this package does; the text says how to install it."""


def open_channels(
    webhooks: Sequence[tuple[str, WebhookSettings]], environ: Mapping[str, str], now_ms: Callable[[], int]
) -> dict[str, Channel]:
    """`local`, and each configured one; a terminal is added by whoever has one. ExtraMissing."""
    channels: dict[str, Channel] = {LOCAL: LocalChannel(now_ms)}
    for name, settings in webhooks:
        channels[name] = _webhook(name, settings, environ, now_ms)
    return channels


def _webhook(name: str, settings: WebhookSettings, environ: Mapping[str, str], now_ms: Callable[[], int]) -> Channel:
    try:
        # Only a host with webhooks pays for an HTTP client, or needs one.
        from turnkeel_adapters.channels.webhook import WebhookChannel
    except ModuleNotFoundError as error:
        raise ExtraMissing(f"channels.{name}: needs {error.name}; install turnkeel[web]") from error
    return WebhookChannel(settings, environ, now_ms)
