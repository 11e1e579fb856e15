"""What the identity room keeps: registered services, and the state of the admin token.

A change is decided by a pure function over the row that stands inside the transaction, and is
written together with its audit entry. Times are whole seconds since the epoch.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


class ServiceRow(msgspec.Struct, frozen=True):
    """One registered service.

    `permissions` is a JSON array of names, the most that it may ever be granted. `secret` is the
    keyed hash of its client secret. `incarnation` differs each time the name is registered.
    `dns_names` and `ip_addresses` are JSON arrays of what its certificates may name at most.
    """

    table: ClassVar[str] = "services"

    service_name: str
    incarnation: str
    permissions: str
    secret: bytes
    created_at: int
    created_by: str
    rotated_at: int
    dns_names: str = "[]"
    ip_addresses: str = "[]"
    seal: bytes = b""


class AdminTokenRow(msgspec.Struct, frozen=True):
    """The one admin token: its keyed hash and until when it is good. `enrolled_at` 0: no admin yet."""

    table: ClassVar[str] = "admin_token"

    name: str
    secret: bytes
    created_at: int
    expires_at: int
    enrolled_at: int
    seal: bytes = b""


class ServiceChange(msgspec.Struct, Generic[T], frozen=True):
    """What a decision wants written: the row as it is from now on, None when it goes.

    `owned` are the names that belong to this service alone from now on: its own, and its DNS names. `shared` is what
    other services may be registered for as well: domains that hosts are below, addresses.
    """

    answer: T
    entry: bytes
    row: ServiceRow | None
    owned: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()


class AdminTokenChange(msgspec.Struct, Generic[T], frozen=True):
    """What a decision wants written; without `row` nothing is written, recorded or bumped."""

    answer: T
    entry: bytes = b""
    row: AdminTokenRow | None = None


class ServiceStore(Protocol):
    """Where identities are kept."""

    async def read(self, name: str) -> ServiceRow | None:
        """Return one service."""
        ...

    async def page(self, after: str, limit: int) -> list[ServiceRow]:
        """Return up to `limit` services in the order of their names, after `after`."""
        ...

    async def change(self, name: str, decide: Callable[[ServiceRow | None], ServiceChange[T]]) -> T:
        """Load, decide, write, record, bump `services` and `tokens`; return the durable answer.

        Raises `ConflictError`, with nothing changed, when one of the owned names is another service's.
        """
        ...

    async def owner(self, owned: str) -> str:
        """Return the service that a name belongs to; empty when it belongs to none."""
        ...

    async def sharer(self, shared: Sequence[str]) -> str:
        """Return a service that shares in one of these, the first by what is shared and by name; empty without one."""
        ...

    async def read_admin_token(self) -> AdminTokenRow | None:
        """Return the admin token's row; None before the first was made."""
        ...

    async def change_admin_token(self, decide: Callable[[AdminTokenRow | None], AdminTokenChange[T]]) -> T:
        """Load, decide, write, record, bump `services`; return the durable answer."""
        ...


def row_digest(row: ServiceRow | AdminTokenRow) -> str:
    """Return what the audit leaf of a change carries: SHA-256 (hex) of the row's seal."""
    return sha256(row.seal).hexdigest()
