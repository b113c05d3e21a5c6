"""Does a container of Docker or Podman run? Asked by commands that only look."""

import os

from turnkeel_adapters.runners.errors import RuntimeUnavailable
from turnkeel_adapters.runners.oci.command import RuntimeCommand
from turnkeel_adapters.runners.oci.containers import Containers
from turnkeel_adapters.runners.oci.settings import RUNTIMES, RuntimeLimits
from turnkeel_adapters.runners.records import Alive, Ended, Handle, LookOutcome, Unknown

# A person waits for the answer.
_LIMITS = RuntimeLimits(call_ms=3_000)


class SeenContainers:
    """Asks each runtime through its own client program, with this user's rights; one that fails is not asked again."""

    def __init__(self) -> None:
        self._asked: dict[str, Containers] = {}

    def look(self, handle: Handle, now_ms: int) -> LookOutcome:
        """As the runtime says; Unknown if it does not say."""
        if handle.runtime not in RUNTIMES:
            return Unknown(reason=f"this command cannot ask the runtime {handle.runtime}")
        if handle.runtime not in self._asked:
            self._asked[handle.runtime] = Containers(RuntimeCommand(handle.runtime, os.environ, _LIMITS))
        try:
            seen = self._asked[handle.runtime].inspect(handle.container_id)
        except RuntimeUnavailable as error:
            return Unknown(reason=error.reason)
        if seen is None:
            return Ended(exit_code=None, signal=None, ended_at_ms=now_ms)
        return Alive() if seen.alive else seen.ended(now_ms)
