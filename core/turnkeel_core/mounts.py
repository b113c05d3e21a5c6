"""May this path of the machine be mounted into a container, where, and for writing?"""

from collections.abc import Callable
from typing import Final, TypeAlias

from turnkeel_core.explain import Explanation, RuleTried
from turnkeel_core.mount_names import find_blocked, fold_name, is_plain_text
from turnkeel_core.mount_places import lies_below, lies_in, parts, path_in
from turnkeel_core.mount_policy import MountPolicy
from turnkeel_core.mount_records import AllowedRoot, AllowMount, MountAction, MountSnapshot, RejectMount
from turnkeel_core.mount_targets import judge_reserved, judge_target, target_of

Rule: TypeAlias = Callable[[MountSnapshot, MountPolicy], RejectMount | None]

_DEFAULT: Final = MountPolicy()


def decide_mount(seen: MountSnapshot, policy: MountPolicy = _DEFAULT) -> MountAction:
    """Allow it under the most specific root of the list, else say what is against it.

    What is blocked beats what is allowed; the place that the path leads to counts, not how it is written. Writing needs
    to be asked for, and a root that allows it, for this group; else the mount is read-only, not refused.
    """
    objection = _evaluate(seen, policy)[1]
    root = _root(seen)
    if objection is not None or seen.seen is None or root is None:
        return objection or RejectMount("host_missing", "it leads nowhere")
    readonly, access = _access(seen, root, policy)
    return AllowMount(seen.seen.place.path, target_of(seen, policy), readonly, f"below {root.written}: {access}")


def explain_mount(seen: MountSnapshot, policy: MountPolicy = _DEFAULT) -> Explanation:
    """The rules of `decide_mount`, up to the one that refuses; time does not change its answer."""
    action = decide_mount(seen, policy)
    allowed = isinstance(action, AllowMount)
    last = (RuleTried(rule="access", result="fired", because=action.because),) if allowed else ()
    return Explanation(
        decision="decide_mount",
        answer=type(action).__name__,
        at_ms=seen.now_ms,
        rules=(*_evaluate(seen, policy)[0], *last),
    )


def _evaluate(seen: MountSnapshot, policy: MountPolicy) -> tuple[tuple[RuleTried, ...], RejectMount | None]:
    tried: list[RuleTried] = []
    for name, fine, rule in _RULES:
        objection = rule(seen, policy)
        if objection is not None:
            return (*tried, RuleTried(rule=name, result="fired", because=objection.because)), objection
        tried.append(RuleTried(rule=name, result="not_yet", because=fine))
    return tuple(tried), None


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
    if _root(seen) is None:
        return RejectMount("outside_roots", f"{_path(seen)} lies below no allowed root")
    return None


def _writable(seen: MountSnapshot, _: MountPolicy) -> RejectMount | None:
    """Who can write to a folder can put a link in the place of what is below it, after this decision."""
    root = _root(seen)
    ways = [way for way in (seen.seen, None if root is None else root.seen) if way is not None]
    places = [place for way in ways for place in (way.place, *way.links)]
    hit = next((tree for tree in seen.writable for place in places if lies_below(place, tree)), None)
    if hit is None:
        return None
    return RejectMount(
        "agent_writable", f"an agent can write to {hit.path}, and exchange {_path(seen)} or the way to it"
    )


def _root(seen: MountSnapshot) -> AllowedRoot | None:
    """The most specific root; of two for the same folder the one that allows less."""
    roots = () if seen.allowed is None else seen.allowed.roots
    holding = [one for one in roots if one.seen is not None and path_in(_path(seen), one.seen.place.path)]
    return max(holding, key=_rank, default=None) if seen.seen is not None else None


def _rank(root: AllowedRoot) -> tuple[int, bool]:
    return 0 if root.seen is None else len(parts(root.seen.place.path)), not root.read_write


def _access(seen: MountSnapshot, root: AllowedRoot, policy: MountPolicy) -> tuple[bool, str]:
    if seen.readonly:
        return True, "read-only"
    if not root.read_write:
        return True, "read-only, for the root does not allow writing"
    if seen.group != policy.main_group and (seen.allowed is None or seen.allowed.non_main_read_only):
        return True, f"read-only, for only the group {policy.main_group} may write"
    return False, "for writing"


def _path(seen: MountSnapshot) -> str:
    return "" if seen.seen is None else seen.seen.place.path


_RULES: Final[tuple[tuple[str, str, Rule], ...]] = (
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
