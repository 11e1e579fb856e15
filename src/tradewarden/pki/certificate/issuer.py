"""A CA that signs: build → sign → validate again (RFC 5280 section 4.1 and 6.1.3).

Always true here: nothing comes out of `Issuer.issue` that was not read back from its own bytes and found to be exactly
what was ordered, under this issuer's key and within its time. The bytes are our own (`pki.certificate.encoding`),
because all but a few of them are the same from one certificate to the next; so for every layout (profile, subject and
names) the library's builder writes the first certificate too, and both must agree byte for byte.
"""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tradewarden.errors import IntegrityError, UnavailableError
from tradewarden.pki.certificate.algorithm import signing, strong
from tradewarden.pki.certificate.encoding import Fixed, certificate_der, extensions_der, tbs_der
from tradewarden.pki.certificate.pointers import NOWHERE
from tradewarden.pki.certificate.profiles import extension

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tradewarden.pki.certificate.algorithm import PrivateKey, PublicKey, Signing
    from tradewarden.pki.certificate.pointers import Pointers
    from tradewarden.pki.certificate.profiles import Extension, Profile

_LAYOUTS = 4096
"""So many layouts that the library agreed with are remembered."""
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


class _Signer(NamedTuple):
    """What a signature is held against: the signer's name (DER) and public key, how it signs, and its own time."""

    name: bytes
    public_key: PublicKey
    how: Signing
    starts: int
    ends: int


_Layout = tuple[str, x509.Name, tuple[x509.GeneralName, ...]]
"""Profile, subject and names: certificates that share them differ in serial number, time and key alone."""


class Issuer:
    """One CA's certificate and private key, ready to sign."""

    __slots__ = (
        "_encoded",
        "_extensions",
        "_key",
        "_layouts",
        "_pointed",
        "_pointers",
        "_signer",
        "_signing",
        "certificate",
        "der",
        "ends",
        "fingerprint",
        "name",
        "starts",
    )

    def __init__(
        self,
        certificate: x509.Certificate,
        key: PrivateKey,
        pointers: Pointers | None = None,
    ) -> None:
        self.certificate = certificate
        self.der = certificate.public_bytes(Encoding.DER)
        self.fingerprint = sha256(self.der).hexdigest()
        self.name = certificate.subject
        self.starts = int(certificate.not_valid_before_utc.timestamp())
        self.ends = int(certificate.not_valid_after_utc.timestamp())
        self._key = key
        self._signing = signing(key)
        self._extensions = (authority_key(certificate),)
        self._encoded = extensions_der(self._extensions)
        public_key = strong(certificate.public_key())
        self._signer = _Signer(self.name.public_bytes(), public_key, self._signing, self.starts, self.ends)
        self._layouts: dict[_Layout, Fixed] = {}
        self._pointers = pointers
        self._pointed = {NOWHERE}

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
                f"No certificate can be issued: the issuing CA is valid from {utc(self.starts):%Y-%m-%d %H:%MZ} to"
                f" {utc(self.ends):%Y-%m-%d %H:%MZ} only; check the clock, or see what 'tradewarden status' advises",
                reason="issuing CA is not valid now",
            )
        return max(int(now) - BACKDATED_SECONDS, self.starts), min(int(now) + seconds, self.ends)

    def issue(self, order: Order) -> Issued:
        """Build, sign and validate again; raises `IntegrityError` when what was signed is not what was ordered."""
        layout = (order.profile.name, order.subject, tuple(order.names))
        fixed = self._layouts.get(layout) or fixed_der(order, self._signer, self._encoded)
        places = self._pointers.of(order.serial) if self._pointers and order.profile.revocable else NOWHERE
        tbs = tbs_der(fixed, order, public_der(order.public_key), places.der)
        der = certificate_der(tbs, fixed.algorithm, self.sign(tbs))
        issued = Issued(validate(der, order, tbs, self._signer), der)
        if layout not in self._layouts or places not in self._pointed:
            self._agree(order, issued.certificate, tbs, places.extensions)
            self._pointed.add(places)
            if len(self._layouts) >= _LAYOUTS:
                self._layouts.clear()
            self._layouts[layout] = fixed
        return issued

    def _agree(self, order: Order, issued: x509.Certificate, tbs: bytes, places: Sequence[Extension]) -> None:
        """Hold the first certificate of a layout against what the library writes, and have it judge the chain."""
        extensions = [*order.profile.extensions, *self._extensions, *variable(order), *places]
        how = self._signing
        written = builder(order, self.name, extensions).sign(self._key, how.hash, rsa_padding=how.padding)
        if written.tbs_certificate_bytes != tbs:
            raise _not_as_ordered("the library writes it otherwise")
        chain(issued, self.certificate)

    def sign(self, data: bytes) -> bytes:
        """Return the CA's signature over what stands in a certificate, a CRL or an OCSP answer under `algorithm`."""
        return self._signing.sign(self._key, data)

    @property
    def algorithm(self) -> bytes:
        """The AlgorithmIdentifier (DER) of this issuer's signatures."""
        return self._signing.identifier

    def verify(self, signature: bytes, data: bytes) -> None:
        """Verify what `sign` returned, under the CA's certificate; raises `InvalidSignature`."""
        self._signing.verify(self._signer.public_key, signature, data)

    @property
    def authority_key(self) -> Extension:
        """The authority key identifier of whatever this issuer signs."""
        return self._extensions[0]


