"""May this path of the machine be mounted into a container, where, and for writing?"""

from typing import Final

from turnkeel_core.explain import Explanation, RuleTried
from turnkeel_core.mount_policy import MountPolicy
from turnkeel_core.mount_records import AllowedRoot, AllowMount, MountAction, MountSnapshot, RejectMount
from turnkeel_core.mount_rules import RULES, root_of
from turnkeel_core.mount_targets import target_of

_DEFAULT: Final = MountPolicy()


def decide_mount(seen: MountSnapshot, policy: MountPolicy = _DEFAULT) -> MountAction:
    """Allow it under the most specific root of the list, else say what is against it.

    What is blocked beats what is allowed; the place that the path leads to counts, not how it is written. Writing needs
    to be asked for, and a root that allows it, for this group; else the mount is read-only, not refused.
    """
    objection = _evaluate(seen, policy)[1]
    root = root_of(seen)
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
    for name, fine, rule in RULES:
        objection = rule(seen, policy)
        if objection is not None:
            return (*tried, RuleTried(rule=name, result="fired", because=objection.because)), objection
        tried.append(RuleTried(rule=name, result="not_yet", because=fine))
    return tuple(tried), None


def _access(seen: MountSnapshot, root: AllowedRoot, policy: MountPolicy) -> tuple[bool, str]:
    if seen.readonly:
        return True, "read-only"
    if not root.read_write:
        return True, "read-only, for the root does not allow writing"
    if seen.group != policy.main_group and (seen.allowed is None or seen.allowed.non_main_read_only):
        return True, f"read-only, for only the group {policy.main_group} may write"
    return False, "for writing"
