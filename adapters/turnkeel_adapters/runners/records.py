"""What does a host tell a runner, and what does it get back?"""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from attrs import frozen


@frozen(kw_only=True)
class SpawnOrder:
    """One incarnation to start. `environment` is complete: nothing is inherited from the host.

    `argv[0]` is looked up on the PATH of `environment`; with a slash in it, it counts from `folder`.
    """

    session: str
    incarnation: int
    folder: Path
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    log_path: Path


@frozen(kw_only=True)
class Handle:
    """One container by its identity in the runtime.

    For a process `container_id` is "pid:start", the start in clock ticks since boot: a recycled pid never fits it.
    """

    runtime: str
    container_id: str
    session: str
    incarnation: int
    spawned_at_ms: int


@frozen(kw_only=True)
class Alive:
    """Something of the container still runs."""


@frozen(kw_only=True)
class Ended:
    """Nothing of the container runs. Both None: it is gone, and nobody saw how its program ended.

    `oom`: the runtime saw the kernel kill something of it for want of memory.
    """

    exit_code: int | None
    signal: int | None
    ended_at_ms: int
    oom: bool = False


@frozen(kw_only=True)
class Unknown:
    """The runtime could not be asked."""

    reason: str


@frozen(kw_only=True)
class Stopped:
    """Verified gone. `forced`: its program outlived the grace and was killed.

    `survivors_killed` counts other processes of the container that had to be killed.
    """

    ended: Ended
    forced: bool
    survivors_killed: int


@frozen(kw_only=True)
class StillThere:
    """These processes could not be ended: the session has a writer, and must not get a second."""

    reason: str
    pids: tuple[int, ...]


LookOutcome: TypeAlias = Alive | Ended | Unknown
StopOutcome: TypeAlias = Stopped | StillThere
