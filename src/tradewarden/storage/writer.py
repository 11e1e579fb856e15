"""The one writer of a process: takes what is handed in, in groups, and answers once a group is durable.

Always true here: a work that fails takes no other of its group with it, and leaves nothing behind. The
write lock keeps the processes of a host in line, because SQLite's own busy-waiting lets one of them starve. A group is
answered after its log is synced, never before; the sync comes after the lock is let go, so that another process writes
its group meanwhile (its own sync covers ours too: the log is one file, and SQLite reads it up to the first torn frame).
"""

from __future__ import annotations

import asyncio
import os
import queue
import sqlite3
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tradewarden.audit.inbox import pack
from tradewarden.errors import ConflictError, StorageUnavailableError
from tradewarden.storage.connection import connect, read_again
from tradewarden.storage.database import Row, Value
from tradewarden.storage.writelock import WriteLock

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Sequence
    from pathlib import Path

    from tradewarden.storage.database import Making

C = TypeVar("C")
T = TypeVar("T")
MAX_GROUP = 64
_OWN_MISTAKES = {
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_MISUSE,
    sqlite3.SQLITE_RANGE,
}
_TAKEN = (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)


class SqliteTransaction:
    """A `Transaction` whose methods never suspend; lives on the writer thread. `wrote` tells whether anything was.

    `entries` wait until the group is done: they go into the inbox as one row.
    """

    __slots__ = ("_connection", "entries", "wrote")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.entries: list[bytes] = []
        self.wrote = False

    async def one(self, sql: str, *args: Value) -> Row | None:
        """Return the first row, or None."""
        try:
            row: Row | None = self._connection.execute(sql, args).fetchone()
        except sqlite3.OperationalError as error:
            return next(iter(read_again(self._connection, sql, args, error)), None)
        return row

    async def all(self, sql: str, *args: Value) -> list[Row]:
        """Return all rows."""
        try:
            return self._connection.execute(sql, args).fetchall()
        except sqlite3.OperationalError as error:
            return read_again(self._connection, sql, args, error)

    async def run(self, sql: str, *args: Value) -> int:
        """Execute and return how many rows were changed."""
        self.wrote = True
        return self._connection.execute(sql, args).rowcount

    async def run_many(self, sql: str, rows: Iterable[Row]) -> None:
        """Execute once for each row."""
        self.wrote = True
        self._connection.executemany(sql, rows)

    async def record(self, *entries: bytes) -> None:
        """Put the audit entries of what this transaction changes into the audit inbox."""
        self.wrote = True
        self.entries += entries

    def commit(self) -> None:
        """Write what was recorded, and commit."""
        if self.entries:
            row = (len(self.entries), pack(self.entries))
            self._connection.execute("INSERT INTO audit_inbox (count, batch) VALUES (?, ?)", row)
        self._connection.execute("COMMIT")

    async def bump(self, *kinds: str) -> None:
        """Move the revision of each kind; raises `AttributeError` for an unknown kind."""
        self.wrote = True
        for kind in kinds:
            sql = "UPDATE revisions SET value = value + 1 WHERE kind = ?"
            if self._connection.execute(sql, (kind,)).rowcount != 1:
                raise AttributeError(f"there is no revision {kind!r}")


class Job(Generic[C, T]):
    """One change on its way through the writer. Jobs of one `kind` are made in one go."""

    __slots__ = ("change", "error", "future", "kind", "loop", "making", "result")

    def __init__(self, making: Making[C, T], change: C, kind: object, future: asyncio.Future[T]) -> None:
        self.making = making
        self.change = change
        self.kind = kind
        self.future = future
        self.loop = future.get_loop()
        self.result: T | None = None
        self.error: BaseException | None = None

    def end(self, outcome: T | BaseException) -> None:
        """Keep how it ended."""
        self.error = outcome if isinstance(outcome, BaseException) else None
        self.result = None if isinstance(outcome, BaseException) else outcome

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


