"""Is there a channel of the name by which an answer is to go?"""

import sys
from pathlib import Path

from turnkeel.cli.errors import WrongUsage
from turnkeel_adapters.config.channels import BUILT_IN
from turnkeel_adapters.config.records import HostConfig


def require_channel(name: str, settings: HostConfig, config: Path | None) -> None:
    """WrongUsage if the configuration knows none; without one only the host can tell, and the operator is warned."""
    known = {*BUILT_IN, *(one for one, _ in settings.channels)}
    if name in known:
        return
    if config is not None:
        raise WrongUsage(f"no channel is called {name!r:.80}; {config} has: {', '.join(sorted(known))}")
    print(
        f"turnkeel: nothing here says whether there is a channel {name!r:.80} (give --config): "
        "an answer for one that the host does not have waits in its outbox",
        file=sys.stderr,
    )
