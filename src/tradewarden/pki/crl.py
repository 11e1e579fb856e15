"""The CRL (RFC 5280 section 5): numbered, served from memory, made anew when a revocation came or at half its life.

Always true here: a CRL is served only after its number and bytes stand in the database, so that two processes never
show different lists under one number. Revocations are read once and kept; each list adds what came since. The list is
the issuing CA's; the root, which signs nothing but that CA, has none in this version.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from cryptography import x509

from tradewarden.errors import UnavailableError
from tradewarden.pki.credentials import Reason
from tradewarden.pki.issuer import BACKDATED_SECONDS, utc
from tradewarden.pki.profiles import extension
from tradewarden.pki.store import CrlRow

if TYPE_CHECKING:
    from tradewarden.clock import Clock
    from tradewarden.crypto.keyset import Sealer
    from tradewarden.pki.issuer import Issuer
    from tradewarden.pki.profiles import Extension
    from tradewarden.pki.store import AuthorityStore, CertificateRow

_PAGE = 2_000
_TRIES = 5
_REASONS: dict[Reason, Extension] = {
    reason: extension(x509.CRLReason(x509.ReasonFlags(reason.value)))
    for reason in Reason
    if reason is not Reason.UNSPECIFIED  # RFC 5280 section 5.3.1: left out instead
}


class RevocationList:
    """The CRL of one issuing CA, as this process serves it."""

    def __init__(self, store: AuthorityStore, sealer: Sealer, issuer: Issuer, clock: Clock, hours: int) -> None:
        self._store = store
        self._sealer = sealer
        self._issuer = issuer
        self._clock = clock
        self._life = hours * 3600
        self._lock = asyncio.Lock()
        self._entries: dict[int, tuple[int, x509.RevokedCertificate]] = {}
        self._known = 0
        self._standing: CrlRow | None = None
        self._revision = -1

    async def der(self) -> bytes:
        """Return the CRL that knows every revocation committed before this call, as DER."""
        standing = self._standing
        if standing is not None and self._revision == await self._store.revision() and self._young(standing):
            return standing.crl
        async with self._lock:
            return await self._renewed()

    async def _renewed(self) -> bytes:
        for _ in range(_TRIES):
            revision = await self._store.revision()
            await self._learn()
            row = await self._store.crl(self._issuer.fingerprint)
            if row is not None:
                await asyncio.to_thread(self._sealer.check, row)
            if row is None or row.revocation < self._known or not self._young(row):
                row = await asyncio.to_thread(self._build, row)
                if not await self._store.publish(row):
                    continue  # another process was first; look at what it published
            self._standing, self._revision = row, revision
            return row.crl
        raise UnavailableError("The CRL cannot be made now; try again later", reason="other processes were faster")

    async def _learn(self) -> None:
        """Take in the revocations that came since the last time."""
        while rows := await self._store.revocations(self._issuer.fingerprint, self._known, _PAGE):
            self._entries.update(await asyncio.to_thread(self._page, rows))
            self._known = rows[-1].revocation

    def _page(self, rows: list[CertificateRow]) -> list[tuple[int, tuple[int, x509.RevokedCertificate]]]:
        return [self._entry(row) for row in rows]

    def _entry(self, row: CertificateRow) -> tuple[int, tuple[int, x509.RevokedCertificate]]:
        self._sealer.check(row)
        serial, reason = int(row.serial, 16), _REASONS.get(Reason(row.reason))
        revoked = x509.RevokedCertificateBuilder(serial, utc(int(row.revoked_at)), [reason] if reason else [])
        return serial, (row.not_after, revoked.build())

    def _build(self, last: CrlRow | None) -> CrlRow:
        """Sign the next list, without certificates that have expired meanwhile."""
        now = int(self._clock.now())
        number = last.number + 1 if last else 1
        this_update = self._this_update(now, last)
        next_update = now + self._life
        numbered = x509.CRLNumber(number)
        builder = x509.CertificateRevocationListBuilder(
            self._issuer.name,
            utc(this_update),
            utc(next_update),
            [self._issuer.authority_key, extension(numbered)],
            # Left out, not forgotten: a clock that ran ahead for a while must not lose a revocation.
            [revoked for not_after, revoked in self._entries.values() if not_after > now],
        )
        signed = self._issuer.sign_crl(builder)
        return self._sealer.seal(
            CrlRow(self._issuer.fingerprint, number, self._known, this_update, next_update, signed)
        )

    @staticmethod
    def _this_update(now: int, last: CrlRow | None) -> int:
        """Return a time up to now and after the last list's (OpenSSL keeps the older of two equal ones).

        A last list from the future was made while the clock was ahead; nobody can use it, so it does not count.
        """
        if last is None or last.this_update > now:
            return now - BACKDATED_SECONDS
        return min(max(now - BACKDATED_SECONDS, last.this_update + 1), now)

    def _young(self, row: CrlRow) -> bool:
        """Tell whether a list is in the first half of its life, and not from the future (a clock that was set back)."""
        now = self._clock.now()
        return row.this_update <= now < row.next_update - self._life / 2
