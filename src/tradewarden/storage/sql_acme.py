"""External account keys, accounts, orders and spent nonces in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from tradewarden.acme.store import (
    AccountChange,
    AccountRow,
    AccountsFound,
    KeyRow,
    NewOrderRows,
    OrderChange,
    OrderRow,
    OrdersFound,
    ReplacementRow,
)
from tradewarden.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.storage.database import Database, Transaction, Value

T = TypeVar("T")
R = TypeVar("R", bound=msgspec.Struct)

_KEY = ", ".join(KeyRow.__struct_fields__)
_ACCOUNT = ", ".join(AccountRow.__struct_fields__)
_ORDER = ", ".join(OrderRow.__struct_fields__)


def _put(table: str, fields: tuple[str, ...]) -> str:
    """Return the statement that writes a row anew, or in place of the one with its id."""
    marks = ", ".join("?" for _ in fields)
    sets = ", ".join(f"{name} = excluded.{name}" for name in fields[1:])
    return (
        f"INSERT INTO {table} ({', '.join(fields)}) VALUES ({marks})"  # noqa: S608
        f" ON CONFLICT (id) DO UPDATE SET {sets}"
    )


_KEY_OF = f"SELECT {_KEY} FROM acme_keys WHERE id = ?"  # noqa: S608
_ACCOUNT_OF = f"SELECT {_ACCOUNT} FROM acme_accounts WHERE id = ?"  # noqa: S608
_HOLDER_OF = f"SELECT {_ACCOUNT} FROM acme_accounts WHERE thumbprint = ?"  # noqa: S608
_ACCOUNTS = f"SELECT {_ACCOUNT} FROM acme_accounts WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608
_ORDER_OF = f"SELECT {_ORDER} FROM acme_orders WHERE id = ?"  # noqa: S608
_ORDERS = f"SELECT {_ORDER} FROM acme_orders WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608
_OF_SERVICE, _OF_ACCOUNT = "WHERE service_name = ? AND", "WHERE account = ? AND"
_ACCOUNTS_OF_SERVICE = _ACCOUNTS.replace("WHERE", _OF_SERVICE)
_ORDERS_OF_SERVICE = _ORDERS.replace("WHERE", _OF_SERVICE)
_ORDERS_OF_ACCOUNT = _ORDERS.replace("WHERE", _OF_ACCOUNT)
_ORDERS_OF_BOTH = _ORDERS_OF_ACCOUNT.replace("WHERE", _OF_SERVICE)
_ORDERS_LISTED = {
    (False, False): _ORDERS,
    (True, False): _ORDERS_OF_SERVICE,
    (False, True): _ORDERS_OF_ACCOUNT,
    (True, True): _ORDERS_OF_BOTH,
}
"""By whether they are of one service, and of one account."""
_PUT_KEY = _put("acme_keys", KeyRow.__struct_fields__)
_PUT_ACCOUNT = _put("acme_accounts", AccountRow.__struct_fields__)
_PUT_ORDER = _put("acme_orders", OrderRow.__struct_fields__)
_REPLACEMENT_OF = "SELECT serial, order_id, seal FROM acme_replacements WHERE serial = ?"
_PUT_REPLACEMENT = (
    "INSERT INTO acme_replacements (serial, order_id, seal) VALUES (?, ?, ?)"
    " ON CONFLICT (serial) DO UPDATE SET order_id = excluded.order_id, seal = excluded.seal"
)
_OPEN = (
    "SELECT count(*) FROM acme_orders"
    " WHERE account = ? AND expires_at > ? AND status IN ('pending', 'ready', 'processing')"
)
_DUE = "SELECT id FROM acme_orders WHERE due_at > 0 AND due_at <= ? ORDER BY due_at LIMIT ?"
_SPEND = "INSERT INTO acme_nonces (nonce, ends_at) VALUES (?, ?)"
_FORGET_NONCES = "DELETE FROM acme_nonces WHERE ends_at < ?"
_FORGET_ORDERS = "DELETE FROM acme_orders WHERE expires_at < ? AND status IN ('pending', 'ready', 'invalid')"


class SqlAcmeStore:
    """An `AcmeStore` over any `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def key(self, key_id: str) -> KeyRow | None:
        """Return one external account key."""
        return await _one(self._database, KeyRow, _KEY_OF, key_id)

    async def account(self, account_id: str) -> AccountRow | None:
        """Return one account."""
        return await _one(self._database, AccountRow, _ACCOUNT_OF, account_id)

    async def holder(self, thumbprint: str) -> AccountRow | None:
        """Return the account that a key belongs to."""
        return await _one(self._database, AccountRow, _HOLDER_OF, thumbprint)

    async def accounts(self, service: str, after: str, limit: int) -> list[AccountRow]:
        """Return some accounts."""
        if service:
            rows = await self._database.all(_ACCOUNTS_OF_SERVICE, service, after, limit)
        else:
            rows = await self._database.all(_ACCOUNTS, after, limit)
        return [AccountRow(*row) for row in rows]  # type: ignore[arg-type]

    async def change_account(
        self, account_id: str, thumbprint: str, key_id: str, decide: Callable[[AccountsFound], AccountChange[T]]
    ) -> T:
        """Load, decide, write, record."""

        async def work(transaction: Transaction) -> T:
            change = decide(
                AccountsFound(
                    await _one(transaction, AccountRow, _ACCOUNT_OF, account_id),
                    await _one(transaction, AccountRow, _HOLDER_OF, thumbprint),
                    await _one(transaction, KeyRow, _KEY_OF, key_id),
                )
            )
            if change.account is not None:
                await transaction.run(_PUT_ACCOUNT, *msgspec.structs.astuple(change.account))
            if change.key is not None:
                await transaction.run(_PUT_KEY, *msgspec.structs.astuple(change.key))
            if change.entry:
                await transaction.record(change.entry)
            return change.answer

        return await self._database.transact(work)

    async def order(self, order_id: str) -> OrderRow | None:
        """Return one order."""
        return await _one(self._database, OrderRow, _ORDER_OF, order_id)

    async def orders(self, service: str, account: str, after: str, limit: int) -> list[OrderRow]:
        """Return some orders."""
        owners = [each for each in (service, account) if each]
        rows = await self._database.all(_ORDERS_LISTED[bool(service), bool(account)], *owners, after, limit)
        return [OrderRow(*row) for row in rows]  # type: ignore[arg-type]

    async def open_orders(self, account: str, now: int) -> int:
        """Count the orders that wait."""
        row = await self._database.one(_OPEN, account, now)
        return int(row[0]) if row else 0  # type: ignore[arg-type]

    async def due(self, now: float, limit: int) -> list[str]:
        """Return the ids of orders that somebody should work on."""
        return [str(row[0]) for row in await self._database.all(_DUE, now, limit)]

    async def add_order(self, order_id: str, replaced: str, decide: Callable[[OrdersFound], NewOrderRows]) -> None:
        """Load, decide, write, record."""

        async def work(transaction: Transaction) -> None:
            order = await _one(transaction, OrderRow, _ORDER_OF, order_id)
            replacement = await _one(transaction, ReplacementRow, _REPLACEMENT_OF, replaced) if replaced else None
            successor = await _one(transaction, OrderRow, _ORDER_OF, replacement.order_id) if replacement else None
            new = decide(OrdersFound(order, replacement, successor))
            await transaction.run(_PUT_ORDER, *msgspec.structs.astuple(new.row))
            if new.replacement is not None:
                await transaction.run(_PUT_REPLACEMENT, *msgspec.structs.astuple(new.replacement))
            await transaction.record(new.entry)

        await self._database.transact(work)

    async def change_order(self, order_id: str, decide: Callable[[OrderRow | None], OrderChange[T]]) -> T:
        """Load, decide, write, record."""

        async def work(transaction: Transaction) -> T:
            change = decide(await _one(transaction, OrderRow, _ORDER_OF, order_id))
            if change.row is not None:
                await transaction.run(_PUT_ORDER, *msgspec.structs.astuple(change.row))
            if change.entry:
                await transaction.record(change.entry)
            return change.answer

        return await self._database.transact(work)

    async def spend(self, nonce: str, until: int) -> bool:
        """Remember a nonce; False when it is remembered already."""

        async def work(transaction: Transaction) -> None:
            await transaction.run(_SPEND, nonce, until)

        try:
            await self._database.transact(work)
        except ConflictError:
            return False
        return True

    async def sweep(self, now: int, orders_before: int) -> int:
        """Forget what ended."""

        async def work(transaction: Transaction) -> int:
            return await transaction.run(_FORGET_NONCES, now) + await transaction.run(_FORGET_ORDERS, orders_before)

        return await self._database.transact(work)


async def _one(source: Database | Transaction, kind: type[R], sql: str, key: Value) -> R | None:
    row = await source.one(sql, key)
    return None if row is None else kind(*row)
