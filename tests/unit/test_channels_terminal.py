"""Does a reply reach a terminal as a line, whatever is in it, and is a terminal that is gone no mystery?"""

import errno
import io

import pytest

from turnkeel_adapters.channels import Capabilities, Dispatch, Part, TerminalChannel
from turnkeel_core import LocalFault, Receipt, Sent, Uncertain


class _Stream(io.StringIO):
    encoding = "utf-8"


class _Broken(_Stream):
    def __init__(self, error):
        super().__init__()
        self._error = error

    def write(self, text):
        raise self._error


def _send(stream, text, chat="me"):
    row, part = Dispatch(row_id="r", chat=chat), Part(index=2, count=3, text=text)
    return TerminalChannel(stream, lambda: 3).deliver(row, part, "k")


LINES = [
    ("plain words", "hello you", "me: hello you\n"),
    ("a line end is written out", "a\nb\r\tc", "me: a\\nb\\r\\tc\n"),
    ("what would clear the screen", "\x1b[2J\x9b1m\x07", "me: \\x1b[2J\\x9b1m\\x07\n"),
    ("what would turn the line around", "a\u202eb", "me: a\\u202eb\n"),
    ("half a character", "a\ud800", "me: a\\ud800\n"),
    ("letters of all scripts", "größer 猫 \U0001f600", "me: größer 猫 \U0001f600\n"),
]


@pytest.mark.parametrize(("text", "line"), [c[1:] for c in LINES], ids=[c[0] for c in LINES])
def test_a_part_is_one_line_that_steers_nothing(text, line):
    stream = _Stream()
    assert _send(stream, text) == Sent((Receipt(2, None, 3),))
    assert stream.getvalue() == line


def test_the_name_of_a_chat_steers_nothing_either():
    stream = _Stream()
    _send(stream, "x", chat="\x1b]0;owned\x07\n")
    assert stream.getvalue() == "\\x1b]0;owned\\x07\\n: x\n"


def test_a_terminal_of_a_small_alphabet_shows_the_rest_as_escapes():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    assert isinstance(_send(stream, "größer"), Sent)
    assert raw.getvalue() == b"me: gr\\xf6\\xdfer\n"


ENDS = [
    ("nobody reads any more", OSError(errno.EPIPE, "Broken pipe"), LocalFault("the terminal is gone: Broken pipe")),
    ("it was hung up", OSError(errno.EIO, "I/O error"), LocalFault("the terminal is gone: I/O error")),
    ("it is closed", ValueError("I/O operation on closed file"), LocalFault("the terminal is closed")),
    ("half a line is written", OSError(errno.ENOSPC, "No space left on device"),
     Uncertain("the terminal took some of it or nothing: No space left on device")),
]  # fmt: skip


@pytest.mark.parametrize(("error", "outcome"), [c[1:] for c in ENDS], ids=[c[0] for c in ENDS])
def test_what_it_means_that_a_line_cannot_be_written(error, outcome):
    assert _send(_Broken(error), "x") == outcome


def test_a_stream_that_was_closed_is_a_fault_here_and_no_error():
    stream = _Stream()
    stream.close()
    assert _send(stream, "x") == LocalFault("the terminal is closed")


def test_a_terminal_can_do_nothing_special_and_remembers_nothing():
    channel = TerminalChannel(_Stream(), lambda: 3)
    assert channel.capabilities == Capabilities()
    assert isinstance(channel.ask(Part(index=0, count=1, text="x"), "k"), Uncertain)
