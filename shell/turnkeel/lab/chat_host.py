"""Which host can the demo kill? One in a process of its own: `chat_host DATA KEYED KEYLESS`, two URLs of chats."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Final

from attrs import evolve

from turnkeel.cli.assemble import open_host
from turnkeel.events import HostEvent
from turnkeel.lab.cast import demo_config
from turnkeel.lab.chat_channel import channel_to
from turnkeel_adapters.channels import LOCAL, LocalChannel
from turnkeel_adapters.config.records import HostConfig
from turnkeel_adapters.system.clock import SystemClock
from turnkeel_core import DeliveryPolicy, OutboxPolicy

KEYED: Final = "chat"
KEYLESS: Final = "old-chat"

# -P: an agent's working directory is its session folder, and nothing is imported from it.
AGENT: Final = (sys.executable, "-P", "-m", "turnkeel.lab.demo_agent")


def config() -> HostConfig:
    """The limits of the first part, with the waits between sends shortened in the same way."""
    return evolve(
        demo_config(AGENT),
        outbox=OutboxPolicy(max_attempts=9, backoff_ms=(300, 600), pace_ms=50),
        delivery=DeliveryPolicy(fallback_ms=1_000, stop_grace_ms=1_000),
    )


def main() -> int:
    """Serve until nothing is left to do and to send, or until a signal."""
    data, keyed, keyless = sys.argv[1:]
    clock = SystemClock()
    channels = {
        LOCAL: LocalChannel(lambda: clock.read().wall_ms),
        KEYED: channel_to(keyed, idempotent=True),
        KEYLESS: channel_to(keyless, idempotent=False),
    }
    with open_host(Path(data), config(), _silent, channels) as host:

        async def serve() -> None:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                asyncio.get_running_loop().add_signal_handler(number, host.stop)
            await host.run(until_idle=True)

        asyncio.run(serve())
    return 0


def _silent(event: HostEvent) -> None:
    """What becomes of it is read back from the files."""


if __name__ == "__main__":
    sys.exit(main())
