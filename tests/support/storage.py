"""Databases for tests: a migrated SQLite file, what is in its audit inbox, and a store over each adapter in turn."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeAlias, TypeVar

from tradewarden.audit.inbox import unpack
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.migration import migrate_sqlite
from tradewarden.storage.sqlite import SqliteDatabase

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
    from pathlib import Path

    from tradewarden.storage.database import Database, Revisions

S = TypeVar("S")
ADAPTERS: Final = ("memory", "sqlite")


@dataclass(frozen=True)
class Kept(Generic[S]):
    """A store, the entries that its database kept, and its revisions."""

    store: S
    entries: Callable[[], Awaitable[list[bytes]]]
    revisions: Callable[[], Coroutine[None, None, Revisions]]


Opened: TypeAlias = AbstractAsyncContextManager[Kept[S]]


@asynccontextmanager
async def kept_in(
    adapter: str, directory: Path, memory: Callable[[MemoryDatabase], S], sql: Callable[[Database], S]
) -> AsyncIterator[Kept[S]]:
    """Give a store over the adapter of that name (`ADAPTERS`)."""
    if adapter == "memory":
        held = MemoryDatabase()

        async def entries() -> list[bytes]:
            return held.inbox

        yield Kept(memory(held), entries, held.revisions)
        return
    async with sqlite_database(directory) as database:
        yield Kept(sql(database), lambda: inbox(database), database.revisions)


@asynccontextmanager
async def sqlite_database(directory: Path) -> AsyncIterator[SqliteDatabase]:
    """Give a migrated database in `directory`, closed in the end."""
    path = directory / "tradewarden.db"
    migrate_sqlite(path)
    database = SqliteDatabase(path)
    try:
        yield database
    finally:
        await database.close()


async def inbox(database: Database) -> list[bytes]:
    """Return the audit entries of all changes, oldest first."""
    rows = await database.all("SELECT count, batch FROM audit_inbox ORDER BY id")
    return [entry for count, batch in rows for entry in unpack(count, batch)]  # type: ignore[arg-type]
