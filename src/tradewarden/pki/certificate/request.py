"""Certificate signing requests (PKCS#10, RFC 2986): read, proven, and held to what the profile gives.

A request's key is taken and nothing else: every name and use comes from the command and the profile. So what a request
asks for beyond those is refused by name, instead of being left out unseen (`ordered_key` says where ACME differs).
Accepted: one PEM block of at most 16 KiB, `CERTIFICATE REQUEST`. Its own signature may be of any approved scheme
(PKCS#1 v1.5 as well: it proves possession of the key and is never relied on again).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import NameOID

from tradewarden.errors import InvalidInputError, LimitExceededError
from tradewarden.pki.certificate.algorithm import approved_hash, strong

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tradewarden.pki.certificate.algorithm import PublicKey
    from tradewarden.pki.certificate.names import Names
    from tradewarden.pki.certificate.profiles import Profile

MAX_CSR_BYTES: Final = 16 * 1024
_PEM = re.compile(
    r"\s*-----BEGIN (NEW )?CERTIFICATE REQUEST-----\s[A-Za-z0-9+/=\s]+-----END (NEW )?CERTIFICATE REQUEST-----\s*",
    re.ASCII,
)
_UNREADABLE = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What the parser raises for bytes that are not a request; it parses lazily, so anywhere below."""
_KEY_USES: Final = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)


def requested_key(pem: str, service: str, profile: Profile, names: Names) -> PublicKey:
    """Return the public key of a request that asks for no more than it gets.

    Raises `InvalidInputError` (`LimitExceededError` when it is too long) naming what is refused.
    """
    try:
        request = _read(pem)
        key = _proven_key(request)
        _subject(request.subject, service)
        for extension in request.extensions:
            _asks(extension.value, profile, names)
    except LimitExceededError:
        raise
    except InvalidInputError as error:
        raise InvalidInputError(f"The CSR is refused: {error.detail}") from error
    except _UNREADABLE as error:
        raise InvalidInputError(
            "The CSR is refused: it cannot be read; send one PKCS#10 request in PEM",
            reason=f"CSR: {type(error).__name__}",
        ) from error
    return key


def ordered_key(der: bytes, profile: Profile, names: Names) -> PublicKey:
    """Return the public key of an order's request (DER), which names exactly what was ordered (RFC 8555 section 7.4).

    In its subject's CN, as subject alternative names, or both. DNS names compare without case (RFC 4343), and the
    certificate has them as they were ordered. What clients write by habit (more in the subject, uses of the key) is
    passed over: the account's profile says what is given. Raises `InvalidInputError` naming what is refused.
    """
    try:
        request = x509.load_der_x509_csr(der)
        key = _proven_key(request)
        named = _in_subject(request.subject, {str(each.value) for each in names.general()[1:]})
        for extension in request.extensions:
            wanted = extension.value
            if isinstance(wanted, x509.SubjectAlternativeName):
                wanted = _folded(wanted)
                named |= {str(each.value) for each in wanted}
            if not isinstance(wanted, x509.KeyUsage | x509.ExtendedKeyUsage):
                _asks(wanted, profile, names)
        _nothing_left_out(names, named)
    except InvalidInputError as error:
        raise InvalidInputError(f"The CSR is refused: {error.detail}") from error
    except _UNREADABLE as error:
        raise InvalidInputError(
            "The CSR is refused: it cannot be read; send one PKCS#10 request in DER",
            reason=f"CSR: {type(error).__name__}",
        ) from error
    return key


def _in_subject(subject: x509.Name, ordered: set[str]) -> set[str]:
    """Return the names in the subject's CN; refuse one that was not ordered."""
    named = {_lower(str(each.value)) for each in subject.get_attributes_for_oid(NameOID.COMMON_NAME)}
    if named - ordered:
        raise InvalidInputError("its subject's CN is not one of the names that were ordered")
    return named


def _nothing_left_out(names: Names, named: set[str]) -> None:
    """Refuse a request that leaves out a name that was ordered; `_asks` refuses one that was not."""
    missing = {str(each.value) for each in names.general()[1:]} - named
    if missing:
        raise InvalidInputError(f"it leaves out {min(missing)!r}, which was ordered")


