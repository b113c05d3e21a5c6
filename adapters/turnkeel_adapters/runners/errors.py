"""What can go wrong with a runner, and who is at fault?"""

from turnkeel_adapters.errors import AdapterError


class RunnerError(Exception):
    """A runner could not do what it was asked."""


class SpawnFailed(RunnerError):
    """A container did not start: nothing runs, and no attempt of the session was made."""

    def __init__(self, session: str, reason: str, advice: str) -> None:
        super().__init__(f"session {session}: {reason}; {advice}")
        self.session = session
        self.reason = reason
        self.advice = advice


class EnvironmentRefused(RunnerError, ValueError):
    """An allow-list pattern or a variable that cannot be meant."""


class RuntimeUnavailable(RunnerError, AdapterError):
    """The runtime gave no usable answer: a state of the machine, no fault of a session; `doctor` says what it lacks."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    @property
    def subject(self) -> str:
        """It is about no file."""
        return "runtime"
