"""Applies the numbered migrations of a dialect, each in one transaction, under the host-wide write lock."""

from __future__ import annotations

import os
import re
import sqlite3
from importlib.resources import files
from typing import TYPE_CHECKING

from tradewarden.errors import ConfigurationError, StorageUnavailableError
from tradewarden.storage.sqlite import connect, locked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAME = re.compile(r"(\d{4})_[a-z_]+\.sql")


def migrations(dialect: str) -> list[tuple[int, str]]:
    """Return `(number, SQL text)` of every migration of a dialect, in order."""
    found = []
    for file in files("tradewarden.storage.migrations").joinpath(dialect).iterdir():
        match = _NAME.fullmatch(file.name)
        if match:
            found.append((int(match[1]), file.read_text("utf-8")))
    return sorted(found)


def migrate_sqlite(path: Path) -> int:
    """Bring the database file to the newest version and return its number; refuses a newer database than this code."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with locked(lock):
            connection = connect(path)
            try:
                return _apply(connection, path)
            except sqlite3.DatabaseError as error:
                raise ConfigurationError(
                    f"{path} cannot be migrated ({error}); nothing was changed; restore it from a backup"
                ) from error
            finally:
                connection.close()
    except StorageUnavailableError as error:
        raise ConfigurationError(
            f"{path} is damaged or no database of Tradewarden ({error.reason}); nothing was changed"
        ) from error
    finally:
        os.close(lock)


def _apply(connection: sqlite3.Connection, path: Path) -> int:
    connection.execute("CREATE TABLE IF NOT EXISTS schema_version (number INTEGER PRIMARY KEY)")
    (done,) = connection.execute("SELECT coalesce(max(number), 0) FROM schema_version").fetchone()
    known = migrations("sqlite")
    newest = known[-1][0]
    if done > newest:
        raise ConfigurationError(
            f"{path} was written by a newer Tradewarden (schema {done}, this one knows {newest}); install that version"
        )
    for number, text in known:
        if number > done:
            connection.execute("BEGIN IMMEDIATE")
            for statement in _statements(text):
                connection.execute(statement)
            connection.execute("INSERT INTO schema_version (number) VALUES (?)", (number,))
            connection.execute("COMMIT")
    return int(newest)


def _statements(text: str) -> Iterator[str]:
    statement = ""
    for line in text.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
