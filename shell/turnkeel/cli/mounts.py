"""`mounts check`: which mounts does each group get, which not and why, and what do they show that they should not?"""

from pathlib import Path
from typing import Final

from attrs import asdict

from turnkeel.cli.errors import FAILED
from turnkeel.cli.hiding import learn
from turnkeel.cli.mount_lines import MountLine, RootLine, decider_of, list_problems, mount_lines, now_ms, root_lines
from turnkeel.cli.output import flat, print_json, print_table
from turnkeel_adapters.config import load_config

_SHOWN: Final = 5


def check(data: Path | None = None, *, config: Path | None = None, json: bool = False) -> int:
    """Decide about every configured mount as a start would; 1 if one is refused or a list cannot be used."""
    settings = load_config(config)
    learn(settings)
    mounts: tuple[MountLine, ...] = ()
    roots: tuple[RootLine, ...] = ()
    problems: tuple[str, ...] = ()
    if settings.container is not None:
        decider = decider_of(settings.container, data)
        mounts = mount_lines(settings.container, decider)
        roots, problems = root_lines(settings.container, decider), list_problems(settings.container, decider)
    if json:
        facts = {"read_at_ms": now_ms(), "config": None if config is None else str(config), "problems": problems}
        print_json({**facts, "mounts": [asdict(one) for one in mounts], "roots": [asdict(one) for one in roots]})
    else:
        _print(mounts, roots, problems)
    return FAILED if problems or any(not one.allowed for one in mounts) else 0


def _print(mounts: tuple[MountLine, ...], roots: tuple[RootLine, ...], problems: tuple[str, ...]) -> None:
    if mounts:
        columns = ("group", "host", "target", "mounted", "why")
        told = ("yes" if one.allowed else one.code for one in mounts)
        rows = [(m.group, m.host, m.target or "-", what, m.because) for m, what in zip(mounts, told, strict=True)]
        print_table(columns, rows)
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
