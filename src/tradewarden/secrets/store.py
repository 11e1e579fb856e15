"""What the secrets room keeps, and the one way in which it changes.

A change is decided by a pure function over the state that stands inside the transaction, and is written together with
its audit entry. An adapter may call the function again (a serialisation failure), so it must not do anything else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")


class SecretHead(msgspec.Struct, frozen=True):
    """One secret path: which version is current, how many are kept, the user's own metadata (JSON)."""

    table: ClassVar[str] = "secrets"

    path: str
    incarnation: bytes
    current: int
    oldest: int
    max_versions: int
    custom: bytes
    created_at: float
    updated_at: float
    seal: bytes = b""


class SecretVersion(msgspec.Struct, frozen=True):
    """One version: its sealed value (an AEAD envelope; empty once destroyed) and when it was deleted (0: it is not)."""

    table: ClassVar[str] = "secret_versions"

    path: str
    version: int
    incarnation: bytes
    created_at: float
    created_by: str
    deleted_at: float
    destroyed: int
    value: bytes
    seal: bytes = b""


class SecretState(msgspec.Struct, frozen=True):
    """What stands when a change is decided: the head, and those versions that the change asked for."""

    head: SecretHead
    versions: Mapping[int, SecretVersion]


class SecretChange(msgspec.Struct, Generic[T], frozen=True):
    """What a decision wants written in one transaction: rows to put, versions below `drop_below` to forget."""

    head: SecretHead
    versions: Sequence[SecretVersion]
    answer: T
    entry: bytes
    drop_below: int = 0


class SecretStore(Protocol):
    """Where secrets are kept."""

    async def read(self, path: str, version: int | None) -> tuple[SecretHead, SecretVersion | None] | None:
        """Return the head and one version (None: the current one); None when the path has never been written."""
        ...

    async def history(self, path: str) -> SecretState | None:
        """Return the head and every kept version."""
        ...

    async def heads(self, prefix: str, after: str, limit: int) -> list[SecretHead]:
        """Return up to `limit` heads in the order of their paths, of those that start with `prefix` and follow `after`."""
        ...

    async def change(
        self, path: str, versions: Sequence[int], decide: Callable[[SecretState | None], SecretChange[T]]
    ) -> T:
        """Load the head and the named versions, decide, write, record, and return the answer when it is durable."""
        ...

    async def outdated(self, below_key_version: int, after: tuple[str, int], limit: int) -> list[SecretVersion]:
        """Return versions whose value or seal is under an older key version, in order, for a rewrap job."""
        ...
