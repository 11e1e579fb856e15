"""The key that signs OCSP answers in the name of an issuing CA (RFC 6960 section 4.2.2.2).

Each process has one of its own, in memory only. Its certificate lives for three days, is of no use for anything else,
says that nobody needs to ask about itself (id-pkix-ocsp-nocheck), and stands in the inventory like any other.
"""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tradewarden.access.principal import OWN_NAME
from tradewarden.errors import ConfigurationError, UnavailableError
from tradewarden.pki.certificate.algorithm import signing
from tradewarden.pki.certificate.issuer import Order
from tradewarden.pki.certificate.profiles import OCSP
from tradewarden.pki.certificate.serial import serial_number
from tradewarden.pki.inventory import serial_text
from tradewarden.pki.revocation.ocsp_encoding import key_hash
from tradewarden.pki.store import CertificateRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.audit.entry import Entry
    from tradewarden.clock import Clock, Randomness
    from tradewarden.crypto.keyset import Sealer
    from tradewarden.pki.certificate.issuer import Issuer
    from tradewarden.pki.store import CertificateStore

_CURVE: Final = ec.SECP256R1()
_SIGNS: Final = ec.ECDSA(hashes.SHA256())


class SigningKey(NamedTuple):
    """A key and its certificate (DER); `key_hash` names it in answers, times are seconds since the epoch."""

    key: ec.EllipticCurvePrivateKey
    algorithm: bytes
    certificate: bytes
    key_hash: bytes
    starts: int
    ends: int

    def sign(self, data: bytes) -> bytes:
        """Return the signature over an answer."""
        return self.key.sign(data, _SIGNS)


class OcspSigner:
    """Makes this process's signing key for one CA, and a new one at half its certificate's life."""

    def __init__(
        self, store: CertificateStore, sealer: Sealer, issuer: Issuer, clock: Clock, randomness: Randomness
    ) -> None:
        self.issuer = issuer
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._randomness = randomness
        self._lock = asyncio.Lock()
        self._key: SigningKey | None = None

    async def current(self, begin: Callable[[], Entry]) -> SigningKey:
        """Return the key to sign with. `begin` gives the audit entry of a new certificate.

        Raises `UnavailableError`, or `ConfigurationError` from a token, when one is needed and the CA cannot make it.
        """
        key = self._key
        if key is not None and self._young(key):
            return key
        async with self._lock:
            if self._key is None or not self._young(self._key):
                self._key = await self._renewed(begin)
            return self._key

    def _young(self, key: SigningKey) -> bool:
        return key.starts <= self._clock.now() < (key.starts + key.ends) / 2

    async def _renewed(self, begin: Callable[[], Entry]) -> SigningKey:
        try:
            return await self._made(begin())
        except (ConfigurationError, UnavailableError):
            key, now = self._key, self._clock.now()
            if key is not None and key.starts <= now < key.ends:
                return key
            raise

    async def _made(self, entry: Entry) -> SigningKey:
        now, issuer = self._clock.now(), self.issuer
        start, end = issuer.term(now, OCSP.hours * 3600)
        key = ec.generate_private_key(_CURVE)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Tradewarden OCSP {issuer.fingerprint[:8]}")])
        order = Order(OCSP, subject, key.public_key(), serial_number(now, self._randomness), start, end)
        issued = await asyncio.to_thread(issuer.issue, order)
        row = self._sealer.seal(
            CertificateRow(
                serial_text(order.serial),
                OWN_NAME,
                OCSP.name,
                "",
                issuer.fingerprint,
                sha256(issued.der).hexdigest(),
                issued.der,
                start,
                end,
                now,
                entry.user,
            )
        )
        entry.resource = f"{OWN_NAME}/{row.serial}"
        await self._store.add(row, entry.draft(sha256(row.seal).hexdigest()))
        entry.commit()
        return SigningKey(key, signing(key).identifier, issued.der, key_hash(key.public_key()), start, end)
