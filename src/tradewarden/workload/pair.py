"""One working pair: a private key, the certificate chain for it, and the roots to trust, that belong together."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from itertools import zip_longest
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from tradewarden.errors import IntegrityError
from tradewarden.workload.lists import revokes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cryptography.hazmat.primitives.asymmetric import ec

_UNREADABLE: Final = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion)


@dataclass(frozen=True)
class Pair:
    """A key, its chain (leaf first) and the trusted roots, all PEM; `version` is empty until it is on disk.

    Made by `Pair.read`, which has seen that key and certificate belong together. Times are seconds since the epoch.
    """

    key_pem: bytes = field(repr=False)
    chain_pem: bytes = field(repr=False)
    roots_pem: bytes = field(repr=False)
    version: str = ""

    @classmethod
    def read(cls, key_pem: bytes, chain_pem: bytes, roots_pem: bytes, version: str = "") -> Pair:
        """Return the pair; raises `IntegrityError` naming what cannot be read or does not match."""
        pair = cls(key_pem, chain_pem, roots_pem, version)
        if not pair.roots:
            raise IntegrityError("There is no root certificate to trust")
        if public_bytes(pair.key.public_key()) != public_bytes(pair.leaf.public_key()):
            raise IntegrityError("The certificate is not for this private key")
        _ = pair.spiffe_id
        return pair

    @cached_property
    def key(self) -> ec.EllipticCurvePrivateKey:
        """The private key."""
        try:
            return load_pem_private_key(self.key_pem, None)  # type: ignore[return-value]
        except _UNREADABLE as error:
            raise IntegrityError("The private key cannot be read") from error

    @cached_property
    def chain(self) -> Sequence[x509.Certificate]:
        """The certificate, then the CAs above it."""
        return certificates(self.chain_pem, "The certificate chain")

    @cached_property
    def roots(self) -> Sequence[x509.Certificate]:
        """The roots to trust."""
        return certificates(self.roots_pem, "The trust bundle")

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate itself."""
        return self.chain[0]

    @property
    def starts(self) -> float:
        """From when on it is valid."""
        return self.leaf.not_valid_before_utc.timestamp()

    @property
    def ends(self) -> float:
        """Until when it is valid."""
        return self.leaf.not_valid_after_utc.timestamp()

    @property
    def serial_number(self) -> str:
        """The serial number, 40 hex digits as the service writes it."""
        return f"{self.leaf.serial_number:040x}"

    @cached_property
    def spiffe_id(self) -> str:
        """The one SPIFFE ID of the certificate (X.509-SVID section 2)."""
        try:
            names = self.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (x509.ExtensionNotFound, *_UNREADABLE):
            names = x509.SubjectAlternativeName([])
        found = names.get_values_for_type(x509.UniformResourceIdentifier)
        if len(found) != 1 or not found[0].startswith("spiffe://"):
            raise IntegrityError("The certificate does not carry one SPIFFE ID")
        return found[0]

    @property
    def trust_domain(self) -> str:
        """The trust domain of the SPIFFE ID."""
        return urlsplit(self.spiffe_id).netloc

    @property
    def service_name(self) -> str:
        """The name that the certificate gives its holder."""
        return urlsplit(self.spiffe_id).path.lstrip("/")

    @cached_property
    def anchored(self) -> bool:
        """Whether the chain leads, signature by signature, to one of the roots; what stands behind that is extra."""
        for certificate, above in zip_longest(self.chain, self.chain[1:]):
            if any(certificate == root or _issued(certificate, root) for root in self.roots):
                return True
            if above is None or not _issued(certificate, above):
                return False
        return False

    def vouched(
        self,
        offered_pem: bytes,
        crosses_pem: bytes,
        now: float,
        lists: Iterable[x509.CertificateRevocationList] = (),
    ) -> bytes:
        """Return which of the offered roots (PEM) are the service's whoever offers them: one that is trusted says so.

        It does by certifying the other's name and key, as two roots do for one another while the root is being changed
        ("new with old", RFC 4210 section 4.4), and as long as none of the lists says that it did so in vain.
        """
        crosses = certificates(crosses_pem, "The cross-certificates") if crosses_pem else ()
        valid = [each for each in crosses if _is_valid(each, now)]
        good = [each for each in valid if any(_vouches(root, each, lists) for root in self.roots)]
        offered = certificates(offered_pem, "The trust bundle")
        return pem_of([root for root in offered if any(_certifies(cross, root) for cross in good)])

    def with_roots(self, roots_pem: bytes) -> Pair:
        """Return the same key and certificate with other roots."""
        return Pair.read(self.key_pem, self.chain_pem, roots_pem)


def certificates(pem: bytes, what: str) -> Sequence[x509.Certificate]:
    """Return the certificates of a PEM text, at least one; raises `IntegrityError` saying that `what` is wrong."""
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except _UNREADABLE as error:
        raise IntegrityError(f"{what} cannot be read") from error


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of a certificate's DER, in hex."""
    return sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def pem_of(found: Sequence[x509.Certificate]) -> bytes:
    """Return certificates as one PEM text."""
    return b"".join(each.public_bytes(Encoding.PEM) for each in found)


def public_bytes(key: object) -> bytes:
    """Return a public key as SubjectPublicKeyInfo (DER)."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined,no-any-return]


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *_UNREADABLE):
        return False
    return True


def _vouches(root: x509.Certificate, cross: x509.Certificate, lists: Iterable[x509.CertificateRevocationList]) -> bool:
    return _issued(cross, root) and not revokes(lists, cross, root)


def _certifies(cross: x509.Certificate, root: x509.Certificate) -> bool:
    """Tell whether a certificate is one of a root's name and key, and lets it certify CAs."""
    try:
        constraints = cross.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, *_UNREADABLE):
        return False
    same = cross.subject == root.subject and public_bytes(cross.public_key()) == public_bytes(root.public_key())
    return same and constraints.ca and constraints.path_length != 0 and _issued(root, root)


def _is_valid(certificate: x509.Certificate, now: float) -> bool:
    return certificate.not_valid_before_utc.timestamp() <= now < certificate.not_valid_after_utc.timestamp()
