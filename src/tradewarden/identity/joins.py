"""What is kept of join tokens, and the one way in which it changes.

A change is decided by a pure function over the row that stands inside the transaction, and is written together with
its audit entry. Times are whole seconds since the epoch; a time of 0 means never.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class JoinRow(msgspec.Struct, frozen=True):
    """One join token by its keyed hash: whom it lets in, under which names, until when, and whether it was used.

    `dns_names` and `ip_addresses` are JSON arrays. `incarnation` is that of the service's registration when the token
    was made (empty: it was not registered). `created_by` is who answers for the names. `used_at` is also filled when
    the token is withdrawn: it ends then (see `withdrawn`).
    """

    table: ClassVar[str] = "join_tokens"

    digest: bytes
    service_name: str
    incarnation: str
    dns_names: str
    ip_addresses: str
    created_at: int
    created_by: str
    expires_at: int
    used_at: int
    seal: bytes = b""

    @property
    def withdrawn(self) -> bool:
        """Whether it was ended by hand: a used token was used before its end."""
        return self.used_at >= self.expires_at


class JoinChange(msgspec.Struct, Generic[T], frozen=True):
    """What a decision wants written."""

    answer: T
    entry: bytes
    row: JoinRow


class JoinStore(Protocol):
    """Where join tokens are kept."""

    async def read(self, digest: bytes) -> JoinRow | None:
        """Return one join token."""
        ...

    async def change(self, digest: bytes, decide: Callable[[JoinRow | None], JoinChange[T]]) -> T:
        """Load, decide, write and record in one transaction; return the answer when it is durable."""
        ...

    async def unused(self, after: int, service_name: str, limit: int) -> list[JoinRow]:
        """Return up to `limit` unused tokens that end after `after`, first ending first; of one service, or of all.

        An empty `service_name` stands for all.
        """
        ...

    async def sweep(self, before: int, limit: int) -> int:
        """Forget up to `limit` tokens that ended before `before`; return how many went."""
        ...
