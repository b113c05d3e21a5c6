"""Does a caller learn what became of a message whose sender may start no agent, so that it never comes again?"""

import asyncio
import json

import httpx
import pytest

from turnkeel.delivery.intake import Accepted, Dropped, Kept
from turnkeel.ingress.app import IngressApp
from turnkeel.ingress.ports import IngressPorts
from turnkeel_adapters.config.ingress import IngressConfig
from turnkeel_adapters.lifecycle.memory import MemoryLifecycle
from turnkeel_adapters.system.executor import InlineExecutor

TOKEN = "t0ken-of-the-test-ingress"


class Door:
    """The endpoints before an intake that answers what it is told to, and remembers what it was asked."""

    def __init__(self):
        self.answer, self.asked = Accepted(turn_id="t1"), []
        ports = IngressPorts(
            accept=self.accept,
            store=MemoryLifecycle(),
            executor=InlineExecutor(),
            channels=frozenset({"local"}),
            now_ms=lambda: 1,
            report=self.asked.append,
        )
        self.app = IngressApp(IngressConfig(token_env="ING"), ports, TOKEN).app

    def accept(self, session, incoming, identity, *, replay):
        self.asked.append(incoming)
        return self.answer

    def post(self, **more):
        return asyncio.run(self._post({"session": "main/a", "text": "hello", **more}))

    async def _post(self, body):
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.post("/v1/messages", json=body, headers={"Authorization": f"Bearer {TOKEN}"})


@pytest.fixture
def door():
    return Door()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Kept(message_id="context-1"), {"message_id": "context-1", "status": "kept as context"}),
        (Dropped(), {"status": "dropped"}),
    ],
)
def test_kept_and_dropped_are_acknowledged_each_in_its_own_words(door, answer, told):
    door.answer = answer
    response = door.post(sender="bob")
    assert (response.status_code, response.json()) == (200, told)


def test_the_sender_and_the_owners_flag_are_handed_on(door):
    door.post(sender="bob")
    door.post(from_me=True)
    door.post()
    assert [(asked.sender, asked.from_me) for asked in door.asked] == [("bob", False), (None, True), (None, False)]


def test_an_agents_own_words_and_the_hour_of_a_message_are_handed_on(door):
    door.post(bot=True)
    door.post(sent_at_ms=5)
    assert [(asked.bot, asked.message.sent_at_ms) for asked in door.asked] == [(True, 1), (False, 5)]


@pytest.mark.parametrize(
    "wrong",
    [{"sender": 5}, {"from_me": "true"}, {"from_me": 1}, {"is_from_me": True}, {"bot": "no"}, {"sent_at_ms": "now"}],
)
def test_a_flag_that_is_no_boolean_makes_nobody_the_owner(door, wrong):
    response = door.post(**wrong)
    assert response.status_code == 400
    assert next(iter(wrong)) in json.dumps(response.json())
    assert door.asked == []
