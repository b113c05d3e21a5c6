"""Is the file system of a path told as the kernel's table has it?"""

from pathlib import Path

import pytest

from turnkeel_adapters.system.filesystem import FileSystem, file_system_of

TABLE = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:5 / /proc rw - proc proc rw
30 22 0:40 / /srv rw,relatime shared:7 master:2 - nfs4 store:/export rw
31 30 0:41 / /srv/data rw - virtiofs share rw
32 22 0:42 / /with\040blank rw - fuse.sshfs me@there:/my\040files rw
33 22 0:43 / /twice rw - tmpfs first rw
34 22 0:44 / /twice rw - xfs second rw
35 22 0:45 / /back\134040slash rw - 9p odd rw
not a mount at all
36 22 0:46 / /short rw
"""


def mounted(tmp_path, path, table=TABLE):
    (tmp_path / "mountinfo").write_text(table, encoding="utf-8")
    return file_system_of(Path(path), tmp_path / "mountinfo")


@pytest.mark.parametrize(
    ("path", "kind", "source"),
    [
        pytest.param("/", "ext4", "/dev/sda1", id="the root itself"),
        pytest.param("/no/such/place", "ext4", "/dev/sda1", id="a path that is not there lies on what is above it"),
        pytest.param("/srv", "nfs4", "store:/export", id="a mount point is of its own mount, behind optional fields"),
        pytest.param("/srv/data/x", "virtiofs", "share", id="the longest mount point counts"),
        pytest.param("/srv/database", "nfs4", "store:/export", id="a like beginning of a name is no prefix"),
        pytest.param("/with blank/x", "fuse.sshfs", "me@there:/my files", id="blanks are unescaped"),
        pytest.param("/back\\040slash/x", "9p", "odd", id="an escaped backslash is not unescaped twice"),
        pytest.param("/twice/x", "xfs", "second", id="of two mounts at one place the later one is seen"),
    ],
)
def test_a_path_lies_on(tmp_path, path, kind, source):
    found = mounted(tmp_path, path)
    assert (found.kind, found.source) == (kind, source)


@pytest.mark.parametrize(
    ("kind", "nature"),
    [
        ("ext4", "local"),
        ("xfs", "local"),
        ("btrfs", "local"),
        ("fuseblk", "local"),
        ("nfs", "network"),
        ("nfs4", "network"),
        ("cifs", "network"),
        ("fuse.sshfs", "network"),
        ("9p", "shared"),
        ("virtiofs", "shared"),
        ("vboxsf", "shared"),
        ("fuse.something", "user_space"),
        ("fuse", "user_space"),
        ("overlay", "layer"),
        ("tmpfs", "memory"),
    ],
)
def test_a_kind_has_its_nature(kind, nature):
    assert FileSystem(mount_point="/", kind=kind, source="x").nature == nature


def test_links_are_followed(tmp_path):
    (tmp_path / "link").symlink_to("/srv/data")
    assert mounted(tmp_path, tmp_path / "link" / "x").kind == "virtiofs"


def test_a_system_without_the_table_tells_nothing(tmp_path):
    assert file_system_of(tmp_path, tmp_path / "none") is None


def test_a_table_without_a_line_for_the_path_tells_nothing(tmp_path):
    assert mounted(tmp_path, "/x", "31 30 0:41 / /srv/data rw - virtiofs share rw\n") is None


def test_this_machine_tells_something_of_its_own_root():
    found = file_system_of(Path("/"))
    assert found is None or found.mount_point == "/"
