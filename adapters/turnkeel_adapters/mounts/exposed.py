"""Which blocked names lie below a folder that is allowed? A mount shows all of it, whatever the names say."""

import os
from collections.abc import Iterator

from attrs import frozen

from turnkeel_core import MountPolicy, find_blocked


@frozen(kw_only=True)
class Exposed:
    """The paths found below, relative. `complete` False: there is more below than was looked at."""

    paths: tuple[str, ...] = ()
    complete: bool = True


def find_exposed(root: str, blocked: tuple[str, ...], policy: MountPolicy) -> Exposed:
    """Look at up to `descent_limit` entries; what is found is not looked into, links are not followed."""
    patterns = (*policy.blocked, *blocked)
    found: list[str] = []
    for number, path in enumerate(_below(root, patterns, found)):
        if number >= policy.descent_limit:
            return Exposed(paths=tuple(sorted(found)), complete=False)
        if find_blocked(path, patterns) is not None:
            found.append(os.path.relpath(path, root))
    return Exposed(paths=tuple(sorted(found)))


def _below(root: str, patterns: tuple[str, ...], found: list[str]) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        yield from (os.path.join(folder, name) for name in (*folders, *files))
        folders[:] = [name for name in folders if os.path.relpath(os.path.join(folder, name), root) not in found]
