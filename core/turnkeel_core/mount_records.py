"""What is known of a mount that somebody asks for, and what can be the answer?"""

from typing import Literal, TypeAlias

from attrs import frozen

RejectCode: TypeAlias = Literal[
    "no_allowlist",
    "invalid_host_path",
    "invalid_container_path",
    "reserved_container_path",
    "host_missing",
    "unsafe_host_path",
    "blocked_pattern",
    "system_path",
    "own_path",
    "special_file",
    "outside_roots",
    "agent_writable",
    "duplicate_target",
    "changed",
    "target_taken",
]


@frozen(kw_only=True)
class PathPlace:
    """A place on the machine: an absolute path without links, and the identity of `/` and of each component.

    An identity is a text such as `device:inode`; two paths that share one lead to the same thing. `()`: not known.
    """

    path: str
    ids: tuple[str, ...] = ()


@frozen(kw_only=True)
class PathSeen:
    """Where a path leads now. `links` are the symbolic links on the way, each at the place where it lies itself.

    `several_names` is a file with further hard links, `special` all that is neither file nor folder.
    """

    place: PathPlace
    kind: Literal["folder", "file", "several_names", "special"]
    links: tuple[PathPlace, ...] = ()


@frozen(kw_only=True)
class AllowedRoot:
    """A folder that the operator allows mounts from. `seen` None: it does not exist now, and allows nothing."""

    written: str
    seen: PathSeen | None
    read_write: bool = False


@frozen(kw_only=True)
class MountAllowlist:
    """What the operator's list says; `blocked` is added to the policy's."""

    roots: tuple[AllowedRoot, ...]
    blocked: tuple[str, ...] = ()
    non_main_read_only: bool = True


@frozen(kw_only=True)
class MountSnapshot:
    """One mount as asked for (`host`, `container`, `readonly`), and where `host` leads: None if nowhere.

    `allowed` None: no list can be used, `no_list` says why. `own` are the host's own files and folders, `writable` what
    agents can write to. `group` is the group of the session.
    """

    now_ms: int
    group: str
    host: str
    container: str | None = None
    readonly: bool = True
    seen: PathSeen | None = None
    allowed: MountAllowlist | None = None
    no_list: str = "there is no allow-list"
    own: tuple[PathPlace, ...] = ()
    writable: tuple[PathPlace, ...] = ()


@frozen
class AllowMount:
    """Mount `host` (without links) at `container`. `because` says which root allows it, and what became of a write."""

    host: str
    container: str
    readonly: bool
    because: str


@frozen
class RejectMount:
    """Do not mount it; the others, and the start, go on. `pattern` is the blocked one that was found."""

    code: RejectCode
    because: str
    pattern: str | None = None


MountAction: TypeAlias = AllowMount | RejectMount


@frozen(kw_only=True)
class MountsSnapshot:
    """The mounts of one container in order, and those of the containers of all `others`."""

    now_ms: int
    mounts: tuple[MountSnapshot, ...]
    others: tuple[MountSnapshot, ...] = ()
