"""One SQLite connection, with every setting that this service relies on.

The file is never created here, only by a migration: a database that went away is an error and no fresh start.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from tradewarden.errors import StorageUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from tradewarden.storage.database import Row, Value

_PRAGMAS = (
    "PRAGMA synchronous=NORMAL",  # the writer syncs the log by itself, outside its lock
    "PRAGMA foreign_keys=ON",
    "PRAGMA secure_delete=ON",  # a destroyed value is overwritten, not only forgotten
    "PRAGMA cache_size=-8192",
    "PRAGMA wal_autocheckpoint=8000",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA trusted_schema=OFF",
)
_NO_UTF8 = "Could not decode to UTF-8"
_WRITER_WAITS_MS = 5000
_READER_WAITS_MS = 1000  # a reader runs on the event loop; it waits for a crash's recovery only


def connect(path: Path, *, read_only: bool = False, frozen: bool = False) -> sqlite3.Connection:
    """Open one connection to an existing file, in autocommit mode, with all settings relied on.

    A `frozen` file is read as it stands, without locks and without a log beside it (`storage.frozen`).
    """
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?{'mode=ro&immutable=1' if frozen else 'mode=rw'}",
            uri=True,
            timeout=(_READER_WAITS_MS if read_only else _WRITER_WAITS_MS) / 1000,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
    except sqlite3.Error as error:
        raise unavailable(error, path) from error
    try:
        mode = "" if frozen else connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if not frozen and mode != "wal":
            raise sqlite3.OperationalError(f"journal mode is {mode} and cannot be made WAL")
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        if read_only:
            connection.execute("PRAGMA query_only=ON")
    except sqlite3.Error as error:
        connection.close()
        raise unavailable(error, path) from error
    return connection


def read_again(connection: sqlite3.Connection, sql: str, args: tuple[Value, ...], error: sqlite3.Error) -> list[Row]:
    """Return the rows of a statement that failed because a stored text is no UTF-8; raises any other `error`.

    Nobody here writes such a text. Its bytes become lone surrogates, which no seal and no comparison takes for what
    was written: so the row is refused where rows are checked, and named.
    """
    if _NO_UTF8 not in str(error):
        raise error
    connection.text_factory = _with_surrogates
    try:
        return connection.execute(sql, args).fetchall()
    finally:
        connection.text_factory = str


def _with_surrogates(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


def closed(path: Path) -> StorageUnavailableError:
    """Return the error for a database that this process closed."""
    return StorageUnavailableError("The database is closed: this Warden has ended; open another one", reason=str(path))


def unavailable(error: Exception | str, path: Path) -> StorageUnavailableError:
    """Return the error for a database that cannot be used now; what SQLite said stays in the reason."""
    return StorageUnavailableError("The database cannot be used now; try again later", reason=f"{path}: {error}")
