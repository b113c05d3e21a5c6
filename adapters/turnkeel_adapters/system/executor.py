"""Where do blocking calls run?"""

import asyncio
import contextvars
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class ThreadExecutor:
    """Runs blocking calls in at most `workers` threads; further calls wait their turn."""

    def __init__(self, workers: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="turnkeel")

    async def run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The call's result or its exception. A cancelled caller leaves; a call already begun goes on to its end."""
        call = functools.partial(contextvars.copy_context().run, fn, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    def close(self) -> None:
        """Wait for the calls under way; drop those that have not begun."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class InlineExecutor:
    """Runs each call at once, in the caller's thread: for simulators, whose clock must not run on meanwhile."""

    async def run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The call's result or its exception."""
        return fn(*args, **kwargs)

    def close(self) -> None:
        """Nothing to do."""
