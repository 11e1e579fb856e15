"""Rows of secrets with values of types that are never written: they are refused as changed, not called unavailable."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

from tests.support.secrets import room
from tests.support.storage import sqlite_database
from tradewarden.errors import IntegrityError, StorageUnavailableError
from tradewarden.keys.store import KeyChange, PurposeKey, RootRecord
from tradewarden.storage.sql_keys import SqlKeyStore
from tradewarden.storage.sql_secrets import SqlSecretStore
from tradewarden.storage.sql_timefloor import SqlFloorStore
from tradewarden.timefloor.store import FloorRow

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = {
    "secrets": "incarnation current oldest max_versions custom created_at updated_at seal",
    "secret_versions": "incarnation created_at created_by deleted_at destroyed seal value",
}
EVERY = [(table, column) for table, columns in COLUMNS.items() for column in columns.split()]
VALUES = ("5", "1.5", "'abc'", "x'ff00'", "cast(x'ff' as text)", "cast({0} as text)", "cast({0} as blob)", "NULL")


def _sql(path: Path, sql: str, *args: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(sql, args).fetchall()


@pytest.mark.parametrize(("table", "column"), EVERY)
async def test_a_value_of_another_type_is_an_integrity_problem(tmp_path: Path, table: str, column: str) -> None:
    """Whatever a column of a secret is changed to, reading, listing and writing it say that it was changed."""
    path = tmp_path / "tradewarden.db"
    async with sqlite_database(tmp_path) as database:
        here = await room(SqlSecretStore(database))
        await here.put("a/b", {"n": 1})
        ((whole,),) = _sql(path, f"SELECT hex(cast({column} AS blob)) || typeof({column}) FROM {table}")  # noqa: S608
        tried = 0
        for value in VALUES:
            _sql(path, f"CREATE TABLE kept AS SELECT * FROM {table}")  # noqa: S608
            with suppress(sqlite3.IntegrityError):  # what may not be NULL
                _sql(path, f"UPDATE {table} SET {column} = {value.format(column)}")  # noqa: S608
            ((now,),) = _sql(path, f"SELECT hex(cast({column} AS blob)) || typeof({column}) FROM {table}")  # noqa: S608
            if (now or "") != whole:
                tried += 1
                with pytest.raises(IntegrityError):
                    await here.value("a/b")
                with pytest.raises(IntegrityError):
                    await here.value("a/b", 1)
            _sql(path, f"DELETE FROM {table}")  # noqa: S608
            _sql(path, f"INSERT INTO {table} SELECT * FROM kept")  # noqa: S608
            _sql(path, "DROP TABLE kept")
            assert await here.value("a/b") == {"n": 1}
        assert tried


async def test_a_head_that_is_no_text_is_refused_when_written(tmp_path: Path) -> None:
    """Inside a change, too, a row with a text that is no UTF-8 is refused as changed."""
    async with sqlite_database(tmp_path) as database:
        here = await room(SqlSecretStore(database))
        await here.put("a/b", {"n": 1})
        _sql(tmp_path / "tradewarden.db", "UPDATE secrets SET custom = cast(x'ff' AS text)")
        with pytest.raises(IntegrityError, match="table secrets"):
            await here.put("a/b", {"n": 2})


async def test_revisions_of_another_type_are_an_integrity_problem(tmp_path: Path) -> None:
    """Counters that are no numbers are said to be changed: trying again would not help."""
    async with sqlite_database(tmp_path) as database:
        _sql(tmp_path / "tradewarden.db", "UPDATE revisions SET value = 'abc' WHERE kind = 'tokens'")
        with pytest.raises(IntegrityError, match="table revisions"):
            await database.revisions()
        _sql(tmp_path / "tradewarden.db", "UPDATE revisions SET value = cast(x'ff' AS text)")
        with pytest.raises(IntegrityError, match="table revisions"):
            await database.revisions()


async def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    """A statement that fails for another reason is no change of a row."""
    async with sqlite_database(tmp_path) as database:
        with pytest.raises(StorageUnavailableError):
            await database.one("SELECT nothing FROM nowhere")
        with pytest.raises(StorageUnavailableError):
            await database.all("SELECT nothing FROM nowhere")


@pytest.mark.parametrize("column", ["era", "seconds", "seal"])
async def test_a_time_floor_that_is_no_text_is_an_integrity_problem(tmp_path: Path, column: str) -> None:
    """A text that is no UTF-8 in the row of the time floor is refused as changed."""
    async with sqlite_database(tmp_path) as database:
        store = SqlFloorStore(database)
        await store.put(FloorRow(1, 1, 5.0, b"seal"), b"{}")
        _sql(tmp_path / "tradewarden.db", f"UPDATE time_floor SET {column} = cast(x'ff' AS text)")  # noqa: S608
        with pytest.raises(IntegrityError, match="time floor"):
            await store.read()


@pytest.mark.parametrize("column", ["wrapped", "created_at", "version", "seal"])
async def test_a_key_that_is_no_text_is_an_integrity_problem(tmp_path: Path, column: str) -> None:
    """A text that is no UTF-8 in a row of a key is refused as changed."""
    row = PurposeKey("secrets", 1, "current", b"wrapped", 1.0, b"seal")
    root = RootRecord(1, 1, b"check", "file:", b"", 0, 0, 0, "secrets", 1.0, b"seal")
    async with sqlite_database(tmp_path) as database:
        store = SqlKeyStore(database)
        await store.change(lambda _: KeyChange(root=root, keys=(row,), entry=b"{}"))
        _sql(tmp_path / "tradewarden.db", f"UPDATE purpose_keys SET {column} = cast(x'ff' AS text)")  # noqa: S608
        with pytest.raises(IntegrityError, match="key tables"):
            await store.load()
