"""Are a guard's last words kept whole or not at all, and is nobody else's word taken for them?"""

import os
import socket
from pathlib import Path

import pytest

from turnkeel_adapters.runners.guard.door import DOOR_SUFFIX, Door, address_in
from turnkeel_adapters.runners.guard.report import REPORT_SUFFIX, Report, keep_report, read_kept, read_line

EXITED = Report(ended_mono_ms=5, ended_at_ms=17 * 10**11, exit_code=7, signal=None, forced=False, survivors_killed=0)
KILLED = Report(ended_mono_ms=0, ended_at_ms=0, exit_code=None, signal=9, forced=True, survivors_killed=123)


@pytest.fixture
def folder(tmp_path: Path) -> int:
    return os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)


@pytest.mark.parametrize("report", [EXITED, KILLED])
def test_what_is_kept_is_read_again(report: Report, folder: int, tmp_path: Path) -> None:
    keep_report(folder, "x-1", report)
    assert [path.name for path in tmp_path.iterdir()] == [f"x-1{REPORT_SUFFIX}"]
    assert read_kept(str(tmp_path / f"x-1{REPORT_SUFFIX}")) == report
    assert read_line(report.line()) == report
    os.close(folder)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "started 5 6",
        "ended 5 6 7 - 0",
        "ended 5 6 7 - 0 0 0",
        "ended 5 6 7 - 2 0",
        "ended 5 6 -7 - 0 0",
        "ended 5 6 7000 - 0 0",
        f"ended 5 {'9' * 19} 7 - 0 0",
        "ended 5 6 ٧ - 0 0",
        "ended 5 6 7 - 0 0\nended 5 6 7 - 0 0",
        "x" * 1_000_000,
        "\0",
    ],
)
def test_what_is_no_report_is_none(text: str, tmp_path: Path) -> None:
    assert read_line(text) is None
    (tmp_path / "kept").write_text(text, "utf-8")
    assert read_kept(str(tmp_path / "kept")) is None


@pytest.mark.parametrize("kind", ["missing", "link", "folder", "pipe"])
def test_what_is_no_plain_file_is_no_report(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "kept"
    (tmp_path / "real").write_text(EXITED.line())
    if kind == "link":
        place.symlink_to(tmp_path / "real")
    elif kind == "folder":
        place.mkdir()
    elif kind == "pipe":
        os.mkfifo(place)
    assert read_kept(str(place)) is None


def test_a_full_disk_leaves_no_half_report(folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    def half(fd: int, data: bytes) -> int:
        return len(data) // 2

    for write in (full, half):
        monkeypatch.setattr(os, "write", write)
        keep_report(folder, "x-1", EXITED)
        assert not (tmp_path / f"x-1{REPORT_SUFFIX}").exists()
    os.close(folder)


@pytest.mark.parametrize("user", ["own", "other"])
def test_only_processes_of_the_same_user_come_in(
    user: str, folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = Door(str(tmp_path), "x-1")
    assert door.let_in() is None, "nobody has knocked"
    if user == "other":
        other = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: other)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as guest:
        guest.connect(address_in(folder, "x-1"))
        visitor = door.let_in()
        if user == "other":
            assert visitor is None
            assert guest.recv(1) == b"", "sent away"
        else:
            assert visitor is not None
            fd, pid = visitor
            assert pid == os.getpid()
            os.write(fd, b"!")
            assert guest.recv(1) == b"!"
            os.close(fd)
    door.close()
    assert not (tmp_path / f"x-1{DOOR_SUFFIX}").exists()
    os.close(folder)
