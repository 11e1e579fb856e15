"""Applies the numbered migrations of a dialect, each in one transaction, under the write lock."""

from __future__ import annotations

import os
import re
import sqlite3
from importlib.resources import files
from typing import TYPE_CHECKING

from tradewarden.errors import ConfigurationError, StorageUnavailableError, TradewardenError
from tradewarden.storage.connection import connect
from tradewarden.storage.mounts import refuse_shared
from tradewarden.storage.writelock import WriteLock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_UNREAD = re.compile(r"failed to get page|error code[ =](\d+)")
_NAME = re.compile(r"(\d{4})_[a-z_]+\.sql")
APPLICATION_ID = 0x54574431
"""Stands in the header of every database file of ours ("TWD1"), so that a foreign one is seen."""
_CHECKED_BYTES = 64 * 1024 * 1024


def migrations(dialect: str) -> list[tuple[int, str]]:
    """Return `(number, SQL text)` of every migration of a dialect, in order."""
    found = []
    for file in files("tradewarden.storage.migrations").joinpath(dialect).iterdir():
        match = _NAME.fullmatch(file.name)
        if match:
            found.append((int(match[1]), file.read_text("utf-8")))
    return sorted(found)


def migrate_sqlite(path: Path) -> int:
    """Bring the database file to the newest version, making it if need be; return the version.

    Raises `ConfigurationError`, having changed nothing, for a newer, damaged or foreign file and
    for a directory that is on a network file system or cannot be written; `StorageUnavailableError`
    when the disk fails, which tells nothing about the file.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        refuse_shared(path.parent)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        lock = WriteLock(path)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be opened for writing: {error.strerror}") from error
    try:
        with lock.held():
            return _migrate(path)
    finally:
        lock.close()


def _migrate(path: Path) -> int:
    try:
        _check(path)
        connection = connect(path)
        try:
            return _apply(connection, path)
        finally:
            connection.close()
    except StorageUnavailableError as error:
        if error.__cause__ is None:  # the look at it found that, and has said all
            raise
        raise _refused(path, error.__cause__) from error
    except sqlite3.Error as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: BaseException) -> TradewardenError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_IOERR:
        return _unread(path, error)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return ConfigurationError(
            f"{path} is damaged or no database ({error}); nothing was changed; restore it from a backup"
        )
    return ConfigurationError(f"{path} cannot be brought up to date: {error}; nothing was lost")


def _unread(path: Path, why: object) -> StorageUnavailableError:
    told = f"{path} cannot be read or written now ({why}); nothing was changed; see to its disk and try again"
    return StorageUnavailableError(told)


def _is_unread(verdict: str) -> bool:
    """Tell whether the check itself could not read: SQLite says so among what it found."""
    found = _UNREAD.search(verdict)
    return found is not None and (found[1] is None or int(found[1]) & 0xFF == sqlite3.SQLITE_IOERR)


def _check(path: Path) -> None:
    """Refuse a file that is someone else's, and a damaged one as far as a quick look shows."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        (owner,) = connection.execute("PRAGMA application_id").fetchone()
        if owner != APPLICATION_ID and (tables or owner):
            raise ConfigurationError(f"{path} is a database of another program; nothing was changed")
        if path.stat().st_size <= _CHECKED_BYTES:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if _is_unread(verdict):
                raise _unread(path, verdict)
            if verdict != "ok":
                raise ConfigurationError(
                    f"{path} is damaged ({verdict}); nothing was changed; restore it from a backup"
                )
    finally:
        connection.close()


def _apply(connection: sqlite3.Connection, path: Path) -> int:
    if connection.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("CREATE TABLE IF NOT EXISTS schema_version (number INTEGER PRIMARY KEY)")
    done = {number for (number,) in connection.execute("SELECT number FROM schema_version")}
    known = migrations("sqlite")
    newest = known[-1][0]
    if done and max(done) > newest:
        raise ConfigurationError(
            f"{path} was written by a newer Tradewarden (schema {max(done)}, this one knows "
            f"{newest}); install that version"
        )
    for number, text in known:
        if number not in done:
            connection.execute("BEGIN IMMEDIATE")
            for statement in _statements(text):
                connection.execute(statement)
            connection.execute("INSERT INTO schema_version (number) VALUES (?)", (number,))
            connection.execute("COMMIT")
    return newest


def _statements(text: str) -> Iterator[str]:
    statement = ""
    for line in text.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
