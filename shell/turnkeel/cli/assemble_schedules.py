"""How are the schedules of one data directory put together, for a host and for the command line?"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from turnkeel.cli.assemble_delivery import closed_sessions, settle_of
from turnkeel.cli.ids import new_message_id
from turnkeel.delivery.mailboxes import FileMailboxes
from turnkeel.events import HostEvent
from turnkeel.host.ports import Clock, Executor
from turnkeel.schedules.ports import FiringPorts, SchedulerPorts
from turnkeel.schedules.scheduler import Scheduler
from turnkeel_adapters.config.records import HostConfig
from turnkeel_adapters.schedules.store import StateSchedules
from turnkeel_adapters.secrets import SecretKeeper
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.state.store import HostState
from turnkeel_adapters.system.clock import SystemClock
from turnkeel_adapters.system.doorbell import ring


def firing_of(state: HostState, data_dir: Path, config: HostConfig, secrets: SecretKeeper) -> FiringPorts:
    """What starts an occurrence; a host that is at work hears of it."""
    sessions = FileSessions(data_dir, busy_timeout_ms=config.host.busy_timeout_ms, output=config.output)
    clock = SystemClock()
    return FiringPorts(
        store=StateSchedules(state.database, secrets.redact),
        sessions=FileMailboxes(sessions),
        closed=partial(closed_sessions, state, sessions),
        new_id=new_message_id,
        now_ms=lambda: clock.read().wall_ms,
        told=partial(ring, data_dir),
        settle=settle_of(config),
        policy=config.schedule,
    )


def scheduler_of(
    firing: FiringPorts, clock: Clock, executor: Executor, report: Callable[[HostEvent], None]
) -> Scheduler:
    """The loop of a host over its schedules."""
    return Scheduler(SchedulerPorts(firing=firing, clock=clock, executor=executor, report=report))
