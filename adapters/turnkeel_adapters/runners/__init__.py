"""How are containers started, watched and stopped?"""

from turnkeel_adapters.runners.environment import DEFAULT_ALLOW, DEFAULT_ALLOW_REASONS, compose_environment
from turnkeel_adapters.runners.errors import EnvironmentRefused, RunnerError, SpawnFailed
from turnkeel_adapters.runners.guard.logs import RotatingLog
from turnkeel_adapters.runners.process import ProcessRunner
from turnkeel_adapters.runners.records import (
    Alive,
    Ended,
    Handle,
    LookOutcome,
    SpawnOrder,
    StillThere,
    StopOutcome,
    Stopped,
    Unknown,
)

__all__ = [
    "DEFAULT_ALLOW",
    "DEFAULT_ALLOW_REASONS",
    "Alive",
    "Ended",
    "EnvironmentRefused",
    "Handle",
    "LookOutcome",
    "ProcessRunner",
    "RotatingLog",
    "RunnerError",
    "SpawnFailed",
    "SpawnOrder",
    "StillThere",
    "StopOutcome",
    "Stopped",
    "Unknown",
    "compose_environment",
]
