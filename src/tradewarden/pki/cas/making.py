"""Makes CA certificates: a root, an issuing CA under it, one root's certificate for the other (RFC 4949: cross).

Nothing made here counts before its row is committed; its private key stands under a name in `pki.cas.keys` by then.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tradewarden.pki.certificate.algorithm import strong
from tradewarden.pki.certificate.issuer import Issuer, Order, self_signed
from tradewarden.pki.certificate.profiles import CROSS, ISSUING, ROOT
from tradewarden.pki.certificate.serial import serial_number
from tradewarden.pki.store import AuthorityRow, Role, Standing

if TYPE_CHECKING:
    from tradewarden.clock import Randomness
    from tradewarden.pki.cas.authorities import Ca
    from tradewarden.pki.cas.keys import CaKeys
    from tradewarden.pki.certificate.algorithm import Algorithm, PrivateKey, PublicKey
    from tradewarden.pki.certificate.profiles import Profile

_HOUR = 3600
_AHEAD = 2
"""An issuing CA that is prepared ahead lives so many times as long: it may wait for its turn."""


class MadeKey(NamedTuple):
    """A private key, and its name in `pki.cas.keys`."""

    name: str
    key: PrivateKey


class MadeCa(NamedTuple):
    """A CA certificate with its row, not sealed yet."""

    certificate: x509.Certificate
    row: AuthorityRow


class CaMaker:
    """Makes CAs as of `now` (seconds since the epoch)."""

    def __init__(self, keys: CaKeys, algorithm: Algorithm, now: float, randomness: Randomness) -> None:
        self._keys = keys
        self._algorithm = algorithm
        self._now = now
        self._randomness = randomness

    def key(self, role: Role) -> MadeKey:
        """Make a private key for a root or an issuing CA."""
        name = key_name(role, self._randomness(4).hex())
        return MadeKey(name, self._keys.make(name, self._algorithm))

    def root(self, made: MadeKey, state: Standing) -> MadeCa:
        """Make a root."""
        start = int(self._now)
        order = self._order(ROOT, strong(made.key.public_key()), self._name("Root"), start, start + ROOT.hours * _HOUR)
        root = self_signed(order, made.key)
        return MadeCa(root, self.row(Role.ROOT, root, fingerprint(root), made.name, state))

    def issuing(self, above: Issuer, made: MadeKey, state: Standing) -> MadeCa:
        """Certify a key as an issuing CA under `above`, not outliving it. Raises `UnavailableError` past its time."""
        return self._issuing(above, strong(made.key.public_key()), self._name("Issuing"), made.name, state)

    def anew(self, above: Issuer, prepared: Ca, state: Standing) -> MadeCa:
        """Certify a prepared issuing CA under another root.

        It keeps name and key, so that verifiers who hold its revocation list or its pin already know it.
        """
        key = strong(prepared.certificate.public_key())
        return self._issuing(above, key, prepared.certificate.subject, prepared.row.key, state)

    def _issuing(self, above: Issuer, key: PublicKey, subject: x509.Name, key_name: str, state: Standing) -> MadeCa:
        ahead = _AHEAD if state is Standing.NEXT else 1
        start, end = above.term(self._now, ISSUING.hours * _HOUR * ahead)
        made = above.issue(self._order(ISSUING, key, subject, start, end)).certificate
        return MadeCa(made, self.row(Role.ISSUING, made, above.fingerprint, key_name, state))

    def cross(self, above: Issuer, root: x509.Certificate) -> MadeCa:
        """Certify `root` by another root, so that who believes that one believes this one."""
        start, end = above.term(self._now, int(root.not_valid_after_utc.timestamp() - self._now))
        made = above.issue(self._order(CROSS, strong(root.public_key()), root.subject, start, end)).certificate
        return MadeCa(made, self.row(Role.CROSS, made, above.fingerprint, "", Standing.ACTIVE))

    def row(self, role: Role, certificate: x509.Certificate, issuer: str, key: str, state: Standing) -> AuthorityRow:
        """Return the row of a CA that comes to be now."""
        der = certificate.public_bytes(Encoding.DER)
        active = self._now if state is Standing.ACTIVE else 0.0
        return AuthorityRow(role, sha256(der).hexdigest(), issuer, state, der, key, self._now, active)

    def _order(self, profile: Profile, key: PublicKey, subject: x509.Name, start: int, end: int) -> Order:
        return Order(profile, subject, key, serial_number(self._now, self._randomness), start, end)

    def _name(self, title: str) -> x509.Name:
        # The random end tells CAs apart: verifiers look issuers up by name.
        return x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tradewarden"),
                x509.NameAttribute(NameOID.COMMON_NAME, f"Tradewarden {title} CA {self._randomness(4).hex()}"),
            ]
        )


def key_name(role: Role, mark: str) -> str:
    """Return the name of a CA's private key; `mark` tells it from others."""
    return f"{_stem(role)}_key.{mark}.pem"


def certificate_name(row: AuthorityRow) -> str:
    """Return the name of a CA's certificate file."""
    return f"{_stem(row.role)}_cert.{row.fingerprint[:16]}.pem"


def _stem(role: Role) -> str:
    return "ca" if role is Role.ROOT else "issuing"


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of a certificate in hex."""
    return sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
