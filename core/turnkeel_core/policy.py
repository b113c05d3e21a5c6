"""Which limits do the decisions use, and why these values?

Every threshold stands here, with its default and the reason for it in one line. Durations are milliseconds. A value
out of its range raises ValueError or TypeError naming the field.
"""

from attrs import Factory, field, frozen
from attrs.validators import ge, instance_of, optional

_COUNT = (instance_of(int), ge(0))
_AT_LEAST_ONE = (instance_of(int), ge(1))
_OPTIONAL_COUNT = optional(_COUNT)


def _why(reason: str) -> dict[str, str]:
    return {"reason": reason}


@frozen(kw_only=True)
class StuckPolicy:
    """Limits of `decide_stuck_action` (DESIGN §4; spec/nanoclaw.md §5.2)."""

    ceiling_ms: int = field(
        default=1_800_000, validator=_COUNT, metadata=_why("30 min without a heartbeat is the existing host's ceiling")
    )
    claim_tolerance_ms: int = field(
        default=60_000, validator=_COUNT, metadata=_why("a claimed message gets 60 s until the first sign of life")
    )
    startup_deadline_ms: int = field(
        default=120_000,
        validator=_COUNT,
        metadata=_why("set-up (tool servers, model login) may take a minute; twice that"),
    )
    progress_silence_ms: int = field(
        default=1_800_000, validator=_COUNT, metadata=_why("a beating agent whose work stands still for 30 min hangs")
    )
    unclaimed_limit_ms: int = field(
        default=1_800_000, validator=_COUNT, metadata=_why("a container that takes no due work for 30 min is of no use")
    )
    run_limit_ms: int | None = field(
        default=None, validator=_OPTIONAL_COUNT, metadata=_why("off: long runs are legitimate; set it to cap wall time")
    )
    idle_stop_ms: int = field(
        default=900_000, validator=_COUNT, metadata=_why("15 min keeps a chat warm without holding memory all day")
    )
    idle_yield_ms: int = field(
        default=1_000, validator=_COUNT, metadata=_why("a warm chat is no reason to let another session wait")
    )
    waiting_limit_ms: int = field(
        default=3_600_000, validator=_COUNT, metadata=_why("rate limits and approvals rarely need more than an hour")
    )
    timeout_tools: tuple[str, ...] | None = field(
        default=("Bash",), metadata=_why("the existing runner declares timeouts for Bash only; None trusts every tool")
    )


@frozen(kw_only=True)
class SuspendPolicy:
    """Limits of `decide_grace` and of what a host keeps of its answers (DESIGN §4.4)."""

    jump_ms: int = field(
        default=5_000, validator=_COUNT, metadata=_why("wall time may drift by milliseconds; 5 s is a sleep or a step")
    )
    remembered: int = field(
        default=64, validator=_AT_LEAST_ONE, metadata=_why("a host keeps the latest sleeps; an hour holds far fewer")
    )


@frozen(kw_only=True)
class RetryPolicy:
    """Limits of `decide_retry` (spec/nanoclaw.md §5.3)."""

    max_tries: int = field(
        default=5, validator=_COUNT, metadata=_why("the existing host gives up at the sixth orphaned attempt")
    )
    base_ms: int = field(
        default=5_000, validator=_COUNT, metadata=_why("5 s, doubled per try, is the existing backoff")
    )
    max_delay_ms: int = field(
        default=3_600_000, validator=_COUNT, metadata=_why("with more tries allowed, doubling must still end at 1 h")
    )
    jitter_permille: int = field(
        default=200, validator=_COUNT, metadata=_why("up to 20 % longer, when the snapshot brings a random number")
    )


@frozen(kw_only=True)
class SpawnPolicy:
    """Limits of `decide_spawn`: how fast a session's dying containers are replaced."""

    base_ms: int = field(
        default=10_000, validator=_COUNT, metadata=_why("the second fruitless death in a row waits 10 s, then doubles")
    )
    max_delay_ms: int = field(
        default=300_000, validator=_COUNT, metadata=_why("a broken agent is tried every 5 min, not forgotten")
    )
    healthy_ms: int = field(
        default=600_000, validator=_COUNT, metadata=_why("a container that lived 10 min was healthy: count anew")
    )


@frozen(kw_only=True)
class StartPolicy:
    """Limit of `plan_starts` (DESIGN §4.12)."""

    max_running: int = field(
        default=5, validator=_AT_LEAST_ONE, metadata=_why("five agents fit a small machine; the rest wait their turn")
    )


@frozen(kw_only=True)
class SweepPolicy:
    """Everything one pass over one session uses."""

    stuck: StuckPolicy = Factory(StuckPolicy)
    retry: RetryPolicy = Factory(RetryPolicy)
    spawn: SpawnPolicy = Factory(SpawnPolicy)
    due_resolution_ms: int = field(
        default=1_000, validator=_AT_LEAST_ONE, metadata=_why("the container's own query compares whole seconds")
    )


@frozen(kw_only=True)
class HostPolicy:
    """How the host looks and waits; no decision about a session depends on these."""

    doorbell_poll_ms: int = field(
        default=100, validator=_AT_LEAST_ONE, metadata=_why("one stat per poll; a sent message is seen within 0.1 s")
    )
    running_poll_ms: int = field(
        default=200, validator=_AT_LEAST_ONE, metadata=_why("three stats per running session; acks are synced promptly")
    )
    idle_scan_ms: int = field(
        default=5_000,
        validator=_AT_LEAST_ONE,
        metadata=_why("stats of idle folders find rows written by other programs"),
    )
    fallback_scan_ms: int = field(
        default=60_000, validator=_AT_LEAST_ONE, metadata=_why("a full look covers notifications that got lost")
    )
    stop_grace_ms: int = field(
        default=1_000, validator=_COUNT, metadata=_why("as the existing host gives; a hang must be gone within 2 s")
    )
    shutdown_grace_ms: int = field(
        default=10_000,
        validator=_COUNT,
        metadata=_why("agents may finish a sentence; service managers give 30 s or more"),
    )
    fault_retry_ms: int = field(
        default=2_000,
        validator=_AT_LEAST_ONE,
        metadata=_why("a broken session is looked at again after 2 s, then doubling"),
    )
    fault_retry_max_ms: int = field(
        default=60_000, validator=_AT_LEAST_ONE, metadata=_why("a broken session is never left alone for over a minute")
    )
    passing_faults: int = field(
        default=3, validator=_COUNT, metadata=_why("a lock or a dead writer's journal is gone at the second look")
    )
    busy_timeout_ms: int = field(
        default=500, validator=_COUNT, metadata=_why("a locked file is looked at again soon; waiting holds up others")
    )
    log_max_bytes: int = field(
        default=10_000_000,
        validator=_AT_LEAST_ONE,
        metadata=_why("an agent that floods its output must not fill the disk"),
    )
    log_keep: int = field(default=3, validator=_COUNT, metadata=_why("three older log files are enough to see a crash"))
    worker_threads: int = field(
        default=16, validator=_AT_LEAST_ONE, metadata=_why("stops may wait out their grace side by side")
    )
