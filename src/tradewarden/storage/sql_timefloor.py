"""The time floor in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tradewarden.errors import IntegrityError
from tradewarden.timefloor.store import FloorRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.storage.database import Database, Row, Transaction

_READ = "SELECT id, era, seconds, seal FROM time_floor WHERE id = 1"
_PUT = (
    "INSERT INTO time_floor (id, era, seconds, seal) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (id) DO UPDATE SET era = excluded.era, seconds = excluded.seconds, seal = excluded.seal"
)


class SqlFloorStore:
    """A `FloorStore` over any `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self) -> FloorRow | None:
        """Return the row; None before the first. Raises `IntegrityError` for values of a foreign type."""
        return _row(await self._database.one(_READ))

    async def change(self, decide: Callable[[FloorRow | None], FloorRow | None]) -> None:
        """Load, decide and write in one transaction; None writes nothing."""

        async def work(transaction: Transaction) -> None:
            row = decide(_row(await transaction.one(_READ)))
            if row is not None:
                await transaction.run(_PUT, *msgspec.structs.astuple(row))

        await self._database.transact(work)

    async def put(self, row: FloorRow, entry: bytes) -> None:
        """Write the row with its audit entry, whatever stands there."""

        async def work(transaction: Transaction) -> None:
            await transaction.run(_PUT, *msgspec.structs.astuple(row))
            await transaction.record(entry)

        await self._database.transact(work)


def _row(found: Row | None) -> FloorRow | None:
    if found is None:
        return None
    try:
        return msgspec.convert(dict(zip(FloorRow.__struct_fields__, found, strict=True)), FloorRow)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise IntegrityError("The time floor was changed outside Tradewarden", reason=str(error)) from error
