"""The time floor in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.storage.memory import MemoryDatabase
    from tradewarden.timefloor.store import FloorRow


class MemoryFloorStore:
    """A `FloorStore` over a `MemoryDatabase`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._row: FloorRow | None = None

    async def read(self) -> FloorRow | None:
        """Return the row; None before the first."""
        return self._row

    async def change(self, decide: Callable[[FloorRow | None], FloorRow | None]) -> None:
        """Load, decide and write in one step; None writes nothing."""
        self._row = decide(self._row) or self._row

    async def put(self, row: FloorRow, entry: bytes) -> None:
        """Write the row with its audit entry, whatever stands there."""
        self._row = row
        self._database.record(entry)
