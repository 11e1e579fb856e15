"""SQLite: WAL, one writer thread a process with group commit, readers that never wait for it."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from tradewarden.crypto.keyset import changed_outside
from tradewarden.forked import Home
from tradewarden.storage.connection import closed, connect, read_again, unavailable
from tradewarden.storage.database import Making, Revisions, Row, Transaction, Value
from tradewarden.storage.writer import Job, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from pathlib import Path

    from tradewarden.errors import StorageUnavailableError

C = TypeVar("C")
T = TypeVar("T")
_TURNS = 3
"""How many turns of the loop gather one group: requests that came at once do not all get here in one."""
_REVISIONS = "SELECT kind, value FROM revisions"


class SqliteDatabase:
    """A `Database` in one SQLite file, shared by any number of processes of one host, each of which opens it itself."""

    def __init__(self, path: Path, *, frozen: bool = False) -> None:
        self.path = path
        self._frozen = frozen
        self._reader = connect(path, read_only=True, frozen=frozen)
        self._data_version = -1
        self._revisions = Revisions()
        self._long = ThreadPoolExecutor(1, "tradewarden-read")
        self._long_reader: sqlite3.Connection | None = None
        self._closed = False
        self._pending: list[Job[Any, Any]] = []
        self._writer = Writer(path)
        self._home = Home()

    @property
    def waiting(self) -> int:
        """How many writes wait for the writer."""
        return self._writer.waiting

    async def one(self, sql: str, *args: Value) -> Row | None:
        """Return the first row, read on the loop's own thread: that costs less than a hand-over."""
        self._home.require()
        try:
            row: Row | None = self._reader.execute(sql, args).fetchone()
        except sqlite3.Error as error:
            return next(iter(self._again(self._reader, sql, args, error)), None)
        return row

    def _again(self, reader: sqlite3.Connection, sql: str, args: tuple[Value, ...], error: sqlite3.Error) -> list[Row]:
        try:
            return read_again(reader, sql, args, error)
        except sqlite3.Error as final:
            raise self._failed(final) from final

    def _failed(self, error: sqlite3.Error) -> StorageUnavailableError:
        return closed(self.path) if self._closed else unavailable(error, self.path)

    async def all(self, sql: str, *args: Value) -> list[Row]:
        """Return all rows, read on a thread of its own."""
        self._home.require()
        if self._closed:
            raise closed(self.path)
        return await asyncio.get_running_loop().run_in_executor(self._long, self._all, sql, args)

    def _all(self, sql: str, args: tuple[Value, ...]) -> list[Row]:
        reader = self._long_reader
        if reader is None:
            reader = self._long_reader = connect(self.path, read_only=True, frozen=self._frozen)
        try:
            return reader.execute(sql, args).fetchall()
        except sqlite3.Error as error:
            return self._again(reader, sql, args, error)

    async def mark(self) -> int:
        """Return `data_version`: it moves on every commit but its own connection's, and this one commits nothing."""
        self._home.require()
        try:
            version: int = self._reader.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error as error:
            raise self._failed(error) from error
        return version

    async def revisions(self) -> Revisions:
        """Return the revisions as of now."""
        version = await self.mark()
        if version != self._data_version:
            try:
                rows = self._reader.execute(_REVISIONS).fetchall()
            except sqlite3.Error as error:
                rows = self._again(self._reader, _REVISIONS, (), error)
            try:
                self._revisions = msgspec.convert(dict(rows), Revisions)
            except (msgspec.ValidationError, UnicodeEncodeError) as error:
                raise changed_outside("revisions", str(error)) from error
            self._data_version = version
        return self._revisions

    async def transact(self, work: Callable[[Transaction], Coroutine[None, None, T]]) -> T:
        """Hand `work` to the writer and wait until its group is durable."""
        return await self._hand_in(_alone, work, object())

    async def make(self, making: Making[C, T], change: C) -> T:
        """Hand a change to the writer, to be made in one go with others of its group that have the same `making`."""
        return await self._hand_in(making, change, making)

    async def _hand_in(self, making: Making[C, T], change: C, kind: object) -> T:
        self._home.require()
        loop = asyncio.get_running_loop()
        job = Job(making, change, kind, loop.create_future())
        if self._closed:
            raise closed(self.path)
        self._pending.append(job)
        if len(self._pending) == 1:
            self._gather(loop, _TURNS)
        result: T = await job.future
        return result

    def _gather(self, loop: asyncio.AbstractEventLoop, turns: int) -> None:
        """Let the loop go round that often first: a group costs as much as several writes, so it should be large."""
        if turns > 1:
            loop.call_soon(self._gather, loop, turns - 1)
        else:
            loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        """Hand in all that was gathered, so that it becomes one group."""
        jobs, self._pending = self._pending, []
        self._writer.hand_in(jobs)

    async def close(self) -> None:
        """Let the writer finish its queue, then close every connection."""
        if self._closed or not self._home.here:
            return
        self._closed = True
        self._hand_over()
        await asyncio.to_thread(self._writer.close)
        await asyncio.to_thread(self._long.shutdown, wait=True)
        self._reader.close()
        if self._long_reader is not None:
            self._long_reader.close()


async def _alone(
    transaction: Transaction, works: Sequence[Callable[[Transaction], Coroutine[None, None, T]]]
) -> list[T | Exception]:
    return [await work(transaction) for work in works]
