"""Which mounts does the operator's list allow, and can it be relied upon?

The form is that of the existing hosts: `allowedRoots` (path, allowReadWrite), `blockedPatterns`, `nonMainReadOnly`. A
list with anything wrong in it allows nothing: half of a rule may be the half that mattered.
"""

import os
import stat
from collections.abc import Callable
from typing import Final, TypeAlias, cast

from turnkeel_adapters.errors import AdapterError
from turnkeel_adapters.mounts.records import is_whole
from turnkeel_adapters.mounts.resolve import resolve_path
from turnkeel_adapters.wire import WireFault, parse_json
from turnkeel_core import AllowedRoot, MountAllowlist, PathPlace, PathSeen, fold_name
from turnkeel_core.mount_places import lies_below, lies_in

Resolve: TypeAlias = Callable[[str], PathSeen | None]

LIST_BYTES: Final = 1_048_576
_OTHERS_WRITE: Final = stat.S_IWOTH


class AllowlistUnusable(AdapterError, ValueError):
    """Whoever wrote the allow-list, or put it where it is, made a mistake: all further mounts are refused."""


def read_allowlist(path: str, home: str, own: tuple[PathPlace, ...]) -> MountAllowlist:
    """The list in the file `path`, read anew; AllowlistUnusable says why it cannot be used.

    It must lie in none of the folders `own`, and below none of its own roots: an agent could be given it.
    """
    found = resolve_path(path, home)
    if found is None:
        raise AllowlistUnusable(f"there is no allow-list {path}: all mounts are refused")
    real = found.place.path
    allowed = parse_allowlist(_text(path, real), lambda text: resolve_path(text, home), home)
    relative = next((root.written for root in allowed.roots if not is_whole(root.written)), None)
    if relative is not None:
        raise AllowlistUnusable(f"the root {relative!r} would count from wherever the host is started: write it whole")
    roots = [root.seen.place for root in allowed.roots if root.seen is not None]
    holder = next((one for one in (*own, *roots) if lies_below(found.place, one)), None)
    if holder is not None or any(lies_in(found.place, one) for one in roots):
        raise AllowlistUnusable(f"{path} lies in {(holder or found.place).path}, which agents may see: move it away")
    return allowed


def parse_allowlist(text: str, resolve: Resolve, home: str) -> MountAllowlist:
    """The list written in `text`; AllowlistUnusable names what is wrong. Only the value true allows writing."""
    try:
        document: object = parse_json(text)
    except WireFault as fault:
        raise AllowlistUnusable(f"the allow-list is {fault}") from fault
    top = _table(document, "the allow-list")
    roots, blocked = _list(top, "allowedRoots"), _list(top, "blockedPatterns")
    non_main = top.get("nonMainReadOnly")
    if not isinstance(non_main, bool):
        raise AllowlistUnusable("nonMainReadOnly must be true or false")
    return MountAllowlist(
        roots=tuple(_root(root, f"allowedRoots[{place}]", resolve) for place, root in enumerate(roots)),
        blocked=tuple(_pattern(one, f"blockedPatterns[{place}]", home) for place, one in enumerate(blocked)),
        non_main_read_only=non_main,
    )


def _root(value: object, key: str, resolve: Resolve) -> AllowedRoot:
    table = _table(value, key)
    path = table.get("path")
    if not isinstance(path, str) or not path.strip():
        raise AllowlistUnusable(f"{key}.path must be a path: an empty one would mean the folder the host runs in")
    return AllowedRoot(written=path, seen=resolve(path), read_write=table.get("allowReadWrite") is True)


def _pattern(value: object, key: str, home: str) -> str:
    if not isinstance(value, str) or not fold_name(value).strip("/ "):
        raise AllowlistUnusable(f"{key} must be a text with something in it: an empty one would block every path")
    return f"{home}{value[1:]}" if value.startswith("~/") else value


def _list(top: dict[str, object], key: str) -> list[object]:
    value = top.get(key)
    if not isinstance(value, list):
        raise AllowlistUnusable(f"{key} must be a list")
    return cast("list[object]", value)


def _table(value: object, key: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise AllowlistUnusable(f"{key} must be an object")
    return cast("dict[str, object]", value)


def _text(path: str, real: str) -> str:
    try:
        handle = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb") as file:
            seen = os.fstat(handle)
            content = file.read(LIST_BYTES + 1) if stat.S_ISREG(seen.st_mode) else b""
    except OSError as error:
        raise AllowlistUnusable(f"{path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(seen.st_mode):
        raise AllowlistUnusable(f"{path} is no plain file")
    if seen.st_mode & _OTHERS_WRITE:
        raise AllowlistUnusable(f"{path} may be written by every user of this machine: chmod o-w {path}")
    if len(content) > LIST_BYTES:
        raise AllowlistUnusable(f"{path} is longer than {LIST_BYTES} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise AllowlistUnusable(f"{path} is no UTF-8 text") from error
