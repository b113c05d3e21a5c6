"""Does a flood of output stay within its bounds, and is its end kept?"""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnkeel_adapters.runners import RotatingLog
from turnkeel_adapters.runners.guard.redacting import HOLD_BYTES, LogRedactor
from turnkeel_core import redactions_of


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


SECRETS = ("hunter2-hunter2", "hunter2-hunter2-and-a-longer-tail", "first-line\nsecond-line", "пароль-ключ")


def redactor(*values: str) -> LogRedactor:
    redactions = redactions_of(values or SECRETS)
    return LogRedactor(redactions.patterns, redactions.longest_bytes)


def logged(path: Path, chunks: list[bytes], *values: str) -> bytes:
    """What the log holds after these writes and the end."""
    log = RotatingLog(path, 10_000_000, 1, redactor(*values))
    for chunk in chunks:
        log.write(chunk)
    log.close()
    log.close()
    return b"".join(parts(path))


def cut_up(text: bytes, sizes: list[int]) -> list[bytes]:
    chunks: list[bytes] = []
    for size in sizes:
        chunks.append(text[:size])
        text = text[size:]
    return [*chunks, text]


LINES = st.sampled_from(
    [*SECRETS, "plain.", "\n", "\r", " ", "-----BEGIN PRIVATE KEY-----\n", "-----END PRIVATE KEY-----\n"]
)


@settings(deadline=None)  # patterns are compiled on the way
@given(text=st.lists(LINES, max_size=12).map("".join), sizes=st.lists(st.integers(1, 20), max_size=12))
def test_no_known_secret_reaches_the_log_however_it_is_cut(text: str, sizes: list[int]) -> None:
    with TemporaryDirectory() as folder:
        kept = logged(Path(folder) / "agent.log", cut_up(text.encode(), sizes))
    lines = [line.encode() for secret in SECRETS for line in secret.splitlines()]
    assert [line for line in lines if line in kept] == []
    assert kept.count(b"plain.") == text.count("plain.")


@pytest.mark.parametrize("before", range(HOLD_BYTES - 40, HOLD_BYTES + 8_000, 397))
def test_a_secret_in_an_endless_line_is_not_cut(tmp_path: Path, before: int) -> None:
    text = b"x" * before + b"hunter2-hunter2-and-a-longer-tail" + b"y" * HOLD_BYTES * 2
    kept = logged(tmp_path / "agent.log", [text[at : at + 1_000] for at in range(0, len(text), 1_000)])
    assert kept == text.replace(b"hunter2-hunter2-and-a-longer-tail", b"[REDACTED]")


def test_a_secret_longer_than_what_is_held_is_not_cut(tmp_path: Path) -> None:
    secret = "s" * (HOLD_BYTES * 2)
    text = f"before {secret} behind".encode()
    chunks = [text[at : at + HOLD_BYTES] for at in range(0, len(text), HOLD_BYTES)]
    assert logged(tmp_path / "agent.log", chunks, secret) == b"before [REDACTED] behind"


def test_a_key_block_is_hidden_although_its_lines_come_one_by_one(tmp_path: Path) -> None:
    body = b"A1b2C3d4E5" * 6 + b"\n"
    lines = [b"my key:\n", b"-----BEGIN PRIVATE KEY-----\n", *[body] * 20, b"-----END PRIVATE KEY-----\n", b"done\n"]
    assert logged(tmp_path / "agent.log", lines) == b"my key:\n[REDACTED]\ndone\n"


def test_an_endless_key_block_does_not_fill_the_memory(tmp_path: Path) -> None:
    one = redactor()
    for _ in range(5_000):
        one.feed(b"-----BEGIN PRIVATE KEY-----\n" + b"A1b2C3d4E5" * 6 + b"\n")
    assert len(one.end()) < 3 * HOLD_BYTES


def test_a_prompt_is_written_with_its_line_or_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "agent.log"
    log = RotatingLog(path, 1_000, 1, redactor())
    log.write(b"started\nname? ")
    assert path.read_bytes() == b"started\n"
    log.write(b"turnkeel\nagain? ")
    assert path.read_bytes() == b"started\nname? turnkeel\n"
    log.close()
    assert path.read_bytes() == b"started\nname? turnkeel\nagain? "


def test_a_log_without_a_redactor_is_written_at_once(tmp_path: Path) -> None:
    log = RotatingLog(tmp_path / "agent.log", 1_000, 1)
    log.write(b"name? hunter2-hunter2")
    assert (tmp_path / "agent.log").read_bytes() == b"name? hunter2-hunter2"
    log.close()


def test_a_secret_at_a_rotation_is_hidden_too(tmp_path: Path) -> None:
    log = RotatingLog(tmp_path / "agent.log", 7, 50, redactor())
    for _ in range(5):
        log.write(b"a hunter2-")
        log.write(b"hunter2 b\n")
    log.close()
    assert b"".join(parts(tmp_path / "agent.log")) == b"a [REDACTED] b\n" * 5
