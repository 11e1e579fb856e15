"""One SQLite connection, with every setting that this service relies on.

The file is never created here, only by a migration: a database that went away is an error and no fresh start.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from tradewarden.errors import StorageUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

_PRAGMAS = (
    "PRAGMA synchronous=NORMAL",  # the writer syncs the log by itself, outside its lock
    "PRAGMA foreign_keys=ON",
    "PRAGMA secure_delete=ON",  # a destroyed value is overwritten, not only forgotten
    "PRAGMA cache_size=-8192",
    "PRAGMA wal_autocheckpoint=8000",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA trusted_schema=OFF",
)
_WRITER_WAITS_MS = 5000
_READER_WAITS_MS = 1000  # a reader runs on the event loop; it waits for a crash's recovery only


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
        raise unavailable(error, path) from error
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
        raise unavailable(error, path) from error
    return connection


def unavailable(error: Exception | str, path: Path) -> StorageUnavailableError:
    """Return the error for a database that cannot be used now; what SQLite said stays in the reason."""
    return StorageUnavailableError("The database cannot be used now; try again later", reason=f"{path}: {error}")
