"""How are adapters put together to a host?"""

import os
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from secrets import randbelow
from typing import Final

from attrs import frozen

from turnkeel import __version__
from turnkeel.cli.assemble_delivery import Delivery, assemble_delivery, doors_of
from turnkeel.cli.assemble_schedules import firing_of, scheduler_of
from turnkeel.cli.ids import new_message_id
from turnkeel.cli.launch import ContainerLauncher, ProcessLauncher, log_path
from turnkeel.cli.mount_reports import MountReports
from turnkeel.cli.place import make_data_dir
from turnkeel.cli.secret_watch import SecretWatch
from turnkeel.delivery.intake import Intake
from turnkeel.delivery.station import Station, Timetable
from turnkeel.events import HostEvent
from turnkeel.followed import Follow
from turnkeel.host.host import Host, RunSummary
from turnkeel.host.ports import Doorbell as Bell
from turnkeel.host.ports import HostPolicies, HostPorts, Launcher
from turnkeel_adapters.channels import Channel
from turnkeel_adapters.config.mounts import mount_decider
from turnkeel_adapters.config.records import HostConfig
from turnkeel_adapters.config.zones import resolve_zone
from turnkeel_adapters.runners.oci import ContainerRunner
from turnkeel_adapters.runners.oci.mounting import TellMounts
from turnkeel_adapters.runners.process import ProcessRunner
from turnkeel_adapters.secrets import SecretKeeper
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.state.store import HostState
from turnkeel_adapters.system.clock import SystemClock
from turnkeel_adapters.system.doorbell import Doorbell
from turnkeel_adapters.system.executor import ThreadExecutor
from turnkeel_adapters.system.install import install_id
from turnkeel_adapters.system.lock import DataLock

RUN_DIR: Final = "run"


@frozen(kw_only=True)
class OpenHost:
    """A host with its delivery, and the door for messages that come from this process."""

    station: Station
    intake: Intake
    state: HostState

    def stop(self) -> None:
        """Ask for a graceful end."""
        self.station.stop()

    async def run(self, *, until_idle: bool = False) -> RunSummary:
        """Serve until `stop()`, or until nothing is left to do and to send."""
        return await self.station.run(until_idle=until_idle)


@contextmanager
def open_host(
    data_dir: Path,
    config: HostConfig,
    report: Callable[[HostEvent], None],
    channels: Mapping[str, Channel] | None = None,
    secrets: SecretKeeper | None = None,
) -> Generator[OpenHost, None, None]:
    """A host on `data_dir`, which is made if there is none and locked as long as the host is open.

    `channels` stand in for those of the configuration; `secrets` is the keeper by which `report` hides, if it does.
    Raises AlreadyHeld if another host serves it, StateFault if `turnkeel.db` cannot be used, AdapterError for a channel
    or a door that cannot be made.
    """
    make_data_dir(data_dir)
    (data_dir / "v2-sessions").mkdir(exist_ok=True)
    clock = SystemClock()
    lock = DataLock(data_dir, started_at_ms=clock.read().wall_ms, version=__version__)
    known = keeper_of(data_dir, config, secrets)
    with lock, open_state(data_dir, known) as state:
        known.note()
        executor, patient = _executors(config)
        now_ms = _wall(clock)
        tell = MountReports(notes=state.notes, report=report, now_ms=now_ms).tell
        runner = runner_of(config, data_dir, now_ms, known, tell)
        sessions = FileSessions(data_dir, busy_timeout_ms=config.host.busy_timeout_ms, output=config.output)
        try:
            delivered = assemble_delivery(state, sessions, config, executor, report, data_dir, known, channels)
            with closing(delivered) as delivery:
                watch = SecretWatch(known, runner.hide_more, report)
                watch.look()
                bell = watch.beside(Doorbell(data_dir))
                follow = watch.before(delivery.follower.follow)
                ports = _ports(config, data_dir, clock, executor, patient, runner, sessions, state, report, follow)
                timetable = scheduler_of(firing_of(state, data_dir, config, known), clock, executor, report)
                station = _station(Host(ports, policies_of(config)), delivery, config, bell, timetable)
                yield OpenHost(station=station, intake=delivery.intake, state=state)
        finally:
            for one in (patient, executor, runner):
                one.close()


