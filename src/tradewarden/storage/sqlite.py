"""SQLite: WAL, one writer thread a process with group commit, readers that never wait for the writer.

Always true here: a transaction is acknowledged after its group's COMMIT with `synchronous=FULL`, never before. Each
work of a group runs in its own savepoint, so one that fails takes none of the others with it. An `flock` around the
group keeps several processes in line: SQLite's own busy-waiting lets one of them starve.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import queue
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from tradewarden.errors import StorageUnavailableError
from tradewarden.storage.database import Revisions, Row, Transaction, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator
    from pathlib import Path

T = TypeVar("T")
MAX_GROUP = 64
_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA busy_timeout=5000",
    "PRAGMA cache_size=-8192",
    "PRAGMA wal_autocheckpoint=2000",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA trusted_schema=OFF",
)


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open one connection in autocommit mode with every setting this service relies on."""
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        if read_only:
            connection.execute("PRAGMA query_only=ON")
    except sqlite3.Error as error:
        raise _unavailable(error, path) from error
    return connection


def _unavailable(error: sqlite3.Error, path: Path) -> StorageUnavailableError:
    return StorageUnavailableError("The database cannot be used now; try again later", reason=f"{path}: {error}")


class SqliteTransaction:
    """A `Transaction` whose methods never suspend; lives on the writer thread."""

    __slots__ = ("_connection",)

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def one(self, sql: str, *args: Value) -> Row | None:
        row: Row | None = self._connection.execute(sql, args).fetchone()
        return row

    async def all(self, sql: str, *args: Value) -> list[Row]:
        return self._connection.execute(sql, args).fetchall()

    async def run(self, sql: str, *args: Value) -> int:
        return self._connection.execute(sql, args).rowcount

    async def run_many(self, sql: str, rows: Iterable[Row]) -> None:
        self._connection.executemany(sql, rows)

    async def record(self, entry: bytes) -> None:
        self._connection.execute("INSERT INTO audit_inbox (batch) VALUES (?)", (entry,))

    async def bump(self, *kinds: str) -> None:
        for kind in kinds:
            self._connection.execute("UPDATE revisions SET value = value + 1 WHERE kind = ?", (kind,))


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
        """Do the work in its savepoint; keep its result, or its error with everything it wrote undone."""
        connection.execute("SAVEPOINT work")
        try:
            self.result = _drive(self.work(transaction))
        except sqlite3.Error:
            raise
        except BaseException as error:  # noqa: BLE001  (handed to the caller who waits for it)
            self.error = error
            connection.execute("ROLLBACK TO work")
        connection.execute("RELEASE work")

    def settle(self) -> None:
        """Give the outcome to the waiting caller; runs on the caller's loop."""
        if self.future.cancelled():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)  # type: ignore[arg-type]


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
        self._data_version = -1
        self._revisions = Revisions()
        self._long = ThreadPoolExecutor(1, "tradewarden-read")
        self._long_reader: sqlite3.Connection | None = None
        self._queue: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write_groups, name="tradewarden-write", daemon=True)
        self._writer.start()

    @property
    def waiting(self) -> int:
        """How many writes wait for the writer thread."""
        return self._queue.qsize()

    async def one(self, sql: str, *args: Value) -> Row | None:
        """Return the first row; on the loop's own thread, because a point look-up costs less than a hand-over."""
        try:
            row: Row | None = self._reader.execute(sql, args).fetchone()
        except sqlite3.Error as error:
            raise _unavailable(error, self.path) from error
        return row

    async def all(self, sql: str, *args: Value) -> list[Row]:
        """Return all rows, read on a thread of its own."""
        return await asyncio.get_running_loop().run_in_executor(self._long, self._all, sql, args)

    def _all(self, sql: str, args: tuple[Value, ...]) -> list[Row]:
        try:
            if self._long_reader is None:
                self._long_reader = connect(self.path, read_only=True)
            return self._long_reader.execute(sql, args).fetchall()
        except sqlite3.Error as error:
            raise _unavailable(error, self.path) from error

    async def revisions(self) -> Revisions:
        """Return the revisions; `data_version` moves on every commit but its own connection's, and this one has none."""
        try:
            (version,) = self._reader.execute("PRAGMA data_version").fetchone()
            if version != self._data_version:
                rows = self._reader.execute("SELECT kind, value FROM revisions").fetchall()
                self._revisions = msgspec.convert(dict(rows), Revisions)
                self._data_version = version
        except (sqlite3.Error, msgspec.ValidationError) as error:
            raise StorageUnavailableError(
                "The database cannot be used now; try again later", reason=f"{self.path}: {error}"
            ) from error
        return self._revisions

    async def transact(self, work: Callable[[Transaction], Coroutine[None, None, T]]) -> T:
        """Hand `work` to the writer thread and wait for its group's commit."""
        job = _Job(work, asyncio.get_running_loop().create_future())
        self._queue.put(job)
        return await asyncio.shield(job.future)

    async def close(self) -> None:
        """Let the writer finish its queue, then close every connection."""
        self._queue.put(None)
        await asyncio.to_thread(self._writer.join)
        self._long.shutdown(wait=True)
        self._reader.close()
        if self._long_reader is not None:
            self._long_reader.close()

    def _write_groups(self) -> None:
        connection: sqlite3.Connection | None = None
        lock = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        open_for_work = True
        while open_for_work:
            jobs, open_for_work = self._next_group()
            if jobs:
                try:
                    connection = connection or connect(self.path)
                    with locked(lock):
                        _commit_group(connection, jobs)
                except (sqlite3.Error, StorageUnavailableError, OSError) as error:
                    _fail_group(jobs, error, self.path)
                    connection = _dropped(connection)
                _settle(jobs)
        os.close(lock)
        _dropped(connection)

    def _next_group(self) -> tuple[list[_Job[Any]], bool]:
        job = self._queue.get()
        jobs: list[_Job[Any]] = []
        while job is not None:
            jobs.append(job)
            if len(jobs) == MAX_GROUP or self._queue.empty():
                return jobs, True
            job = self._queue.get()
        return jobs, False


@contextmanager
def locked(descriptor: int) -> Iterator[None]:
    """Hold the host-wide write lock; the kernel frees it when the process dies."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _commit_group(connection: sqlite3.Connection, jobs: list[_Job[Any]]) -> None:
    transaction = SqliteTransaction(connection)
    connection.execute("BEGIN IMMEDIATE")
    for job in jobs:
        job.run(connection, transaction)
    connection.execute("COMMIT")


def _fail_group(jobs: list[_Job[Any]], error: Exception, path: Path) -> None:
    for job in jobs:
        job.error = StorageUnavailableError(
            "The database cannot be written now; nothing was changed; try again later", reason=f"{path}: {error}"
        )


def _dropped(connection: sqlite3.Connection | None) -> None:
    """Close a connection, which rolls back what it had open; the next group opens a new one."""
    if connection is not None:
        connection.close()


def _settle(jobs: list[_Job[Any]]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[_Job[Any]]] = {}
    for job in jobs:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, settled in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_settle_all, settled)


def _settle_all(jobs: list[_Job[Any]]) -> None:
    for job in jobs:
        job.settle()
