"""Join tokens in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.identity.joins import JoinChange, JoinRow
    from tradewarden.storage.memory import MemoryDatabase

T = TypeVar("T")


class MemoryJoinStore:
    """A `JoinStore` over a dictionary."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._rows: dict[bytes, JoinRow] = {}

    async def read(self, digest: bytes) -> JoinRow | None:
        """Return one join token."""
        return self._rows.get(digest)

    async def change(self, digest: bytes, decide: Callable[[JoinRow | None], JoinChange[T]]) -> T:
        """Load, decide, write and record; return the answer."""
        change = decide(self._rows.get(digest))
        self._rows[change.row.digest] = change.row
        self._database.record(change.entry)
        return change.answer

    async def unused(self, after: int, service_name: str, limit: int) -> list[JoinRow]:
        """Return unused tokens that end after `after`."""
        found = [
            row
            for row in self._rows.values()
            if row.expires_at > after and not row.used_at and service_name in ("", row.service_name)
        ]
        return sorted(found, key=lambda row: (row.expires_at, row.digest))[:limit]

    async def sweep(self, before: int, limit: int) -> int:
        """Forget tokens that ended before `before`."""
        gone = [digest for digest, row in self._rows.items() if row.expires_at < before][:limit]
        for digest in gone:
            del self._rows[digest]
        return len(gone)
