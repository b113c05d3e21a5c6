"""Does the chat in memory fail as it is told to, and show what a real one would?"""

import pytest
from attrs import evolve

from turnkeel_adapters.channels import (
    Capabilities,
    Channel,
    Dispatch,
    LocalChannel,
    LoseAcknowledgement,
    LoseCall,
    MemoryChannel,
    Part,
    TextLimit,
    Work,
)
from turnkeel_core import (
    Cancelled,
    ChannelFacts,
    LocalFault,
    NotSent,
    Permanent,
    RateLimited,
    Receipt,
    Sent,
    Transient,
    Uncertain,
)

ROW = Dispatch(row_id="r", chat="c")
PART = Part(index=0, count=1, text="hello")
KEYED = Capabilities(idempotent=True, queryable=True)


def _chat(capabilities=Capabilities()):
    return MemoryChannel(lambda: 5, capabilities)


STEPS = [
    ("it works", Work(), Sent((Receipt(0, "m1", 5),)), 1),
    ("its answer is lost", LoseAcknowledgement(), Uncertain("no answer in time"), 1),
    ("the call is lost", LoseCall("gone"), Uncertain("gone"), 0),
    *(
        (type(outcome).__name__, outcome, outcome, 0)
        for outcome in (
            Permanent("p"), Transient("t"), RateLimited("r", 7), Uncertain("u"), LocalFault("l"), Cancelled("c")
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(("step", "outcome", "shown"), [c[1:] for c in STEPS], ids=[c[0] for c in STEPS])
def test_a_call_comes_to_what_was_scripted_and_then_all_goes_well(step, outcome, shown):
    chat = _chat()
    chat.script(step)
    assert chat.deliver(ROW, PART, "k") == outcome
    assert len(chat.shown) == shown
    assert isinstance(chat.deliver(ROW, PART, "k2"), Sent)
    assert chat.calls == ("k", "k2")


def test_a_keyed_chat_shows_a_key_once_and_gives_the_same_id_again():
    chat = _chat(KEYED)
    chat.script(LoseAcknowledgement())
    assert isinstance(chat.deliver(ROW, PART, "k"), Uncertain)
    assert chat.deliver(ROW, PART, "k") == Sent((Receipt(0, "m1", 5),))
    assert [one.text for one in (shown.part for shown in chat.shown)] == ["hello"]


def test_a_keyed_chat_refuses_a_key_for_other_words():
    chat = _chat(KEYED)
    chat.deliver(ROW, PART, "k")
    assert isinstance(chat.deliver(ROW, evolve(PART, text="other"), "k"), Permanent)
    assert isinstance(chat.deliver(evolve(ROW, chat="d"), PART, "k"), Permanent)
    assert len(chat.shown) == 1


def test_a_chat_without_keys_shows_a_resend_twice():
    chat = _chat()
    chat.deliver(ROW, PART, "k")
    chat.deliver(ROW, PART, "k")
    assert [shown.platform_id for shown in chat.shown] == ["m1", "m2"]


def test_only_a_queryable_chat_tells_what_it_shows():
    chat = _chat(KEYED)
    assert chat.ask(PART, "k") == NotSent()
    chat.deliver(ROW, PART, "k")
    assert chat.ask(PART, "k") == Sent((Receipt(0, "m1", 5),))
    blind = _chat(Capabilities(idempotent=True))
    blind.deliver(ROW, PART, "k")
    assert isinstance(blind.ask(PART, "k"), Uncertain)


def test_a_local_reply_is_there_at_once_and_as_often_as_it_is_sent():
    local: Channel = LocalChannel(lambda: 9)
    assert local.capabilities == Capabilities(idempotent=True)
    assert [local.deliver(ROW, PART, "k") for _ in range(2)] == [Sent((Receipt(0, None, 9),))] * 2
    assert isinstance(local.ask(PART, "k"), Uncertain)


def test_capabilities_become_the_facts_that_a_plan_reads():
    able = Capabilities(idempotent=True, queryable=True, text_limit=TextLimit(size=20), pace_ms=3)
    assert able.facts("ops", resume_at_ms=4, last_backlog_at_ms=5) == ChannelFacts(
        channel="ops", idempotent=True, queryable=True, resume_at_ms=4, last_backlog_at_ms=5
    )


WRONG = [("a limit that is too small", TextLimit, {"size": 15}), ("no unit", TextLimit, {"size": 20, "unit": "words"}),
         ("a negative pace", Capabilities, {"pace_ms": -1})]  # fmt: skip


@pytest.mark.parametrize(("cls", "given"), [c[1:] for c in WRONG], ids=[c[0] for c in WRONG])
def test_what_no_channel_can_mean_is_refused(cls, given):
    with pytest.raises(ValueError, match="must be"):
        cls(**given)
