"""Which processes of an install run on this machine, and how are those without a guard's help ended? (Linux)"""

import os
import signal
import time
from typing import TypeAlias

from attrs import frozen

from turnkeel_adapters.runners.guard.processes import (
    Process,
    all_processes,
    descendants,
    read_environment,
    signal_process,
)
from turnkeel_adapters.runners.marker import AGENT_VARIABLE, GUARD_VARIABLE, read_marker

ContainerKey: TypeAlias = tuple[str, int]

_FIRST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 0.1


@frozen(kw_only=True)
class Found:
    """The processes of one container: those of the agent (and all their descendants), and the guard, if it lives."""

    agents: tuple[Process, ...]
    guards: tuple[Process, ...]

    def first(self) -> Process:
        """The agent's first process; the guard, if there is no other."""
        return min(self.agents or self.guards, key=lambda one: (one.started, not one.leads_session, one.pid))


@frozen(kw_only=True)
class Ending:
    """What it took to end a container without its guard; `left` could not be ended."""

    forced: bool
    killed: int
    left: tuple[int, ...]


def take_census(install_id: str) -> dict[ContainerKey, Found]:
    """All running containers of this install. Costs one read per process of the machine."""
    table = all_processes()
    agents: dict[ContainerKey, set[int]] = {}
    guards: dict[ContainerKey, set[int]] = {}
    for pid in table:
        environment = read_environment(pid)
        for groups, variable in ((agents, AGENT_VARIABLE), (guards, GUARD_VARIABLE)):
            if (key := read_marker(environment.get(variable, ""), install_id)) is not None:
                groups.setdefault(key, set()).add(pid)
    found: dict[ContainerKey, Found] = {}
    for key in agents.keys() | guards.keys():
        marked = agents.get(key, set())
        watching = guards.get(key, set()) - marked
        # A process may have wiped its environment: its parents still show whose it is.
        family = marked | {process.pid for process in descendants(marked | watching, table)}
        family -= {os.getpid()}
        if family or watching:
            found[key] = Found(
                agents=tuple(table[pid] for pid in sorted(family)), guards=tuple(table[pid] for pid in sorted(watching))
            )
    return found


def find_container(install_id: str, key: ContainerKey) -> Found | None:
    """The running processes of one container; None if there are none."""
    return take_census(install_id).get(key)


def end_container(install_id: str, key: ContainerKey, grace_ms: int, kill_ms: int) -> Ending:
    """TERM to the agent's processes, `grace_ms`, then KILL to every one until all are gone or `kill_ms` have passed."""
    asked: set[Process] = set()
    killed: set[Process] = set()
    grace_ends = time.monotonic() + grace_ms / 1000
    gives_up = grace_ends + kill_ms / 1000
    forced = False
    pause = _FIRST_PAUSE_S
    while (found := find_container(install_id, key)) is not None:
        now = time.monotonic()
        if now >= gives_up:
            left = (*found.agents, *found.guards)
            return Ending(forced=forced, killed=len(killed), left=tuple(process.pid for process in left))
        if now < grace_ends:
            for process in set(found.agents) - asked:
                signal_process(process, signal.SIGTERM)
            asked.update(found.agents)
        else:
            forced = forced or bool(found.agents)
            killed.update(process for process in found.agents if signal_process(process, signal.SIGKILL))
            # Guards end by themselves once their agent has; one that does not (stopped, stuck) goes last.
            if not found.agents and now >= grace_ends + kill_ms / 2000:
                killed.update(process for process in found.guards if signal_process(process, signal.SIGKILL))
        time.sleep(min(pause, max(0.0, grace_ends - now) or pause))
        pause = min(pause * 1.5, _LONGEST_PAUSE_S)
    return Ending(forced=forced, killed=len(killed), left=())
