"""Databases for tests: a migrated SQLite file, and what is in its audit inbox."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tradewarden.audit.inbox import unpack
from tradewarden.storage.migration import migrate_sqlite
from tradewarden.storage.sqlite import SqliteDatabase

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tradewarden.storage.database import Database


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
