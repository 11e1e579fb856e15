"""Services and the admin token in SQL."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import msgspec

from tradewarden.identity.store import AdminTokenChange, AdminTokenRow, ServiceChange, ServiceRow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tradewarden.storage.database import Database, Transaction

T = TypeVar("T")

_SERVICE = (
    "service_name, incarnation, permissions, secret, created_at, created_by, rotated_at, dns_names, ip_addresses, seal"
)
_ADMIN = "name, secret, created_at, expires_at, enrolled_at, seal"
_SERVICE_OF = f"SELECT {_SERVICE} FROM services WHERE service_name = ?"  # noqa: S608
_SERVICES = f"SELECT {_SERVICE} FROM services WHERE service_name > ? ORDER BY service_name LIMIT ?"  # noqa: S608
_PUT_SERVICE = (
    f"INSERT INTO services ({_SERVICE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
    " ON CONFLICT (service_name) DO UPDATE SET incarnation = excluded.incarnation,"
    " permissions = excluded.permissions, secret = excluded.secret,"
    " created_at = excluded.created_at, created_by = excluded.created_by,"
    " rotated_at = excluded.rotated_at, dns_names = excluded.dns_names,"
    " ip_addresses = excluded.ip_addresses, seal = excluded.seal"
)
_DELETE_SERVICE = "DELETE FROM services WHERE service_name = ?"
_OWNER = "SELECT service_name FROM service_names WHERE name = ?"
_DISOWN = "DELETE FROM service_names WHERE service_name = ?"
_OWN = "INSERT INTO service_names (name, service_name) VALUES (?, ?)"
_NO_SHARE = "DELETE FROM service_shares WHERE service_name = ?"
_SHARE = "INSERT INTO service_shares (name, service_name) VALUES (?, ?)"
_ADMIN_TOKEN = f"SELECT {_ADMIN} FROM admin_token WHERE name = 'admin'"  # noqa: S608
_PUT_ADMIN_TOKEN = (
    f"INSERT INTO admin_token ({_ADMIN}) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608
    " ON CONFLICT (name) DO UPDATE SET secret = excluded.secret, created_at = excluded.created_at,"
    " expires_at = excluded.expires_at, enrolled_at = excluded.enrolled_at, seal = excluded.seal"
)


class SqlServiceStore:
    """A `ServiceStore` over any `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, name: str) -> ServiceRow | None:
        """Return one service."""
        return await _service(self._database, name)

    async def page(self, after: str, limit: int) -> list[ServiceRow]:
        """Return up to `limit` services by name, after `after`."""
        rows = await self._database.all(_SERVICES, after, limit)
        return [ServiceRow(*row) for row in rows]  # type: ignore[arg-type]

    async def change(self, name: str, decide: Callable[[ServiceRow | None], ServiceChange[T]]) -> T:
        """Load, decide, write, record, bump; return the durable answer."""

        async def work(transaction: Transaction) -> T:
            change = decide(await _service(transaction, name))
            if change.row is None:
                await transaction.run(_DELETE_SERVICE, name)
            else:
                await transaction.run(_PUT_SERVICE, *msgspec.structs.astuple(change.row))
            await transaction.run(_DISOWN, name)
            await transaction.run_many(_OWN, [(each, name) for each in change.owned])
            await transaction.run(_NO_SHARE, name)
            await transaction.run_many(_SHARE, [(each, name) for each in change.shared])
            await transaction.record(change.entry)
            await transaction.bump("services", "tokens")
            return change.answer

        return await self._database.transact(work)

    async def owner(self, owned: str) -> str:
        """Return the service that a name belongs to."""
        row = await self._database.one(_OWNER, owned)
        return "" if row is None else str(row[0])

    async def sharer(self, shared: Sequence[str]) -> str:
        """Return a service that shares in one of these."""
        row = await self._database.one(_sharer_of(len(shared)), *shared)
        return "" if row is None else str(row[0])

    async def read_admin_token(self) -> AdminTokenRow | None:
        """Return the admin token's row."""
        return await _admin_token(self._database)

    async def change_admin_token(self, decide: Callable[[AdminTokenRow | None], AdminTokenChange[T]]) -> T:
        """Load, decide, write, record, bump; return the durable answer."""

        async def work(transaction: Transaction) -> T:
            change = decide(await _admin_token(transaction))
            if change.row is not None:
                await transaction.run(_PUT_ADMIN_TOKEN, *msgspec.structs.astuple(change.row))
                await transaction.record(change.entry)
                await transaction.bump("services")
            return change.answer

        return await self._database.transact(work)


@lru_cache(maxsize=128)  # as many as a DNS name has labels
def _sharer_of(number: int) -> str:
    among = ", ".join("?" * number)
    return f"SELECT service_name FROM service_shares WHERE name IN ({among}) ORDER BY name, service_name LIMIT 1"  # noqa: S608


async def _service(source: Database | Transaction, name: str) -> ServiceRow | None:
    row = await source.one(_SERVICE_OF, name)
    return None if row is None else ServiceRow(*row)  # type: ignore[arg-type]


async def _admin_token(source: Database | Transaction) -> AdminTokenRow | None:
    row = await source.one(_ADMIN_TOKEN)
    return None if row is None else AdminTokenRow(*row)  # type: ignore[arg-type]
