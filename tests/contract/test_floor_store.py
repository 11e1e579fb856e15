"""What every `FloorStore` does, in memory and in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from tests.support.storage import ADAPTERS, Kept, Opened, kept_in, sqlite_database
from tradewarden.errors import ConflictError, IntegrityError
from tradewarden.storage.memory_timefloor import MemoryFloorStore
from tradewarden.storage.sql_timefloor import SqlFloorStore
from tradewarden.timefloor.store import FloorRow, FloorStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ROW = FloorRow(1, 2**55, 1_767_225_600.25, b"seal")


@pytest.fixture(params=ADAPTERS)
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kept[FloorStore]]:
    """Give each store in turn."""
    opened: Opened[FloorStore] = kept_in(request.param, tmp_path, MemoryFloorStore, SqlFloorStore)
    async with opened as found:
        yield found


async def test_a_first_row_comes_back_as_it_was_written(kept: Kept[FloorStore]) -> None:
    """There is none at first; then every column and type; no entry is made of what happens by itself."""
    assert await kept.store.read() is None
    await kept.store.change(lambda found: ROW if found is None else None)
    assert await kept.store.read() == ROW
    assert await kept.entries() == []


async def test_a_decision_sees_what_stands(kept: Kept[FloorStore]) -> None:
    """The row is replaced by what is decided on it; None leaves it."""
    await kept.store.change(lambda _: ROW)
    await kept.store.change(lambda found: None if found is None else replace(found, seconds=found.seconds + 1.0))
    await kept.store.change(lambda _: None)
    assert await kept.store.read() == replace(ROW, seconds=ROW.seconds + 1.0)


async def test_a_refusal_writes_nothing(kept: Kept[FloorStore]) -> None:
    """What a decision raises comes out, and the row is as it was."""
    await kept.store.change(lambda _: ROW)

    def refuse(_: FloorRow | None) -> FloorRow | None:
        raise ConflictError("no")

    with pytest.raises(ConflictError):
        await kept.store.change(refuse)
    assert await kept.store.read() == ROW


async def test_a_row_is_put_with_its_entry(kept: Kept[FloorStore]) -> None:
    """Whatever stands there; and no cache has to look again for it."""
    before = await kept.revisions()
    await kept.store.put(ROW, b"first")
    await kept.store.put(replace(ROW, era=3, seconds=1.0), b"second")
    assert await kept.store.read() == replace(ROW, era=3, seconds=1.0)
    assert await kept.entries() == [b"first", b"second"]
    assert await kept.revisions() == before


async def test_values_of_a_foreign_type_are_refused(tmp_path: Path) -> None:
    """Somebody wrote a text where the time stands: an integrity error, not a crash; a put replaces it."""
    async with sqlite_database(tmp_path) as database:
        store = SqlFloorStore(database)
        await store.put(ROW, b"entry")
        await database.transact(lambda transaction: transaction.run("UPDATE time_floor SET seconds = 'late'"))
        with pytest.raises(IntegrityError):
            await store.read()
        await store.put(ROW, b"entry")
        assert await store.read() == ROW
