"""Certifies what was checked: sign, write the row with its audit entry, hand out with the chain above it."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.x509.oid import NameOID

from tradewarden.abreast import abreast
from tradewarden.access.principal import OWN_NAME
from tradewarden.pki import inventory
from tradewarden.pki.cas.authorities import pem
from tradewarden.pki.certificate.issuer import Order
from tradewarden.pki.certificate.pem import certificate_pem
from tradewarden.pki.certificate.serial import serial_number
from tradewarden.pki.credentials import Credentials
from tradewarden.pki.store import CertificateRow

if TYPE_CHECKING:
    from tradewarden.access.grant import Grant
    from tradewarden.audit.entry import Entry
    from tradewarden.clock import Clock, Randomness
    from tradewarden.crypto.keyset import Sealer
    from tradewarden.pki.cas.succession import Succession
    from tradewarden.pki.certificate.algorithm import PublicKey
    from tradewarden.pki.certificate.names import Names
    from tradewarden.pki.certificate.profiles import Profile
    from tradewarden.pki.counting import Count
    from tradewarden.pki.ordered import Certified
    from tradewarden.pki.store import CertificateStore


class Wanted(NamedTuple):
    """One certificate to be issued, everything in it checked."""

    service: str
    profile: Profile
    names: Names
    public_key: PublicKey
    seconds: int
    serial: int = 0
    common_name: str = ""
    incarnation: str = ""


class Certifier:
    """Issues under the CA that issues now."""

    def __init__(
        self,
        store: CertificateStore,
        sealer: Sealer,
        cas: Succession,
        count: Count,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._cas = cas
        self._count = count
        self._clock = clock
        self._randomness = randomness

    def new_serial(self) -> str:
        """Return a serial number that nobody has, for a certificate that is certified later (`Wanted.serial`)."""
        return inventory.serial_text(serial_number(self._clock.now(), self._randomness))

    async def certify(self, grant: Grant, wanted: Wanted, entry: Entry) -> CertificateRow:
        """Sign what is wanted and return it once its row and its audit entry stand."""
        service, profile, names, public, seconds, chosen, common_name, incarnation = wanted
        now = self._clock.now()
        issuer = await self._cas.signer()
        start, end = issuer.term(now, seconds)
        serial = chosen or serial_number(now, self._randomness)
        order = Order(profile, _subject(common_name or service), public, serial, start, end, names.general())
        issued = await asyncio.to_thread(issuer.issue, order) if issuer.slow else issuer.issue(order)
        await abreast()
        row = self._sealer.seal(
            CertificateRow(
                inventory.serial_text(serial),
                service,
                profile.name,
                names.spiffe_id,
                issuer.fingerprint,
                sha256(issued.der).hexdigest(),
                issued.der,
                start,
                end,
                now,
                str(grant.principal),
                incarnation=incarnation,
            )
        )
        entry.resource = f"{service}/{row.serial}"
        await self._store.add(row, entry.draft(sha256(row.seal).hexdigest()))
        entry.commit()
        if service != OWN_NAME:
            self._count.add(end)
        return row

    def credentials(self, row: CertificateRow, private_key: str | None) -> Credentials:
        """Return what the caller gets: the certificate, what is above it, and its key when it was made here."""
        own, known = certificate_pem(row.certificate), self._cas.known
        return Credentials(
            row.service_name,
            own,
            private_key,
            known.bundle,
            own + self._above(row),
            row.serial,
            row.fingerprint,
            row.spiffe_id,
            row.issued_at,
            float(row.not_after),
            known.cross_bundle,
        )

    def chain(self, row: Certified) -> str:
        """Return a certificate of ours and what is between it and every trusted root (PEM)."""
        return certificate_pem(row.certificate) + self._above(row)

    def _above(self, row: Certified) -> str:
        """Return what stands above a certificate (PEM), by the CA that its row names: another one may issue by now."""
        known = self._cas.known
        if row.issuer == known.issuing.row.fingerprint:
            return known.above
        issuing = known.find(row.issuer)
        return known.above if issuing is None else pem((issuing, *known.crosses(issuing.row.issuer)))


@lru_cache(maxsize=256)
def _subject(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
