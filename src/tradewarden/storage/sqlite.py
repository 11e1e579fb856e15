"""SQLite: WAL, one writer thread a process with group commit, readers that never wait for it.

Always true here: a transaction is acknowledged after its group's COMMIT with `synchronous=FULL`,
never before. Each work of a group runs in its own savepoint, so one that fails takes none of the
others with it. A `WriteLock` around the group keeps several processes in line: SQLite's own
busy-waiting lets one of them starve. The file is never created here, only by a migration: a
database that went away is an error and no fresh start.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from tradewarden.errors import ConflictError, StorageUnavailableError
from tradewarden.storage.database import Revisions, Row, Transaction, Value
from tradewarden.storage.writelock import WriteLock

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from pathlib import Path

T = TypeVar("T")
MAX_GROUP = 64
_PRAGMAS = (
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA secure_delete=FAST",  # a destroyed value is overwritten, not only forgotten
    "PRAGMA cache_size=-8192",
    "PRAGMA wal_autocheckpoint=2000",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA trusted_schema=OFF",
)
_WRITER_WAITS_MS = 5000
_READER_WAITS_MS = 1000  # a reader runs on the event loop; it waits for a crash's recovery only
_OWN_MISTAKES = {
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_MISUSE,
    sqlite3.SQLITE_RANGE,
}
_TAKEN = (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open one connection to an existing file, in autocommit mode, with all settings relied on."""
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=(_READER_WAITS_MS if read_only else _WRITER_WAITS_MS) / 1000,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
    except sqlite3.Error as error:
        raise _unavailable(error, path) from error
    try:
        (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        if mode != "wal":
            raise sqlite3.OperationalError(f"journal mode is {mode} and cannot be made WAL")
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        if read_only:
            connection.execute("PRAGMA query_only=ON")
    except sqlite3.Error as error:
        connection.close()
        raise _unavailable(error, path) from error
    return connection


def _unavailable(error: Exception | str, path: Path) -> StorageUnavailableError:
    return StorageUnavailableError("The database cannot be used now; try again later", reason=f"{path}: {error}")


class SqliteTransaction:
    """A `Transaction` whose methods never suspend; lives on the writer thread."""

    __slots__ = ("_connection",)

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def one(self, sql: str, *args: Value) -> Row | None:
        """Return the first row, or None."""
        row: Row | None = self._connection.execute(sql, args).fetchone()
        return row

    async def all(self, sql: str, *args: Value) -> list[Row]:
        """Return all rows."""
        return self._connection.execute(sql, args).fetchall()

    async def run(self, sql: str, *args: Value) -> int:
        """Execute and return how many rows were changed."""
        return self._connection.execute(sql, args).rowcount

    async def run_many(self, sql: str, rows: Iterable[Row]) -> None:
        """Execute once for each row."""
        self._connection.executemany(sql, rows)

    async def record(self, entry: bytes) -> None:
        """Put the audit entry of this change into the audit inbox."""
        self._connection.execute("INSERT INTO audit_inbox (batch) VALUES (?)", (entry,))

    async def bump(self, *kinds: str) -> None:
        """Move the revision of each kind; raises `AttributeError` for an unknown kind."""
        for kind in kinds:
            sql = "UPDATE revisions SET value = value + 1 WHERE kind = ?"
            if self._connection.execute(sql, (kind,)).rowcount != 1:
                raise AttributeError(f"there is no revision {kind!r}")


class _Job(Generic[T]):
    """One work on its way through the writer thread."""

    __slots__ = ("error", "future", "loop", "result", "work")

    def __init__(self, work: Callable[[Transaction], Coroutine[None, None, T]], future: asyncio.Future[T]) -> None:
        self.work = work
        self.future = future
        self.loop = future.get_loop()
        self.result: T | None = None
        self.error: BaseException | None = None

    def run(self, connection: sqlite3.Connection, transaction: Transaction) -> None:
        """Do the work in its savepoint; keep its result, or its error with its writes undone."""
        connection.execute("SAVEPOINT work")
        try:
            self.result = _drive(self.work(transaction))
        except BaseException as error:  # handed to the caller
            if not _concerns_one_work(error, connection):
                raise
            self.error = _outcome(error)
            connection.execute("ROLLBACK TO work")
        connection.execute("RELEASE work")

    def settle(self) -> None:
        """Give the outcome to the waiting caller, if it still waits; runs on the caller's loop."""
        if self.future.cancelled():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)  # type: ignore[arg-type]


def _concerns_one_work(error: BaseException, connection: sqlite3.Connection) -> bool:
    """Tell a work's own mistake from trouble with disk or database, which fails the whole group.

    SQLite itself ends the transaction on some errors (a full disk, no memory).
    """
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    return connection.in_transaction and code in _OWN_MISTAKES


def _outcome(error: BaseException) -> BaseException:
    if not isinstance(error, sqlite3.Error):
        return error
    if getattr(error, "sqlite_errorcode", 0) in _TAKEN:
        return ConflictError("This already exists", reason=str(error))
    return StorageUnavailableError("The database refused this change", reason=str(error))


def _drive(work: Coroutine[None, None, T]) -> T:
    """Run a coroutine that never suspends to its end."""
    try:
        work.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    work.close()
    raise RuntimeError("a transaction's work awaited something other than its transaction")