def self_signed(order: Order, key: PrivateKey) -> x509.Certificate:
    """Return a root: build, sign with its own key, validate again."""
    how = signing(key)
    unsigned = builder(order, order.subject, [*order.profile.extensions, *variable(order)])
    root = unsigned.sign(key, how.hash, rsa_padding=how.padding)
    signer = _Signer(order.subject.public_bytes(), order.public_key, how, order.not_before, order.not_after)
    tbs = tbs_der(fixed_der(order, signer, b""), order, public_der(order.public_key))
    validate(root.public_bytes(Encoding.DER), order, tbs, signer)
    chain(root, root)
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


def fixed_der(order: Order, signer: _Signer, extensions: bytes) -> Fixed:
    """Return what all certificates of an order's layout share; `extensions` (DER) are the issuer's."""
    names = extensions_der([extension(x509.SubjectAlternativeName(order.names))]) if order.names else b""
    subject = order.subject.public_bytes()
    return Fixed(signer.name, subject, signer.how.identifier, order.profile.der + extensions, names)


def public_der(key: PublicKey) -> bytes:
    """Return a public key as SubjectPublicKeyInfo (DER)."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def authority_key(certificate: x509.Certificate) -> Extension:
    """Return the authority key identifier that points at `certificate` (RFC 5280 section 4.2.1.1)."""
    try:
        own = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        points = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
    except x509.ExtensionNotFound:
        points = x509.AuthorityKeyIdentifier.from_issuer_public_key(certificate.public_key())  # type: ignore[arg-type]
    return extension(points)


def chain(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    """Hold issuer's name and signature against the issuer's certificate; raises `IntegrityError`."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError) as error:
        raise _not_as_ordered("it does not verify under the issuer's certificate") from error


def validate(der: bytes, order: Order, tbs: bytes, signer: _Signer) -> x509.Certificate:
    """Read a signed certificate back and compare it with what was ordered; raises `IntegrityError`.

    `tbs` is what was to be signed (DER): one comparison of bytes holds every field against it, and nothing besides.
    What differs from one certificate to the next is also read by the library's parser, which knows nothing of `tbs`.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        signature = certificate.signature
        term = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except (ValueError, x509.InvalidVersion) as error:
        raise _not_as_ordered("it cannot be read") from error
    # 1. All that it says, its issuer's name too (RFC 5280 section 6.1.3 a 4), and the algorithm, twice (4.1.1.2).
    if der != certificate_der(tbs, signer.how.identifier, signature):
        raise _not_as_ordered("its bytes are not those of the order")
    if certificate.serial_number != order.serial or term != (utc(order.not_before), utc(order.not_after)):
        raise _not_as_ordered("its serial number or time is not that of the order")
    # 2. The signature over it (6.1.3 a 1).
    try:
        signer.how.verify(signer.public_key, signature, tbs)
    except InvalidSignature as error:
        raise _not_as_ordered("its signature does not verify under the issuer's key") from error
    # 3. Time, within the issuer's (6.1.3 a 2).
    if order.not_before < signer.starts or order.not_after > signer.ends:
        raise _not_as_ordered("validity beyond the issuer's")
    return certificate


def utc(seconds: float) -> datetime:
    """Return seconds since the epoch as an aware time in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def _not_as_ordered(what: str) -> IntegrityError:
    return IntegrityError(
        "A certificate was signed that is not what was ordered; it was thrown away",
        reason=f"validation after signing: {what}",
    )
