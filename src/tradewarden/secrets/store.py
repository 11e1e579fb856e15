"""What the secrets room keeps, and the one way in which it changes.

A change is decided by a pure function over the state that stands inside the transaction, and is
written together with its audit entry. An adapter may call the function again (a serialisation
failure), so it must not do anything else.

A version's value stands beside its row and not in it: the row is sealed, the value is an AEAD
envelope bound to the same path, incarnation and version. So metadata is read, checked and resealed
without touching values, which may be large.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")
HEAD = 0
"""Stands for the head itself where a version number is expected (`SecretStore.outdated`)."""


class SecretHead(msgspec.Struct, frozen=True):
    """One path: its current version, how many are kept, the user's own metadata (JSON)."""

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
    """One version: who made it and when, when it was deleted (0: it is not), if it is destroyed."""

    table: ClassVar[str] = "secret_versions"

    path: str
    version: int
    incarnation: bytes
    created_at: float
    created_by: str
    deleted_at: float
    destroyed: int
    seal: bytes = b""


class SecretState(msgspec.Struct, frozen=True):
    """What stands when a change is decided: the head, and those versions that were asked for."""

    head: SecretHead
    versions: Mapping[int, SecretVersion]


class SecretChange(msgspec.Struct, Generic[T], frozen=True):
    """What a decision wants written in one transaction.

    Rows to put; `values` of versions among them (an envelope, or empty to erase it; a version that
    is not named keeps its value); versions below `drop_below` to forget; the answer; the entry.
    """

    head: SecretHead
    answer: T
    entry: bytes
    versions: Sequence[SecretVersion] = ()
    values: Mapping[int, bytes] = {}
    drop_below: int = 0


class SecretStore(Protocol):
    """Where secrets are kept."""

    async def read(self, path: str, version: int | None) -> tuple[SecretHead, SecretVersion | None, bytes] | None:
        """Return head, one version (None: the current one) and its value; None without a head."""
        ...

    async def mark(self) -> int:
        """Return what stays the same for as long as nothing that is kept here changes, in any process."""
        ...

    async def history(self, path: str) -> SecretState | None:
        """Return the head and every kept version, as they stood at one moment."""
        ...

    async def heads(self, prefix: str, after: str, limit: int) -> list[SecretHead]:
        """Return up to `limit` heads whose paths start with `prefix` and follow `after`, in order.

        Order is by code point.
        """
        ...

    async def change(
        self,
        path: str,
        versions: Sequence[int],
        decide: Callable[[SecretState | None], SecretChange[T]],
    ) -> T:
        """Load the head and the named versions, decide, write and record; return the answer."""
        ...

    async def outdated(self, below_key_version: int, after: tuple[str, int], limit: int) -> list[tuple[str, int]]:
        """Return (path, version) of what is sealed or encrypted under an older key version.

        In order, following `after`; `HEAD` in place of a version stands for the head.
        """
        ...
