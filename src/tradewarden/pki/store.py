"""What the PKI room keeps: its authorities, the inventory of certificates, the CRL that stands.

Revocations are numbered without gaps in the order of their commits, so that a CRL says up to which one it knows.
"""

from __future__ import annotations

from enum import StrEnum
from math import inf
from typing import TYPE_CHECKING, ClassVar, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


class Role(StrEnum):
    """What a CA certificate of ours is for; `cross` certifies one root's key by the other root."""

    ROOT = "root"
    ISSUING = "issuing"
    CROSS = "cross"


class Standing(StrEnum):
    """Where a CA is in its life: prepared, in use, no longer in use but good, or worth nothing."""

    NEXT = "next"
    ACTIVE = "active"
    RETIRED = "retired"
    REVOKED = "revoked"


class AuthorityRow(msgspec.Struct, frozen=True):
    """One CA certificate (DER) of ours, by its SHA-256 in hex; `issuer` is that of the CA that signed it.

    `key` is the name of its private key (`pki.cas.keys`), empty where the key is not ours. `active_from` is 0 for what
    was never in use, `ended_at` for what is not retired or revoked; seconds since the epoch.
    """

    table: ClassVar[str] = "authorities"

    role: Role
    fingerprint: str
    issuer: str
    state: Standing
    certificate: bytes
    key: str
    created_at: float
    active_from: float = 0.0
    ended_at: float = 0.0
    seal: bytes = b""


class CertificateRow(msgspec.Struct, frozen=True):
    """One issued certificate (DER); serial number and fingerprints in hex; `revocation` 0 while it is not revoked."""

    table: ClassVar[str] = "certificates"

    serial: str
    service_name: str
    profile: str
    spiffe_id: str
    issuer: str
    fingerprint: str
    certificate: bytes
    not_before: int
    not_after: int
    issued_at: float
    issued_by: str
    revocation: int = 0
    revoked_at: float = 0.0
    reason: str = ""
    incarnation: str = ""
    seal: bytes = b""


class CrlRow(msgspec.Struct, frozen=True):
    """A CRL that stands now (DER): one issuer's whole list (`shard` -1) or one shard of it.

    `number` is its CRL number, `revocation` the last revocation it knows. A whole list comes with the `index` that
    turns its entries back into what a process holds.
    """

    table: ClassVar[str] = "crls"

    issuer: str
    shard: int
    number: int
    revocation: int
    this_update: int
    next_update: int
    index: bytes
    crl: bytes
    seal: bytes = b""


class CertificateQuery(msgspec.Struct, frozen=True):
    """Which certificates to list: those that end in [`ends_from`, `ends_before`), in the order of (end, serial)."""

    service_name: str = ""
    ends_from: int = 0
    ends_before: int = 1 << 62
    revoked: bool | None = None
    after: tuple[int, str] = (-1, "")
    limit: int = 100


class Tally(msgspec.Struct, frozen=True):
    """How many certificates are valid now, and when the first of them ends (0: there is none)."""

    active: int = 0
    soonest_expiry: int = 0


class Revocation(msgspec.Struct, frozen=True):
    """What a decision to revoke wants written: the row, unless it stands so already, and the audit entry."""

    row: CertificateRow
    changed: bool
    entry: bytes


class CertificateStore(Protocol):
    """Where the inventory is kept."""

    async def add(self, row: CertificateRow, entry: bytes) -> None:
        """Write a new certificate and its audit entry; returns when both are durable."""
        ...

    async def find(self, serial: str) -> CertificateRow | None:
        """Return one certificate, in constant time."""
        ...

    async def page(self, query: CertificateQuery) -> list[CertificateRow]:
        """Return up to `query.limit` certificates in the order of (end, serial)."""
        ...

    async def revoke(self, serial: str, decide: Callable[[CertificateRow | None, int], Revocation]) -> CertificateRow:
        """Load a certificate and the last revocation's number, decide, write, record, bump; return what stands."""
        ...

    async def tally(self, now: float, without: str, revoked: Sequence[str] = ()) -> Tally:
        """Count what is valid now; certificates of the name `without` and of the CAs `revoked` do not count."""
        ...


class AuthorityStore(Protocol):
    """Where the authorities and their revocation lists are kept."""

    async def authorities(self) -> list[AuthorityRow]:
        """Return the CAs that are ours in the order of (role, fingerprint); none before the first start."""
        ...

    async def change_authorities(
        self, seen: Sequence[AuthorityRow], rows: Sequence[AuthorityRow], entry: bytes
    ) -> None:
        """Write new and changed rows, their audit entry (unless empty), and bump.

        Raises `ConflictError` when the rows that stand are not the ones in `seen` any more.
        """
        ...

    async def last_end(self, issuer: str, without: str) -> int:
        """Return when the last certificate of a CA ends, of other profiles than `without`; 0 when there is none.

        Reads certificates from the latest end on until it meets one: not for a hot path.
        """
        ...

    async def active(self, now: float, without: str, issued_before: float = inf) -> dict[str, int]:
        """Return how many certificates of each CA are valid now, by its fingerprint.

        Those of one name, and those that were issued at that time or later, do not count. Reads every certificate that
        has not ended: not for a hot path.
        """
        ...

    async def revocations(self, issuer: str, after: int, limit: int) -> list[CertificateRow]:
        """Return revoked certificates of one issuer whose revocation follows `after`, in its order."""
        ...

    async def crl(self, issuer: str, shard: int = -1, above: int = 0) -> CrlRow | None:
        """Return the CRL that stands, when its number is higher than `above`."""
        ...

    async def publish(self, row: CrlRow) -> bool:
        """Let a CRL stand when its number is higher than the standing one's; tell whether it does."""
        ...

    async def revision(self) -> int:
        """Return the counter that moves with every revocation, in any process."""
        ...


class PkiStore(CertificateStore, AuthorityStore, Protocol):
    """Everything the room keeps."""


def moved(rows: Iterable[AuthorityRow]) -> list[str]:
    """Return the revisions that move with these rows: a revoked CA is news to whoever keeps revocations."""
    revoked = any(row.state is Standing.REVOKED for row in rows)
    return ["authorities", "certificates"] if revoked else ["authorities"]
