"""What is kept of the time floor: one sealed row."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, ClassVar, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable


class FloorRow(msgspec.Struct, frozen=True):
    """The latest time seen, in seconds since the epoch. `era` is another one after each reset."""

    table: ClassVar[str] = "time_floor"

    id: int
    era: int
    seconds: float
    seal: bytes = b""


def row_digest(row: FloorRow) -> str:
    """Return what the audit leaf carries of a row."""
    return sha256(row.seal).hexdigest()


class FloorStore(Protocol):
    """Where the row is kept."""

    async def read(self) -> FloorRow | None:
        """Return the row; None before the first. Raises `IntegrityError` for values of a foreign type."""
        ...

    async def change(self, decide: Callable[[FloorRow | None], FloorRow | None]) -> None:
        """Load, decide and write in one transaction; None writes nothing. For what happens by itself: no entry."""
        ...

    async def put(self, row: FloorRow, entry: bytes) -> None:
        """Write the row with its audit entry, whatever stands there."""
        ...
