"""A CA that signs: build → sign → validate again (RFC 5280 section 4.1 and 6.1.3).

Always true here: nothing comes out of `Issuer.issue` that was not read back from its own bytes and found to be exactly
what was ordered, under this issuer's key and within its time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from tradewarden.errors import IntegrityError, UnavailableError
from tradewarden.pki.algorithm import signing
from tradewarden.pki.profiles import extension

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tradewarden.pki.algorithm import PrivateKey, PublicKey
    from tradewarden.pki.profiles import Extension, Profile

BACKDATED_SECONDS = 60
"""A new certificate is valid from a minute ago, for verifiers whose clocks are behind."""


class Order(NamedTuple):
    """What is to be signed; times are seconds since the epoch, `names` the subject alternative names."""

    profile: Profile
    subject: x509.Name
    public_key: PublicKey
    serial: int
    not_before: int
    not_after: int
    names: Sequence[x509.GeneralName] = ()


class Issued(NamedTuple):
    """A certificate that was validated again, and its DER bytes."""

    certificate: x509.Certificate
    der: bytes


class Issuer:
    """One CA's certificate and private key, ready to sign."""

    __slots__ = ("_extensions", "_key", "_signing", "certificate", "der", "ends", "fingerprint", "name", "starts")

    def __init__(self, certificate: x509.Certificate, key: PrivateKey, extensions: Sequence[Extension] = ()) -> None:
        self.certificate = certificate
        self.der = certificate.public_bytes(Encoding.DER)
        self.fingerprint = sha256(self.der).hexdigest()
        self.name = certificate.subject
        self.starts = int(certificate.not_valid_before_utc.timestamp())
        self.ends = int(certificate.not_valid_after_utc.timestamp())
        self._key = key
        self._signing = signing(key)
        self._extensions = (authority_key(certificate), *extensions)

    def __repr__(self) -> str:
        return f"Issuer({self.name.rfc4514_string()!r})"

    @property
    def slow(self) -> bool:
        """Whether one signature takes longer than the event loop should wait."""
        return self._signing.slow

    def term(self, now: float, seconds: int) -> tuple[int, int]:
        """Return (not before, not after) of a certificate issued now, cut to the issuer's own.

        Raises `UnavailableError` when the issuer itself is not valid now.
        """
        if not self.starts - BACKDATED_SECONDS <= now < self.ends:
            raise UnavailableError(
                f"No certificate can be issued: the issuing CA is valid from {utc(self.starts):%Y-%m-%d} to"
                f" {utc(self.ends):%Y-%m-%d} only; check the clock, or renew the issuing CA",
                reason="issuing CA is not valid now",
            )
        return max(int(now) - BACKDATED_SECONDS, self.starts), min(int(now) + seconds, self.ends)

    def issue(self, order: Order) -> Issued:
        """Build, sign and validate again; raises `IntegrityError` when what was signed is not what was ordered."""
        extensions = [*order.profile.extensions, *self._extensions, *variable(order)]
        signed = self._sign(builder(order, self.name, extensions))
        issued = Issued(signed, signed.public_bytes(Encoding.DER))
        validate(issued.der, self.certificate, order, extensions)
        return issued

    def sign_crl(self, crl: x509.CertificateRevocationListBuilder) -> bytes:
        """Sign a CRL and return it as DER."""
        how = self._signing
        return crl.sign(self._key, how.hash, rsa_padding=how.padding).public_bytes(Encoding.DER)

    @property
    def authority_key(self) -> Extension:
        """The authority key identifier of whatever this issuer signs."""
        return self._extensions[0]

    def _sign(self, certificate: x509.CertificateBuilder) -> x509.Certificate:
        how = self._signing
        return certificate.sign(self._key, how.hash, rsa_padding=how.padding)


def self_signed(order: Order, key: PrivateKey) -> x509.Certificate:
    """Return a root: build, sign with its own key, validate again."""
    extensions = [*order.profile.extensions, *variable(order)]
    how = signing(key)
    root = builder(order, order.subject, extensions).sign(key, how.hash, rsa_padding=how.padding)
    validate(root.public_bytes(Encoding.DER), root, order, extensions)
    return root


def builder(order: Order, issuer: x509.Name, extensions: list[Extension]) -> x509.CertificateBuilder:
    """Return the unsigned certificate; the extensions go in together, because adding one copies all before it."""
    return x509.CertificateBuilder(
        issuer,
        order.subject,
        order.public_key,
        order.serial,
        utc(order.not_before),
        utc(order.not_after),
        extensions,
    )


def variable(order: Order) -> list[Extension]:
    """Return the extensions that differ from one certificate to the next."""
    key = x509.SubjectKeyIdentifier.from_public_key(order.public_key)
    found: list[Extension] = [extension(key)]
    if order.names:
        names = x509.SubjectAlternativeName(order.names)
        found.append(extension(names))
    return found


def authority_key(certificate: x509.Certificate) -> Extension:
    """Return the authority key identifier that points at `certificate` (RFC 5280 section 4.2.1.1)."""
    try:
        own = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        points = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
    except x509.ExtensionNotFound:
        points = x509.AuthorityKeyIdentifier.from_issuer_public_key(certificate.public_key())  # type: ignore[arg-type]
    return extension(points)


def validate(der: bytes, issuer: x509.Certificate, order: Order, extensions: list[Extension]) -> None:
    """Read a signed certificate back and compare it with what was ordered; raises `IntegrityError`."""
    certificate = x509.load_der_x509_certificate(der)
    # 1. Issuer's name and signature (RFC 5280 section 6.1.3 a 1 and a 4).
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError) as error:
        raise _not_as_ordered("its signature does not verify under the issuer's key") from error
    # 2. Time, within the issuer's (6.1.3 a 2).
    not_before, not_after = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not_before != utc(order.not_before) or not_after != utc(order.not_after):
        raise _not_as_ordered("validity")
    if not_before < issuer.not_valid_before_utc or not_after > issuer.not_valid_after_utc:
        raise _not_as_ordered("validity beyond the issuer's")
    # 3. Who it is for.
    if certificate.subject != order.subject or certificate.serial_number != order.serial:
        raise _not_as_ordered("subject or serial number")
    if certificate.public_key() != order.public_key:
        raise _not_as_ordered("public key")
    # 4. What it may be used for, and under which names: these extensions and no other.
    if list(certificate.extensions) != extensions:
        raise _not_as_ordered("extensions")


def utc(seconds: float) -> datetime:
    """Return seconds since the epoch as an aware time in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def _not_as_ordered(what: str) -> IntegrityError:
    return IntegrityError(
        "A certificate was signed that is not what was ordered; it was thrown away",
        reason=f"validation after signing: {what}",
    )
