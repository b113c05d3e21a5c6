"""What can be against a mount, one rule at a time?"""

from collections.abc import Callable
from typing import Final, TypeAlias

from turnkeel_core.mount_names import find_blocked, fold_name, is_plain_text
from turnkeel_core.mount_places import lies_below, lies_in, parts, path_in
from turnkeel_core.mount_policy import MountPolicy
from turnkeel_core.mount_records import AllowedRoot, MountSnapshot, RejectMount
from turnkeel_core.mount_targets import judge_reserved, judge_target

Rule: TypeAlias = Callable[[MountSnapshot, MountPolicy], RejectMount | None]


def _no_list(seen: MountSnapshot, _: MountPolicy) -> RejectMount | None:
    return RejectMount("no_allowlist", seen.no_list) if seen.allowed is None else None


def _host_text(seen: MountSnapshot, _: MountPolicy) -> RejectMount | None:
    if not seen.host.strip():
        return RejectMount("invalid_host_path", "the host path is blank: it would mean the folder the host runs in")
    if not is_plain_text(seen.host):
        return RejectMount("unsafe_host_path", f"{seen.host!r} holds characters that cannot be shown")
    return None


def _missing(seen: MountSnapshot, _: MountPolicy) -> RejectMount | None:
    if seen.seen is None:
        return RejectMount("host_missing", f"{seen.host} does not exist, or may not be reached")
    return None


def _unsafe(seen: MountSnapshot, _: MountPolicy) -> RejectMount | None:
    path = _path(seen)
    if ":" in path or not is_plain_text(path):
        return RejectMount("unsafe_host_path", f"{path!r} holds ':' or characters that cannot be shown")
    return None


def _blocked(seen: MountSnapshot, policy: MountPolicy) -> RejectMount | None:
    more = () if seen.allowed is None else seen.allowed.blocked
    hit = find_blocked(_path(seen), (*policy.blocked, *more))
    return None if hit is None else RejectMount("blocked_pattern", f"{_path(seen)} holds the blocked {hit!r}", hit)


def _system(seen: MountSnapshot, policy: MountPolicy) -> RejectMount | None:
    path = fold_name(_path(seen))
    hit = next((tree for tree in policy.system_trees if path_in(path, tree) or path_in(tree, path)), None)
    return None if hit is None else RejectMount("system_path", f"{_path(seen)} lies in {hit}, or holds it")


def _own(seen: MountSnapshot, _: MountPolicy) -> RejectMount | None:
    here = None if seen.seen is None else seen.seen.place
    hit = next((own for own in seen.own if here is not None and (lies_in(here, own) or lies_in(own, here))), None)
    return (
        None
        if hit is None
        else RejectMount("own_path", f"{_path(seen)} lies in the host's own {hit.path}, or holds it")
    )


def _special(seen: MountSnapshot, _: MountPolicy) -> RejectMount | None:
    match None if seen.seen is None else seen.seen.kind:
        case "special":
            return RejectMount("special_file", f"{_path(seen)} is neither a folder nor a plain file")
        case "several_names":
            return RejectMount("special_file", f"{_path(seen)} has hard links: another name of it may be blocked")
        case _:
            return None


def _outside(seen: MountSnapshot, _: MountPolicy) -> RejectMount | None:
    if root_of(seen) is None:
        return RejectMount("outside_roots", f"{_path(seen)} lies below no allowed root")
    return None


def _writable(seen: MountSnapshot, _: MountPolicy) -> RejectMount | None:
    """Who can write to a folder can put a link in the place of what is below it, after this decision."""
    root = root_of(seen)
    ways = [way for way in (seen.seen, None if root is None else root.seen) if way is not None]
    places = [place for way in ways for place in (way.place, *way.links)]
    hit = next((tree for tree in seen.writable for place in places if lies_below(place, tree)), None)
    if hit is None:
        return None
    return RejectMount(
        "agent_writable", f"an agent can write to {hit.path}, and exchange {_path(seen)} or the way to it"
    )


def root_of(seen: MountSnapshot) -> AllowedRoot | None:
    """The most specific root; of two for the same folder the one that allows less."""
    roots = () if seen.allowed is None else seen.allowed.roots
    holding = [one for one in roots if one.seen is not None and path_in(_path(seen), one.seen.place.path)]
    return max(holding, key=_rank, default=None) if seen.seen is not None else None


def _rank(root: AllowedRoot) -> tuple[int, bool]:
    return 0 if root.seen is None else len(parts(root.seen.place.path)), not root.read_write


def _path(seen: MountSnapshot) -> str:
    return "" if seen.seen is None else seen.seen.place.path


RULES: Final[tuple[tuple[str, str, Rule], ...]] = (
    ("allow-list", "there is one", _no_list),
    ("host path", "it is a plain text", _host_text),
    ("container path", "it names a place of its own", judge_target),
    ("reserved target", "it leaves the container's own places alone", judge_reserved),
    ("exists", "it leads somewhere", _missing),
    ("plain path", "where it leads can be an argument", _unsafe),
    ("blocked names", "no blocked name is in it", _blocked),
    ("system", "it has to do with no tree of the system", _system),
    ("own files", "it has to do with nothing of the host's own", _own),
    ("kind", "it is a folder or a plain file", _special),
    ("roots", "an allowed root holds it", _outside),
    ("writable by agents", "no agent can exchange it", _writable),
)
"""Name, what is said if it has nothing to say, and the rule; the first that refuses decides."""
