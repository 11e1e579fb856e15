"""What the ACME room keeps: external account keys, accounts, orders, spent nonces.

An order is one row with all of its authorizations and challenges inside (`state`, JSON of `order.Order`): whatever
happens to it is one change of one row. Times are whole seconds since the epoch; `due_at` may lie between them.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class KeyRow(msgspec.Struct, frozen=True):
    """A key for external account binding: which service its account acts for, and what that may be called.

    `dns_names` and `ip_addresses` are JSON arrays; `secret` is the HMAC key's envelope; `account` is empty until one
    was made with it; `incarnation` is that of the service when the key was made.
    """

    table: ClassVar[str] = "acme_keys"

    id: str
    service_name: str
    incarnation: str
    dns_names: str
    ip_addresses: str
    profile: str
    secret: bytes
    created_at: int
    created_by: str
    expires_at: int
    account: str = ""
    seal: bytes = b""


class AccountRow(msgspec.Struct, frozen=True):
    """An account: its key (JWK) and its RFC 7638 thumbprint, the service that it acts for, `valid` or not any more."""

    table: ClassVar[str] = "acme_accounts"

    id: str
    thumbprint: str
    jwk: str
    key_id: str
    service_name: str
    incarnation: str
    status: str
    contact: str
    created_at: int
    seal: bytes = b""


class OrderRow(msgspec.Struct, frozen=True):
    """An order. `due_at` is when somebody has work with it (0: nobody); `epoch` fences those who do that work.

    `serial` is the number of its certificate, chosen before it is issued, so that issuing again finds the first one.
    """

    table: ClassVar[str] = "acme_orders"

    id: str
    account: str
    service_name: str
    status: str
    state: str
    created_at: int
    expires_at: int
    due_at: float = 0.0
    epoch: int = 0
    serial: str = ""
    seal: bytes = b""


class ReplacementRow(msgspec.Struct, frozen=True):
    """Which order replaces the certificate with this serial number (RFC 9773 section 5); the latest one counts."""

    table: ClassVar[str] = "acme_replacements"

    serial: str
    order_id: str
    seal: bytes = b""


class AccountsFound(msgspec.Struct, frozen=True):
    """What a decision about an account sees: the account, who holds the key's thumbprint, and the external key."""

    account: AccountRow | None
    holder: AccountRow | None
    key: KeyRow | None


class AccountChange(msgspec.Struct, Generic[T], frozen=True):
    """What a decision wants written; without rows nothing is."""

    answer: T
    entry: bytes = b""
    account: AccountRow | None = None
    key: KeyRow | None = None


class OrderChange(msgspec.Struct, Generic[T], frozen=True):
    """What a decision wants written; without `row` nothing is. An empty `entry` records nothing."""

    answer: T
    row: OrderRow | None = None
    entry: bytes = b""


class OrdersFound(msgspec.Struct, frozen=True):
    """What a decision about a new order sees: one of its id, what is known of the certificate that it replaces.

    `successor` is the order that `replacement` names, unless that was swept.
    """

    order: OrderRow | None
    replacement: ReplacementRow | None = None
    successor: OrderRow | None = None


class NewOrderRows(msgspec.Struct, frozen=True):
    """A new order, what it replaces, and the audit entry of both."""

    row: OrderRow
    replacement: ReplacementRow | None
    entry: bytes


class AcmeStore(Protocol):
    """Where they are kept."""

    async def key(self, key_id: str) -> KeyRow | None:
        """Return one external account key."""
        ...

    async def account(self, account_id: str) -> AccountRow | None:
        """Return one account."""
        ...

    async def holder(self, thumbprint: str) -> AccountRow | None:
        """Return the account that a key belongs to."""
        ...

    async def accounts(self, service: str, after: str, limit: int) -> list[AccountRow]:
        """Return up to `limit` accounts of a service (empty: of all) in the order of their ids, after `after`."""
        ...

    async def change_account(
        self, account_id: str, thumbprint: str, key_id: str, decide: Callable[[AccountsFound], AccountChange[T]]
    ) -> T:
        """Load, decide, write, record; return the durable answer. A thumbprint belongs to one account."""
        ...

    async def order(self, order_id: str) -> OrderRow | None:
        """Return one order."""
        ...

    async def orders(self, service: str, account: str, after: str, limit: int) -> list[OrderRow]:
        """Return up to `limit` orders in the order of their ids, after `after`.

        Of one service, and of one account; an empty text stands for all.
        """
        ...

    async def open_orders(self, account: str, now: int) -> int:
        """Count the orders of an account that wait for something and have not expired."""
        ...

    async def due(self, now: float, limit: int) -> list[str]:
        """Return the ids of orders that somebody should work on now, the most overdue first."""
        ...

    async def add_order(self, order_id: str, replaced: str, decide: Callable[[OrdersFound], NewOrderRows]) -> None:
        """Load, decide, write, record; `replaced` is the serial number of a certificate, or empty."""
        ...

    async def change_order(self, order_id: str, decide: Callable[[OrderRow | None], OrderChange[T]]) -> T:
        """Load, decide, write, record; return the durable answer."""
        ...

    async def spend(self, nonce: str, until: int) -> bool:
        """Remember a nonce until then; False when it is remembered already. Durable when it returns."""
        ...

    async def sweep(self, now: int, orders_before: int) -> int:
        """Forget nonces that ended, and orders without certificate that expired before; return how many rows."""
        ...


def row_digest(row: KeyRow | AccountRow | OrderRow | ReplacementRow) -> str:
    """Return what the audit leaf of a change carries: SHA-256 (hex) of the row's seal."""
    return sha256(row.seal).hexdigest()