class Writer:
    """The writer thread of one database file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = _identity(path)
        self._queue: queue.SimpleQueue[Sequence[Job[Any, Any]] | None] = queue.SimpleQueue()
        self._handed_in = self._taken = 0
        self._connection: sqlite3.Connection | None = None
        self._lock: WriteLock | None = None
        self._log = -1
        self._thread = threading.Thread(target=self._write_groups, name="tradewarden-write", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many works wait."""
        return self._handed_in - self._taken

    def hand_in(self, jobs: Sequence[Job[Any, Any]]) -> None:
        """Take works, at most `MAX_GROUP` of them into one group; each is settled on its own loop. For one thread."""
        self._handed_in += len(jobs)
        for start in range(0, len(jobs), MAX_GROUP):
            self._queue.put(jobs[start : start + MAX_GROUP])

    def close(self) -> None:
        """Finish what was handed in, and end. Blocks."""
        self._queue.put(None)
        self._thread.join()

    def _write_groups(self) -> None:
        while (first := self._queue.get()) is not None:
            jobs = [*first]
            self._taken += len(first)
            try:
                self._write(jobs)
                os.fdatasync(self._log)
            except BaseException as error:  # noqa: BLE001  (this thread must outlive every error)
                _fail(jobs, error, self._path)
                self._drop()
            _settle(jobs)
        self._drop()
        if self._lock is not None:
            self._lock.close()

    def _write(self, jobs: list[Job[Any, Any]]) -> None:
        """Run one group in one transaction, together with what was handed in while waiting for the turn."""
        self._lock = self._lock or WriteLock(self._path)
        with self._lock.held():
            if _identity(self._path) != self._file:
                raise StorageUnavailableError(
                    "The database file was replaced or removed; restart the service",
                    reason=f"{self._path} is not the file that was opened",
                )
            connection = self._connection or self._connect()
            self._gather(jobs)
            _run_group(connection, jobs)

    def _connect(self) -> sqlite3.Connection:
        """Open the connection, and the log beside it: that stays the same file while a connection is open."""
        connection = self._connection = connect(self._path)
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # the first read makes the log
        self._log = os.open(f"{self._path}-wal", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        return connection

    def _gather(self, jobs: list[Job[Any, Any]]) -> None:
        with suppress(queue.Empty):
            while len(jobs) < MAX_GROUP:
                more = self._queue.get_nowait()
                if more is None:
                    self._queue.put(None)
                    return
                jobs += more
                self._taken += len(more)

    def _drop(self) -> None:
        """Close the connection, which rolls back what it had open; the next group opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()
        log, self._log = self._log, -1
        if log >= 0:
            os.close(log)


def _run_group(connection: sqlite3.Connection, jobs: list[Job[Any, Any]]) -> None:
    """Run the works in one transaction. Only when one fails half-way are they run again, each in its own savepoint."""
    transaction = SqliteTransaction(connection)
    connection.execute("BEGIN IMMEDIATE")
    if not all(_run(alike, connection, transaction) for alike in _kinds(jobs)):
        connection.execute("ROLLBACK")
        transaction = SqliteTransaction(connection)
        connection.execute("BEGIN IMMEDIATE")
        for job in jobs:
            _run_apart(job, connection, transaction)
    transaction.commit()


def _kinds(jobs: list[Job[Any, Any]]) -> Iterable[list[Job[Any, Any]]]:
    """Put jobs of one kind together: none was acknowledged before the others were handed in, so any order is right."""
    kinds: dict[object, list[Job[Any, Any]]] = {}
    for job in jobs:
        kinds.setdefault(job.kind, []).append(job)
    return kinds.values()


def _run(jobs: Sequence[Job[Any, Any]], connection: sqlite3.Connection, transaction: SqliteTransaction) -> bool:
    """Do the works of one kind. False when it failed with something written already, or for more than one."""
    transaction.wrote = False
    try:
        outcomes = _drive(jobs[0].making(transaction, [job.change for job in jobs]))
    except BaseException as error:  # handed to the caller
        if not _concerns_one_work(error, connection):
            raise
        jobs[0].end(_outcome(error))
        return not transaction.wrote and len(jobs) == 1
    for job, outcome in zip(jobs, outcomes, strict=True):
        job.end(outcome)
    return True


def _run_apart(job: Job[Any, Any], connection: sqlite3.Connection, transaction: SqliteTransaction) -> None:
    """Do one work in a savepoint of its own; what it wrote and recorded before it failed is undone."""
    recorded = len(transaction.entries)
    connection.execute("SAVEPOINT work")
    if not _run([job], connection, transaction):
        connection.execute("ROLLBACK TO work")
        del transaction.entries[recorded:]
    connection.execute("RELEASE work")


def _identity(path: Path) -> tuple[int, int]:
    status = os.stat(path)  # noqa: PTH116  (once a group)
    return status.st_dev, status.st_ino


def _fail(jobs: list[Job[Any, Any]], error: BaseException, path: Path) -> None:
    reason = error.reason if isinstance(error, StorageUnavailableError) else f"{path}: {error}"
    for job in jobs:
        job.error = StorageUnavailableError(
            "The database cannot be written now; try again later, and read before you repeat a change", reason=reason
        )


def _settle(jobs: list[Job[Any, Any]]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[Job[Any, Any]]] = {}
    for job in jobs:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, settled in by_loop.items():
        with suppress(RuntimeError):  # that loop is closed, nobody waits there
            loop.call_soon_threadsafe(_settle_all, settled)


def _settle_all(jobs: list[Job[Any, Any]]) -> None:
    for job in jobs:
        job.settle()
