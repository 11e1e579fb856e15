"""A database that is only read, also where nothing can be written: a copy on a file system that is mounted read-only.

SQLite's log (`-wal`) is read by an index (`-shm`) beside the file, which SQLite makes when it is not there. Where it
cannot, a file without a log holds everything, and is read as it stands ("immutable"): only when the whole file system
is mounted read-only, and only if it is the same file afterwards. A log that cannot be read is never passed over.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tradewarden.errors import ConfigurationError, StorageUnavailableError
from tradewarden.storage.sqlite import SqliteDatabase

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

Standing = tuple[int, int, int, int]


@asynccontextmanager
async def opened_for_reading(path: Path) -> AsyncIterator[SqliteDatabase]:
    """Give a database that nothing is to be written to, and close it.

    Raises `ConfigurationError`, with the way out, when it cannot be read without writing beside it, and
    `StorageUnavailableError` when a file that was read as it stands did not stay so: then nothing counts of what was
    read.
    """
    standing = _standing(path) if _is_frozen(path) else None
    try:
        database = SqliteDatabase(path, frozen=standing is not None)
    except StorageUnavailableError as error:
        if os.access(path.parent, os.W_OK):
            raise
        raise ConfigurationError(
            f"{path.parent} cannot be written to, and SQLite must make its index there to read {path.name}; copy the "
            f"whole data directory, with {path.name}-wal where there is one, to a place that can be written to, and "
            "set TRADEWARDEN_DATA_DIR to the copy"
        ) from error
    try:
        yield database
        if standing is not None and standing != (_standing(path) if _is_frozen(path) else None):
            raise StorageUnavailableError(
                "The database was written to while it was read; try again",
                reason=f"{path} changed, although its file system is mounted read-only here",
            )
    finally:
        await database.close()


def _is_frozen(path: Path) -> bool:
    """Tell whether the file holds everything and this mount lets nobody write to it."""
    beside = [path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal")]
    return _mounted_read_only(path) and not any(os.path.lexists(each) for each in beside)


def _mounted_read_only(path: Path) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _standing(path: Path) -> Standing:
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
