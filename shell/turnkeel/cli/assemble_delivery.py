"""How is the delivery of one data directory put together: its store, its channels, its doors?"""

import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from secrets import token_hex

from attrs import evolve, frozen

from turnkeel.cli.ids import new_message_id
from turnkeel.delivery.evidence import LastContainer
from turnkeel.delivery.follow import Follower
from turnkeel.delivery.intake import Intake
from turnkeel.delivery.mailboxes import FileMailboxes
from turnkeel.delivery.ports import DeliveryPolicies, DeliveryPorts
from turnkeel.delivery.sender import Sender, call_workers
from turnkeel.delivery.station import Door
from turnkeel.events import FaultCleared, FaultSeen, HostEvent, SenderDenied
from turnkeel.ingress.opening import open_ingress
from turnkeel.ingress.ports import IngressPorts
from turnkeel_adapters.channels import Channel, TerminalChannel
from turnkeel_adapters.channels.opening import open_channels
from turnkeel_adapters.config.records import HostConfig
from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.lifecycle.store import StateLifecycle
from turnkeel_adapters.secrets import SecretKeeper
from turnkeel_adapters.senders import SenderFile
from turnkeel_adapters.sessions.collection import FileSessions
from turnkeel_adapters.state.store import HostState
from turnkeel_adapters.system.clock import SystemClock
from turnkeel_adapters.system.doorbell import ring
from turnkeel_adapters.system.executor import ThreadExecutor
from turnkeel_core import SenderPolicy, SettlePolicy

TERMINAL = "terminal"
_HISTORY = 2


@frozen(kw_only=True)
class Delivery:
    """All parts of a data directory's delivery."""

    ports: DeliveryPorts
    policies: DeliveryPolicies
    follower: Follower
    sender: Sender
    intake: Intake
    calls: ThreadExecutor

    def close(self) -> None:
        """End the threads of the channels' calls, after those under way."""
        self.calls.close()


def assemble_delivery(
    state: HostState,
    sessions: FileSessions,
    config: HostConfig,
    executor: ThreadExecutor,
    report: Callable[[HostEvent], None],
    data_dir: Path,
    secrets: SecretKeeper,
    channels: Mapping[str, Channel] | None = None,
) -> Delivery:
    """The delivery of a host that holds the data directory's lock; `channels` stand in for those of the configuration.

    Raises AdapterError for a channel that cannot be made.
    """
    clock = SystemClock()
    now_ms = partial(_wall_ms, clock)
    known = channels_of(config, now_ms) if channels is None else dict(channels)
    policies = DeliveryPolicies(settle=settle_of(config), delivery=config.delivery)
    calls = ThreadExecutor(call_workers(known, policies))
    ports = DeliveryPorts(
        clock=clock,
        executor=executor,
        calls=calls,
        lifecycle=StateLifecycle(state.database, secrets.redact),
        sessions=FileMailboxes(sessions),
        channels=known,
        owner=f"host-{os.getpid()}-{token_hex(4)}",
        alone=True,
        new_id=new_message_id,
        report=report,
        redact=secrets.redact,
        redact_reply=secrets.redact_reply,
        senders=senders_of(config, report),
    )
    sender = Sender(ports, policies)
    follower = Follower(ports, policies, container=partial(_container, state), poke=sender.poke)
    intake = intake_of(
        state, sessions, policies.settle, ports.owner, partial(ring, data_dir), senders=ports.senders, report=report
    )
    return Delivery(ports=ports, policies=policies, follower=follower, sender=sender, intake=intake, calls=calls)


def senders_of(config: HostConfig, report: Callable[[HostEvent], None]) -> Callable[[], SenderPolicy]:
    """Who may start an agent, asked anew each time; what is wrong with the list is reported now and as it changes."""
    if config.senders.file is None:
        return SenderPolicy
    file = SenderFile(Path(config.senders.file), partial(_tell_senders, report))
    file.read()
    return file.policy


def intake_of(
    state: HostState,
    sessions: FileSessions,
    policy: SettlePolicy,
    owner: str,
    told: Callable[[], object],
    *,
    senders: Callable[[], SenderPolicy] = SenderPolicy,
    report: Callable[[SenderDenied], object] = bool,
) -> Intake:
    """The door of a data directory, with or without a host at work in it; its owner needs no list of senders."""
    return Intake(
        store=StateLifecycle(state.database),
        sessions=FileMailboxes(sessions),
        closed=partial(closed_sessions, state, sessions),
        new_id=new_message_id,
        now_ms=partial(_wall_ms, SystemClock()),
        owner=owner,
        told=told,
        policy=policy,
        senders=senders,
        report=report,
    )


def channels_of(config: HostConfig, now_ms: Callable[[], int]) -> dict[str, Channel]:
    """The built-in channels and those of the configuration; AdapterError for one that cannot be made."""
    return {**open_channels(config.channels, os.environ, now_ms), TERMINAL: TerminalChannel(sys.stdout, now_ms)}


def doors_of(config: HostConfig, delivery: Delivery) -> tuple[Door, ...]:
    """The HTTP ingress, if there is one; AdapterError if it has no token or its address cannot be had."""
    ports = delivery.ports
    outside = IngressPorts(
        accept=delivery.intake.accept,
        store=ports.lifecycle,
        executor=ports.executor,
        channels=frozenset(ports.channels),
        now_ms=partial(_wall_ms, SystemClock()),
        report=ports.report,
    )
    server = open_ingress(config.ingress, outside, os.environ)
    return () if server is None else (server,)


def settle_of(config: HostConfig) -> SettlePolicy:
    """The limits of turns and rows. `agent exec` settles claim and reply in one transaction: none comes later."""
    if config.agent.speaks_contract or config.container is not None:
        return config.settle
    return evolve(config.settle, turn=evolve(config.turn, no_reply_grace_ms=0))


def _container(state: HostState, session: str) -> LastContainer:
    history = state.incarnations.history(session, limit=_HISTORY)
    died = (one.died_at_ms for one in history if one.died_at_ms is not None)
    latest = history[0] if history else None
    return LastContainer(
        incarnation=0 if latest is None else latest.number,
        died_at_ms=next(died, None),
        running=latest is not None and latest.state != "dead",
    )


def closed_sessions(state: HostState, sessions: FileSessions) -> frozenset[str]:
    """The sessions that take no more messages."""
    return state.registry.closed() | _closed_elsewhere(sessions)


def _closed_elsewhere(sessions: FileSessions) -> frozenset[str]:
    try:
        return sessions.closed_in_registry()
    except AdapterError:
        return frozenset()  # another host's registry that cannot be read closes nothing here; the host tells it


def _tell_senders(report: Callable[[HostEvent], None], problems: tuple[str, ...]) -> None:
    if problems:
        report(FaultSeen("", "senders", "allowlist", "; ".join(problems)))
    else:
        report(FaultCleared("", "senders"))


def _wall_ms(clock: SystemClock) -> int:
    return clock.read().wall_ms
