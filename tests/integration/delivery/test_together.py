"""Do the tasks of a loop share commits, each with its own result, and is nothing left undone?"""

import asyncio

import pytest

from turnkeel.delivery.together import Together
from turnkeel_adapters.state.database import StateFault
from turnkeel_adapters.system.executor import ThreadExecutor
from turnkeel_core import AcceptTurn, Turn


class CountingExecutor(ThreadExecutor):
    """Threads, and how many calls were made by them."""

    def __init__(self):
        super().__init__(2)
        self.calls = 0

    async def run(self, fn, *args, **kwargs):
        self.calls += 1
        return await super().run(fn, *args, **kwargs)


@pytest.fixture
def executor():
    threads = CountingExecutor()
    yield threads
    threads.close()


def accept(name):
    def step(work):
        work.apply([AcceptTurn(Turn(turn_id=name, session="s", accepted_at_ms=1))], 1, {name: "{}"})
        return name

    return step


def fail(work):
    accept("half")(work)
    raise ZeroDivisionError


def known(store):
    with store.reading() as work:
        return {turn.turn_id for turn in work.tables.turns.open()}


def test_what_comes_at_once_is_stored_by_one_call_and_each_gets_its_own_result(store, executor):
    async def play():
        together = Together(store, executor)
        return await asyncio.gather(
            *[together.run(accept(str(number))) for number in range(10)], together.run(fail), return_exceptions=True
        )

    *names, error = asyncio.run(play())
    assert names == [str(number) for number in range(10)] and isinstance(error, ZeroDivisionError)
    assert (known(store), executor.calls) == ({*names}, 1)


def test_what_comes_meanwhile_waits_for_the_next_commit_and_for_no_company(store, executor):
    async def play():
        together = Together(store, executor)

        async def life(number):
            for turn in range(5):
                await together.run(accept(f"{number}/{turn}"))
                assert f"{number}/{turn}" in known(store), "back before it was stored"

        await asyncio.gather(*map(life, range(8)))
        await together.run(accept("alone"))

    asyncio.run(play())
    assert len(known(store)) == 41 and executor.calls <= 11


def test_the_step_of_a_caller_that_was_cancelled_is_made_all_the_same(store, executor):
    async def play():
        together = Together(store, executor)
        first = asyncio.create_task(together.run(accept("first")))
        gone = asyncio.create_task(together.run(accept("gone")))
        await asyncio.sleep(0)
        gone.cancel()
        await together.ended()
        return await asyncio.gather(first, gone, return_exceptions=True)

    first, gone = asyncio.run(play())
    assert first == "first" and isinstance(gone, asyncio.CancelledError)
    assert known(store) == {"first", "gone"}


def test_a_store_that_fails_as_a_whole_fails_for_each_and_works_again_later(store, executor, monkeypatch):
    async def play():
        together = Together(store, executor)
        with monkeypatch.context() as broken:
            broken.setattr(store, "run_each", refuse)
            lost = await asyncio.gather(*[together.run(accept(name)) for name in "ab"], return_exceptions=True)
        return [type(one) for one in lost], await together.run(accept("c"))

    def refuse(steps):
        raise StateFault("turnkeel.db", "disk full")

    assert asyncio.run(play()) == ([StateFault, StateFault], "c")
    assert known(store) == {"c"}


def test_a_loop_that_ends_leaves_no_task_behind_that_waits(store, executor):
    async def play():
        asyncio.create_task(Together(store, executor).run(accept("late")))  # noqa: RUF006
        await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(play(), 30))
