"""Join tokens in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from tradewarden.identity.joins import JoinChange, JoinRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.storage.database import Database, Transaction

T = TypeVar("T")

_ROW = "digest, service_name, incarnation, dns_names, ip_addresses, created_at, created_by, expires_at, used_at, seal"
_OF = f"SELECT {_ROW} FROM join_tokens WHERE digest = ?"  # noqa: S608
_PUT = (
    f"INSERT INTO join_tokens ({_ROW}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
    " ON CONFLICT (digest) DO UPDATE SET"
    " expires_at = excluded.expires_at, used_at = excluded.used_at, seal = excluded.seal"
)
_UNUSED = (
    f"SELECT {_ROW} FROM join_tokens WHERE expires_at > ? AND used_at = 0"  # noqa: S608
    " ORDER BY expires_at, digest LIMIT ?"
)
_UNUSED_OF = _UNUSED.replace("WHERE", "WHERE service_name = ? AND")
_SWEEP = "DELETE FROM join_tokens WHERE digest IN (SELECT digest FROM join_tokens WHERE expires_at < ? LIMIT ?)"


class SqlJoinStore:
    """A `JoinStore` over any `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, digest: bytes) -> JoinRow | None:
        """Return one join token."""
        return await _row(self._database, digest)

    async def change(self, digest: bytes, decide: Callable[[JoinRow | None], JoinChange[T]]) -> T:
        """Load, decide, write and record; return the answer when it is durable."""

        async def work(transaction: Transaction) -> T:
            change = decide(await _row(transaction, digest))
            await transaction.run(_PUT, *msgspec.structs.astuple(change.row))
            await transaction.record(change.entry)
            return change.answer

        return await self._database.transact(work)

    async def unused(self, after: int, service_name: str, limit: int) -> list[JoinRow]:
        """Return unused tokens that end after `after`."""
        if service_name:
            rows = await self._database.all(_UNUSED_OF, service_name, after, limit)
        else:
            rows = await self._database.all(_UNUSED, after, limit)
        return [JoinRow(*row) for row in rows]  # type: ignore[arg-type]

    async def sweep(self, before: int, limit: int) -> int:
        """Forget tokens that ended before `before`."""

        async def work(transaction: Transaction) -> int:
            return await transaction.run(_SWEEP, before, limit)

        return await self._database.transact(work)


async def _row(source: Database | Transaction, digest: bytes) -> JoinRow | None:
    row = await source.one(_OF, digest)
    return None if row is None else JoinRow(*row)  # type: ignore[arg-type]
