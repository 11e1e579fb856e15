"""Authorities, certificates and CRLs in memory."""

from __future__ import annotations

from collections import Counter
from math import inf
from typing import TYPE_CHECKING

from tradewarden.errors import ConflictError
from tradewarden.pki.store import CertificateRow, CrlRow, Tally, moved

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tradewarden.pki.store import AuthorityRow, CertificateQuery, Revocation, Role
    from tradewarden.storage.memory import MemoryDatabase


class MemoryPkiStore:
    """A `PkiStore` of dicts."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._authorities: dict[tuple[Role, str], AuthorityRow] = {}
        self._certificates: dict[str, CertificateRow] = {}
        self._revoked: list[str] = []
        self._crls: dict[tuple[str, int], CrlRow] = {}

    async def add(self, row: CertificateRow, entry: bytes) -> None:
        """Write a new certificate and its audit entry."""
        if row.serial in self._certificates:
            raise ConflictError(f"Certificate {row.serial} exists already")
        self._certificates[row.serial] = row
        self._database.record(entry)

    async def find(self, serial: str) -> CertificateRow | None:
        """Return one certificate."""
        return self._certificates.get(serial)

    async def page(self, query: CertificateQuery) -> list[CertificateRow]:
        """Return up to `query.limit` certificates in the order of (end, serial)."""
        found = [row for row in self._certificates.values() if _matches(query, row)]
        return sorted(found, key=_order)[: query.limit]

    async def revoke(self, serial: str, decide: Callable[[CertificateRow | None, int], Revocation]) -> CertificateRow:
        """Load, decide, write, record and bump in one transaction."""
        revocation = decide(self._certificates.get(serial), len(self._revoked))
        if revocation.changed:
            self._certificates[serial] = revocation.row
            self._revoked.append(serial)
            self._database.bump("certificates")
        self._database.record(revocation.entry)
        return revocation.row

    async def tally(self, now: float, without: str, revoked: Sequence[str] = ()) -> Tally:
        """Count what is valid now, one name and some issuers left out."""
        found = self._certificates.values()
        rows = [row for row in found if row.service_name != without and row.issuer not in revoked]
        ends = [row.not_after for row in rows if row.not_after > now and not row.revocation]
        return Tally(len(ends), min(ends, default=0))

    async def last_end(self, issuer: str, without: str) -> int:
        """Return when the last certificate of a CA ends, one profile left out."""
        rows = [row for row in self._certificates.values() if row.issuer == issuer and row.profile != without]
        return max((row.not_after for row in rows), default=0)

    async def active(self, now: float, without: str, issued_before: float = inf) -> dict[str, int]:
        """Return how many certificates of each CA are valid now; one name, and those issued since, left out."""
        rows = [row for row in self._certificates.values() if row.service_name != without and not row.revocation]
        return dict(Counter(row.issuer for row in rows if row.not_after > now and row.issued_at < issued_before))

    async def authorities(self) -> list[AuthorityRow]:
        """Return the CAs that are ours."""
        return [self._authorities[name] for name in sorted(self._authorities)]

    async def change_authorities(
        self, seen: Sequence[AuthorityRow], rows: Sequence[AuthorityRow], entry: bytes
    ) -> None:
        """Write rows and entry and bump when what stands is what was seen."""
        if await self.authorities() != list(seen):
            raise ConflictError("The certificate authorities were changed meanwhile; look at them and try again")
        self._authorities.update({(row.role, row.fingerprint): row for row in rows})
        if entry:
            self._database.record(entry)
        self._database.bump(*moved(rows))

    async def revocations(self, issuer: str, after: int, limit: int) -> list[CertificateRow]:
        """Return revoked certificates of one issuer after a number, in its order."""
        rows = [self._certificates[serial] for serial in self._revoked[after:]]
        return [row for row in rows if row.issuer == issuer][:limit]

    async def crl(self, issuer: str, shard: int = -1, above: int = 0) -> CrlRow | None:
        """Return the CRL that stands, when its number is higher than `above`."""
        row = self._crls.get((issuer, shard))
        return row if row is not None and row.number > above else None

    async def publish(self, row: CrlRow) -> bool:
        """Let a CRL stand when its number is higher; tell whether it does."""
        standing = self._crls.get((row.issuer, row.shard))
        if standing is not None and standing.number >= row.number:
            return False
        self._crls[row.issuer, row.shard] = row
        return True

    async def revision(self) -> int:
        """Return the counter that moves with every revocation."""
        return (await self._database.revisions()).certificates


def _order(row: CertificateRow) -> tuple[int, str]:
    return row.not_after, row.serial


def _matches(query: CertificateQuery, row: CertificateRow) -> bool:
    return (
        query.service_name in ("", row.service_name)
        and query.ends_from <= row.not_after < query.ends_before
        and query.revoked in (None, row.revocation > 0)
        and _order(row) > query.after
    )
