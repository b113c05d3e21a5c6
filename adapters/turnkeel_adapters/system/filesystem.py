"""On which kind of file system does a path lie, and what does that mean for databases?"""

from pathlib import Path, PurePosixPath
from typing import Final, Literal, TypeAlias

from attrs import frozen

Nature: TypeAlias = Literal["local", "network", "shared", "user_space", "layer", "memory"]

MOUNTINFO: Final = Path("/proc/self/mountinfo")
_NATURES: Final[dict[Nature, frozenset[str]]] = {
    "network": frozenset(
        ("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "ceph", "glusterfs", "lustre", "beegfs", "gpfs")
        + ("orangefs", "ocfs2", "gfs2", "davfs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs")
        + ("fuse.rclone", "fuse.davfs2", "fuse.juicefs", "fuse.gcsfuse", "fuse.blobfuse2")
    ),
    "shared": frozenset(
        ("9p", "virtiofs", "vboxsf", "prl_fs", "vmhgfs", "drvfs", "fakeowner", "fuse.vmhgfs-fuse", "fuse.grpcfuse")
        + ("fuse.osxfs", "fuse.prl_fsd")
    ),
    "layer": frozenset(("overlay", "aufs", "fuse.fuse-overlayfs")),
    "memory": frozenset(("tmpfs", "ramfs")),
}
_ON_DISK: Final = frozenset(("fuseblk",))


@frozen(kw_only=True)
class FileSystem:
    """A mounted file system. `kind` is the kernel's word for it, such as ext4, nfs4 or fuse.sshfs."""

    mount_point: str
    kind: str
    source: str

    @property
    def nature(self) -> Nature:
        """What the kind means: a machine's own disk, or something whose locks and syncs may be weaker."""
        for nature, kinds in _NATURES.items():
            if self.kind in kinds:
                return nature
        return "user_space" if self.kind.startswith("fuse") and self.kind not in _ON_DISK else "local"


def file_system_of(path: Path, mountinfo: Path = MOUNTINFO) -> FileSystem | None:
    """The file system that holds `path`, links followed; None where the system has no such table. OSError."""
    try:
        text = mountinfo.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None
    place = PurePosixPath(path.resolve())
    held = [mount for line in text.splitlines() if (mount := _mount(line)) and place.is_relative_to(mount.mount_point)]
    # Of two at one place the later hides the earlier; max() keeps the first of equals.
    return max(reversed(held), key=lambda mount: len(PurePosixPath(mount.mount_point).parts), default=None)


def _mount(line: str) -> FileSystem | None:
    """One line as proc(5) describes it: six fields, any number of optional ones, a lone dash, kind and source."""
    before, dash, after = line.partition(" - ")
    fields, more = before.split(" "), after.split(" ")
    if not dash or len(fields) < 6 or len(more) < 2:
        return None
    return FileSystem(mount_point=_unescaped(fields[4]), kind=more[0], source=_unescaped(more[1]))


def _unescaped(text: str) -> str:
    """The kernel writes blanks, tabs, line ends, backslashes and `#` as three octal digits."""
    for escape, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\043", "#"), ("\\134", "\\")):
        text = text.replace(escape, char)
    return text
