"""Does a flood of output stay within its bounds, and is its end kept?"""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnkeel_adapters.runners import RotatingLog


def parts(path: Path) -> list[bytes]:
    """The parts of a log, oldest first."""
    older = sorted(path.parent.glob(f"{path.name}.*"), key=lambda one: -int(one.suffix[1:]))
    return [one.read_bytes() for one in (*older, path) if one.exists()]


@given(
    chunks=st.lists(st.binary(max_size=40), max_size=30),
    max_bytes=st.integers(1, 30),
    keep=st.integers(0, 4),
    reopen_after=st.integers(0, 30),
)
def test_the_parts_are_bounded_and_join_to_the_end_of_the_output(
    chunks: list[bytes], max_bytes: int, keep: int, reopen_after: int
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "agent.log"
        log = RotatingLog(path, max_bytes, keep)
        for number, chunk in enumerate(chunks):
            if number == reopen_after:
                log.close()
                log = RotatingLog(path, max_bytes, keep)
            log.write(chunk)
        log.close()
        kept = parts(path)
    whole, joined = b"".join(chunks), b"".join(kept)
    assert all(len(part) <= max_bytes for part in kept)
    assert len(kept) <= keep + 1
    assert whole.endswith(joined)
    assert len(joined) >= min(len(whole), max(keep * max_bytes, 1))


def test_a_log_longer_than_a_new_limit_is_rotated_at_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / "agent.log"
    path.write_bytes(b"x" * 100)
    log = RotatingLog(path, 10, 1)
    log.write(b"new")
    log.close()
    assert parts(path) == [b"x" * 100, b"new"]


def test_a_folder_that_refuses_renames_does_not_make_the_log_grow(tmp_path: Path) -> None:
    path = tmp_path / "agent.log"
    (tmp_path / "agent.log.1").mkdir()
    log = RotatingLog(path, 10, 1)
    for number in range(10):
        log.write(b"%09d\n" % number)
    log.close()
    assert path.read_bytes() == b"000000009\n"


def test_what_the_disk_refuses_is_counted_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = RotatingLog(tmp_path / "agent.log", 1_000, 1)
    write = os.write

    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    log.write(b"lost")
    log.write(b"lost too")
    monkeypatch.setattr(os, "write", write)
    log.write(b"kept")
    log.close()
    text = (tmp_path / "agent.log").read_text()
    assert "bytes of output could not be written" in text
    assert text.endswith("kept")
    assert "lost" not in text


def test_a_link_in_place_of_the_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "agent.log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        RotatingLog(tmp_path / "agent.log", 10, 1)
    assert not (tmp_path / "elsewhere").exists()


def test_a_log_removed_by_hand_comes_back_at_the_next_rotation(tmp_path: Path) -> None:
    path = tmp_path / "agent.log"
    log = RotatingLog(path, 4, 2)
    log.write(b"gone")
    path.unlink()
    log.write(b"here")
    log.close()
    assert path.read_bytes() == b"here"


@pytest.mark.parametrize(("max_bytes", "keep"), [(0, 1), (1, -1)])
def test_limits_that_cannot_be_kept_are_refused(tmp_path: Path, max_bytes: int, keep: int) -> None:
    with pytest.raises(ValueError, match="max_bytes"):
        RotatingLog(tmp_path / "agent.log", max_bytes, keep)
