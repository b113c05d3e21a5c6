"""What can go wrong with a container runtime, and whose fault is it not?"""

from turnkeel_adapters.runners.errors import RunnerError, SpawnFailed


class RuntimeUnavailable(RunnerError):
    """The runtime gave no usable answer: a state of the machine, no fault of a session; `doctor` says what it lacks."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RuntimeDown(SpawnFailed):
    """No container started because the runtime could not be asked; image and agent are not to blame."""

    def __init__(self, session: str, reason: str) -> None:
        super().__init__(session, reason, "the start is tried again; `doctor` says what the runtime lacks")
