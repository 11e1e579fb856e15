"""What a start makes of a database file that it cannot read: a disk that fails is no damage."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from tradewarden.errors import ConfigurationError, StorageUnavailableError
from tradewarden.storage import migration
from tradewarden.storage.migration import migrate_sqlite

if TYPE_CHECKING:
    from pathlib import Path

CORRUPTFS = 8458  # SQLITE_IOERR_CORRUPTFS


class Looking:
    """A connection whose quick check, or whose first statement, comes out as told."""

    def __init__(self, connection: sqlite3.Connection, verdict: str, code: int) -> None:
        self._connection = connection
        self._verdict = verdict
        self._code = code

    def execute(self, sql: str) -> Any:  # noqa: ANN401 - a cursor, or what looks like one
        """Answer a statement."""
        if self._code:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = self._code
            raise error
        if "quick_check" in sql:
            return self._connection.execute("SELECT ?", (self._verdict,))
        return self._connection.execute(sql)

    def close(self) -> None:
        """Close it."""
        self._connection.close()


def look(monkeypatch: pytest.MonkeyPatch, path: Path, verdict: str, code: int) -> None:
    """Make a database, and open it again with a look at it that comes out as told."""
    migrate_sqlite(path)
    connect = sqlite3.connect

    class Library:
        """The library, with connections that look so."""

        Error, SQLITE_IOERR = sqlite3.Error, sqlite3.SQLITE_IOERR
        SQLITE_CORRUPT, SQLITE_NOTADB = sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB

        @staticmethod
        def connect(*args: Any, **named: Any) -> Looking:  # noqa: ANN401 - as the library's
            """Open one."""
            return Looking(connect(*args, **named), verdict, code)

    monkeypatch.setattr(migration, "sqlite3", Library)
    migrate_sqlite(path)


@pytest.mark.parametrize(
    ("verdict", "code"),
    [
        (f"*** in database main ***\nTree 5 page 5: unable to get the page. error code={CORRUPTFS}", 0),
        ("*** in database main ***\nTree 5 page 5 cell 0: failed to get page 9", 0),
        ("", sqlite3.SQLITE_IOERR_READ),
        ("", CORRUPTFS),
    ],
)
def test_a_disk_that_fails_is_no_damage(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, verdict: str, code: int
) -> None:
    """An I/O error, raised or among what the check found, says that the file cannot be read now."""
    with pytest.raises(StorageUnavailableError, match=r"tradewarden\.db cannot be read or written now") as refused:
        look(monkeypatch, tmp_path / "tradewarden.db", verdict, code)
    assert "damaged" not in refused.value.reason


@pytest.mark.parametrize(
    ("verdict", "code"),
    [
        ("*** in database main ***\nTree 5 page 5: btreeInitPage() returns error code 11", 0),
        ("*** in database main ***\nTree 5 page 5: Rowid 2 out of order", 0),
        ("", sqlite3.SQLITE_CORRUPT),
    ],
)
def test_damage_stays_damage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, verdict: str, code: int) -> None:
    """What the check found wrong in what it read is told as such."""
    with pytest.raises(ConfigurationError, match=r"tradewarden\.db is damaged"):
        look(monkeypatch, tmp_path / "tradewarden.db", verdict, code)
