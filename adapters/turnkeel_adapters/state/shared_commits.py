"""How do threads that wait for each other share one commit, while an error stays with the one who made it?"""

import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

import apsw

_AT_MOST: Final = 64
"""So many share one commit: the first of them waits for all."""
_LOOK_S: Final = 0.05


class _Batch:
    """Some threads' changes in one transaction; `error` is why it was not committed."""

    def __init__(self) -> None:
        self.size = 0
        self.tried = threading.Event()
        self.error: Exception | None = None


class SharedCommits:
    """The transactions of one connection that the threads of a process share, one at a time.

    Who ends leaves the commit to the next that waits already, and the last one commits for all: no thread waits for
    company, and none goes on before its changes are on the disk. `told` makes SQLite's errors the caller's.
    """

    def __init__(self, connection: apsw.Connection, told: Callable[[], AbstractContextManager[None]]) -> None:
        self.lock = threading.RLock()
        self._connection = connection
        self._told = told
        self._counting = threading.Lock()
        self._waiting = 0
        self._batch: _Batch | None = None
        self._inside = False

    @contextmanager
    def shared(self) -> Generator[None, None, None]:
        """One thread's part: back when it is committed, or nothing of it. Inside another one it is that one's."""
        batch = None
        self._take_turn()
        try:
            if self._inside:
                yield
                return
            with self._told():
                batch = self._begun()
                try:
                    with self._part_of(batch):
                        yield
                finally:
                    self._hand_on(batch)
        finally:
            self.lock.release()
        self._wait_for(batch)

    @contextmanager
    def alone(self, begin: str, end: str) -> Generator[None, None, None]:
        """A transaction of its own. Inside another one it is that one's."""
        with self.lock:
            if self._inside:
                yield
                return
            self.finish()
            with self._told():
                self._connection.execute(begin)
                self._inside = True
                try:
                    yield
                    self._connection.execute(end)
                except BaseException:
                    self._undo()
                    raise
                finally:
                    self._inside = False

    def finish(self) -> None:
        """Commit what others share, unless this thread is inside a transaction; who holds the lock may call it."""
        batch = self._batch
        if batch is None or self._inside:
            return
        batch.error = RuntimeError("interrupted")
        try:
            with self._told():
                self._connection.execute("COMMIT")
            batch.error = None
        except Exception as error:
            batch.error = error
        finally:
            self._undo()
            self._batch = None
            batch.tried.set()

    def _take_turn(self) -> None:
        with self._counting:
            self._waiting += 1
        try:
            self.lock.acquire()
        finally:
            with self._counting:
                self._waiting -= 1

    def _begun(self) -> _Batch:
        if self._batch is None:
            self._connection.execute("BEGIN IMMEDIATE")
            self._batch = _Batch()
        return self._batch

    @contextmanager
    def _part_of(self, batch: _Batch) -> Generator[None, None, None]:
        """The first needs no savepoint: with it all is undone."""
        first, self._inside = batch.size == 0, True
        try:
            if not first:
                self._connection.execute("SAVEPOINT part")
            yield
            if not first:
                self._connection.execute("RELEASE part")
            batch.size += 1
        except BaseException as error:
            self._undo_part(batch, error, first)
            raise
        finally:
            self._inside = False

    def _undo_part(self, batch: _Batch, error: BaseException, first: bool) -> None:
        if not first and not self._connection.get_autocommit():
            self._connection.execute("ROLLBACK TO part; RELEASE part")
            return
        # SQLite itself undoes all when the disk is full or fails.
        try:
            with self._told():
                raise error
        except Exception as told:
            batch.error = told
        except BaseException:
            batch.error = RuntimeError("interrupted")
        finally:
            self._undo()
            self._batch = None
            batch.tried.set()

    def _hand_on(self, batch: _Batch) -> None:
        if self._batch is batch and (self._waiting == 0 or batch.size >= _AT_MOST):
            self.finish()

    def _wait_for(self, batch: _Batch | None) -> None:
        if batch is None:
            return
        while not batch.tried.wait(_LOOK_S):
            # Who was to come was stopped before he came.
            with self.lock:
                if self._batch is batch:
                    self.finish()
        if batch.error is not None:
            raise batch.error

    def _undo(self) -> None:
        """Nothing to do after a commit."""
        if not self._connection.get_autocommit():
            self._connection.execute("ROLLBACK")
