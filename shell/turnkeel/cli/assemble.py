"""How are adapters put together to a host?"""

import os
import secrets
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from turnkeel import __version__
from turnkeel.cli.launch import ProcessLauncher
from turnkeel.host.events import HostEvent
from turnkeel.host.host import Host
from turnkeel.host.ports import HostPolicies, HostPorts
from turnkeel_adapters.config.records import HostConfig
from turnkeel_adapters.config.zones import resolve_zone
from turnkeel_adapters.runners.process import ProcessRunner
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.state.store import HostState
from turnkeel_adapters.system.clock import SystemClock
from turnkeel_adapters.system.doorbell import Doorbell
from turnkeel_adapters.system.executor import ThreadExecutor
from turnkeel_adapters.system.install import install_id
from turnkeel_adapters.system.lock import DataLock


@contextmanager
def open_host(data_dir: Path, config: HostConfig, report: Callable[[HostEvent], None]) -> Generator[Host, None, None]:
    """A host on `data_dir`, which is made if there is none and locked as long as the host is open.

    Raises AlreadyHeld if another host serves it, StateFault if `turnkeel.db` cannot be used.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    (data_dir / "v2-sessions").mkdir(exist_ok=True)
    clock = SystemClock()
    with DataLock(data_dir, started_at_ms=clock.read().wall_ms, version=__version__), HostState(data_dir) as state:
        executor = ThreadExecutor(config.host.worker_threads)
        runner = ProcessRunner(
            install_id=install_id(data_dir),
            now_ms=lambda: clock.read().wall_ms,
            log_max_bytes=config.host.log_max_bytes,
            log_keep=config.host.log_keep,
        )
        sessions = FileSessions(data_dir, busy_timeout_ms=config.host.busy_timeout_ms)
        try:
            yield Host(
                HostPorts(
                    clock=clock,
                    executor=executor,
                    runner=runner,
                    sessions=sessions,
                    state=state,
                    launcher=ProcessLauncher(
                        data_dir=data_dir,
                        sessions=sessions,
                        agent=config.agent,
                        directory=Path.cwd(),
                        environ=dict(os.environ),
                    ),
                    doorbell=Doorbell(data_dir),
                    zone=resolve_zone(config, os.environ)[1],
                    random_permille=lambda: secrets.randbelow(1001),
                    new_id=new_message_id,
                    report=report,
                ),
                policies_of(config),
            )
        finally:
            executor.close()
            runner.close()


def policies_of(config: HostConfig) -> HostPolicies:
    """The limits that a configuration sets."""
    return HostPolicies(sweep=config.sweep, start=config.start, suspend=config.suspend, host=config.host)


def new_message_id(prefix: str = "msg") -> str:
    """An id in the contract's form: `msg-<ms>-<six characters>`."""
    return f"{prefix}-{time.time_ns() // 1_000_000}-{secrets.token_hex(3)}"
