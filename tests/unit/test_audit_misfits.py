"""Values of types that are never written, in every column of every table of the audit log: each is told, none crashes.

The `sqlite3` shell writes what it is given: `replace(line, …)` leaves TEXT where a BLOB was.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.support.audit import VERIFIER, Room
from tests.support.storage import sqlite_database
from tradewarden.access.grant import authorize
from tradewarden.access.permission import ALL
from tradewarden.access.principal import Kind, Principal
from tradewarden.audit.query import Filter, Query
from tradewarden.audit.verify import verify_installation, verify_log
from tradewarden.errors import IntegrityError
from tradewarden.storage.sql_audit import SqlAuditStore

if TYPE_CHECKING:
    from pathlib import Path

    from tradewarden.audit.examine import Report

GRANT = authorize(Principal(Kind.USER, "auditor"), ALL, "audit:read")
NUMBERED = 301
COLUMNS = {
    "audit_entries": "timestamp event_type principal resource action result request_id line",
    "audit_tree": "size",
    "audit_spans": "earliest latest",
    "audit_marks": "marks",
    "audit_tiles": "level number hashes",
    "audit_checkpoints": "hour note",
    "audit_leader": "holder epoch expires_at",
    "audit_journals": "boot counter segment position",
    "audit_inbox": "journal first count batch",
}
EVERY = [(table, column) for table, columns in COLUMNS.items() for column in columns.split()]
VALUES = ("NULL", "5", "1.5", "'abc'", "'é'", "x''", "x'ff00'", "cast(x'ff' as text)", "cast({0} as text)",
          "cast({0} as blob)", "cast(cast({0} as text) as blob)", "-7", "9223372036854775807")  # fmt: skip


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signed log that goes over more than one tile, with a change and a batch that wait for their numbers."""
    directory = tmp_path_factory.mktemp("log")
    asyncio.run(_make(directory))
    return directory


async def _make(directory: Path) -> None:
    room = Room(directory)
    await asyncio.gather(*(room.read(f"secret/{each}") for each in range(NUMBERED)))
    await room.settle()
    await room.change("waiting")
    await room.read("waiting")
    await room.clerk._shipper.run_once()
    await room.close()


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    """The database of a copy to tamper with."""
    return shutil.copytree(original, tmp_path / "log") / "secrets" / "tradewarden.db"


def _sql(path: Path, sql: str, *args: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(sql, args).fetchall()


def _types(path: Path, table: str, column: str) -> list[tuple[object, ...]]:
    return _sql(path, f"SELECT typeof({column}) FROM {table} ORDER BY rowid")  # noqa: S608


async def _verify(path: Path) -> Report | IntegrityError:
    async with sqlite_database(path.parent) as database:
        try:
            return await verify_installation(SqlAuditStore(database), VERIFIER)
        except IntegrityError as error:
            return error


def _is_told(outcome: Report | IntegrityError) -> bool:
    return isinstance(outcome, IntegrityError) or not outcome.ok


async def _read(path: Path) -> None:
    """Search and export; either may say that it cannot, because something was changed."""
    room = Room(path.parent.parent)
    try:
        for wanted in (Filter(), Filter(resource="secret/3"), Filter(since="2000-01-01T00:00:00Z", resource="a/*")):
            await _unless_changed(room.log.search(GRANT, Query(wanted, 1000)))
        await _unless_changed(room.log.checkpoint(GRANT))
        await _unless_changed(room.log.inclusion(GRANT, 3))
        await _unless_changed(room.log.export(GRANT, lambda *_: None))
    finally:
        await room.close()


async def _unless_changed(reading: object) -> None:
    try:
        await reading  # type: ignore[misc]
    except IntegrityError as error:
        assert "changed outside" in error.detail or "verify" in error.detail  # noqa: PT017


def _write(path: Path, table: str, column: str, value: str) -> bool:
    """Write a value into one row's column, past every constraint but NOT NULL; tell whether it has another type now."""
    name = "rowid" if table not in ("audit_journals", "audit_tiles") else column
    row = f"{name} = (SELECT max({name}) FROM {table})" if table != "audit_tiles" else "level = 0 AND number = 1"  # noqa: S608
    typed = f"SELECT group_concat(typeof({column})) FROM (SELECT {column} FROM {table} ORDER BY 1)"  # noqa: S608
    before = _sql(path, typed)
    try:
        _sql(path, f"UPDATE {table} SET {column} = {value.format(column)} WHERE {row}")  # noqa: S608
    except sqlite3.IntegrityError:
        return False
    return sorted(_sql(path, typed)[0][0].split(",")) != sorted(before[0][0].split(","))  # type: ignore[attr-defined]


@pytest.mark.parametrize(("table", "column"), EVERY)
async def test_a_value_of_another_type_is_told(path: Path, tmp_path: Path, table: str, column: str) -> None:
    """Verifying names it or refuses the log; searches, proofs, export and the clerk refuse or go on."""
    tried = 0
    for number, value in enumerate(VALUES):
        copy = shutil.copytree(path.parent.parent, tmp_path / str(number)) / "secrets" / "tradewarden.db"
        if _write(copy, table, column, value):
            tried += 1
            assert _is_told(await _verify(copy)), value
        else:
            await _verify(copy)
        await _read(copy)
        room = Room(copy.parent.parent)
        room.clock.ahead += 2
        await room.clerk.run_once()
        await room.close()
        shutil.rmtree(tmp_path / str(number))
    assert tried


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("UPDATE audit_entries SET line = replace(line, 'success', 'failure') WHERE sequence = 3", ("changed", 3)),
        ("UPDATE audit_entries SET line = cast(line AS text) WHERE sequence = 3", ("changed", 3)),
        ("UPDATE audit_entries SET line = 5 WHERE sequence = 3", ("changed", 3)),
        ("""UPDATE audit_entries SET line = cast('{"sequence":3,"action":"a"}' AS blob) WHERE sequence = 3""",
         ("changed", 3)),
        ("UPDATE audit_tiles SET hashes = 'abc' WHERE level = 0 AND number = 1", ("tree", 256)),
        ("UPDATE audit_tiles SET hashes = cast(hashes AS text) WHERE level = 0 AND number = 1", ("tree", 256)),
        ("DELETE FROM audit_tiles WHERE level = 0 AND number = 1", ("tree", 256)),
        ("UPDATE audit_tiles SET hashes = substr(hashes, 1, 320) WHERE level = 0 AND number = 1", ("tree", 266)),
        ("UPDATE audit_tiles SET hashes = 5 WHERE level = 1", ("tree", 0)),
        ("UPDATE audit_marks SET marks = 5 WHERE tile = 0", ("columns", 0)),
        ("UPDATE audit_marks SET marks = 'é' WHERE tile = 0", ("columns", 0)),
        ("UPDATE audit_checkpoints SET note = 5", ("checkpoint", 0)),
        ("UPDATE audit_checkpoints SET note = replace(cast(note AS text), 'time 2', 'time 1')", ("checkpoint", 0)),
        ("UPDATE audit_inbox SET batch = 5 WHERE journal = ''", ("state", 0)),
    ],
)  # fmt: skip
async def test_the_place_is_named(path: Path, sql: str, told: tuple[str, int]) -> None:
    """What was stored as another type is named with its place, as any other change is."""
    _sql(path, sql)
    report = await _verify(path)
    assert not isinstance(report, IntegrityError)
    assert told in [(each.kind, each.first) for each in report.problems]
    assert (report.problems[0].kind, report.problems[0].first) == told


