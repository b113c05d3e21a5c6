"""Who plays in the demo, what does each agent do, and what must become of its messages?"""

from typing import Final

from attrs import frozen

from turnkeel_adapters.config.records import AgentConfig, HostConfig
from turnkeel_core import HostPolicy, RetryPolicy, SpawnPolicy, StartPolicy, StuckPolicy

OUTPUT_LIMIT_BYTES: Final = 262_144


@frozen(kw_only=True)
class Role:
    """One session. `answered` and `failed` say how many of its `messages` must end so.

    `kill` is the kill that the plot leads to, None if the host must never kill here (on a machine slow enough another
    limit may be reached first: any kill will do). `broken`: its files cannot be read.
    """

    name: str
    plot: str
    messages: int = 1
    answered: int = 0
    failed: int = 0
    kill: str | None = None
    broken: bool = False

    @property
    def session(self) -> str:
        """The session's full name."""
        return f"main/{self.name}"

    @property
    def message_ids(self) -> tuple[str, ...]:
        """The ids under which its messages are sent."""
        return tuple(f"{self.name}-{number}" for number in range(1, self.messages + 1))


CAST: Final = (
    Role(name="answers", plot="answers", messages=3, answered=3),
    Role(name="crashes-always", plot="kills itself at every try", failed=1),
    Role(name="crashes-once", plot="kills itself in mid-message, answers the next time", messages=2, answered=2),
    Role(name="exec", plot="any program: tr a-z A-Z under agent exec", messages=2, answered=2),
    Role(name="floods", plot="prints without end", failed=1),
    Role(name="forks", plot="leaves detached children behind", answered=1),
    Role(name="hangs-beating", plot="beats, but its work stands still", answered=1, kill="KillNoProgress"),
    Role(name="hangs-silently", plot="gives no sign and ignores TERM", answered=1, kill="KillStaleClaim"),
    Role(name="poison", plot="its inbound.db is garbage", messages=0, broken=True),
    Role(name="says-nothing", plot="exits 0 without a word", failed=1),
)


def demo_config(argv: tuple[str, ...]) -> HostConfig:
    """The demo's limits: those of a real host, shortened until minutes become seconds, with room for a slow machine."""
    return HostConfig(
        timezone="UTC",
        stuck=StuckPolicy(claim_tolerance_ms=2_500, progress_silence_ms=4_000, idle_stop_ms=400, timeout_tools=None),
        retry=RetryPolicy(max_tries=2, base_ms=300),
        spawn=SpawnPolicy(base_ms=300),
        start=StartPolicy(max_running=4),
        host=HostPolicy(
            doorbell_poll_ms=50,
            running_poll_ms=100,
            idle_scan_ms=500,
            stop_grace_ms=500,
            log_max_bytes=100_000,
            log_keep=1,
        ),
        agent=AgentConfig(argv=argv, speaks_contract=True),
    )
