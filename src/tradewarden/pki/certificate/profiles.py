"""What each kind of certificate is, as data: every extension that never changes, made once (RFC 5280 section 4.2)."""

from __future__ import annotations

from typing import Final, NamedTuple

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tradewarden.pki.certificate.encoding import extensions_der

Extension = x509.Extension[x509.ExtensionType]


class Profile(NamedTuple):
    """One kind of certificate. `hours` 0 means: as long as the policy says; `der` is `extensions`, encoded.

    One that is not `revocable` is so short-lived that no verifier asks: it points to no CRL and no OCSP responder.
    """

    name: str
    hours: int
    constraints: x509.BasicConstraints
    key_usage: x509.KeyUsage
    extended: x509.ExtendedKeyUsage | None
    extensions: tuple[Extension, ...]
    der: bytes
    revocable: bool = True


def extension(value: x509.ExtensionType, *, critical: bool = False) -> Extension:
    """Return a value as the extension that carries it."""
    return x509.Extension(value.oid, critical, value)


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _profile(
    name: str,
    hours: int,
    constraints: x509.BasicConstraints,
    *extended: x509.ObjectIdentifier,
    revocable: bool = True,
) -> Profile:
    usage = _usage(ca=constraints.ca)
    purposes = x509.ExtendedKeyUsage(extended) if extended else None
    fixed: list[Extension] = [
        extension(constraints, critical=True),
        extension(usage, critical=True),
    ]
    if purposes is not None:
        fixed.append(extension(purposes))
    if not revocable:
        fixed.append(_NO_REVOCATION)
    return Profile(name, hours, constraints, usage, purposes, tuple(fixed), extensions_der(fixed), revocable)


_DAY = 24
_LEAF = x509.BasicConstraints(ca=False, path_length=None)
_CLIENT, _SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
_NO_REV_AVAIL = x509.ObjectIdentifier("2.5.29.56")
_NO_REVOCATION: Final[Extension] = extension(x509.UnrecognizedExtension(_NO_REV_AVAIL, b"\x05\x00"))
"""noRevAvail (RFC 9608 section 2): there is nothing to ask about this certificate."""

ROOT: Final = _profile("root", 3652 * _DAY, x509.BasicConstraints(ca=True, path_length=None))
"""The root CA: ten years, signs issuing CAs."""

ISSUING: Final = _profile("issuing", 1826 * _DAY, x509.BasicConstraints(ca=True, path_length=0))
"""The issuing CA: five years, signs services' certificates and CRLs, no CA below it."""

CROSS: Final = _profile("cross", 0, x509.BasicConstraints(ca=True, path_length=1))
"""One root's key certified by another root, so that both are believed during a change of roots."""

SERVICE: Final = _profile("service", 0, _LEAF, _CLIENT, _SERVER)
"""A registered service: it calls and is called over mTLS."""

CLIENT: Final = _profile("client", 0, _LEAF, _CLIENT)
"""A service that only calls."""

SERVER: Final = _profile("server", 0, _LEAF, _SERVER)
"""One that is only called; Tradewarden's own TLS listener too."""

SHORT_LIVED: Final = _profile("short-lived", _DAY, _LEAF, _CLIENT, _SERVER, revocable=False)
"""A service whose certificate lives for a day at most, and is replaced instead of revoked."""

_NO_CHECK: Final[Extension] = extension(x509.OCSPNoCheck())
_OCSP: Final = _profile("ocsp", 3 * _DAY, _LEAF, ExtendedKeyUsageOID.OCSP_SIGNING)
OCSP: Final = _OCSP._replace(
    extensions=(*_OCSP.extensions, _NO_CHECK), der=extensions_der((*_OCSP.extensions, _NO_CHECK)), revocable=False
)
"""A key that signs OCSP answers for three days; nobody asks about its own revocation (RFC 6960 section 4.2.2.2.1)."""

ISSUED: Final = {each.name: each for each in (SERVICE, CLIENT, SERVER, SHORT_LIVED)}
"""What services may be given, by name."""
