"""How do the many tasks of a loop write into the store by one thread, while an error stays with its own task?"""

import asyncio
from collections.abc import Callable
from typing import TypeVar, cast

from turnkeel.host.ports import Executor
from turnkeel_adapters.lifecycle.port import LifecycleStore
from turnkeel_adapters.lifecycle.work import LifecycleWork

T = TypeVar("T")


class Together:
    """What the tasks bring while a commit is under way shares the next one: nobody waits for company."""

    def __init__(self, store: LifecycleStore, executor: Executor) -> None:
        self._store = store
        self._executor = executor
        self._waiting: list[tuple[Callable[[LifecycleWork], object], asyncio.Future[object]]] = []
        self._storing: asyncio.Task[None] | None = None

    async def run(self, step: Callable[[LifecycleWork], T]) -> T:
        """One transaction, durable when this returns; its error if nothing of it was stored.

        If the caller is cancelled the step is made all the same.
        """
        result: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._waiting.append((step, result))
        if self._storing is None:
            self._storing = asyncio.create_task(self._store_all())
        return cast(T, await result)

    async def ended(self) -> None:
        """Until nothing is left to be stored."""
        if self._storing is not None:
            await self._storing

    async def _store_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._store_some(batch)
        finally:
            self._storing = None

    async def _store_some(self, batch: list[tuple[Callable[[LifecycleWork], object], asyncio.Future[object]]]) -> None:
        results: tuple[object, ...]
        try:
            results = await self._executor.run(self._store.run_each, [step for step, _ in batch])
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        except Exception as error:
            results = tuple(error for _ in batch)
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue  # its task was cancelled
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
