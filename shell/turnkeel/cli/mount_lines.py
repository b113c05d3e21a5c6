"""What becomes of each configured mount and root, and what do they show that they should not?"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attrs import frozen

from turnkeel.cli.place import data_dir_of
from turnkeel_adapters.config import ContainerConfig
from turnkeel_adapters.config.mounts import mount_decider
from turnkeel_adapters.mounts.allowlist import AllowlistUnusable
from turnkeel_adapters.mounts.deciding import MountDecider
from turnkeel_adapters.mounts.exposed import Exposed, find_exposed
from turnkeel_adapters.mounts.records import DecidedMount
from turnkeel_core import AllowMount, MountAllowlist, RejectMount, find_blocked

OTHERS: Final = "*"
"""Stands for every group that has no table of its own."""


@frozen(kw_only=True)
class MountLine:
    """What becomes of one mount of one group."""

    group: str
    host: str
    asked: str | None
    allowed: bool
    code: str
    because: str
    source: str | None
    target: str | None
    readonly: bool | None
    exposes: tuple[str, ...] = ()
    exposes_complete: bool = True


@frozen(kw_only=True)
class RootLine:
    """One root of an allow-list; `exposes` are blocked names below it, which a mount of the whole root would show."""

    group: str
    root: str
    writable: bool
    problem: str | None
    exposes: tuple[str, ...] = ()
    exposes_complete: bool = True


def decider_of(container: ContainerConfig, data: Path | None) -> MountDecider:
    """As the host on this data directory would have it."""
    return mount_decider(container, data_dir_of(data).absolute(), os.environ, now_ms)


def groups_of(container: ContainerConfig, decider: MountDecider) -> tuple[str, ...]:
    """The groups that differ: the main one, those with a table, and all others."""
    return tuple(dict.fromkeys((decider.policy.main_group, *(name for name, _ in container.groups), OTHERS)))


def list_problems(container: ContainerConfig, decider: MountDecider) -> tuple[str, ...]:
    """What keeps an allow-list that is named, or needed, from being used."""
    problems: list[str] = []
    for group in groups_of(container, decider):
        settings = container.of(group)
        if settings.mounts or settings.mount_allowlist is not None:
            try:
                decider.allowlist(group)
            except AllowlistUnusable as fault:
                problems.append(str(fault))
    return tuple(dict.fromkeys(problems))


def mount_lines(container: ContainerConfig, decider: MountDecider) -> tuple[MountLine, ...]:
    """Every mount of every group that differs."""
    return tuple(_line(group, one, decider) for group in groups_of(container, decider) for one in decider.decide(group))


def _line(group: str, one: DecidedMount, decider: MountDecider) -> MountLine:
    setting, action = one.setting, one.action
    allowed = action if isinstance(action, AllowMount) else None
    found = Exposed()
    if allowed is not None:
        found = find_exposed(allowed.host, decider.allowlist(group).blocked, decider.policy)
    return MountLine(
        group=group,
        host=setting.host,
        asked=setting.container,
        allowed=allowed is not None,
        code=action.code if isinstance(action, RejectMount) else "ok",
        because=action.because,
        source=None if allowed is None else allowed.host,
        target=None if allowed is None else allowed.container,
        readonly=None if allowed is None else allowed.readonly,
        exposes=found.paths,
        exposes_complete=found.complete,
    )


def root_lines(container: ContainerConfig, decider: MountDecider) -> tuple[RootLine, ...]:
    """Every root of every allow-list that can be used."""
    found: dict[str | None, tuple[RootLine, ...]] = {}
    for group in groups_of(container, decider):
        path = container.of(group).mount_allowlist
        if path is not None and path not in found:
            try:
                found[path] = tuple(_lines_of(group, decider.allowlist(group), decider))
            except AllowlistUnusable:
                continue  # told among the problems
    return tuple(line for lines in found.values() for line in lines)


def _lines_of(group: str, allowed: MountAllowlist, decider: MountDecider) -> Iterator[RootLine]:
    for root in allowed.roots:
        path = None if root.seen is None else root.seen.place.path
        blocked = None if path is None else find_blocked(path, (*decider.policy.blocked, *allowed.blocked))
        problem = "it does not exist" if path is None else f"it holds the blocked {blocked!r}: it allows nothing"
        usable = path is not None and blocked is None
        found = find_exposed(path, allowed.blocked, decider.policy) if path is not None and usable else Exposed()
        yield RootLine(
            group=group,
            root=root.written,
            writable=root.read_write,
            problem=None if usable else problem,
            exposes=found.paths,
            exposes_complete=found.complete,
        )


def now_ms() -> int:
    """The wall clock."""
    return time.time_ns() // 1_000_000
