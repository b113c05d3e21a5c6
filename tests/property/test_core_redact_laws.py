"""Which laws hold for every text and every set of secrets?"""

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from turnkeel_core import parse_env_file, redact, redactions_of

MARK = "[REDACTED]"
WORD = "A1b2C3d4E5"
PIECES = st.sampled_from(
    [
        MARK, "[RED", "ACTED]", "sk-", "sk-ant-", "ghp_", "AKIA", "xoxb-", "eyJ", ".eyJ", ".", "-", "_", "=", ":", "@",
        "://", "://u:", "password", "TOKEN=", '"token": "', "Bearer ", "Authorization: Basic ", "X-Key: ", '"', "'", "\\",
        "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "\n", " ", "a", WORD, WORD * 4, "IOSFODNN7EXAMPLE",
        "M" + WORD * 2 + "abc.", "123456789:AA", "secret-1", "ret-1sec",
    ]
)  # fmt: skip
TEXTS = st.lists(PIECES | st.text(max_size=4), max_size=14).map("".join)
VALUES = st.lists(st.lists(PIECES | st.text(max_size=9), max_size=3).map("".join), max_size=4)


@given(text=TEXTS, values=VALUES)
@example(text="abcdefgh" + "sk-" + WORD * 2, values=["abcdefgh"])
def test_hiding_twice_changes_nothing_more(text: str, values: list[str]) -> None:
    redactions = redactions_of(values)
    once = redact(text, redactions)
    assert redact(once, redactions) == once


@given(text=TEXTS, values=VALUES)
def test_no_known_value_is_left(text: str, values: list[str]) -> None:
    left = redact(text, redactions_of(values)).split(MARK)
    known = [value for value in values if len(value) >= 8 and MARK not in value]
    assert [value for value in known for piece in left if value in piece] == []


@given(text=TEXTS, values=VALUES)
def test_nothing_is_added_but_the_mark(text: str, values: list[str]) -> None:
    left = redact(text, redactions_of(values)).split(MARK)
    assert re.fullmatch("(?s:.*)".join(map(re.escape, left)), text) is not None


@given(text=TEXTS, values=VALUES)
def test_bytes_are_hidden_as_text_is(text: str, values: list[str]) -> None:
    # Of other scripts lengths differ: bytes reach the least length of a form sooner.
    data = text.encode("ascii", "replace")
    redactions = redactions_of(value.encode("ascii", "replace").decode() for value in values)
    pieces = data.split(MARK.encode())
    for pattern in (re.compile(each.encode()) for each in redactions.patterns):
        pieces = [part for piece in pieces for part in _without(pattern, piece)]
    assert MARK.encode().join(pieces) == redact(data.decode(), redactions).encode()


def _without(pattern: "re.Pattern[bytes]", data: bytes) -> list[bytes]:
    mark = MARK.encode()
    return pattern.sub(lambda match: b"".join(match.groups(b"")) + mark, data).split(mark)


@given(text=st.text(alphabet="A='\"\\ \n#x\r\texport$", max_size=60))
def test_any_text_can_be_read_as_an_env_file(text: str) -> None:
    for name, value in parse_env_file(text):
        assert name in text
        assert len(value) <= len(text)


HOSTILE = ["sk-", "-eyJ", "eyJ", "://", "://a:", "a-", "x-a", "password=", 'token="', "-----BEGIN PRIVATE KEY-----", "\\n",
           "-----BEGIN PRIVATE KEY-----\n" + WORD * 6 + "\n", "secret-secret-", "M" + WORD * 2 + ".", "1", " ", "eyJ" + WORD + ".eyJ",
           "SG." + WORD * 2 + ".", "a log line of 2026-11-27 for task-1764215483000-abc123\n"]  # fmt: skip


@pytest.mark.parametrize("unit", HOSTILE)
def test_ten_times_the_text_takes_about_ten_times_as_long(unit: str) -> None:
    redactions = redactions_of([f"{WORD}{number:04}" for number in range(20)])

    def seconds(size: int) -> float:
        text = (unit * (size // len(unit) + 1))[:size]
        began = time.process_time()
        redact(text, redactions)
        return time.process_time() - began

    # Quadratic time would make it a hundred times as long.
    assert min(seconds(300_000) for _ in range(2)) < 40 * max(min(seconds(30_000) for _ in range(3)), 0.001)


@pytest.mark.long
@pytest.mark.parametrize("unit", HOSTILE)
def test_ten_megabytes_take_less_than_twenty_times_one(unit: str) -> None:
    redactions = redactions_of([f"{WORD}{number:04}" for number in range(20)])
    small, large = ((unit * (size // len(unit) + 1))[:size] for size in (1_000_000, 10_000_000))
    times: list[float] = []
    for text in (small, large):
        began = time.process_time()
        redact(text, redactions)
        times.append(time.process_time() - began)
    assert times[1] < 20 * max(times[0], 0.01)
