"""Which laws hold for every text and every set of secrets?"""

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from turnkeel_core import parse_env_file, redact, redactions_of
from turnkeel_core.literals import alternation

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


ALIKE = st.text(alphabet="ab*", min_size=1, max_size=24)


@given(text=st.text(alphabet="ab*", max_size=60), texts=st.sets(ALIKE, min_size=1, max_size=40))
@example(text="a" * 60, texts={"a" * length for length in range(1, 40)})
def test_what_begins_alike_is_found_as_if_the_longest_were_tried_first(text: str, texts: set[str]) -> None:
    plain = "|".join(map(re.escape, sorted(texts, key=len, reverse=True)))
    assert [one.span() for one in re.finditer(alternation(texts), text)] == [
        one.span() for one in re.finditer(plain, text)
    ]


@given(
    values=st.lists(ALIKE, min_size=1, max_size=8), at=st.integers(0, 7), around=st.text(alphabet="\n <>", max_size=4)
)
def test_of_a_known_value_that_holds_others_no_part_is_left(values: list[str], at: int, around: str) -> None:
    inner = values[at % len(values)]
    holder = f"{inner}-{inner * 2}-12345678"
    left = redact(f"{around}{holder}{around}", redactions_of([*values, holder]))
    assert left == f"{around}{MARK}{around}"


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


HOSTILE = ["A", '"', "\\", '\\"', "\n", "p", "sk-", "-eyJ", "eyJ", "://", "://a:", "a-", "x-a", "password=", 'token="', "-----BEGIN PRIVATE KEY-----", "\\n",
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
@pytest.mark.parametrize("text", ["a log line of 2026-11-27 for task-1764215483000-abc123\n", f"{WORD}00012"])
def test_a_hundred_times_the_secrets_take_less_than_ten_times_as_long(text: str) -> None:
    text = text * (1_000_000 // len(text))
    times: list[float] = []
    for many in (50, 5_000):
        redactions = redactions_of([f"{number * 7919 % many:05}-{WORD}{number:05}" for number in range(many)])
        redact("", redactions)
        began = time.process_time()
        redact(text, redactions)
        times.append(time.process_time() - began)
    assert times[1] < 10 * max(times[0], 0.01)


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