def _folded(wanted: x509.SubjectAlternativeName) -> x509.SubjectAlternativeName:
    """Return names that are asked for with DNS names in lower case, as ours are."""
    return x509.SubjectAlternativeName(
        [x509.DNSName(_lower(name.value)) if isinstance(name, x509.DNSName) else name for name in wanted]
    )


def _lower(name: str) -> str:
    """Return A to Z in lower case and every other letter as it is (RFC 4343 section 3)."""
    return name.lower() if name.isascii() else name


def _read(pem: str) -> x509.CertificateSigningRequest:
    if len(pem) > MAX_CSR_BYTES:
        raise LimitExceededError(f"The CSR is refused: it is larger than {MAX_CSR_BYTES} bytes")
    if not _PEM.fullmatch(pem):
        raise InvalidInputError("it is not one PEM block 'CERTIFICATE REQUEST' and nothing else")
    return x509.load_pem_x509_csr(pem.encode())


def _proven_key(request: x509.CertificateSigningRequest) -> PublicKey:
    """Return the request's key when it is strong enough and signed the request; its strength is looked at first."""
    key = strong(request.public_key())
    approved_hash(request)
    try:
        _verify(request, key)
    except InvalidSignature as error:
        raise InvalidInputError("its signature does not verify under its own key") from error
    return key


def _verify(request: x509.CertificateSigningRequest, key: PublicKey) -> None:
    """Verify the request's own signature; raises `InvalidSignature`.

    With the key that is read already: the library's `is_signature_valid` reads it again, a third of the time it takes.
    """
    signature, signed = request.signature, request.tbs_certrequest_bytes
    match key, request.signature_algorithm_parameters, request.signature_hash_algorithm:
        case ec.EllipticCurvePublicKey(), ec.ECDSA() as scheme, _:
            key.verify(signature, signed, scheme)
        case rsa.RSAPublicKey(), (padding.PSS() | padding.PKCS1v15()) as scheme, hashes.HashAlgorithm() as over:
            key.verify(signature, signed, scheme, over)
        case ed25519.Ed25519PublicKey(), None, _:
            key.verify(signature, signed)
        case _:
            raise InvalidSignature


def _subject(subject: x509.Name, service: str) -> None:
    for attribute in subject:
        if attribute.oid != NameOID.COMMON_NAME:
            raise InvalidInputError(f"its subject holds {attribute.rfc4514_attribute_name}; only CN is accepted")
        if attribute.value != service:
            raise InvalidInputError("its subject's CN is not the service_name")


def _asks(wanted: x509.ExtensionType, profile: Profile, names: Names) -> None:
    """Refuse one requested extension that goes beyond the profile."""
    match wanted:
        case x509.SubjectAlternativeName():
            _beyond("the name", _values(wanted), _values(names.general()))
        case x509.BasicConstraints():
            if wanted.ca or wanted.path_length is not None:
                raise InvalidInputError("it asks to be a CA")
        case x509.KeyUsage():
            given = {use for use in _KEY_USES if getattr(profile.key_usage, use)}
            _beyond("the key usage", [use for use in _KEY_USES if getattr(wanted, use)], given)
        case x509.ExtendedKeyUsage():
            given = {oid.dotted_string for oid in profile.extended or ()}
            _beyond("the extended key usage", [oid.dotted_string for oid in wanted], given)
        case x509.SubjectKeyIdentifier():
            pass  # made by us from the key, whatever it says
        case x509.TLSFeature():
            raise InvalidInputError("it asks for must-staple (TLS feature, RFC 7633), which is not given")
        case _:
            raise InvalidInputError(f"it asks for the extension {wanted.oid.dotted_string}")


def _beyond(what: str, wanted: Iterable[str], given: Iterable[str]) -> None:
    extra = [each for each in wanted if each not in set(given)]
    if extra:
        raise InvalidInputError(f"it asks for {what} {extra[0][:80]!r}, which is not given")


def _values(names: Iterable[x509.GeneralName]) -> list[str]:
    """Return names as comparable text that says their type too."""
    return [f"{type(name).__name__}:{name.value}" for name in names]