class SqliteDatabase:
    """A `Database` in one SQLite file, shared by any number of processes of one host."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reader = connect(path, read_only=True)
        self._file = _identity(path)
        self._data_version = -1
        self._revisions = Revisions()
        self._long = ThreadPoolExecutor(1, "tradewarden-read")
        self._long_reader: sqlite3.Connection | None = None
        self._queue: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._pending: list[_Job[Any]] = []
        self._writer = threading.Thread(target=self._write_groups, name="tradewarden-write", daemon=True)
        self._writer.start()

    @property
    def waiting(self) -> int:
        """How many writes wait for the writer thread."""
        return self._queue.qsize()

    async def one(self, sql: str, *args: Value) -> Row | None:
        """Return the first row, read on the loop's own thread: that costs less than a hand-over."""
        try:
            row: Row | None = self._reader.execute(sql, args).fetchone()
        except sqlite3.Error as error:
            raise _unavailable(error, self.path) from error
        return row

    async def all(self, sql: str, *args: Value) -> list[Row]:
        """Return all rows, read on a thread of its own."""
        if self._closed:
            raise _unavailable("closed", self.path)
        return await asyncio.get_running_loop().run_in_executor(self._long, self._all, sql, args)

    def _all(self, sql: str, args: tuple[Value, ...]) -> list[Row]:
        try:
            if self._long_reader is None:
                self._long_reader = connect(self.path, read_only=True)
            return self._long_reader.execute(sql, args).fetchall()
        except sqlite3.Error as error:
            raise _unavailable(error, self.path) from error

    async def revisions(self) -> Revisions:
        """Return the revisions as of now.

        `data_version` moves on every commit but its own connection's, and this one commits nothing.
        """
        try:
            (version,) = self._reader.execute("PRAGMA data_version").fetchone()
            if version != self._data_version:
                rows = self._reader.execute("SELECT kind, value FROM revisions").fetchall()
                self._revisions = msgspec.convert(dict(rows), Revisions)
                self._data_version = version
        except (sqlite3.Error, msgspec.ValidationError) as error:
            raise _unavailable(error, self.path) from error
        return self._revisions

    async def transact(self, work: Callable[[Transaction], Coroutine[None, None, T]]) -> T:
        """Hand `work` to the writer thread and wait for its group's commit."""
        loop = asyncio.get_running_loop()
        job = _Job(work, loop.create_future())
        if self._closed:
            raise _unavailable("closed", self.path)
        self._pending.append(job)
        if len(self._pending) == 1:
            loop.call_soon(self._hand_over)
        result: T = await job.future
        return result

    def _hand_over(self) -> None:
        jobs, self._pending = self._pending, []
        for job in jobs:
            self._queue.put(job)

    async def close(self) -> None:
        """Let the writer finish its queue, then close every connection."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        await asyncio.to_thread(self._writer.join)
        await asyncio.to_thread(self._long.shutdown, wait=True)
        self._reader.close()
        if self._long_reader is not None:
            self._long_reader.close()

    def _write_groups(self) -> None:
        connection: sqlite3.Connection | None = None
        lock: WriteLock | None = None
        while (job := self._queue.get()) is not None:
            jobs = [job]
            try:
                lock = lock or WriteLock(self.path)
                with lock.held():
                    self._check_file()
                    connection = connection or connect(self.path)
                    self._gather(jobs)
                    _commit_group(connection, jobs)
            except BaseException as error:  # noqa: BLE001  (this thread must outlive every error)
                _fail_group(jobs, error, self.path)
                _drop(connection)
                connection = None
            _settle(jobs)
        _drop(connection)
        if lock is not None:
            lock.close()

    def _gather(self, jobs: list[_Job[Any]]) -> None:
        """Add what was handed in while this process waited for its turn."""
        with suppress(queue.Empty):
            while len(jobs) < MAX_GROUP:
                job = self._queue.get_nowait()
                if job is None:
                    self._queue.put(None)
                    return
                jobs.append(job)

    def _check_file(self) -> None:
        """Refuse to write into a file that nobody would find again."""
        if _identity(self.path) != self._file:
            raise StorageUnavailableError(
                "The database file was replaced or removed; restart the service",
                reason=f"{self.path} is not the file that was opened",
            )


def _identity(path: Path) -> tuple[int, int]:
    status = os.stat(path)  # noqa: PTH116  (once a group)
    return status.st_dev, status.st_ino


def _commit_group(connection: sqlite3.Connection, jobs: list[_Job[Any]]) -> None:
    transaction = SqliteTransaction(connection)
    connection.execute("BEGIN IMMEDIATE")
    for job in jobs:
        job.run(connection, transaction)
    connection.execute("COMMIT")


def _fail_group(jobs: list[_Job[Any]], error: BaseException, path: Path) -> None:
    reason = error.reason if isinstance(error, StorageUnavailableError) else f"{path}: {error}"
    for job in jobs:
        job.error = StorageUnavailableError(
            "The database cannot be written now; nothing was changed; try again later",
            reason=reason,
        )


def _drop(connection: sqlite3.Connection | None) -> None:
    """Close a connection, which rolls back what it had open; the next group opens a new one."""
    if connection is not None:
        with suppress(sqlite3.Error):
            connection.close()


def _settle(jobs: list[_Job[Any]]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[_Job[Any]]] = {}
    for job in jobs:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, settled in by_loop.items():
        with suppress(RuntimeError):  # that loop is closed, nobody waits there
            loop.call_soon_threadsafe(_settle_all, settled)


def _settle_all(jobs: list[_Job[Any]]) -> None:
    for job in jobs:
        job.settle()