async def test_the_type_is_told(path: Path) -> None:
    """A line whose bytes are the original ones, stored as TEXT, says that this is what was changed."""
    _sql(path, "UPDATE audit_entries SET line = cast(line AS text) WHERE sequence = 3")
    report = await _verify(path)
    assert not isinstance(report, IntegrityError)
    assert report.problems[0].detail == "entry 3 cannot be read; it is stored as TEXT"


@pytest.mark.parametrize(
    "line", ["cast('{}' AS blob)", "5", "x'ff'", "'[]'", "cast('[]' AS blob)", "cast(line AS text)"]
)
async def test_a_search_names_the_damaged_entry(path: Path, line: str) -> None:
    """A search or an export that comes upon an entry that is none says which one it is."""
    _sql(path, f"UPDATE audit_entries SET line = {line} WHERE sequence = 4")  # noqa: S608
    room = Room(path.parent.parent)
    try:
        with pytest.raises(IntegrityError, match=r"Entry 4 of the audit log was changed"):
            await room.log.search(GRANT, Query(Filter(oldest_first=True)))
    finally:
        await room.close()


async def test_marks_of_another_type_hide_nothing(path: Path) -> None:
    """A tile whose marks are no marks is read, as one without any."""
    _sql(path, "UPDATE audit_marks SET marks = 'abc' WHERE tile = 0")
    room = Room(path.parent.parent)
    try:
        assert len((await room.log.search(GRANT, Query(Filter(resource="secret/3")))).entries) == 1
    finally:
        await room.close()


@pytest.mark.parametrize("change", ["batch = cast(batch AS text)", "journal = x'00'", "count = 'abc'", "first = 1.5"])
async def test_what_waits_with_another_type_becomes_a_finding(path: Path, change: str) -> None:
    """The clerk drops nothing that waits: a row that nobody wrote so is numbered as a finding."""
    _sql(path, f"UPDATE audit_inbox SET {change} WHERE journal <> ''")  # noqa: S608
    room = Room(path.parent.parent)
    try:
        await room.settle()
        assert await room.store.size() >= NUMBERED + 2
        findings = (await verify_log(room.store, VERIFIER)).findings
        assert any("the seal does not hold" in each.detail for each in findings)
    finally:
        await room.close()


async def test_an_emptied_log_is_told(path: Path) -> None:
    """A log without any entry, and none waiting, is not the log of an installation."""
    for table in ("entries", "tiles", "checkpoints", "spans", "marks", "journals"):
        _sql(path, f"DELETE FROM audit_{table}")  # noqa: S608
    _sql(path, "UPDATE audit_tree SET size = 0")
    assert not _is_told(await _verify(path))  # as before the first numbering: the first entries wait
    _sql(path, "DELETE FROM audit_inbox")
    report = await _verify(path)
    assert not isinstance(report, IntegrityError)
    assert [(each.kind, each.first) for each in report.problems] == [("cut_off", 0)]
