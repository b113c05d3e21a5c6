"""What can go wrong with a container runtime, and whose fault is it not?"""

from turnkeel_adapters.runners.errors import RuntimeUnavailable, SpawnFailed

__all__ = ["RuntimeDown", "RuntimeUnavailable"]


class RuntimeDown(SpawnFailed):
    """No container started because the runtime could not be asked; image and agent are not to blame."""

    def __init__(self, session: str, reason: str) -> None:
        super().__init__(session, reason, "the start is tried again; `doctor` says what the runtime lacks")