def _executors(config: HostConfig) -> tuple[ThreadExecutor, ThreadExecutor]:
    """The usual one; and one with a thread for each place, where a slow start holds up no other, and no look."""
    workers = config.host.worker_threads
    return ThreadExecutor(workers), ThreadExecutor(max(workers, config.start.max_running))


def _ports(
    config: HostConfig,
    data_dir: Path,
    clock: SystemClock,
    executor: ThreadExecutor,
    patient: ThreadExecutor,
    runner: ProcessRunner | ContainerRunner,
    sessions: FileSessions,
    state: HostState,
    report: Callable[[HostEvent], None],
    follow: Follow,
) -> HostPorts:
    return HostPorts(
        clock=clock,
        executor=executor,
        runner=runner,
        sessions=sessions,
        state=state,
        launcher=launcher_of(config, data_dir, sessions),
        doorbell=Doorbell(data_dir),
        zone=resolve_zone(config, os.environ)[1],
        random_permille=lambda: randbelow(1001),
        new_id=new_message_id,
        report=report,
        follow=follow,
        patient=patient,
    )


def _station(host: Host, delivery: Delivery, config: HostConfig, bell: Bell, timetable: Timetable) -> Station:
    return Station(
        host=host,
        sender=delivery.sender,
        ports=delivery.ports,
        policies=delivery.policies,
        doorbell=bell,
        poll_ms=config.host.doorbell_poll_ms,
        doors=doors_of(config, delivery),
        timetable=timetable,
    )


def keeper_of(data_dir: Path, config: HostConfig, secrets: SecretKeeper | None = None) -> SecretKeeper:
    """What hides the secrets of this configuration and data directory, in all parts of a host alike."""
    known = SecretKeeper() if secrets is None else secrets
    known.learn(config, data_dir)
    return known


def open_state(data_dir: Path, secrets: SecretKeeper) -> HostState:
    """The host's store, which keeps secrets out of every reason."""
    return HostState(data_dir, redact=secrets.redact)


def _wall(clock: SystemClock) -> Callable[[], int]:
    return lambda: clock.read().wall_ms


def runner_of(
    config: HostConfig,
    data_dir: Path,
    now_ms: Callable[[], int],
    secrets: SecretKeeper,
    tell_mounts: TellMounts | None = None,
) -> ProcessRunner | ContainerRunner:
    """What agents run in; `tell_mounts` is told what becomes of mounts at each start."""
    if config.container is not None:
        return ContainerRunner(
            install_id=install_id(data_dir),
            settings=config.container.settings,
            groups=dict(config.container.groups),
            now_ms=now_ms,
            limits=config.runtime,
            log_path=lambda session: log_path(data_dir, session),
            redactions=secrets.latest,
            mounts=mount_decider(config.container, data_dir, os.environ, now_ms),
            tell_mounts=tell_mounts,
        )
    return ProcessRunner(
        install_id=install_id(data_dir),
        now_ms=now_ms,
        log_max_bytes=config.host.log_max_bytes,
        log_keep=config.host.log_keep,
        run_dir=data_dir / RUN_DIR,
        orphan_limit_ms=config.host.orphan_limit_ms,
        redactions=secrets.latest,
    )


def launcher_of(config: HostConfig, data_dir: Path, sessions: FileSessions) -> Launcher:
    """What says how they are started."""
    environ = dict(os.environ)
    if config.container is not None:
        return ContainerLauncher(
            data_dir=data_dir,
            sessions=sessions,
            agent=config.agent,
            container=config.container,
            environ=environ,
            resume=config.resume,
            login=config.login,
        )
    return ProcessLauncher(
        data_dir=data_dir,
        sessions=sessions,
        agent=config.agent,
        directory=Path.cwd(),
        environ=environ,
        resume=config.resume,
        login=config.login,
    )


def policies_of(config: HostConfig) -> HostPolicies:
    """The limits that a configuration sets."""
    return HostPolicies(
        sweep=config.sweep,
        start=config.start,
        suspend=config.suspend,
        adoption=config.adoption,
        host=config.host,
    )
