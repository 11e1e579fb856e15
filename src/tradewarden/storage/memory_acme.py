"""External account keys, accounts, orders and spent nonces in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tradewarden.acme.store import AccountsFound, OrdersFound
from tradewarden.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.acme.store import (
        AccountChange,
        AccountRow,
        KeyRow,
        NewOrderRows,
        OrderChange,
        OrderRow,
        ReplacementRow,
    )
    from tradewarden.storage.memory import MemoryDatabase

T = TypeVar("T")
_WAITING = ("pending", "ready", "processing")
_FORGETTABLE = ("pending", "ready", "invalid")


class MemoryAcmeStore:
    """An `AcmeStore` of dicts."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._keys: dict[str, KeyRow] = {}
        self._accounts: dict[str, AccountRow] = {}
        self._orders: dict[str, OrderRow] = {}
        self._replacements: dict[str, ReplacementRow] = {}
        self._spent: dict[str, int] = {}

    async def key(self, key_id: str) -> KeyRow | None:
        """Return one external account key."""
        return self._keys.get(key_id)

    async def account(self, account_id: str) -> AccountRow | None:
        """Return one account."""
        return self._accounts.get(account_id)

    async def holder(self, thumbprint: str) -> AccountRow | None:
        """Return the account that a key belongs to."""
        return self._holder(thumbprint)

    async def accounts(self, service: str, after: str, limit: int) -> list[AccountRow]:
        """Return some accounts."""
        found = [self._accounts[key] for key in sorted(self._accounts) if key > after]
        return [row for row in found if service in ("", row.service_name)][:limit]

    async def change_account(
        self, account_id: str, thumbprint: str, key_id: str, decide: Callable[[AccountsFound], AccountChange[T]]
    ) -> T:
        """Load, decide, write, record."""
        found = AccountsFound(self._accounts.get(account_id), self._holder(thumbprint), self._keys.get(key_id))
        change = decide(found)
        account = change.account
        if account is not None:
            holder = self._holder(account.thumbprint)
            if holder is not None and holder.id != account.id:
                raise ConflictError("This already exists")
            self._accounts[account.id] = account
        if change.key is not None:
            self._keys[change.key.id] = change.key
        if change.entry:
            self._database.record(change.entry)
        return change.answer

    async def order(self, order_id: str) -> OrderRow | None:
        """Return one order."""
        return self._orders.get(order_id)

    async def orders(self, service: str, account: str, after: str, limit: int) -> list[OrderRow]:
        """Return some orders."""
        found = [self._orders[key] for key in sorted(self._orders) if key > after]
        kept = [row for row in found if account in ("", row.account) and service in ("", row.service_name)]
        return kept[:limit]

    async def open_orders(self, account: str, now: int) -> int:
        """Count the orders that wait."""
        rows = self._orders.values()
        return sum(row.account == account and row.expires_at > now and row.status in _WAITING for row in rows)

    async def due(self, now: float, limit: int) -> list[str]:
        """Return the ids of orders that somebody should work on."""
        rows = sorted((row.due_at, row.id) for row in self._orders.values() if 0 < row.due_at <= now)
        return [each for _, each in rows[:limit]]

    async def add_order(self, order_id: str, replaced: str, decide: Callable[[OrdersFound], NewOrderRows]) -> None:
        """Load, decide, write, record."""
        replacement = self._replacements.get(replaced)
        successor = self._orders.get(replacement.order_id) if replacement else None
        new = decide(OrdersFound(self._orders.get(order_id), replacement, successor))
        self._orders[new.row.id] = new.row
        if new.replacement is not None:
            self._replacements[new.replacement.serial] = new.replacement
        self._database.record(new.entry)

    async def change_order(self, order_id: str, decide: Callable[[OrderRow | None], OrderChange[T]]) -> T:
        """Load, decide, write, record."""
        change = decide(self._orders.get(order_id))
        if change.row is not None:
            self._orders[change.row.id] = change.row
        if change.entry:
            self._database.record(change.entry)
        return change.answer

    async def spend(self, nonce: str, until: int) -> bool:
        """Remember a nonce; False when it is remembered already."""
        if nonce in self._spent:
            return False
        self._spent[nonce] = until
        return True

    async def sweep(self, now: int, orders_before: int) -> int:
        """Forget what ended."""
        nonces = [nonce for nonce, until in self._spent.items() if until < now]
        orders = [
            row.id for row in self._orders.values() if row.expires_at < orders_before and row.status in _FORGETTABLE
        ]
        for nonce in nonces:
            del self._spent[nonce]
        for order in orders:
            del self._orders[order]
        return len(nonces) + len(orders)

    def _holder(self, thumbprint: str) -> AccountRow | None:
        return next((row for row in self._accounts.values() if row.thumbprint == thumbprint), None)
