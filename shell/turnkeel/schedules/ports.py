"""What do schedules need from outside?"""

from collections.abc import Callable

from attrs import frozen

from turnkeel.delivery.ports import Mailboxes
from turnkeel.events import HostEvent
from turnkeel.host.ports import Clock, Executor
from turnkeel_adapters.schedules.port import ScheduleStore
from turnkeel_core import SchedulePolicy, SettlePolicy


@frozen(kw_only=True)
class FiringPorts:
    """What it takes to start one occurrence: by the host, or by a person at the command line.

    `closed` names the sessions that take no more messages. `now_ms` reads the wall clock. `told` wakes the host.
    """

    store: ScheduleStore
    sessions: Mailboxes
    closed: Callable[[], frozenset[str]]
    new_id: Callable[[str], str]
    now_ms: Callable[[], int]
    told: Callable[[], object] = tuple
    settle: SettlePolicy = SettlePolicy()
    policy: SchedulePolicy = SchedulePolicy()


@frozen(kw_only=True)
class SchedulerPorts:
    """What a host's loop over its schedules needs besides."""

    firing: FiringPorts
    clock: Clock
    executor: Executor
    report: Callable[[HostEvent], None]
