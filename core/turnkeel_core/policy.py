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
    """Limits of `plan_starts` (DESIGN §4.12; spec/tars-and-b01.md §3.3)."""

    max_running: int = field(
        default=5, validator=_AT_LEAST_ONE, metadata=_why("five agents fit a small machine; the rest wait their turn")
    )
    max_running_per_group: int | None = field(
        default=None,
        validator=optional(_AT_LEAST_ONE),
        metadata=_why("off: turns go round the groups anyway; set it to keep places free for the other groups"),
    )
    tasks_ahead: int = field(
        default=1,
        validator=_COUNT,
        metadata=_why("a task may follow the run of its own group at once; a second would starve those who wait"),
    )


@frozen(kw_only=True)
class LimitPolicy:
    """Limit of `decide_run`."""

    runs_per_hour: int | None = field(
        default=None,
        validator=optional(_AT_LEAST_ONE),
        metadata=_why("off: a busy chat is legitimate; set it to cap what an agent that talks to itself can spend"),
    )


@frozen(kw_only=True)
class OutputPolicy:
    """Limits of `decide_output`, per reply."""

    output_limit_bytes: int = field(
        default=1_048_576, validator=_AT_LEAST_ONE, metadata=_why("a text of over 1 MiB is a runaway, not an answer")
    )
    attachment_limit_bytes: int = field(
        default=26_214_400, validator=_COUNT, metadata=_why("25 MiB is what mail and most chats still carry")
    )


@frozen(kw_only=True)
class RedactPolicy:
    """What `redact` takes for a secret (spec/tars-and-b01.md §6). Names of variables are compared as a whole."""

    least_chars: int = field(
        default=8, validator=_AT_LEAST_ONE, metadata=_why("shorter values are words that stand in any text")
    )
    by_name: bool = field(
        default=True, metadata=_why("password=… in a log is one; for replies it is off, there it is mostly an example")
    )
    public_names: tuple[str, ...] = field(
        default=(
            "ASSISTANT_NAME",
            "ASSISTANT_HAS_OWN_NUMBER",
            "CLAUDE_MODEL",
            "CONTAINER_IMAGE",
            "CONTAINER_TIMEOUT",
            "CONTAINER_MAX_OUTPUT_SIZE",
            "IDLE_TIMEOUT",
            "SCHEDULED_TASK_IDLE_TIMEOUT",
            "MAX_CONCURRENT_CONTAINERS",
            "LOG_LEVEL",
            "NODE_ENV",
            "TZ",
        ),
        metadata=_why("what an existing host keeps in its .env beside secrets, and a log cannot do without"),
    )
    never_public_names: tuple[str, ...] = field(
        default=("ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN", "OPENAI_API_KEY", "DASHBOARD_SECRET"),
        metadata=_why("no list of public names, whoever wrote it, exempts these"),
    )
    secret_name_parts: tuple[str, ...] = field(
        default=("APIKEY", "CREDENTIAL", "PASSPHRASE", "PASSWD", "PASSWORD", "SECRET"),
        metadata=_why("in an environment most values are no secrets; a name with one of these is"),
    )
    secret_name_ends: tuple[str, ...] = field(
        default=("TOKEN", "_AUTH", "_COOKIE", "_DSN", "_JWT", "_KEY", "_PASS", "_PAT", "_PWD"),
        metadata=_why("these mean a secret at the end of a name only: PWD is a folder, MAX_TOKENS a number"),
    )
    pointer_name_ends: tuple[str, ...] = field(
        default=("_DIR", "_FILE", "_PATH"), metadata=_why("the place of a secret is wanted in a report, and is none")
    )


@frozen(kw_only=True)
class InterruptedPolicy:
    """Threshold of `find_interrupted` (spec/tars-and-b01.md §1.4)."""

    stale_ms: int = field(
        default=2_100_000,
        validator=_COUNT,
        metadata=_why("35 min: a v1 run ends by itself after 30 min 30 s, so an older one was cut off"),
    )


@frozen(kw_only=True)
class SweepPolicy:
    """Everything one pass over one session uses."""

    stuck: StuckPolicy = Factory(StuckPolicy)
    retry: RetryPolicy = Factory(RetryPolicy)
    spawn: SpawnPolicy = Factory(SpawnPolicy)
    limit: LimitPolicy = Factory(LimitPolicy)
    due_resolution_ms: int = field(
        default=1_000, validator=_AT_LEAST_ONE, metadata=_why("the container's own query compares whole seconds")
    )


@frozen(kw_only=True)
class AdoptionPolicy:
    """What `plan_adoption` does with containers that an earlier host left running."""

    adopt: bool = field(
        default=True,
        validator=instance_of(bool),
        metadata=_why("work in hand outlives a host that crashed; false stops it, and its messages are tried again"),
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
    reconcile_ms: int = field(
        default=60_000,
        validator=_AT_LEAST_ONE,
        metadata=_why("the runtime's own list is compared with the records once a minute; strays are rare"),
    )
    orphan_limit_ms: int = field(
        default=120_000,
        validator=_COUNT,
        metadata=_why("an agent process without a host ends after 2 min; a service manager restarts one in seconds"),
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
