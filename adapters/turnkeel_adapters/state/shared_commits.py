"""How do threads that wait for each other share one commit, while an error stays with the one who made it?"""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Final, Literal, TypeVar, cast

from turnkeel_adapters.state.remembered import StateConnection
from turnkeel_adapters.state.shared_calls import Batch, Call, interrupted

_AT_MOST: Final = 64
"""So many share one commit: the first of them waits for all."""
_LOOK_S: Final = 0.05

T = TypeVar("T")


class SharedCommits:
    """The transactions of one connection that the threads of a process share, one at a time.

    A part is a block of its own thread (`shared`) or a call (`run`), which whoever has the lock makes for those who
    wait, so that no thread is woken before its part is on the disk. Who ends leaves the commit to the next that waits
    already, and the last one commits for all: nobody waits for company. `told` makes SQLite's errors the caller's.
    """

    def __init__(self, connection: StateConnection, told: AbstractContextManager[None]) -> None:
        self.connection = connection
        self._told = told
        self._lock = threading.RLock()
        self._counting = threading.Lock()
        self._waiting = 0
        self._calls: deque[Call] = deque()
        self._batch: Batch | None = None
        self._inside = False

    def shared(self) -> AbstractContextManager[StateConnection]:
        """One thread's part: back when it is committed, or nothing of it. Inside another one it is that one's."""
        return _Part(self)

    def run(self, step: Callable[[StateConnection], T]) -> T:
        """One thread's part as a call: back when it is committed, or nothing of it. Another thread may make it.

        So it holds no lock that `step` needs. Inside another part it is that one's.
        """
        mine = self._lock.acquire(blocking=False)
        if mine and self._inside:
            try:
                return step(self.connection)
            finally:
                self._lock.release()
        call = Call(step)
        self._all_over((call,), mine)
        return cast(T, call.outcome())

    def run_each(self, steps: Iterable[Callable[[StateConnection], T]]) -> tuple[T | Exception, ...]:
        """Several parts as calls: back when each is committed or undone, for itself; its result or its error.

        Inside another part they are all that one's, and an error is raised.
        """
        calls = tuple(map(Call, steps))
        if not calls:
            return ()  # nobody would let go of the lock
        mine = self._lock.acquire(blocking=False)
        if mine and self._inside:
            try:
                return tuple(cast(T, call.step(self.connection)) for call in calls)
            finally:
                self._lock.release()
        self._all_over(calls, mine)
        return tuple(cast(T, call.result) if call.error is None else call.error for call in calls)

    def _all_over(self, calls: tuple[Call, ...], mine: bool) -> None:
        """Ask for the calls and wait until they are over; `mine`: this thread has the lock, and lets go of it."""
        self._calls.extend(calls)
        try:
            for call in calls:
                while not call.is_over():
                    rung = mine or call.wait(_LOOK_S)
                    if not call.is_over() and (mine or self._lock.acquire(blocking=False)):
                        if not rung:
                            self.finish()  # who was to commit was stopped before he came
                        self._release()
                        mine = False
        except BaseException:
            for call in calls:
                call.withdrawn = True
            raise

    @contextmanager
    def alone(self, begin: str, end: str) -> Generator[None, None, None]:
        """A transaction of its own. Inside another one it is that one's."""
        with self.held():
            if self._inside:
                yield
                return
            with self._told:
                self.connection.begin(begin)
                self._inside = True
                try:
                    yield
                    self.connection.execute(end)
                except BaseException:
                    self.connection.undo("ROLLBACK")
                    raise
                finally:
                    self._inside = False

    @contextmanager
    def held(self) -> Generator[None, None, None]:
        """The connection is this thread's; what others share is committed before, unless this is inside of it."""
        try:
            with self._lock:
                self.finish()
                yield
        finally:
            self._hand_on()

    def finish(self) -> None:
        """Commit what others share, unless this thread is inside a transaction; who holds the lock may call it."""
        batch = self._batch
        if batch is None or self._inside:
            return
        failed: Exception | None = interrupted()
        try:
            with self._told:
                self.connection.execute("COMMIT")
            failed = None
        except Exception as error:
            failed = error
        finally:
            if failed is not None:
                self.connection.undo("ROLLBACK")
            self._batch = None
            batch.end(failed)

    def begin(self) -> Batch | None:
        """Take the lock; the transaction to take part in, None inside another part."""
        with self._counting:
            self._waiting += 1
        try:
            self._lock.acquire()
        finally:
            with self._counting:
                self._waiting -= 1
        if self._inside:
            return None
        try:
            with self._told:
                return self._begun()
        except BaseException:
            self.release()
            raise

    def end(self, batch: Batch, error: BaseException | None) -> None:
        """The part is over: undo it if it failed, commit if nobody waits, and release the lock."""
        try:
            self._leave(batch, error)
        finally:
            self._release()

    def release(self) -> None:
        """Let go without a part."""
        self._lock.release()
        self._hand_on()

    def wait_for(self, batch: Batch) -> None:
        """Until the batch is on the disk; its error if it is not."""
        if not batch.tried:
            self._wait(batch)
        if batch.error is not None:
            raise batch.error

    def _begun(self) -> Batch:
        batch = self._batch
        if batch is None:
            self.connection.begin("BEGIN IMMEDIATE")
            batch = self._batch = Batch()
        else:
            # The first needs no savepoint: with it all is undone.
            self.connection.execute("SAVEPOINT part")
        self._inside = True
        return batch

    def _leave(self, batch: Batch, error: BaseException | None) -> None:
        with self._told:
            try:
                if error is None and batch.size > 0:
                    self.connection.execute("RELEASE part")
            except BaseException as failed:
                self._undo_part(batch, failed)
                raise
            else:
                if error is not None:
                    self._undo_part(batch, error)
                    raise error
            finally:
                self._inside = False
            batch.size += 1

    def _release(self) -> None:
        """Make the calls of those who wait, commit unless somebody waits who will, and let go."""
        try:
            while self._calls and not self._is_full():
                try:
                    self._make(self._calls[0])
                finally:
                    self._calls.popleft().leave_alone()
            if self._waiting == 0 or self._is_full():
                self.finish()
        finally:
            self.release()

    def _make(self, call: Call) -> None:
        if call.withdrawn:
            return
        try:
            with self._told:
                batch = self._begun()
            try:
                call.result = call.step(self.connection)
            except BaseException as error:
                self._leave(batch, error)
            else:
                self._leave(batch, None)
                call.join(batch)
        except Exception as error:
            call.end(error)
        except BaseException:
            call.end(interrupted())
            raise

    def _is_full(self) -> bool:
        return self._batch is not None and self._batch.size >= _AT_MOST

    def _hand_on(self) -> None:
        # Who asked for a call while the lock was held saw that it was: it waits for this bell.
        try:
            self._calls[0].ring()
        except IndexError:
            pass

    def _undo_part(self, batch: Batch, error: BaseException) -> None:
        if batch.size > 0 and not self.connection.get_autocommit():
            self.connection.undo("ROLLBACK TO part; RELEASE part")
            return
        failed: Exception = interrupted()
        try:
            with self._told:
                raise error
        except Exception as told:
            failed = told
        except BaseException:
            pass
        finally:
            self.connection.undo("ROLLBACK")
            self._batch = None
            batch.end(failed)

    def _wait(self, batch: Batch) -> None:
        with self._counting:
            waiting = batch.awaited()
        while not batch.tried and not waiting.wait(_LOOK_S):
            # Who was to come was stopped before he came.
            with self._lock:
                if self._batch is batch:
                    self.finish()
            self._hand_on()


class _Part(AbstractContextManager[StateConnection]):
    """One thread's part in a shared transaction."""

    __slots__ = ("_batch", "_commits")

    def __init__(self, commits: SharedCommits) -> None:
        self._commits = commits
        self._batch: Batch | None = None

    def __enter__(self) -> StateConnection:
        self._batch = self._commits.begin()
        return self._commits.connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        if self._batch is None:
            self._commits.release()
            return False
        self._commits.end(self._batch, error)
        self._commits.wait_for(self._batch)
        return False
