"""Where in the container does a mount appear, and may it?"""

from turnkeel_core.mount_names import is_plain_text
from turnkeel_core.mount_places import parts, path_in
from turnkeel_core.mount_policy import MountPolicy
from turnkeel_core.mount_records import MountSnapshot, RejectMount


def target_of(seen: MountSnapshot, policy: MountPolicy) -> str:
    """The absolute path in the container; meant for one that `judge_target` has nothing against."""
    asked = asked_target(seen)
    return asked if asked.startswith("/") else f"{policy.extra}/{asked}"


def asked_target(seen: MountSnapshot) -> str:
    """What was asked for: without it, the last component of `host` as it is written."""
    return seen.container or seen.host.rstrip("/").rpartition("/")[2]


def judge_target(seen: MountSnapshot, policy: MountPolicy) -> RejectMount | None:
    """`..` anywhere, `:` and control characters are refused, as is all that names no place of its own."""
    asked = asked_target(seen)
    absolute = asked.startswith("/")
    wrong = (
        "it is blank" if not asked.strip()
        else "it holds '..'" if ".." in asked
        else "it holds ':'" if ":" in asked
        else "it holds characters that cannot be shown" if not is_plain_text(asked)
        else f"it must be relative: it is put below {policy.extra}" if absolute and not policy.absolute_targets
        else f"it would cover {policy.extra} itself" if not absolute and not parts(asked)
        else None
    )  # fmt: skip
    return None if wrong is None else RejectMount("invalid_container_path", f"container path {asked!r}: {wrong}")


def judge_reserved(seen: MountSnapshot, policy: MountPolicy) -> RejectMount | None:
    """An absolute target must leave alone what makes up the container."""
    asked = asked_target(seen)
    target = "/" + "/".join(parts(asked))
    if not asked.startswith("/") or (path_in(target, policy.extra) and parts(target) != parts(policy.extra)):
        return None
    hit = next((one for one in policy.reserved_targets if path_in(target, one) or path_in(one, target)), None)
    return None if hit is None else RejectMount("reserved_container_path", f"{target} would cover or change {hit}")
