"""Does the chat of the demo do what its schedule says, and do both channels that reach it understand it alike?"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen

from turnkeel.lab.chat import TROUBLES, Call, Chat, Trouble, read_calls
from turnkeel.lab.chat_channel import PlainChannel, channel_to
from turnkeel_adapters.channels import Channel, Dispatch, Part
from turnkeel_core import Permanent, RateLimited, Sent, Transient, Uncertain

ONCE = Part(index=0, count=1, text="hello")
ROW = Dispatch(row_id="row-1", chat="room", turn_id="turn-1")
OUTCOMES: dict[Trouble, type] = {
    "none": Sent,
    "fails": Uncertain,
    "busy": RateLimited,
    "refuses": Permanent,
    "drops": Uncertain,
    "loses": Uncertain,
    "hangs": Uncertain,
    "hangs_after": Uncertain,
    "late": Uncertain,
}


@frozen
class Script:
    """What the chat does with the tries of a key, one after the other, and the connections that it does not read."""

    troubles: tuple[Trouble, ...] = ()
    slammed: frozenset[int] = frozenset()

    def trouble(self, call: Call) -> Trouble:
        return self.troubles[call.tries - 1] if call.tries <= len(self.troubles) else "none"

    def slams(self, connection: int) -> bool:
        return connection in self.slammed


class Chats:
    """Makes chats, and ends them."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.made: list[Chat] = []

    def __call__(self, *troubles: Trouble, slammed: frozenset[int] = frozenset(), keyed: bool = True) -> Chat:
        self.made.append(Chat(self.place, Script(troubles, slammed), keyed=keyed, hang_ms=1_200))
        return self.made[-1]


@pytest.fixture
def chats(tmp_path: Path) -> Iterator[Chats]:
    found = Chats(tmp_path)
    yield found
    for chat in found.made:
        chat.close()


@pytest.fixture(params=["webhook", "standard library"])
def channel(request: pytest.FixtureRequest) -> "type[Channel]":
    return channel_to if request.param == "webhook" else PlainChannel


def test_every_trouble_is_tried() -> None:
    assert OUTCOMES.keys() == TROUBLES.keys()


@pytest.mark.parametrize("trouble", OUTCOMES)
def test_both_channels_make_the_same_of_what_the_chat_does(chats: Chats, channel: type, trouble: Trouble) -> None:
    chat = chats(trouble)
    outcome = channel(chat.url, idempotent=True).deliver(ROW, ONCE, "key")
    assert type(outcome) is OUTCOMES[trouble], outcome
    [call] = read_calls(chats.place)
    assert (call.key, call.row_id, call.turn_id, call.text) == ("key", "row-1", "turn-1", "hello")
    assert call.trouble == trouble
    assert call.shown is (trouble in ("none", "loses", "hangs_after"))


def test_a_chat_that_cannot_be_reached_has_got_nothing(chats: Chats, channel: type) -> None:
    chat = chats()
    reached = channel(chat.url, idempotent=True)
    chats.made.remove(chat)
    chat.close()
    assert type(reached.deliver(ROW, ONCE, "key")) is Transient


def test_a_connection_that_is_closed_unread_leaves_no_call_and_a_doubt(chats: Chats, channel: type) -> None:
    reached = channel(chats(slammed=frozenset({1})).url, idempotent=True)
    assert type(reached.deliver(ROW, ONCE, "key")) is Uncertain
    assert read_calls(chats.place) == ()
    assert type(reached.deliver(ROW, ONCE, "key")) is Sent


@pytest.mark.parametrize(("keyed", "shown"), [(True, [True, False]), (False, [True, True])])
def test_only_a_chat_that_takes_keys_shows_a_reply_once(
    chats: Chats, channel: type, keyed: bool, shown: list[bool]
) -> None:
    reached = channel(chats("loses", keyed=keyed).url, idempotent=keyed)
    reached.deliver(ROW, ONCE, "key")
    again = reached.deliver(ROW, ONCE, "key")
    assert isinstance(again, Sent)
    assert again.receipts[0].platform_id == ("m-1" if keyed else "m-2")
    calls = read_calls(chats.place)
    assert [(call.tries, call.again) for call in calls] == [(1, False), (2, True)]
    assert [call.shown for call in calls] == shown


def test_what_comes_too_late_is_shown_only_if_nothing_was_shown_meanwhile(chats: Chats) -> None:
    reached = PlainChannel(chats("late", "none").url, idempotent=True)
    reached.deliver(ROW, ONCE, "key")
    assert isinstance(reached.deliver(ROW, ONCE, "key"), Sent)
    until = time.monotonic() + 60
    while chats.made[0].in_hand:
        assert time.monotonic() < until
        time.sleep(0.01)
    first, second = read_calls(chats.place)
    assert (first.trouble, second.trouble) == ("late", "none")
    assert [first.shown, second.shown].count(True) == 1  # a slow machine may have let the first one win


def test_without_httpx_the_demo_uses_what_python_brings_along(chats: Chats, monkeypatch: pytest.MonkeyPatch) -> None:
    url = chats().url
    assert not isinstance(channel_to(url, idempotent=True), PlainChannel)
    for name in [name for name in sys.modules if name.startswith("turnkeel_adapters.channels.webhook")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "httpx", None)
    assert isinstance(channel_to(url, idempotent=True), PlainChannel)
