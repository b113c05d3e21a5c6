"""What is asked for in the configuration, and what was decided on it?"""

from attrs import Attribute, field, frozen
from attrs.validators import and_, instance_of, min_len, optional

from turnkeel_core import AllowMount, MountAction, PathSeen


def _why(reason: str) -> dict[str, str]:
    return {"reason": reason}


def is_whole_path(_: object, attribute: "Attribute[str]", value: str) -> None:
    """ValueError for a path that would count from wherever the host was started; the value is not repeated."""
    if not is_whole(value) or "\0" in value:
        raise ValueError(f"'{attribute.name}' must be an absolute path, or begin with ~/")


def is_whole(path: str) -> bool:
    """Does it mean the same wherever the host is started?"""
    return path.startswith(("/", "~/")) or path == "~"


@frozen(kw_only=True)
class MountSetting:
    """One entry of `[container] mounts`: a folder or file of this machine, and where it is seen in the container."""

    host: str = field(
        validator=and_(instance_of(str), is_whole_path), metadata=_why("there is no default: it is what is mounted")
    )
    container: str | None = field(
        default=None,
        validator=optional(and_(instance_of(str), min_len(1))),
        metadata=_why("unset: below /workspace/extra under its own name"),
    )
    readonly: bool = field(
        default=True,
        validator=instance_of(bool),
        metadata=_why("writing must be asked for, and be allowed by the list"),
    )


@frozen(kw_only=True)
class MountTable:
    """The mounts of one group, by which allow-list they are decided, and whether targets may be absolute."""

    mounts: tuple[MountSetting, ...] = ()
    allowlist: str | None = None
    absolute_targets: bool = False


@frozen(kw_only=True)
class DecidedMount:
    """One mount with its answer. `seen` is where it led when it was decided."""

    setting: MountSetting
    action: MountAction
    seen: PathSeen | None = None


def allowed_of(decided: tuple[DecidedMount, ...]) -> tuple[AllowMount, ...]:
    """Those that a container gets, in order."""
    return tuple(one.action for one in decided if isinstance(one.action, AllowMount))
