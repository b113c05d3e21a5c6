"""`mounts check`: which mounts does each group get, which not and why, and what do they show that they should not?"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attrs import asdict, frozen

from turnkeel.cli.errors import FAILED
from turnkeel.cli.hiding import learn
from turnkeel.cli.output import flat, print_json, print_table
from turnkeel.cli.place import data_dir_of
from turnkeel_adapters.config import ContainerConfig, load_config
from turnkeel_adapters.config.mounts import mount_decider
from turnkeel_adapters.mounts.allowlist import AllowlistUnusable
from turnkeel_adapters.mounts.deciding import MountDecider
from turnkeel_adapters.mounts.exposed import Exposed, find_exposed
from turnkeel_adapters.mounts.records import DecidedMount
from turnkeel_core import AllowMount, MountAllowlist, RejectMount, find_blocked

OTHERS: Final = "*"
"""Stands for every group that has no table of its own."""

_SHOWN: Final = 5


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


def check(data: Path | None = None, *, config: Path | None = None, json: bool = False) -> int:
    """Decide about every configured mount as a start would; 1 if one is refused or a list cannot be used."""
    settings = load_config(config)
    learn(settings)
    mounts: tuple[MountLine, ...] = ()
    roots: tuple[RootLine, ...] = ()
    problems: tuple[str, ...] = ()
    if settings.container is not None:
        decider = decider_of(settings.container, data)
        groups = groups_of(settings.container, decider)
        mounts = tuple(_line(group, one, decider) for group in groups for one in decider.decide(group))
        roots, problems = _roots(groups, settings.container, decider), list_problems(settings.container, decider)
    if json:
        lines = {"mounts": [asdict(one) for one in mounts], "roots": [asdict(one) for one in roots]}
        print_json({"read_at_ms": _now_ms(), "config": None if config is None else str(config), **lines, "problems": problems})
    else:
        _print(mounts, roots, problems)
    return FAILED if problems or any(not one.allowed for one in mounts) else 0


def decider_of(container: ContainerConfig, data: Path | None) -> MountDecider:
    """As the host on this data directory would have it."""
    return mount_decider(container, data_dir_of(data).absolute(), os.environ, _now_ms)


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


def _roots(groups: tuple[str, ...], container: ContainerConfig, decider: MountDecider) -> tuple[RootLine, ...]:
    found: dict[str | None, tuple[RootLine, ...]] = {}
    for group in groups:
        path = container.of(group).mount_allowlist
        if path is not None and path not in found:
            try:
                found[path] = tuple(_root_lines(group, decider.allowlist(group), decider))
            except AllowlistUnusable:
                continue  # told among the problems
    return tuple(line for lines in found.values() for line in lines)


def _root_lines(group: str, allowed: MountAllowlist, decider: MountDecider) -> Iterator[RootLine]:
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


def _print(mounts: tuple[MountLine, ...], roots: tuple[RootLine, ...], problems: tuple[str, ...]) -> None:
    if mounts:
        rows = [(one.group, one.host, one.target or "-", "yes" if one.allowed else one.code, one.because) for one in mounts]
        print_table(("group", "host", "target", "mounted", "why"), rows)
    for line in mounts:
        if line.exposes or not line.exposes_complete:
            print(flat(f"warning: {line.host} of {line.group} shows {_names(line.exposes, line.exposes_complete)}"))
    for root in roots:
        if root.problem is not None:
            print(flat(f"warning: root {root.root}: {root.problem}"))
        elif root.exposes or not root.exposes_complete:
            print(flat(f"warning: root {root.root} has below it {_names(root.exposes, root.exposes_complete)}"))
    for problem in problems:
        print(flat(f"problem: {problem}"))
    if not mounts:
        print("no mounts are configured: agents see their session folders and secret files")


def _names(paths: tuple[str, ...], complete: bool) -> str:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    rest = "" if complete else " (it is too large to be looked through)"
    return (", ".join(paths[:_SHOWN]) or "nothing blocked so far") + more + rest


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
