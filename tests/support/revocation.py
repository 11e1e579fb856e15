"""What the tests of CRLs and OCSP share: an issuing CA over a store, rows to revoke, requests as clients make them."""

from __future__ import annotations

import os
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID
from msgspec.structs import replace

from tests.support.keys import keyring
from tests.support.pki import SetClock, entry
from tradewarden.keys.purpose import Purpose
from tradewarden.pki.cas.authorities import Authorities
from tradewarden.pki.certificate.algorithm import Algorithm, generate, strong
from tradewarden.pki.certificate.issuer import Issuer, Order, self_signed
from tradewarden.pki.certificate.profiles import ISSUING, ROOT, SERVICE
from tradewarden.pki.certificate.serial import serial_number
from tradewarden.pki.credentials import Reason
from tradewarden.pki.inventory import serial_text
from tradewarden.pki.policy import Policy
from tradewarden.pki.revocation.revocation import Revocation
from tradewarden.pki.store import AuthorityRow, CertificateRow, Role, Standing
from tradewarden.pki.store import Revocation as Revoking
from tradewarden.storage.memory import MemoryDatabase
from tradewarden.storage.memory_pki import MemoryPkiStore

if TYPE_CHECKING:
    from tradewarden.audit.entry import Entry
    from tradewarden.crypto.keyset import Sealer
    from tradewarden.pki.store import PkiStore

BASE = "http://ca.example:8002"
HOURS = 24
DAY = 86_400


def name(text: str) -> x509.Name:
    """Return a name of one common name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Ca:
    """A root, an issuing CA below it, and what revocation needs around them."""

    def __init__(self, store: PkiStore, sealer: Sealer, clock: SetClock, algorithm: Algorithm, base: str) -> None:
        self.store = store
        self.sealer = sealer
        self.clock = clock
        self.base = base
        now = int(clock.now())
        root_key, key = generate(algorithm), generate(algorithm)
        order = Order(ROOT, name("root"), strong(root_key.public_key()), serial(clock), now, now + 3650 * DAY)
        self.root = Issuer(self_signed(order, root_key), root_key)
        order = Order(ISSUING, name("issuing"), strong(key.public_key()), serial(clock), now, now + 1826 * DAY)
        certificate = self.root.issue(order).certificate
        self.row_of_root = self._ca(Role.ROOT, self.root.certificate, self.root.fingerprint)
        self.row_of_issuer = self._ca(Role.ISSUING, certificate, self.root.fingerprint)
        self.keys = {self.row_of_issuer.fingerprint: key}
        self.root_is_here = True
        self.known = self._authorities(self.row_of_issuer)
        self.issuer = self.known.issuing.signer()

    def _ca(self, role: Role, certificate: x509.Certificate, above: str) -> AuthorityRow:
        der, now = certificate.public_bytes(Encoding.DER), self.clock.now()
        return AuthorityRow(role, sha256(der).hexdigest(), above, Standing.ACTIVE, der, "key", now, now)

    def _authorities(self, *issuing: AuthorityRow) -> Authorities:
        policy = Policy(trust_domain="trade.example", public_url=self.base)
        return Authorities([self.row_of_root, *issuing], self.keys, policy)

    def issuer_of(self, fingerprint: str) -> Issuer | None:
        """Return the root while its key is here, as the room's own CAs do."""
        return self.root if fingerprint == self.root.fingerprint and self.root_is_here else None

    def rotate(self, *, compromised: bool = False) -> Issuer:
        """Let another issuing CA take over; returns the one before."""
        before, key = self.issuer, generate(Algorithm.P256)
        now = int(self.clock.now())
        order = Order(ISSUING, name("next"), strong(key.public_key()), serial(self.clock), now, now + 1826 * DAY)
        row = self._ca(Role.ISSUING, self.root.issue(order).certificate, self.root.fingerprint)
        state = Standing.REVOKED if compromised else Standing.RETIRED
        ended = replace(self.row_of_issuer, state=state, ended_at=self.clock.now())
        self.keys = {**self.keys, row.fingerprint: key}
        self.row_of_issuer = row
        self.known = self._authorities(ended, row)
        self.issuer = self.known.issuing.signer()
        return before

    def lose(self, issuer: Issuer) -> None:
        """Take a CA's key away, as a start does that does not find it."""
        self._lost = self.keys.pop(issuer.fingerprint)
        self.known = self._authorities(*self.known.rows[1:])

    def find(self, issuer: Issuer) -> None:
        """Bring the key back that was lost."""
        self.keys[issuer.fingerprint] = self._lost
        self.known = self._authorities(*self.known.rows[1:])

    def process(self) -> Revocation:
        """Return what one process of the installation holds."""
        return Revocation(self.store, self.sealer, self, self.clock, os.urandom, HOURS, self.base)

    async def issued(self, *, hours: int = 48, number: int | None = None) -> x509.Certificate:
        """Issue a certificate and keep its row."""
        public = ec.generate_private_key(ec.SECP256R1()).public_key()
        start, end = self.issuer.term(self.clock.now(), hours * 3600)
        order = Order(SERVICE, name("bot"), public, number or serial(self.clock), start, end)
        made = self.issuer.issue(order)
        await self.store.add(self.row(made.certificate, made.der), b"")
        return made.certificate

    def row(self, certificate: x509.Certificate, der: bytes) -> CertificateRow:
        """Return the sealed row of a certificate."""
        return self.sealer.seal(
            CertificateRow(
                serial_text(certificate.serial_number),
                "bot",
                "service",
                "",
                self.issuer.fingerprint,
                sha256(der).hexdigest(),
                der,
                int(certificate.not_valid_before_utc.timestamp()),
                int(certificate.not_valid_after_utc.timestamp()),
                self.clock.now(),
                "user:admin",
            )
        )

    async def revoke(self, certificate: x509.Certificate, reason: Reason = Reason.UNSPECIFIED) -> int:
        """Revoke a certificate now; returns its serial number."""

        def decide(found: CertificateRow | None, last: int) -> Revoking:
            assert found is not None
            row = replace(found, revocation=last + 1, revoked_at=self.clock.now(), reason=reason.value)
            return Revoking(self.sealer.seal(row), changed=True, entry=b"")

        await self.store.revoke(serial_text(certificate.serial_number), decide)
        return certificate.serial_number

    async def revoked(self, reason: Reason = Reason.UNSPECIFIED, *, hours: int = 48, number: int | None = None) -> int:
        """Issue a certificate and revoke it; returns its serial number."""
        return await self.revoke(await self.issued(hours=hours, number=number), reason)


async def ca(
    store: PkiStore | None = None,
    *,
    clock: SetClock | None = None,
    algorithm: Algorithm = Algorithm.P256,
    base: str = BASE,
) -> Ca:
    """Make a CA over a store, in memory unless one is given."""
    sealer = (await keyring()).sealer(Purpose.CA)
    return Ca(store or MemoryPkiStore(MemoryDatabase()), sealer, clock or SetClock(), algorithm, base)


def serial(clock: SetClock) -> int:
    """Return a serial number."""
    return serial_number(clock.now(), os.urandom)


def begin() -> Entry:
    """Return an audit entry for a certificate that a responder needs."""
    return entry()


def asked(
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    *,
    nonce: bytes | None = None,
    algorithm: hashes.HashAlgorithm | None = None,
) -> bytes:
    """Return an OCSP request as the library makes it."""
    builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, algorithm or hashes.SHA1())  # noqa: S303
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(Encoding.DER)
