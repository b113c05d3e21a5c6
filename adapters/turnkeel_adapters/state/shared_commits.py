"""How do threads that wait for each other share one commit, while an error stays with the one who made it?"""

import threading
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Final, Literal

import apsw

_AT_MOST: Final = 64
"""So many share one commit: the first of them waits for all."""
_LOOK_S: Final = 0.05


class _Batch:
    """Some threads' changes in one transaction; `error` is why it was not committed."""

    __slots__ = ("error", "size", "tried", "waiting")

    def __init__(self) -> None:
        self.size = 0
        self.waiting: threading.Event | None = None
        self.tried = False
        self.error: Exception | None = None

    def end(self, error: Exception | None) -> None:
        """Committed, or not."""
        self.error, self.tried = error, True
        if self.waiting is not None:
            self.waiting.set()


class SharedCommits:
    """The transactions of one connection that the threads of a process share, one at a time.

    Who ends leaves the commit to the next that waits already, and the last one commits for all: no thread waits for
    company, and none goes on before its changes are on the disk. `told` makes SQLite's errors the caller's.
    """

    def __init__(self, connection: apsw.Connection, told: AbstractContextManager[None]) -> None:
        self.lock = threading.RLock()
        self.connection = connection
        self._told = told
        self._counting = threading.Lock()
        self._waiting = 0
        self._batch: _Batch | None = None
        self._inside = False

    def shared(self) -> AbstractContextManager[apsw.Connection]:
        """One thread's part: back when it is committed, or nothing of it. Inside another one it is that one's."""
        return _Part(self)

    @contextmanager
    def alone(self, begin: str, end: str) -> Generator[None, None, None]:
        """A transaction of its own. Inside another one it is that one's."""
        with self.lock:
            if self._inside:
                yield
                return
            self.finish()
            with self._told:
                self.connection.execute(begin)
                self._inside = True
                try:
                    yield
                    self.connection.execute(end)
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
        failed: Exception | None = RuntimeError("interrupted")
        try:
            with self._told:
                self.connection.execute("COMMIT")
            failed = None
        except Exception as error:
            failed = error
        finally:
            self._undo()
            self._batch = None
            batch.end(failed)

    def begin(self) -> _Batch | None:
        """Take the lock; the transaction to take part in, None inside another part."""
        with self._counting:
            self._waiting += 1
        try:
            self.lock.acquire()
        finally:
            with self._counting:
                self._waiting -= 1
        if self._inside:
            return None
        try:
            with self._told:
                return self._begun()
        except BaseException:
            self.lock.release()
            raise

    def _begun(self) -> _Batch:
        batch = self._batch
        if batch is None:
            self.connection.execute("BEGIN IMMEDIATE")
            batch = self._batch = _Batch()
        else:
            # The first needs no savepoint: with it all is undone.
            self.connection.execute("SAVEPOINT part")
        self._inside = True
        return batch

    def end(self, batch: _Batch, error: BaseException | None) -> None:
        """The part is over: undo it if it failed, commit if nobody waits, and release the lock."""
        try:
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
        finally:
            try:
                if self._batch is batch and (self._waiting == 0 or batch.size >= _AT_MOST):
                    self.finish()
            finally:
                self.lock.release()

    def _undo_part(self, batch: _Batch, error: BaseException) -> None:
        if batch.size > 0 and not self.connection.get_autocommit():
            self.connection.execute("ROLLBACK TO part; RELEASE part")
            return
        # SQLite itself undoes all when the disk is full or fails.
        failed: Exception = RuntimeError("interrupted")
        try:
            with self._told:
                raise error
        except Exception as told:
            failed = told
        except BaseException:
            pass
        finally:
            self._undo()
            self._batch = None
            batch.end(failed)

    def wait_for(self, batch: _Batch) -> None:
        """Until the batch is on the disk; its error if it is not."""
        if not batch.tried:
            self._wait(batch)
        if batch.error is not None:
            raise batch.error

    def _wait(self, batch: _Batch) -> None:
        with self._counting:
            if batch.waiting is None:
                batch.waiting = threading.Event()
        # Whoever ends it sets `tried` before he looks for an event.
        while not batch.tried and not batch.waiting.wait(_LOOK_S):
            # Who was to come was stopped before he came.
            with self.lock:
                if self._batch is batch:
                    self.finish()

    def _undo(self) -> None:
        """Nothing to do after a commit."""
        if not self.connection.get_autocommit():
            self.connection.execute("ROLLBACK")


class _Part(AbstractContextManager[apsw.Connection]):
    """One thread's part in a shared transaction."""

    __slots__ = ("_batch", "_commits")

    def __init__(self, commits: SharedCommits) -> None:
        self._commits = commits
        self._batch: _Batch | None = None

    def __enter__(self) -> apsw.Connection:
        self._batch = self._commits.begin()
        return self._commits.connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        if self._batch is None:
            self._commits.lock.release()
            return False
        self._commits.end(self._batch, error)
        self._commits.wait_for(self._batch)
        return False
