"""The part of apsw that this project uses. apsw's own stub loses `bytes` from its value type on Python 3.11."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Final, Self, TypeAlias

# Type-only names, as in apsw's own stub: the module does not have them at run time, so quote them.
SQLiteValue: TypeAlias = None | int | float | str | bytes
SQLiteValues: TypeAlias = tuple[SQLiteValue, ...]
Bindings: TypeAlias = Sequence[SQLiteValue] | Mapping[str, SQLiteValue]

class Cursor:
    connection: Connection
    description: tuple[tuple[str, str | None, None, None, None, None, None], ...]
    @property
    def get(self) -> object: ...
    def close(self, force: bool = False) -> None: ...
    def execute(self, statements: str, bindings: Bindings | None = None, *, can_cache: bool = True) -> Cursor: ...
    def executemany(
        self, statements: str, sequenceofbindings: Iterable[Bindings], *, can_cache: bool = True
    ) -> Cursor: ...
    def fetchall(self) -> list[SQLiteValues]: ...
    def fetchone(self) -> SQLiteValues | None: ...
    def get_description(self) -> tuple[tuple[str, str], ...]: ...
    def __iter__(self) -> Iterator[SQLiteValues]: ...
    def __next__(self) -> SQLiteValues: ...

class Connection:
    filename: str
    in_transaction: bool
    open_flags: int
    def __init__(
        self, filename: str, flags: int = ..., vfs: str | None = None, statementcachesize: int = 100
    ) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, etype: type[BaseException] | None, evalue: BaseException | None, etraceback: TracebackType | None
    ) -> bool | None: ...
    def cacheflush(self) -> None: ...
    def changes(self) -> int: ...
    def close(self, force: bool = False) -> None: ...
    def cursor(self) -> Cursor: ...
    def execute(self, statements: str, bindings: Bindings | None = None, *, can_cache: bool = True) -> Cursor: ...
    def executemany(
        self, statements: str, sequenceofbindings: Iterable[Bindings], *, can_cache: bool = True
    ) -> Cursor: ...
    def get_autocommit(self) -> bool: ...
    def interrupt(self) -> None: ...
    def last_insert_rowid(self) -> int: ...
    def limit(self, id: int, newval: int = -1) -> int: ...
    def pragma(self, name: str, value: SQLiteValue = None, *, schema: str | None = None) -> object: ...
    def readonly(self, name: str) -> bool: ...
    def set_busy_handler(self, callable: Callable[[int], bool] | None) -> None: ...
    def set_busy_timeout(self, milliseconds: int) -> None: ...
    def setbusytimeout(self, milliseconds: int) -> None: ...
    def set_profile(self, callable: Callable[[str, int], None] | None) -> None: ...
    def total_changes(self) -> int: ...
    def wal_checkpoint(self, dbname: str | None = None, mode: int = 0) -> tuple[int, int]: ...

class VFSFile:
    def __init__(self, vfs: str, filename: str, flags: list[int]) -> None: ...
    def xClose(self) -> None: ...
    def xFileSize(self) -> int: ...
    def xRead(self, amount: int, offset: int) -> bytes: ...

class Error(Exception):
    result: int
    extendedresult: int
    error_offset: int

class AbortError(Error): ...
class AuthError(Error): ...
class BindingsError(Error): ...
class BusyError(Error): ...
class CantOpenError(Error): ...
class ConnectionClosedError(Error): ...
class ConnectionNotClosedError(Error): ...
class ConstraintError(Error): ...
class CorruptError(Error): ...
class CursorClosedError(Error): ...
class EmptyError(Error): ...
class ExecutionCompleteError(Error): ...
class ForkingViolationError(Error): ...
class FormatError(Error): ...
class FullError(Error): ...
class IOError(Error): ...
class IncompleteExecutionError(Error): ...
class InternalError(Error): ...
class InterruptError(Error): ...
class InvalidContextError(Error): ...
class LockedError(Error): ...
class MismatchError(Error): ...
class MisuseError(Error): ...
class NoLFSError(Error): ...
class NoMemError(Error): ...
class NotADBError(Error): ...
class NotFoundError(Error): ...
class PermissionsError(Error): ...
class ProtocolError(Error): ...
class RangeError(Error): ...
class ReadOnlyError(Error): ...
class SQLError(Error): ...
class SchemaChangeError(Error): ...
class ThreadingViolationError(Error): ...
class TooBigError(Error): ...

def apsw_version() -> str: ...
def sqlite_lib_version() -> str: ...

mapping_result_codes: Final[dict[str | int, str | int]]
mapping_extended_result_codes: Final[dict[str | int, str | int]]

SQLITE_ABORT: Final = 4
SQLITE_ABORT_ROLLBACK: Final = 516
SQLITE_AUTH: Final = 23
SQLITE_AUTH_USER: Final = 279
SQLITE_BUSY: Final = 5
SQLITE_BUSY_RECOVERY: Final = 261
SQLITE_BUSY_SNAPSHOT: Final = 517
SQLITE_BUSY_TIMEOUT: Final = 773
SQLITE_CANTOPEN: Final = 14
SQLITE_CANTOPEN_CONVPATH: Final = 1038
SQLITE_CANTOPEN_DIRTYWAL: Final = 1294
SQLITE_CANTOPEN_FULLPATH: Final = 782
SQLITE_CANTOPEN_ISDIR: Final = 526
SQLITE_CANTOPEN_NOTEMPDIR: Final = 270
SQLITE_CANTOPEN_SYMLINK: Final = 1550
SQLITE_CHECKPOINT_FULL: Final = 1
SQLITE_CHECKPOINT_NOOP: Final = -1
SQLITE_CHECKPOINT_PASSIVE: Final = 0
SQLITE_CHECKPOINT_RESTART: Final = 2
SQLITE_CHECKPOINT_TRUNCATE: Final = 3
SQLITE_CONSTRAINT: Final = 19
SQLITE_CONSTRAINT_CHECK: Final = 275
SQLITE_CONSTRAINT_COMMITHOOK: Final = 531
SQLITE_CONSTRAINT_DATATYPE: Final = 3091
SQLITE_CONSTRAINT_FOREIGNKEY: Final = 787
SQLITE_CONSTRAINT_FUNCTION: Final = 1043
SQLITE_CONSTRAINT_NOTNULL: Final = 1299
SQLITE_CONSTRAINT_PINNED: Final = 2835
SQLITE_CONSTRAINT_PRIMARYKEY: Final = 1555
SQLITE_CONSTRAINT_ROWID: Final = 2579
SQLITE_CONSTRAINT_TRIGGER: Final = 1811
SQLITE_CONSTRAINT_UNIQUE: Final = 2067
SQLITE_CONSTRAINT_VTAB: Final = 2323
SQLITE_CORRUPT: Final = 11
SQLITE_CORRUPT_INDEX: Final = 779
SQLITE_CORRUPT_SEQUENCE: Final = 523
SQLITE_CORRUPT_VTAB: Final = 267
SQLITE_DONE: Final = 101
SQLITE_EMPTY: Final = 16
SQLITE_ERROR: Final = 1
SQLITE_ERROR_KEY: Final = 1281
SQLITE_ERROR_MISSING_COLLSEQ: Final = 257
SQLITE_ERROR_RESERVESIZE: Final = 1025
SQLITE_ERROR_RETRY: Final = 513
SQLITE_ERROR_SNAPSHOT: Final = 769
SQLITE_ERROR_UNABLE: Final = 1537
SQLITE_FORMAT: Final = 24
SQLITE_FULL: Final = 13
SQLITE_INTERNAL: Final = 2
SQLITE_INTERRUPT: Final = 9
SQLITE_IOERR: Final = 10
SQLITE_IOERR_ACCESS: Final = 3338
SQLITE_IOERR_AUTH: Final = 7178
SQLITE_IOERR_BADKEY: Final = 8970
SQLITE_IOERR_BEGIN_ATOMIC: Final = 7434
SQLITE_IOERR_BLOCKED: Final = 2826
SQLITE_IOERR_CHECKRESERVEDLOCK: Final = 3594
SQLITE_IOERR_CLOSE: Final = 4106
SQLITE_IOERR_CODEC: Final = 9226
SQLITE_IOERR_COMMIT_ATOMIC: Final = 7690
SQLITE_IOERR_CONVPATH: Final = 6666
SQLITE_IOERR_CORRUPTFS: Final = 8458
SQLITE_IOERR_DATA: Final = 8202
SQLITE_IOERR_DELETE: Final = 2570
SQLITE_IOERR_DELETE_NOENT: Final = 5898
SQLITE_IOERR_DIR_CLOSE: Final = 4362
SQLITE_IOERR_DIR_FSYNC: Final = 1290
SQLITE_IOERR_FSTAT: Final = 1802
SQLITE_IOERR_FSYNC: Final = 1034
SQLITE_IOERR_GETTEMPPATH: Final = 6410
SQLITE_IOERR_IN_PAGE: Final = 8714
SQLITE_IOERR_LOCK: Final = 3850
SQLITE_IOERR_MMAP: Final = 6154
SQLITE_IOERR_NOMEM: Final = 3082
SQLITE_IOERR_RDLOCK: Final = 2314
SQLITE_IOERR_READ: Final = 266
SQLITE_IOERR_ROLLBACK_ATOMIC: Final = 7946
SQLITE_IOERR_SEEK: Final = 5642
SQLITE_IOERR_SHMLOCK: Final = 5130
SQLITE_IOERR_SHMMAP: Final = 5386
SQLITE_IOERR_SHMOPEN: Final = 4618
SQLITE_IOERR_SHMSIZE: Final = 4874
SQLITE_IOERR_SHORT_READ: Final = 522
SQLITE_IOERR_TRUNCATE: Final = 1546
SQLITE_IOERR_UNLOCK: Final = 2058
SQLITE_IOERR_VNODE: Final = 6922
SQLITE_IOERR_WRITE: Final = 778
SQLITE_LIMIT_ATTACHED: Final = 7
SQLITE_LIMIT_COLUMN: Final = 2
SQLITE_LIMIT_COMPOUND_SELECT: Final = 4
SQLITE_LIMIT_EXPR_DEPTH: Final = 3
SQLITE_LIMIT_FUNCTION_ARG: Final = 6
SQLITE_LIMIT_LENGTH: Final = 0
SQLITE_LIMIT_LIKE_PATTERN_LENGTH: Final = 8
SQLITE_LIMIT_PARSER_DEPTH: Final = 12
SQLITE_LIMIT_SCHEMA: Final = 13
SQLITE_LIMIT_SQL_LENGTH: Final = 1
SQLITE_LIMIT_TRIGGER_DEPTH: Final = 10
SQLITE_LIMIT_TRIGGER_STEPS: Final = 14
SQLITE_LIMIT_VARIABLE_NUMBER: Final = 9
SQLITE_LIMIT_VDBE_OP: Final = 5
SQLITE_LIMIT_WORKER_THREADS: Final = 11
SQLITE_LOCKED: Final = 6
SQLITE_LOCKED_SHAREDCACHE: Final = 262
SQLITE_LOCKED_VTAB: Final = 518
SQLITE_MISMATCH: Final = 20
SQLITE_MISUSE: Final = 21
SQLITE_NOLFS: Final = 22
SQLITE_NOMEM: Final = 7
SQLITE_NOTADB: Final = 26
SQLITE_NOTFOUND: Final = 12
SQLITE_NOTICE: Final = 27
SQLITE_NOTICE_RBU: Final = 795
SQLITE_NOTICE_RECOVER_ROLLBACK: Final = 539
SQLITE_NOTICE_RECOVER_WAL: Final = 283
SQLITE_OK: Final = 0
SQLITE_OK_LOAD_PERMANENTLY: Final = 256
SQLITE_OK_SYMLINK: Final = 512
SQLITE_OPEN_CREATE: Final = 4
SQLITE_OPEN_EXRESCODE: Final = 33554432
SQLITE_OPEN_FULLMUTEX: Final = 65536
SQLITE_OPEN_MAIN_DB: Final = 256
SQLITE_OPEN_MEMORY: Final = 128
SQLITE_OPEN_NOFOLLOW: Final = 16777216
SQLITE_OPEN_NOMUTEX: Final = 32768
SQLITE_OPEN_PRIVATECACHE: Final = 262144
SQLITE_OPEN_READONLY: Final = 1
SQLITE_OPEN_READWRITE: Final = 2
SQLITE_OPEN_SHAREDCACHE: Final = 131072
SQLITE_OPEN_URI: Final = 64
SQLITE_PERM: Final = 3
SQLITE_PROTOCOL: Final = 15
SQLITE_RANGE: Final = 25
SQLITE_READONLY: Final = 8
SQLITE_READONLY_CANTINIT: Final = 1288
SQLITE_READONLY_CANTLOCK: Final = 520
SQLITE_READONLY_DBMOVED: Final = 1032
SQLITE_READONLY_DIRECTORY: Final = 1544
SQLITE_READONLY_RECOVERY: Final = 264
SQLITE_READONLY_ROLLBACK: Final = 776
SQLITE_ROW: Final = 100
SQLITE_SCHEMA: Final = 17
SQLITE_TOOBIG: Final = 18
SQLITE_WARNING: Final = 28
SQLITE_WARNING_AUTOINDEX: Final = 284
