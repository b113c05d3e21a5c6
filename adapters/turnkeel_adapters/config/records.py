"""Which settings does a host have?"""

from pathlib import Path

from attrs import field, frozen
from attrs.validators import ge, optional

from turnkeel_adapters.config.channels import Channels
from turnkeel_adapters.config.ingress import IngressConfig
from turnkeel_adapters.config.senders import SendersConfig
from turnkeel_adapters.runners.environment import DEFAULT_ALLOW
from turnkeel_adapters.runners.oci.settings import ContainerSettings, RuntimeLimits
from turnkeel_adapters.secrets.settings import RedactConfig
from turnkeel_core import (
    AdoptionPolicy,
    DeliveryPolicy,
    HostPolicy,
    InterruptedPolicy,
    LimitPolicy,
    LoginPolicy,
    OutboxPolicy,
    OutputPolicy,
    ResumePolicy,
    RetryPolicy,
    SchedulePolicy,
    SettlePolicy,
    SpawnPolicy,
    StartPolicy,
    StuckPolicy,
    SuspendPolicy,
    SweepPolicy,
    TurnPolicy,
)


def _why(reason: str) -> dict[str, str]:
    return {"reason": reason}


def default_stuck() -> StuckPolicy:
    """The host's own limits: unlike the policy's, they trust the declared timeout of any tool."""
    # The policy's default follows the existing runner, which declares timeouts for Bash alone; our own kit declares
    # one for every tool, and means it.
    return StuckPolicy(timeout_tools=None)


@frozen(kw_only=True)
class AgentConfig:
    """Table `[agent]`: which program answers the messages of a session, and what it may see and write.

    `argv` is what is started; a file may give `command` instead, split into `argv` as a shell would.
    `pass_environment` is the whole allow-list (names or `PREFIX_*`); the names a file gives are added to the default.
    """

    command: str | None = field(default=None, metadata=_why("one line, split as a shell would, run without a shell"))
    argv: tuple[str, ...] | None = field(default=None, metadata=_why("the same as a list, for words with blanks"))
    speaks_contract: bool = field(
        default=False, metadata=_why("most programs know stdin and stdout only; `agent exec` is put around them")
    )
    pass_environment: tuple[str, ...] = field(
        default=DEFAULT_ALLOW, metadata=_why("keys and tokens reach the agent only if named; the default holds none")
    )
    environment: tuple[tuple[str, str], ...] = field(
        default=(), metadata=_why("set for the agent, over what is passed on")
    )
    provider: str | None = field(
        default=None, metadata=_why("whose conversations its handles are; unset: its program's own name")
    )
    allow_empty: bool = field(default=False, metadata=_why("no output is a fault unless silence is a valid answer"))
    timeout_s: int | None = field(
        default=None, validator=optional(ge(1)), metadata=_why("off: the stuck rules find a hang; set it to cap a run")
    )
    output_limit_bytes: int = field(
        default=1_048_576, validator=ge(1), metadata=_why("a reply of over 1 MiB is a runaway, not an answer")
    )
    attachment_limit_bytes: int = field(
        default=26_214_400, validator=ge(0), metadata=_why("25 MiB a reply is what mail and most chats still carry")
    )


@frozen(kw_only=True)
class ContainerConfig:
    """Table `[container]`: agents run in containers; `groups` has the settings of each group that has its own.

    `file` is where it was read: no agent may get at that.
    """

    settings: ContainerSettings
    groups: tuple[tuple[str, ContainerSettings], ...] = ()
    file: Path | None = field(default=None, eq=False)

    def of(self, group: str) -> ContainerSettings:
        """The settings of one group of sessions."""
        return dict(self.groups).get(group, self.settings)

    def all(self) -> tuple[ContainerSettings, ...]:
        """The general settings, then those of each group."""
        return (self.settings, *(settings for _, settings in self.groups))


@frozen(kw_only=True)
class HostConfig:
    """One configuration file: `timezone`, a table for each policy, for the agent and what it runs in, for each channel
    and for the door that messages come in by."""

    timezone: str | None = field(default=None, metadata=_why("unset: TZ, then the zone of the system, then UTC"))
    stuck: StuckPolicy = field(factory=default_stuck)
    retry: RetryPolicy = field(factory=RetryPolicy)
    spawn: SpawnPolicy = field(factory=SpawnPolicy)
    limit: LimitPolicy = field(factory=LimitPolicy)
    start: StartPolicy = field(factory=StartPolicy)
    suspend: SuspendPolicy = field(factory=SuspendPolicy)
    adoption: AdoptionPolicy = field(factory=AdoptionPolicy)
    host: HostPolicy = field(factory=HostPolicy)
    resume: ResumePolicy = field(factory=ResumePolicy)
    login: LoginPolicy = field(factory=LoginPolicy)
    agent: AgentConfig = field(factory=AgentConfig)
    container: ContainerConfig | None = field(
        default=None, metadata=_why("unset: agents run as processes of this machine; the table puts them in containers")
    )
    runtime: RuntimeLimits = field(factory=RuntimeLimits)
    turn: TurnPolicy = field(factory=TurnPolicy)
    outbox: OutboxPolicy = field(factory=OutboxPolicy)
    delivery: DeliveryPolicy = field(factory=DeliveryPolicy)
    channels: Channels = field(
        default=(), metadata=_why("none: replies are kept in the session's files, for `turnkeel show` and the terminal")
    )
    ingress: IngressConfig | None = field(
        default=None, metadata=_why("unset: nothing listens; messages come by `turnkeel send`, or from programs")
    )

    schedule: SchedulePolicy = field(factory=SchedulePolicy)
    interrupted: InterruptedPolicy = field(factory=InterruptedPolicy)
    senders: SendersConfig = field(factory=SendersConfig)
    redact: RedactConfig = field(factory=RedactConfig)

    @property
    def sweep(self) -> SweepPolicy:
        """The limits of one pass over a session."""
        return SweepPolicy(stuck=self.stuck, retry=self.retry, spawn=self.spawn, limit=self.limit)

    @property
    def settle(self) -> SettlePolicy:
        """The limits of turns and of their rows in the outbox."""
        return SettlePolicy(outbox=self.outbox, turn=self.turn)

    @property
    def output(self) -> OutputPolicy:
        """The limits of one reply."""
        agent = self.agent
        return OutputPolicy(
            output_limit_bytes=agent.output_limit_bytes, attachment_limit_bytes=agent.attachment_limit_bytes
        )
